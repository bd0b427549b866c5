//! What a run of a program costs, by GNU time.

use crate::sh;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    process::{Command, Stdio},
};

/// The costs of all runs of a program.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// Of the processor, of the program and of the kernel for it, in seconds; that says the same on a busy machine.
    pub processor: Vec<f64>,
    /// Of the clock.
    pub wall: Vec<f64>,
    /// The largest resident set of any of its processes, in bytes.
    pub memory: Vec<f64>,
}

impl Costs {
    /// Runs a command, whose status must be the one that is expected. Its standard input is what the command says.
    pub fn add(&mut self, command: &Command, input: Stdio, status: i32) -> Result<()> {
        let cost = tempfile::NamedTempFile::new()?;
        let mut time = Command::new("/usr/bin/time");
        time.args(["--quiet", "--format=%U %S %e %M", "--output"]).arg(cost.path());
        time.arg(command.get_program()).args(command.get_args());
        if let Some(dir) = command.get_current_dir() {
            time.current_dir(dir);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => time.env(name, value),
                None => time.env_remove(name),
            };
        }
        let output = time.stdin(input).output().context("cannot run /usr/bin/time")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(status), "{} failed ({}):\n{said}", sh::name(command), output.status);
        let text = fs::read_to_string(cost.path())?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [user, system, wall, memory] = numbers[..] else { return None.context("time says something else") };
        self.processor.push(user + system);
        self.wall.push(wall);
        self.memory.push(memory * 1024.0);
        Ok(())
    }

    /// The most memory that a run took, in bytes.
    pub fn peak(&self) -> f64 {
        self.memory.iter().copied().fold(0.0, f64::max)
    }
}
