//! docs/unsafe.md names the files in which Rust is unsafe, with the reason that stands in them. The compiler refuses
//! `unsafe` in all others.

use harness::workspace;
use std::{collections::BTreeSet, fs, path::Path};

/// How a file begins in which the compiler lets it pass.
const ALLOWED: &str = "allow(unsafe_code, reason = \"";

/// The row of the table for every such file below `dir`.
fn look(dir: &Path, rows: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            look(&path, rows);
        } else if path.extension().is_some_and(|x| x == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let file = path.strip_prefix(workspace()).expect("below the workspace").display();
            let reasons = text.split(ALLOWED).skip(1).filter_map(|rest| rest.split('"').next());
            rows.extend(reasons.map(|reason| format!("| `{file}` | {reason} |")));
        }
    }
}

#[test]
fn the_table_lists_exactly_the_unsafe_code() {
    let mut found = BTreeSet::new();
    for dir in ["src", "initrd"] {
        look(&workspace().join(dir), &mut found);
    }
    assert!(!found.is_empty(), "the search misses what is there");
    let page = fs::read_to_string(workspace().join("docs/unsafe.md")).expect("text");
    let listed: BTreeSet<_> = page.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();
    assert_eq!(listed, found, "docs/unsafe.md is not what the sources say");
}
