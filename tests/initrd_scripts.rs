//! The shell scripts and the units that users take into their initrds.

use harness::{run, workspace};
use std::{collections::BTreeMap, fs};

/// Extends PCR 7 in the initrds of systemd 261 and later.
const SEPARATOR: &str = "systemd-pcrosseparator.service";

#[test]
fn shellcheck_finds_nothing() {
    let scripts: Vec<_> = fs::read_dir(workspace().join("initrd/busybox"))
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(scripts.len(), 1);
    run("shellcheck", &scripts.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Each unit's lines, by its name.
fn units() -> BTreeMap<String, Vec<String>> {
    let files = fs::read_dir(workspace().join("initrd/systemd")).unwrap().map(|entry| entry.unwrap().path());
    let unit = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect())
    };
    files.map(unit).collect()
}

/// Whether a unit has this word in a setting of this name.
fn says(lines: &[String], name: &str, word: &str) -> bool {
    let values = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).any(|value| value == word)
}

/// What reads PCR 7 as the policies know it comes first; what locks it after a boot that failed does so when systemd is done.
#[test]
fn nothing_of_systemd_extends_pcr_7_before_or_while_trust_does() {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let units = units();
    for (name, lines) in &units {
        let runs =
            |command: &str| lines.iter().any(|line| line.starts_with(&format!("ExecStart=/usr/bin/trust {command}")));
        if ["setup", "preinit", "provision", "raise"].into_iter().any(runs) {
            assert!(says(lines, "Before", SEPARATOR), "{name} has no order before {SEPARATOR}");
            before.push(name.as_str());
        } else if runs("lock") {
            assert!(says(lines, "After", SEPARATOR), "{name} has no order after {SEPARATOR}");
            after.push(name.as_str());
        }
        // One of the two would be a cycle.
        assert!(!(says(lines, "Before", SEPARATOR) && says(lines, "After", SEPARATOR)), "{name} has both orders");
    }
    assert_eq!(before, ["trust-preinit.service", "trust-provision.service", "trust-setup.service"]);
    assert_eq!(after, ["trust-withdraw.service"]);
}
