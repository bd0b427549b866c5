//! README and docs/, and the commands in them, which tests follow word by word.

use crate::workspace;
use std::{fs, path::PathBuf};

/// A block of code in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// `console`, `sh`, …
    pub language: String,
    /// Its lines.
    pub text: String,
}

/// The blocks of code in a text, those in lists and quotations included.
#[must_use]
pub fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut inside) = (Vec::<Block>::new(), false);
    for line in text.lines() {
        let line = line.strip_prefix("> ").unwrap_or(line);
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside;
            if inside {
                blocks.push(Block { language: language.to_owned(), text: String::new() });
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| inside) {
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    blocks
}

/// The commands of an ordinary user in a text: the lines behind `$ ` in its consoles, with their continuations.
#[must_use]
pub fn commands(text: &str) -> Vec<String> {
    let (mut commands, mut in_console, mut until) = (Vec::<String>::new(), false, None);
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            (in_console, until) = (language == "console", None);
            continue;
        }
        let begins = line.strip_prefix("$ ").filter(|_| in_console && until.is_none());
        let goes_on = in_console && (until.is_some() || commands.last().is_some_and(|last| last.ends_with("\\\n")));
        if let Some(command) = begins {
            commands.push(format!("{command}\n"));
            until = command.contains("<<'END'").then_some("END");
        } else if goes_on {
            if let Some(last) = commands.last_mut() {
                last.push_str(line);
                last.push('\n');
            }
            until = until.filter(|end| line != *end);
        }
    }
    commands
}

/// The consoles in a text: each command, which may go on behind a backslash, and what it prints.
#[must_use]
pub fn console(text: &str) -> Vec<(String, String)> {
    let (mut steps, mut inside): (Vec<(String, String)>, bool) = (Vec::new(), false);
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            inside = language == "console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push((command.to_owned(), String::new()));
        } else if let Some((command, output)) = steps.last_mut().filter(|_| inside) {
            let part = if command.ends_with('\\') && output.is_empty() { command } else { output };
            if part.ends_with('\\') {
                part.push('\n');
                part.push_str(line);
            } else {
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    steps
}

/// What a text says aside: its quotations.
#[must_use]
pub fn aside(text: &str) -> String {
    let lines = text.lines().filter_map(|line| line.strip_prefix('>'));
    lines.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]).collect()
}

/// The part of a text below a heading.
#[must_use]
#[track_caller]
pub fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, below) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    below.split("\n## ").next().unwrap_or_default()
}

/// A file of the sources.
#[must_use]
pub fn read(name: &str) -> String {
    fs::read_to_string(workspace().join(name)).expect("a readable file")
}

/// The source of a test program, of this package or of xtask's; nothing if there is none.
#[must_use]
pub fn test_source(program: &str) -> String {
    let places = ["tests", "xtask/tests"].map(|tests| workspace().join(tests));
    let files = places.iter().flat_map(|tests| {
        let more = fs::read_dir(tests.join(program)).into_iter().flatten();
        let more = more.map(|entry| entry.expect("a readable directory").path());
        [tests.join(format!("{program}.rs"))].into_iter().chain(more).collect::<Vec<PathBuf>>()
    });
    files
        .filter(|path| path.extension().is_some_and(|x| x == "rs"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}
