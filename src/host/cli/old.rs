//! Names that commands had before, here and in the tool before this one: scripts use them, and no help shows them. Old names
//! of options are aliases beside the options.

use std::ffi::OsString;

/// A command as it was called, as it is called, and the options that named the keyset, which is its first operand now.
const COMMANDS: [(&[&str], &[&str], &[&str]); 6] = [
    (&["initkeyset"], &["keyset", "add"], &["--keysetname", "--keyset-name"]),
    (&["new-uuid"], &["new-uuid"], &["--keysetname", "--keyset-name"]),
    (&["newuuid"], &["new-uuid"], &["--keysetname", "--keyset-name"]),
    (&["computePCR7"], &["compute-pcr7"], &[]),
    (&["tpm-policy-gen"], &["policy", "digest"], &[]),
    (&["uki", "build"], &["uki", "build"], &["--keyset"]),
];

/// The same command line, with the program's name first, in today's names.
pub fn translated(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let begin = first_word(&args);
    for (old, new, options) in COMMANDS {
        let end = begin + old.len();
        if args.get(begin..end).is_none_or(|words| words != old) {
            continue;
        }
        let keyset = options.iter().find_map(|option| take(&mut args, end, option));
        args.splice(begin..end, new.iter().map(OsString::from).chain(keyset));
        break;
    }
    args
}

/// Where the command begins, behind options of the whole program.
fn first_word(args: &[OsString]) -> usize {
    let mut place = 1;
    while let Some(option) = args.get(place).filter(|word| word.as_encoded_bytes().starts_with(b"-")) {
        place += if option == "--passphrase-file" { 2 } else { 1 };
    }
    place
}

/// Takes an option with its value out of what follows a command.
fn take(args: &mut Vec<OsString>, from: usize, option: &str) -> Option<OsString> {
    let operands = args.iter().position(|word| word == "--").unwrap_or(args.len());
    for place in from..operands {
        let word = args.get(place)?;
        if word == option && place + 1 < operands {
            return args.drain(place..place + 2).next_back();
        }
        let value = word.to_str().and_then(|word| word.strip_prefix(option)?.strip_prefix('='));
        if let Some(value) = value.map(OsString::from) {
            args.remove(place);
            return Some(value);
        }
    }
    None
}
