//! Help, manual pages and completions of `trust`: one definition, and every shell understands its own.

use harness::trust_host;
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

fn trust(args: &[&str]) -> String {
    let output = Command::new(trust_host()).args(args).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Above the commands in a help: that of a group of commands has one heading.
const HEADINGS: [&str; 7] = [
    "Commands:",
    "Keys:",
    "Images and firmware:",
    "This machine's boot:",
    "This machine's TPM:",
    "This machine's measurements:",
    "This program:",
];

/// What stands in the lists of commands of a help, `help` left out.
fn subcommands(help: &str) -> Vec<String> {
    let mut listed = false;
    let list = help.lines().filter(|line| {
        listed = HEADINGS.contains(line) || listed && !line.is_empty();
        listed
    });
    // Names are indented by two; what goes on from the line before by more.
    let names = list.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command, as words: `["keyset", "add"]`.
fn commands() -> Vec<Vec<String>> {
    let (mut found, mut todo) = (Vec::new(), vec![Vec::new()]);
    while let Some(words) = todo.pop() {
        let mut args = vec!["help"];
        args.extend(words.iter().map(String::as_str));
        todo.extend(subcommands(&trust(&args)).into_iter().map(|name| [words.clone(), vec![name]].concat()));
        found.push(words);
    }
    found
}

/// The long options of a help text or a manual page.
fn options(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// A page as a terminal shows it, without bold and underlined; no complaint of the formatter.
fn formatted(page: &Path) -> String {
    let output = Command::new("groff")
        .args(["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", "-rLL=200n"])
        .arg(page)
        .output()
        .unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{page:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_has_a_page_with_all_its_options_an_example_and_its_exit_statuses() {
    let parent = TempDir::new().unwrap();
    let dir = parent.path().join("man/man1");
    trust(&["man", "--output", dir.to_str().unwrap()]);
    for dir in [&dir, dir.parent().unwrap()] {
        assert_eq!(fs::metadata(dir).unwrap().permissions().mode() & 0o555, 0o555, "{} is not for all", dir.display());
    }
    let mut expected = BTreeSet::new();
    let all = commands();
    for words in &all {
        let name = [vec!["trust".to_owned()], words.clone()].concat().join("-");
        let page = dir.join(format!("{name}.1"));
        let mut args = vec!["man"];
        args.extend(words.iter().map(String::as_str));
        assert_eq!(trust(&args), fs::read_to_string(&page).unwrap(), "{args:?}");

        args[0] = "help";
        let page = formatted(&page);
        let (help, shown) = (options(&trust(&args)), options(&page));
        let missing: Vec<_> = help.difference(&shown).collect();
        assert!(missing.is_empty(), "{name}.1 lacks {missing:?}");
        let is_group = all.iter().any(|other| other.len() > words.len() && other.starts_with(words));
        let (before, statuses) = page.split_once("\nEXIT STATUS\n").unwrap_or_else(|| panic!("{name}.1: {page}"));
        let examples = before.split_once("\nEXAMPLES\n").map_or("", |(_, examples)| examples);
        assert!(statuses.contains("not provisioned"), "{name}.1: {statuses}");
        // Others are called by the kernel, directly or by way of request-key(8).
        let calls = [&format!("trust {}", words.join(" "))[..], "trust -- init", "keyctl request2"];
        let is_called = calls.iter().any(|call| examples.contains(call));
        assert!(is_group || is_called, "{name}.1 has no example: {examples}");
        expected.insert(format!("{name}.1"));
    }
    let found: BTreeSet<_> =
        fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected);
    assert!(expected.len() > 10, "{expected:?}");
}

/// Its manual page knows no headings: it lists them all.
#[test]
fn the_help_lists_every_command_under_one_heading() {
    let dir = TempDir::new().unwrap();
    let page = dir.path().join("trust.1");
    fs::write(&page, trust(&["man"])).unwrap();
    let text = formatted(&page);
    let pages = text.split_whitespace().filter_map(|word| word.strip_prefix("trust-")?.strip_suffix("(1)"));
    let pages: Vec<_> = pages.map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect();
    let mut listed = subcommands(&trust(&["--help"]));
    listed.sort();
    assert_eq!(listed, pages);
    assert!(listed.len() > 15, "{listed:?}");
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    let mut wide = Vec::new();
    for words in commands() {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        for (before, behind) in [(&["help"][..], &[][..]), (&[], &["--help"]), (&[], &["-h"])] {
            let args = [before, &words, behind].concat();
            let help = trust(&args);
            wide.extend(help.lines().filter(|line| line.chars().count() > 80).map(|line| format!("{args:?}: {line}")));
        }
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn the_page_of_the_program_explains_exit_statuses_and_files() {
    let dir = TempDir::new().unwrap();
    let page = dir.path().join("trust.1");
    fs::write(&page, trust(&["man"])).unwrap();
    let text = formatted(&page);
    let expected =
        ["EXIT STATUS", "not provisioned", "lock not proven", "a guest failed", "FILES", "machine/trust/keys/NAME"];
    for expected in expected {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

/// What clap shows of the commands that it does not parse is what they show themselves.
#[test]
fn target_commands_have_the_same_help_in_both_programs() {
    for command in ["provision", "preinit", "setup", "lock"] {
        let (theirs, ours) = (trust(&[command, "--help"]), trust(&["help", command]));
        assert_eq!(options(&theirs), options(&ours), "{command}");
        assert!(options(&ours).contains("--on-lock-failure"), "{ours}");
    }
}

#[test]
fn every_shell_accepts_its_completions() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = dir.path().join(shell);
        fs::write(&script, trust(&["completions", shell])).unwrap();
        let output = Command::new(shell).arg("-n").arg(&script).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
        assert!(fs::read_to_string(&script).unwrap().contains("sudi"), "{shell}");
    }
}

#[test]
fn bash_completes_commands_options_and_values() {
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("trust");
    fs::write(&script, trust(&["completions", "bash"])).unwrap();
    let complete = |words: &[&str]| {
        let last = words.len() - 1;
        let run = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={last}; _trust trust '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words[last],
            words[last - 1],
        );
        let output = Command::new("bash").args(["--norc", "-c", &run]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    assert!(complete(&["trust", "set"]).contains("setup"));
    assert!(complete(&["trust", "keyset", ""]).is_superset(&["add", "list", "pcr7data"].map(str::to_owned).into()));
    assert_eq!(complete(&["trust", "setup", "--on-lock-failure", ""]), ["exit", "poweroff"].map(str::to_owned).into());
}
