//! tests/broken: every patch still fits the sources, and names tests that are there. `cargo xtask broken` sees them fail.

use harness::{documentation::test_source, workspace};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

fn patches() -> BTreeSet<PathBuf> {
    let dir = fs::read_dir(workspace().join("tests/broken")).expect("a directory");
    let files = dir.map(|entry| entry.expect("a readable directory").path());
    files.filter(|path| path.extension().is_some_and(|x| x == "patch")).collect()
}

fn name(patch: &Path) -> &str {
    patch.file_stem().and_then(|name| name.to_str()).expect("text")
}

#[test]
fn every_patch_applies() {
    let mut misfits = String::new();
    for patch in patches() {
        let mut command = Command::new("patch");
        command.args(["--dry-run", "--strip=1", "--forward"]).current_dir(workspace());
        let output = command.stdin(File::open(&patch).expect("readable")).output().expect("patch");
        if !output.status.success() {
            misfits += &format!("{}: {}\n", patch.display(), String::from_utf8_lossy(&output.stdout));
        }
    }
    assert!(misfits.is_empty(), "these do not apply any more:\n{misfits}");
}

#[test]
fn every_patch_names_an_existing_test_and_its_words() {
    for patch in patches() {
        let text = fs::read_to_string(&patch).expect("text");
        let notices: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("Notices: ")).collect();
        assert!(!notices.is_empty(), "{} names no test", patch.display());
        for notice in notices {
            let (program, rest) = notice.split_once("::").expect(notice);
            let (test, words) = rest.split_once(": ").expect(notice);
            let function = test.rsplit("::").next().expect("the last part");
            assert!(test_source(program).contains(&format!("fn {function}()")), "{}: no test {test}", patch.display());
            assert!(words.len() > 2 && words != "panicked", "{}: any failure would do", patch.display());
        }
    }
}

/// What SECURITY.md names beside a guarantee is there.
#[test]
fn guarantees_name_existing_patches() {
    let page = fs::read_to_string(workspace().join("SECURITY.md")).expect("text");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let rows: Vec<_> = rows.filter(|row| row.starts_with(|c: char| c.is_ascii_digit())).collect();
    assert!(rows.len() > 10, "the search misses the table");
    let patches = patches();
    let all: BTreeSet<_> = patches.iter().map(|patch| name(patch)).collect();
    for row in rows {
        let last = row.trim_end_matches(" |").rsplit(" | ").next().expect("a last column");
        let mut names = last.split(", ").map(|name| name.trim_matches('`')).filter(|name| *name != "none yet");
        assert_eq!(names.find(|name| !all.contains(name)), None, "{row}");
    }
}
