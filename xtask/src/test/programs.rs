//! The test programs: cargo builds them, and two of them run at a time.
//!
//! Most tests wait, for a TPM or for a machine that starts, and the last test of a program runs alone: one
//! program after the other would leave a good part of two cores idle.

use super::{
    Options,
    arm64::{self, Arm64},
    tally::Tally,
};
use crate::{
    cpu::{self, Load},
    dist::Dist,
    sh,
};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::{
    collections::VecDeque,
    fs::{self, File},
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::Mutex,
    thread,
    time::Instant,
};

/// Prefix of the programs that boot virtual machines.
const MACHINES: &str = "vm_";

/// Those that take minutes: begun first, they leave no core idle at the end.
const LONGEST: [&str; 4] = ["vm_dracut", "vm_refusals", "vm_mkosi", "vm_docs"];

/// A line of `cargo test --message-format=json`.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    /// Not so for programs that are built because tests run them.
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// A program whose tests are to be run.
struct Program {
    name: String,
    file: PathBuf,
    /// Where cargo runs it.
    directory: PathBuf,
    /// What is left of the filter for it.
    filter: Vec<String>,
}

impl Program {
    fn of(message: Message) -> Option<Self> {
        message.profile.filter(|profile| profile.test)?;
        let (target, file, manifest) = (message.target?, message.executable?, message.manifest_path?);
        let is_test = target.kind.iter().any(|kind| kind == "test");
        let name = if is_test { target.name } else { format!("{} ({})", target.name, target.kind.join(", ")) };
        Some(Self { name, file, directory: manifest.parent()?.to_owned(), filter: Vec::new() })
    }

    fn boots_machines(&self) -> bool {
        self.name.starts_with(MACHINES)
    }

    /// Whether the filter leaves it any test.
    fn has_tests(&self) -> Result<bool> {
        let list = sh::output(Command::new(&self.file).arg("--list").args(&self.filter))?;
        Ok(String::from_utf8_lossy(&list).lines().any(|line| line.ends_with(": test")))
    }

    /// Its place in the queue.
    fn place(&self) -> usize {
        let long = LONGEST.iter().position(|name| *name == self.name);
        long.unwrap_or(LONGEST.len() + usize::from(!self.boots_machines()))
    }

    /// Runs it to its end.
    fn run(&self, dist: &Dist, arm64: Option<&Arm64>) -> Result<Outcome> {
        // Whatever it leaves behind is gone with this: a test program drops nothing that its tests share.
        let temporary = tempfile::TempDir::with_prefix("trust-test-")?;
        let log = tempfile::NamedTempFile::new()?;
        let output = || -> Result<Stdio> { Ok(File::options().append(true).open(log.path())?.into()) };
        // Tests send signals that a shell has ignored by whatever it starts in the background.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP,INT,QUIT")
            .arg(&self.file)
            .args(&self.filter)
            .current_dir(&self.directory)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?);
        command.env("CARGO_MANIFEST_DIR", &self.directory);
        command.env("TRUST_INITRD", &dist.initrd).env("TRUST_HOST", &dist.host);
        if let Some(arm64) = arm64 {
            arm64.tell(&mut command);
        }
        let mut child = command.spawn().with_context(|| format!("cannot run {}", self.file.display()))?;
        let (status, cpu) = cpu::wait(&mut child)?;
        Ok(Outcome { status, cpu, said: String::from_utf8_lossy(&fs::read(log.path())?).into_owned() })
    }
}

/// How a program has ended.
struct Outcome {
    status: ExitStatus,
    /// For how many seconds a processor was busy.
    cpu: u64,
    said: String,
}

