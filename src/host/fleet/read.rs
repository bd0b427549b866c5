//! States of machines, one after the other: files of a directory, or the lines of a file or a pipe. What cannot be read is a state
//! with a reason in its place, and ends nothing.

use crate::{
    error::Result,
    foreign::printable,
    host::{fs::atomic, state::record::MAX_STATE},
};
use rustix::fs::OFlags;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read, Stdin},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Files whose every line is a state, whatever the first one looks like.
const LINES: [&str; 2] = ["jsonl", "ndjson"];

/// A state that has not been looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawState {
    /// Its file, and the line where that holds several: printable.
    pub source: String,
    /// The JSON text; or why it cannot be read, as a clause.
    pub json: std::result::Result<Vec<u8>, String>,
}

/// Reads them in the order of their names and lines.
pub struct FleetReader {
    /// Files that are still to be opened.
    files: VecDeque<PathBuf>,
    open: Option<StateLines>,
}

/// The lines of one file.
struct StateLines {
    name: String,
    input: Box<dyn BufRead + Send>,
    line: u64,
    /// Whether it may be one state on several lines.
    may_be_one: bool,
}

impl FleetReader {
    /// Of a directory, a file, or standard input (`-`).
    ///
    /// # Errors
    /// Those of a directory that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            let input = Box::new(BufReader::<Stdin>::new(io::stdin()));
            let lines = StateLines { name: "standard input".into(), input, line: 0, may_be_one: true };
            return Ok(Self { files: VecDeque::new(), open: Some(lines) });
        }
        if !path.is_dir() {
            // It is opened when it is its turn, and then it may be missing.
            fs::metadata(path).map_err(|e| atomic::cannot("read", path, &e))?;
            return Ok(Self { files: [path.to_owned()].into(), open: None });
        }
        let names = atomic::list(path)?.into_iter().filter(|name| !name.starts_with('.'));
        let mut files: Vec<PathBuf> = names.map(|name| path.join(name)).collect();
        files.sort_unstable();
        Ok(Self { files: files.into(), open: None })
    }
}

impl Iterator for FleetReader {
    type Item = RawState;

    fn next(&mut self) -> Option<RawState> {
        loop {
            if let Some(lines) = &mut self.open {
                if let Some(state) = lines.next_state() {
                    return Some(state);
                }
                self.open = None;
            }
            let path = self.files.pop_front()?;
            let name = printable(&path.file_name().unwrap_or_default().to_string_lossy());
            match open(&path) {
                Ok(file) => {
                    let may_be_one = !path.extension().is_some_and(|end| LINES.iter().any(|known| end == *known));
                    let input = Box::new(BufReader::with_capacity(64 * 1024, file));
                    self.open = Some(StateLines { name, input, line: 0, may_be_one });
                }
                Err(why) => return Some(RawState { source: name, json: Err(why.to_string()) }),
            }
        }
    }
}

/// A regular file: a pipe that nobody writes into would be waited for.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

impl StateLines {
    fn next_state(&mut self) -> Option<RawState> {
        loop {
            self.line += 1;
            let mut text = Vec::new();
            let mut read = self.take_line(&mut text);
            // As `--json` prints it.
            let is_one = self.line == 1 && self.may_be_one && text.trim_ascii() == b"{";
            if is_one && read == Ok(true) {
                let more = (&mut self.input).take(MAX_STATE + 1).read_to_end(&mut text).map(|_| ());
                read = more.map_err(|why| why.to_string()).and_then(|()| fits(&text)).map(|()| true);
                self.input = Box::new(io::empty());
            }
            let source = if self.line == 1 { self.name.clone() } else { format!("{}:{}", self.name, self.line) };
            match read {
                Ok(false) => return None,
                Ok(true) if text.trim_ascii().is_empty() => {}
                Ok(true) => return Some(RawState { source, json: Ok(text) }),
                Err(why) => return Some(RawState { source, json: Err(why) }),
            }
        }
    }

    /// Reads a line; whether there was one. Of one that is too long the rest is passed over.
    fn take_line(&mut self, text: &mut Vec<u8>) -> std::result::Result<bool, String> {
        let count = (&mut self.input).take(MAX_STATE + 1).read_until(b'\n', text);
        let count = count.map_err(|why| {
            // Nothing more comes from there.
            self.input = Box::new(io::empty());
            why.to_string()
        })?;
        if fits(text).is_err() && !text.ends_with(b"\n") {
            self.input.skip_until(b'\n').map_err(|why| why.to_string())?;
        }
        fits(text).map(|()| count > 0)
    }
}

fn fits(text: &[u8]) -> std::result::Result<(), String> {
    let most = MAX_STATE / 1024 / 1024;
    if text.len() as u64 <= MAX_STATE { Ok(()) } else { Err(format!("it is larger than {most} MiB")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], may_be_one: bool) -> Vec<(String, std::result::Result<Vec<u8>, String>)> {
        let input = Box::new(io::Cursor::new(text.to_vec()));
        let open = Some(StateLines { name: "f".into(), input, line: 0, may_be_one });
        FleetReader { files: VecDeque::new(), open }.map(|state| (state.source, state.json)).collect()
    }

    #[test]
    fn lines_and_whole_files_are_told_apart() {
        let ok = |source: &str, text: &str| (source.to_owned(), Ok(text.as_bytes().to_vec()));
        assert_eq!(lines(b"{}\n\n{\"a\":1}", true), [ok("f", "{}\n"), ok("f:3", "{\"a\":1}")]);
        assert_eq!(lines(b"{\n \"a\": 1\n}\n", true), [ok("f", "{\n \"a\": 1\n}\n")]);
        assert_eq!(lines(b"{\n{}\n", false), [ok("f", "{\n"), ok("f:2", "{}\n")]);
        assert_eq!(lines(b"", true), []);
    }

    #[test]
    fn a_line_without_an_end_is_refused_and_the_next_one_read() {
        let size = usize::try_from(MAX_STATE).unwrap();
        let exact = [vec![b' '; size - 3], b"{}\n".to_vec()].concat();
        let long = [vec![b'x'; size + 9], b"\n{}\n".to_vec()].concat();
        let read = lines(&[exact, long].concat(), true);
        assert_eq!(
            read.iter().map(|(source, json)| (source.as_str(), json.is_ok())).collect::<Vec<_>>(),
            [("f", true), ("f:2", false), ("f:3", true)]
        );
        assert_eq!(read[1].1, Err("it is larger than 4 MiB".into()));
        let whole = [b"{\n".to_vec(), vec![b' '; size]].concat();
        assert_eq!(lines(&whole, true), [("f".to_owned(), Err("it is larger than 4 MiB".to_owned()))]);
    }
}
