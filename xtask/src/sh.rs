//! Running other programs.

use anyhow::{Context, Result, bail};
use std::{
    env,
    ffi::OsStr,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// The workspace's directory.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// cargo, in the workspace: the one that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace()).stdin(Stdio::null());
    command
}

/// A program that has no network.
pub fn without_network(program: impl AsRef<OsStr>) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "--"]).arg(program).stdin(Stdio::null());
    unshare
}

/// Where a program is: in PATH or where administrators have theirs, which Debian's PATH leaves out for others.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Runs a command to its successful end.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Runs a command to its successful end; shows what it had to say only when it fails.
pub fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", name(command)))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{} failed ({}):\n{}", name(command), output.status, String::from_utf8_lossy(&said).trim_end());
    }
    Ok(())
}

/// What a command writes to standard output on its way to a successful end.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", name(command)))?;
    if !output.status.success() {
        bail!("{} failed ({})", name(command), output.status);
    }
    Ok(output.stdout)
}

/// Like [`output`], with bytes for standard input.
pub fn filter(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", name(command)))?;
    let mut stdin = child.stdin.take().context("a pipe was asked for")?;
    let mut stdout = child.stdout.take().context("a pipe was asked for")?;
    let mut bytes = Vec::new();
    thread::scope(|scope| {
        // A program that ends early, and says why by its status, does not read all.
        scope.spawn(move || stdin.write_all(input));
        stdout.read_to_end(&mut bytes)
    })?;
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(bytes)
}

/// The command as a user would type it.
pub fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
