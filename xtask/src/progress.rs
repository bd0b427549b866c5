//! The progress of cargo: which programs it builds, how many crates are compiled, and for how long already.

use crate::sh;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, IsTerminal, Write},
    process::{Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often it is shown: on a terminal one line changes, elsewhere lines follow each other.
const ON_A_TERMINAL: Duration = Duration::from_secs(1);
const ELSEWHERE: Duration = Duration::from_secs(20);

/// What is being built.
#[derive(Default)]
pub struct Progress(Mutex<BTreeMap<&'static str, Crates>>);

/// How many were compiled, and the last of them.
#[derive(Clone, Default)]
struct Crates {
    count: usize,
    last: String,
}

/// A line of `cargo build --message-format=json`.
#[derive(Deserialize)]
struct Message {
    fresh: Option<bool>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Progress {
    /// Runs cargo, which builds this program, to its successful end.
    pub fn build(&self, program: &'static str, cargo: &mut Command) -> Result<()> {
        cargo.arg("--message-format=json-render-diagnostics").stdout(Stdio::piped());
        let mut child = cargo.spawn().with_context(|| format!("cannot run {}", sh::name(cargo)))?;
        self.set(program, Crates::default());
        let mut crates = Crates::default();
        for line in BufReader::new(child.stdout.take().context("a pipe was asked for")?).lines() {
            let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
            if let (Some(false), Some(target)) = (message.fresh, message.target) {
                crates = Crates { count: crates.count + 1, last: target.name };
                self.set(program, crates.clone());
            }
        }
        let status = child.wait()?;
        self.lock().remove(program);
        if !status.success() {
            bail!("{} failed ({status})", sh::name(cargo));
        }
        Ok(())
    }

    /// Shows it until `end` is dropped.
    pub fn show(&self, end: &Receiver<()>) {
        let (start, terminal) = (Instant::now(), std::io::stderr().is_terminal());
        let mut shown = false;
        while end.recv_timeout(if terminal { ON_A_TERMINAL } else { ELSEWHERE }) == Err(RecvTimeoutError::Timeout) {
            let line = format!("{:>4} s  {}", start.elapsed().as_secs(), self.line());
            // Behind the line its rest is erased.
            let (before, after) = if terminal { ("\r", "\x1b[K") } else { ("", "\n") };
            let _ = write!(std::io::stderr(), "{before}{line}{after}");
            shown = true;
        }
        if shown && terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self) -> String {
        let programs = self.lock();
        let words = programs.iter().map(|(program, Crates { count, last })| match count {
            0 => format!("{program}: begun"),
            1 => format!("{program}: {last} is compiled"),
            _ => format!("{program}: {count} crates, {last} the last"),
        });
        words.collect::<Vec<_>>().join("; ")
    }

    fn set(&self, program: &'static str, crates: Crates) {
        self.lock().insert(program, crates);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Crates>> {
        self.0.lock().expect("no panic holds it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_cargo_are_counted() {
        let progress = Progress::default();
        // What was there already does not count; the end of the pipe is the end of the program.
        let script = r#"echo '{"reason":"compiler-artifact","target":{"name":"old"},"fresh":true}'
            echo '{"reason":"compiler-artifact","target":{"name":"serde"},"fresh":false}'
            echo '{"reason":"build-script-executed"}'
            echo '{"reason":"compiler-artifact","target":{"name":"trust"},"fresh":false}'
            [ "$1" = --message-format=json-render-diagnostics ]"#;
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]);
            command
        };
        progress.build("trust", &mut shell(script)).unwrap();
        assert_eq!(progress.line(), "");
        progress.set("trust", Crates { count: 2, last: "serde".into() });
        progress.set("trust-initrd", Crates::default());
        assert_eq!(progress.line(), "trust: 2 crates, serde the last; trust-initrd: begun");
        assert!(progress.build("trust", &mut shell("exit 3")).unwrap_err().to_string().contains("failed"));
    }
}
