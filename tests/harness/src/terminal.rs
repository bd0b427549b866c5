//! A user at a terminal, who is prompted and answers.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

/// Runs a line of shell at a terminal of its own, in the environment of `command` (`script`, whose arguments this adds),
/// and types `answer` once `question` stands there and what is typed is no longer shown. Returns all that was shown; the
/// line must succeed.
#[track_caller]
pub fn at_terminal(mut command: Command, line: &str, question: &str, answer: &str) -> String {
    command.args(["--quiet", "--return", "--command", &format!("tty; {line}"), "/dev/null"]);
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut script = spawned.expect("script is installed (Debian: bsdutils)");
    let (mut terminal, mut typist) = (script.stdout.take().expect("a pipe"), script.stdin.take().expect("a pipe"));
    let mut shown = Vec::new();
    while !String::from_utf8_lossy(&shown).contains(question) {
        let mut byte = [0];
        let read = terminal.read(&mut byte).expect("a pipe");
        assert_eq!(read, 1, "no prompt {question:?}: {}", String::from_utf8_lossy(&shown));
        shown.extend(byte);
    }
    // No user types as fast as this: the terminal must be quiet first.
    let name = String::from_utf8_lossy(&shown).lines().next().unwrap_or_default().to_owned();
    while !crate::run("stty", &["-F", &name, "-a"]).contains(" -echo ") {
        std::thread::yield_now();
    }
    typist.write_all(format!("{answer}\r").as_bytes()).expect("a pipe");
    terminal.read_to_end(&mut shown).expect("a pipe");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert!(script.wait().expect("it ends").success(), "{shown}");
    shown
}
