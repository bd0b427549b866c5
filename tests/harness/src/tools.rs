//! tpm2-tools: the usual tools for a TPM.

use crate::{
    interposer::{Interposer, Transport},
    transport::Upstream,
};
use std::{
    fmt,
    path::Path,
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// tpm2-tools that talk to one TPM, in a scratch directory of their own.
///
/// They come in over the simulator's protocol: tpm2-tss before 4.1 cannot reach
/// a plain unix socket, and its swtpm TCTI wants a control channel besides.
pub struct Tools {
    relay: Interposer,
    dir: TempDir,
}

impl Tools {
    pub(crate) fn new(upstream: Upstream) -> Self {
        let dir = TempDir::with_prefix("tpm2-tools-").expect("a temporary directory");
        Self { relay: Interposer::serve(upstream, Transport::Mssim), dir }
    }

    /// Where they run: relative file names are relative to it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// For a script that calls them itself: the value of `TPM2TOOLS_TCTI`.
    #[must_use]
    pub fn tcti(&self) -> String {
        self.relay.tcti()
    }

    /// The wire between them and the TPM.
    #[must_use]
    pub fn wire(&self) -> &Interposer {
        &self.relay
    }

    /// Runs `tpm2_NAME ARGS` and returns what it printed.
    pub fn ok(&self, name: &str, args: &[&str]) -> String {
        let output = self.output(name, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tpm2_{name} {args:?}: {}\n{stderr}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `tpm2_NAME ARGS`, which must fail, and returns what it complained of.
    pub fn fails(&self, name: &str, args: &[&str]) -> String {
        let output = self.output(name, args);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "tpm2_{name} {args:?} should have failed:\n{stdout}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Runs `tpm2_NAME ARGS`.
    pub fn output(&self, name: &str, args: &[&str]) -> Output {
        let mut command = Command::new(format!("tpm2_{name}"));
        command.args(args).current_dir(self.dir()).stdin(Stdio::null());
        command.env("TPM2TOOLS_TCTI", self.tcti()).env_remove("TSS2_LOG");
        command.output().unwrap_or_else(|e| panic!("cannot run tpm2_{name} (Debian: tpm2-tools): {e}"))
    }

    /// Flushes whatever is loaded or open: there is no resource manager.
    pub fn flush(&self) {
        for what in ["-t", "-l", "-s"] {
            self.ok("flushcontext", &[what]);
        }
    }

    /// A property of the TPM (`properties-variable` or `properties-fixed`), as a number.
    #[must_use]
    pub fn property(&self, group: &str, name: &str) -> u32 {
        let text = self.ok("getcap", &[group]);
        // `NAME: value`, or `NAME:` and `raw: value` on the next line.
        let mut words = text.split_whitespace().skip_while(|word| *word != format!("{name}:")).skip(1);
        let value = words.find(|word| *word != "raw:").unwrap_or_else(|| panic!("{group} has no {name}:\n{text}"));
        let parsed = match value.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => value.parse(),
        };
        parsed.unwrap_or_else(|e| panic!("{name} is {value:?}: {e}"))
    }
}

impl fmt::Debug for Tools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tpm2-tools by {}", self.tcti())
    }
}

/// Runs a program that must succeed, and returns what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
