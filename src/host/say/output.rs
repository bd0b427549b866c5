//! Standard output: results, one a line, or JSON for a program that reads them.

use crate::error::{Error, Result};
use serde::Serialize;
use std::{
    env,
    fmt::Display,
    io::{ErrorKind, IsTerminal, Write},
};

/// The meaning of a word, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Good: green.
    Good,
    /// Bad: red.
    Bad,
    /// Perhaps not as it should be: yellow.
    Doubtful,
    /// Good to know: cyan.
    Note,
}

/// Gives words a colour, on terminals, unless `NO_COLOR` (no-color.org) is set.
pub fn coloured(tone: Tone, text: &str) -> String {
    if !std::io::stdout().is_terminal() || env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return text.to_owned();
    }
    let colour = match tone {
        Tone::Good => 32,
        Tone::Bad => 31,
        Tone::Doubtful => 33,
        Tone::Note => 36,
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// One line; a closed pipe is not an error.
///
/// # Errors
/// [`crate::error::Kind::System`], as for all of these.
pub fn line(line: impl Display) -> Result<()> {
    bytes(format!("{line}\n").as_bytes())
}

/// As they are.
///
/// # Errors
/// As [`line()`].
pub fn bytes(bytes: &[u8]) -> Result<()> {
    match std::io::stdout().write_all(bytes) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::system("write to standard output", e).remedy("check where it goes"))
        }
        _ => Ok(()),
    }
}

/// Each on its line.
///
/// # Errors
/// As [`line()`].
pub fn lines(lines: impl IntoIterator<Item = impl Display>) -> Result<()> {
    lines.into_iter().try_for_each(line)
}

/// One JSON value, indented for readability.
///
/// # Errors
/// As [`line()`].
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::system("write JSON", e))?;
    line(text)
}
