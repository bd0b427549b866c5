//! Files whose entries are numbered together, and the numbers that no file has.

use super::report::JournalFacts;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are in no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SeqnumGap {
    /// The last number before.
    pub after: u64,
    /// The first one behind.
    pub before: u64,
}

/// Files whose entries are numbered together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalChain {
    /// What they have in common.
    pub seqnum_id: String,
    /// How many they are.
    pub files: usize,
    /// The first number.
    pub head_seqnum: u64,
    /// The last.
    pub tail_seqnum: u64,
    /// Numbers between files.
    pub gaps: Vec<SeqnumGap>,
    /// Numbers that are missing within files, or between files that were written at the same time.
    pub missing_within: u64,
    /// Files of which there is more than one copy, by their identifiers.
    pub copies: Vec<String>,
}

impl JournalChain {
    /// Whether no number is missing, and none is there twice.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && self.missing_within == 0 && self.copies.is_empty()
    }
}

/// The chains that files form.
#[must_use]
pub fn chains<'a>(files: impl IntoIterator<Item = &'a JournalFacts>) -> Vec<JournalChain> {
    let mut by_id = BTreeMap::<&str, Vec<&JournalFacts>>::new();
    for file in files.into_iter().filter(|file| file.entries > 0) {
        by_id.entry(&file.seqnum_id).or_default().push(file);
    }
    by_id.into_iter().filter_map(|(id, files)| chain(id, files)).collect()
}

fn chain(seqnum_id: &str, mut files: Vec<&JournalFacts>) -> Option<JournalChain> {
    files.sort_by_key(|file| file.head_seqnum);
    let mut seen = BTreeSet::new();
    let copies: BTreeSet<_> =
        files.iter().filter(|file| !seen.insert(&file.file_id)).map(|file| file.file_id.clone()).collect();
    let first = files.first()?;
    let mut chain = JournalChain {
        seqnum_id: seqnum_id.to_owned(),
        files: files.len(),
        head_seqnum: first.head_seqnum,
        tail_seqnum: first.tail_seqnum,
        gaps: Vec::new(),
        missing_within: 0,
        copies: copies.into_iter().collect(),
    };
    // Files of users lie beside those of the system: numbers are counted where files overlap.
    let (mut begin, mut entries) = (first.head_seqnum, 0u64);
    let missing =
        |begin: u64, end: u64, entries: u64| end.saturating_sub(begin).saturating_add(1).saturating_sub(entries);
    for file in files {
        if file.head_seqnum > chain.tail_seqnum {
            let whole = missing(begin, chain.tail_seqnum, entries);
            chain.missing_within = chain.missing_within.saturating_add(whole);
            if file.head_seqnum - chain.tail_seqnum > 1 {
                chain.gaps.push(SeqnumGap { after: chain.tail_seqnum, before: file.head_seqnum });
            }
            (begin, entries) = (file.head_seqnum, 0);
        }
        entries = entries.saturating_add(file.entries);
        chain.tail_seqnum = chain.tail_seqnum.max(file.tail_seqnum);
    }
    chain.missing_within = chain.missing_within.saturating_add(missing(begin, chain.tail_seqnum, entries));
    Some(chain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::journal::JournalTime;

    fn file(id: &str, head_seqnum: u64, tail_seqnum: u64, entries: u64) -> JournalFacts {
        let (from, until) = (JournalTime(0), JournalTime(0));
        let [file_id, machine_id, seqnum_id] = [id, "m", "s"].map(str::to_owned);
        JournalFacts {
            state: "archived",
            file_id,
            machine_id,
            seqnum_id,
            head_seqnum,
            tail_seqnum,
            entries,
            from,
            until,
        }
    }

    #[test]
    fn missing_numbers_are_found_between_files_and_within() {
        let of = |files: &[JournalFacts]| chains(files).remove(0);
        let whole = of(&[file("b", 11, 20, 10), file("a", 1, 10, 10), file("c", 21, 30, 10)]);
        assert!(whole.is_complete(), "{whole:?}");
        assert_eq!((whole.head_seqnum, whole.tail_seqnum, whole.files), (1, 30, 3));
        let cut = of(&[file("a", 1, 10, 10), file("c", 21, 30, 10)]);
        assert_eq!((cut.gaps, cut.missing_within), (vec![SeqnumGap { after: 10, before: 21 }], 0));
        // Beside each other: a file of a user has what is missing in that of the system, but for one.
        let beside = of(&[file("a", 1, 10, 7), file("u", 3, 8, 2), file("b", 11, 12, 2)]);
        assert_eq!((beside.gaps, beside.missing_within), (vec![], 1));
        let twice = of(&[file("a", 1, 10, 10), file("a", 1, 10, 10)]);
        assert_eq!(twice.copies, ["a"]);
        let absurd = of(&[file("a", u64::MAX, 0, u64::MAX), file("b", 0, u64::MAX, 1)]);
        assert!(!absurd.is_complete() || absurd.missing_within == 0);
    }
}
