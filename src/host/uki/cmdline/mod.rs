//! What a command line lets others do. Signed with an image, it is all that keeps an initrd from asking the person at the
//! machine.

mod table;

use table::{
    MISSING, NO, ODD,
    When::{self, Bare, Given, On, Unless},
};

/// What ends the options of the first process, Trust: systemd's stub appends strings of the firmware behind it.
const END: &str = "--end";
/// What makes Trust the first process.
const FIRST: &str = "rdinit=/usr/bin/trust";

/// The one doubt that matters for an image that may read nothing, too: nobody would see why it fails.
#[must_use]
pub fn is_mute(cmdline: &str) -> Option<String> {
    doubts(cmdline, false).into_iter().find(|doubt| doubt.starts_with("without console="))
}

/// What an owner would hardly want in an image that may read the secrets, a sentence each.
///
/// `systemd` says whether the initrd has it.
#[must_use]
pub fn doubts(cmdline: &str, systemd: bool) -> Vec<String> {
    // Kernel and systemd remove quotation marks: so nothing hides in them.
    let plain = cmdline.replace(['"', '\''], "");
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    // `init` alone is the command of Trust as the first process.
    let odd = words.iter().filter(|word| **word != "init").filter_map(|word| {
        let (name, value) = parts(word);
        let odd = ODD.iter().find(|odd| odd.names.iter().any(|known| is(known, &name)) && odd.when.holds(value))?;
        Some(format!("{word} {}: {}", odd.why, odd.instead))
    });
    // What comes behind `--` is for the first program.
    let options: Vec<_> = words.iter().take_while(|word| **word != "--").map(|word| parts(word).0).collect();
    // Where it is there and says otherwise, it has been called odd.
    let missing = MISSING.iter().filter(|missing| systemd || !missing.systemd);
    let missing = missing.filter(|missing| !options.iter().any(|name| name == missing.name));
    let missing = missing.map(|missing| format!("without {} {}: add it", missing.spelling, missing.why));
    let open = words.last() != Some(&END) || !words.contains(&FIRST);
    let open = open.then(|| {
        format!("without {FIRST} -- init {END} at its end, strings of the firmware are appended to it: add it there")
    });
    odd.chain(missing).chain(open).collect()
}

/// Name and value of an option, the name as in [`table::Odd`].
fn parts(word: &str) -> (String, Option<&str>) {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let name = name.replace('-', "_");
    (name.strip_prefix("rd.").map(str::to_owned).unwrap_or(name), value)
}

/// Whether it is a known word, or begins with a known prefix.
fn is(known: &str, word: &str) -> bool {
    known.strip_suffix('*').map_or(known == word, |beginning| word.starts_with(beginning))
}

impl When {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Given => true,
            Bare => value.is_none(),
            On => !value.is_some_and(|value| NO.contains(&value)),
            Unless(fine) => !value.is_some_and(|value| fine.iter().any(|fine| is(fine, value))),
        }
    }
}

#[cfg(test)]
mod tests;
