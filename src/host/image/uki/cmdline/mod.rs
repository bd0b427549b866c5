//! What a command line lets others do. Signed with an image, it is all that keeps an initrd from asking the person at the
//! machine.

mod table;

use table::{
    MISSING, NO, ODD,
    When::{self, Bare, Given, On, Unless},
};

/// Behind which the first process, Trust, takes nothing: systemd's stub appends what strings of the firmware say.
const END: &str = "--end";
/// That it is the first process.
const FIRST: &str = "rdinit=/usr/bin/trust";

/// The one doubt that matters for an image that may read nothing, too: nobody would see why it fails.
#[must_use]
pub fn is_mute(cmdline: &str) -> Option<String> {
    doubts(cmdline, false).into_iter().find(|doubt| doubt.starts_with("without console="))
}

/// What an owner would hardly want of an image that may read the secrets, a sentence each.
///
/// `systemd` says whether the initrd has it.
#[must_use]
pub fn doubts(cmdline: &str, systemd: bool) -> Vec<String> {
    // Quotation marks, which kernel and systemd know, hide nothing.
    let plain = cmdline.replace(['"', '\''], "");
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    // `init` alone is what Trust is to do as the first process.
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
    let missing = missing.map(|missing| format!("without {} {}: write it", missing.spelling, missing.why));
    let open = words.last() != Some(&END) || !words.contains(&FIRST);
    let open = open.then(|| {
        format!("without {FIRST} -- init {END} at its end strings of the firmware are appended to it: write it there")
    });
    odd.chain(missing).chain(open).collect()
}

/// Name and value of an option, the name as in [`table::Odd`].
fn parts(word: &str) -> (String, Option<&str>) {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let name = name.replace('-', "_");
    (name.strip_prefix("rd.").map(str::to_owned).unwrap_or(name), value)
}

/// Whether it is what is known: that word, or one that begins so.
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
