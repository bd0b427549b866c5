//! A sandbox that stays on, for tests that run thousands of programs in it.

use crate::sandbox::Sandbox;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// A job that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(180);

/// Reads jobs, each ended by a NUL, and prints the output of each, its exit status, and NUL.
const LOOP: &str = r#"
set +e
while IFS= read -r -d '' job; do
    ( set -eu; eval "$job" ) </dev/null 2>&1
    printf 'job %s\n\0' $?
done
"#;

/// A [`Sandbox`] that has been booted, and runs one script after the other: a boot costs more than what most of them do.
///
/// The scripts have a shell of their own, and everything else in common: what one of them leaves in the keyring, in
/// files or mounts, the next one finds.
#[derive(Debug)]
pub struct Shell {
    child: Child,
    jobs: Option<ChildStdin>,
    answers: Receiver<String>,
    _cell: Sandbox,
}

impl Shell {
    /// Boots it. The functions are there for all scripts.
    #[must_use]
    pub fn boot(sandbox: Sandbox, functions: &str) -> Self {
        let mut child = sandbox.boot(&format!("{functions}\n{LOOP}"), Stdio::piped());
        let (jobs, stdout) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let (said, answers) = channel();
        thread::spawn(move || {
            for answer in BufReader::new(stdout).split(0) {
                let Ok(answer) = answer else { return };
                let _ = said.send(String::from_utf8_lossy(&answer).into_owned());
            }
        });
        Self { child, jobs, answers, _cell: sandbox }
    }

    /// Runs a script, and returns what it said, to standard output and standard error. `job STATUS` is the last line.
    ///
    /// # Panics
    /// When it does not end.
    #[track_caller]
    pub fn run(&mut self, script: &str) -> String {
        let jobs = self.jobs.as_mut().expect("it is on");
        jobs.write_all(&[script.as_bytes(), &[0]].concat()).expect("the machine is on");
        self.answers.recv_timeout(TIMEOUT).expect("the script ends")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.child.wait();
    }
}