/// Builds all of them, and runs those that are asked for; every test of them counts.
pub fn run(tally: &mut Tally, dist: &Dist, options: &Options) -> Result<()> {
    println!("\n== the tests");
    let mut programs = choose(build()?, options);
    ensure!(!programs.is_empty(), "there is no such test");
    let mut arm64 = None;
    if programs.iter().any(|program| program.name == arm64::PROGRAM && program.has_tests().unwrap_or(true)) {
        arm64 = tally.check("the programs for arm64 are built and as they should be", arm64::build);
        // Its failure is counted.
        programs.retain(|program| arm64.is_some() || program.name != arm64::PROGRAM);
    }
    let arm64 = arm64.as_ref();
    let (start, before) = (Instant::now(), Load::now()?);
    let (queue, tally) = (&Mutex::new(VecDeque::from(programs)), &Mutex::new(tally));
    thread::scope(|scope| {
        // Those that boot machines, and beside them those that do not.
        for next in [VecDeque::pop_front, from_the_end] {
            scope.spawn(move || {
                loop {
                    let program = next(&mut lock(queue));
                    let Some(program) = program else { break };
                    let start = Instant::now();
                    let outcome = program.run(dist, arm64);
                    report(&mut lock(tally), &program.name, outcome, start);
                }
            });
        }
    });
    let busy = Load::now()?.busy_since(&before);
    println!("all test programs: {} s, in which the processors were busy to {busy} %", start.elapsed().as_secs());
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A program that boots no machines; when these are done, the longest of the others, so that no core is idle at the end.
fn from_the_end(queue: &mut VecDeque<Program>) -> Option<Program> {
    match queue.back() {
        Some(last) if last.boots_machines() => queue.pop_front(),
        _ => queue.pop_back(),
    }
}

/// One line for a program whose tests have passed; all that it said where one has not.
fn report(tally: &mut Tally, name: &str, outcome: Result<Outcome>, start: Instant) {
    let seconds = start.elapsed().as_secs();
    match outcome {
        Ok(Outcome { status, cpu, said }) => {
            let counted = tally.count(name, &said);
            if !status.success() {
                println!("\n{name}:\n{said}");
            }
            // One that dies counts nothing.
            if !counted || (!status.success() && !said.contains("test result: FAILED")) {
                tally.fail(format!("{name} ({status})"));
            }
            let result = said.lines().rev().find_map(|line| line.strip_prefix("test result: ")).unwrap_or("no result");
            let result = result.split("; 0 measured").next().unwrap_or(result);
            println!("{name}: {result} ({seconds} s, a processor for {cpu} s)");
        }
        Err(e) => tally.fail(format!("{name}: {e:#}")),
    }
}

/// All test programs of the workspace.
fn build() -> Result<Vec<Program>> {
    let mut cargo = sh::cargo();
    cargo.args(["test", "--locked", "--workspace", "--features", "trust/host", "--no-run", "--quiet"]);
    let messages = sh::output(cargo.arg("--message-format=json-render-diagnostics"))?;
    let messages = messages.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages = messages.map(|line| Ok(serde_json::from_slice::<Message>(line)?)).collect::<Result<Vec<_>>>()?;
    Ok(messages.into_iter().filter_map(Program::of).collect())
}

/// Those that are asked for, the ones that boot machines first, the longest before the others. A filter that names
/// programs runs these as a whole, any other one tests of all programs.
fn choose(programs: Vec<Program>, options: &Options) -> Vec<Program> {
    let names = |program: &Program, part: &String| program.name.contains(part.as_str());
    let (whole, parts): (Vec<_>, Vec<_>) =
        options.filter.iter().cloned().partition(|part| programs.iter().any(|program| names(program, part)));
    let mut chosen = Vec::new();
    for mut program in programs {
        if options.fast && program.boots_machines() {
            continue;
        }
        if !whole.iter().any(|part| names(&program, part)) {
            if parts.is_empty() && !options.filter.is_empty() {
                continue;
            }
            program.filter.clone_from(&parts);
        }
        chosen.push(program);
    }
    chosen.sort_by_key(Program::place);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(fast: bool, filter: &[&str]) -> String {
        let program = |name: &str| {
            let directory = PathBuf::from("/");
            Program { name: name.into(), file: PathBuf::new(), directory, filter: Vec::new() }
        };
        let programs = ["boot_usage", "vm_disk", "vm_lifecycle", "vm_dracut"].map(program).into();
        let options = Options { fast, filter: filter.iter().map(ToString::to_string).collect() };
        let chosen = choose(programs, &options);
        let text = chosen.iter().map(|program| [&[program.name.clone()][..], &program.filter].concat().join(" "));
        text.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn programs_are_chosen_as_a_whole_or_by_their_tests() {
        assert_eq!(chosen(false, &[]), "vm_dracut, vm_disk, vm_lifecycle, boot_usage");
        assert_eq!(chosen(true, &[]), "boot_usage");
        assert_eq!(chosen(false, &["vm_"]), "vm_dracut, vm_disk, vm_lifecycle");
        assert_eq!(chosen(false, &["opens"]), "vm_dracut opens, vm_disk opens, vm_lifecycle opens, boot_usage opens");
        assert_eq!(chosen(false, &["life", "opens"]), "vm_dracut opens, vm_disk opens, vm_lifecycle, boot_usage opens");
    }
}
