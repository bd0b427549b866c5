//! Passphrases and PINs, typed by the user or read from a file. All copies are wiped.

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use std::{io::ErrorKind, path::Path};
use zeroize::Zeroizing;

/// The first line of a file; `what` is its expected content.
///
/// # Errors
/// Those of reading; [`Kind::Usage`]: it is not text.
pub fn first_line(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    let getting = format!("get {what}");
    let bytes = Zeroizing::new(atomic::read(path).map_err(|e| e.within(getting.clone()))?);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match str::from_utf8(line) {
        Ok(line) => Ok(Zeroizing::new(line.to_owned())),
        Err(_) => Err(Error::new(Kind::Usage, getting, format!("{} is not text", path.display()))
            .remedy(format!("write {what} into its first line"))),
    }
}

/// Prompts with `question` at the terminal, without echo, and returns the input.
///
/// # Errors
/// [`Kind::Usage`], without a remedy: there is no terminal, or no answer.
pub fn terminal(question: &str, what: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(|e| {
        let why = match e.kind() {
            ErrorKind::Interrupted | ErrorKind::UnexpectedEof => "it was not given".to_owned(),
            _ => format!("there is no terminal ({e})"),
        };
        Error::new(Kind::Usage, format!("ask for {what}"), why)
    })
}
