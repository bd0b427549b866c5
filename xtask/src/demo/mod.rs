//! `cargo xtask demo`: a machine's life, for real, on a software TPM.
//!
//! Every boot is a set of namespaces with its own mounts, processes and
//! keyring; the machine that this runs on is left alone.

use crate::{dist, packages, sh};
use anyhow::{Context, Result, bail, ensure};
use harness::{Boot, Sandbox, Swtpm};
use std::{
    fs,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::Command,
};

/// What every boot starts with.
const PRELUDE: &str = include_str!("boot.sh");
/// For readers to whom all of this is new.
const INTRODUCTION: &str = "\
This shows how a machine starts unattended, and still keeps its disk's passphrase from others.

  TPM    a chip that keeps secrets and releases them on conditions; here swtpm, a program that behaves like one
  PCR 7  a register of the TPM in which the firmware records, at each start, which keys it trusts (Secure Boot) and
         who has signed the programs that it starts: the owner's images have one value, others have another
  boot   here, a process in namespaces of its own, in which it is root: this machine's own TPM, keyring and mounts
         are not touched

Lines behind a $ are commands as the owner or the machine would give them.
";
/// Name of the keyset.
const KEYSET: &str = "demo";
/// Serial number of the machine.
const SERIAL: &str = "SN0001";

/// Shows the main job. Fails when any of its steps does not end as it should.
pub fn demo() -> Result<()> {
    packages::ensure(&[packages::BUILD, packages::RUN])?;
    packages::ensure_namespaces()?;
    println!("{INTRODUCTION}");
    println!("Building the two programs, which takes two or three minutes the first time.");
    let dist = dist::dist(&dist::Options::default())?;
    let dir = tempfile::Builder::new().prefix("trust-demo-").tempdir()?;
    let mut narrator = Narrator { step: 0, bold: std::io::stdout().is_terminal() };

    let owner = Owner { home: dir.path(), program: &dist.host };
    let identity = owner.prepare(&mut narrator)?;
    let machine = Machine::new(&dist.initrd, &owner.keyset().join("pcr7data"), &identity);
    machine.live(&mut narrator)?;

    println!(
        "\nDone: the passphrase and the identity went from the TPM to where they are used, once a boot, and only in"
    );
    println!("boots that the owner has signed for. All of it was temporary: nothing is left but the two programs in");
    println!("target/dist. Your own image: README.md, or docs/images.md for each step.");
    Ok(())
}

/// Prints what happens.
struct Narrator {
    step: u32,
    bold: bool,
}

impl Narrator {
    /// The next step begins.
    fn step(&mut self, title: &str) {
        self.step += 1;
        let (on, off) = if self.bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        println!("\n{on}{:2} {title}{off}", self.step);
    }

    /// What came of it.
    #[allow(clippy::unused_self, reason = "results belong to a step")]
    fn result(&self, line: &str) {
        println!("   => {line}");
    }
}

/// The owner's side: the administrator's machine.
struct Owner<'a> {
    home: &'a Path,
    program: &'a Path,
}

impl Owner<'_> {
    fn keyset(&self) -> PathBuf {
        self.home.join("machine/trust/keys").join(KEYSET)
    }

    /// Makes keyset, identity and policies; returns where the machine's certificate and key are.
    fn prepare(&self, narrator: &mut Narrator) -> Result<PathBuf> {
        narrator.step("The owner makes a keyset: authorities, Secure Boot keys, keys that sign images and policies.");
        self.trust(&["keyset", "add", KEYSET, "--org", "Demo Ltd"])?;
        let names = names(&self.keyset())?;
        ensure!(names.iter().any(|name| name == "tpmpol-luks"), "the keyset has no key that signs policies");
        narrator.result(&names.join(" "));

        narrator.step("The owner gives a machine its identity (SUDI, secure unique device identifier): a certificate and its key.");
        self.trust(&["sudi", "add", KEYSET, "default", SERIAL])?;
        let identity = self.keyset().join("manifest/default/sudi").join(SERIAL);
        let openssl = sh::output(
            Command::new("openssl").args(["x509", "-noout", "-subject", "-in"]).arg(identity.join("cert.pem")),
        )?;
        narrator.result(String::from_utf8(openssl)?.trim());

        narrator.step("The owner signs what may be read after which boot. PCR 7, Secure Boot's state and keys, tells boots apart.");
        for (name, boot) in [("tpm", Boot::Tpm), ("prod", Boot::Production), ("limited", Boot::Limited)] {
            fs::write(self.home.join(format!("{name}.bin")), boot.pcr7())?;
        }
        let files = ["--pcr7-tpm", "tpm.bin", "--pcr7-production", "prod.bin", "--pcr7-limited", "limited.bin"];
        self.trust(&[["keyset", "pcr7data", KEYSET].as_slice(), &files].concat())?;
        narrator.result(&format!(
            "pcr7data/ for the initrd; production is PCR 7 = {}",
            harness::hex(&Boot::Production.pcr7())
        ));
        Ok(identity)
    }

    fn trust(&self, args: &[&str]) -> Result<()> {
        println!("   $ trust {}", args.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
        let mut command = Command::new(self.program);
        sh::run_quietly(command.args(args).current_dir(self.home).env("XDG_DATA_HOME", self.home))
    }
}

/// The owner's machine, with its TPM.
struct Machine {
    tpm: Swtpm,
    sandbox: Sandbox,
}

impl Machine {
    fn new(program: &Path, pcr7data: &Path, identity: &Path) -> Self {
        let (tpm, mut sandbox) = (Swtpm::new(), Sandbox::new());
        sandbox.set("TRUST", program).set("TPM", tpm.socket()).set("PCR7DATA", pcr7data);
        sandbox.set("CERT", identity.join("cert.pem")).set("KEY", identity.join("privkey.pem"));
        Self { tpm, sandbox }
    }

    /// Its life, from provisioning to a boot of something else.
    fn live(&self, narrator: &mut Narrator) -> Result<()> {
        narrator.step("The machine is provisioned, from an image that may read nothing.");
        self.boot(Boot::Limited, include_str!("provision.sh"))?;
        let indices = self.tpm.tools().ok("getcap", &["handles-nv-index"]).replace("- ", "").replace('\n', " ");
        narrator.result(&format!(
            "the TPM has an owner; what it keeps is in NV indices, named areas of its memory: {indices}"
        ));

        narrator.step("The installer boots: a new passphrase, and a disk that it opens.");
        self.boot(Boot::Production, include_str!("install.sh"))?;

        narrator.step("The machine boots. `setup` reads the secrets from the TPM, locks it, and hands them over.");
        self.boot(Boot::Production, include_str!("start.sh"))?;

        narrator.step("Something else boots: signed by the owner, but not for production.");
        self.boot(Boot::Limited, include_str!("refused.sh"))
    }

    /// A restart, what the firmware measures of an image, and what happens then.
    fn boot(&self, image: Boot, script: &str) -> Result<()> {
        self.tpm.reboot();
        self.tpm.extend_pcr7(&image.event());
        println!("   (TPM restarted; PCR 7 extended as by the firmware for a {} image)", image.name());
        let run = self.sandbox.run(&format!("{PRELUDE}\n{script}"));
        print!("{}", run.stdout);
        if !run.announced {
            bail!("this boot did not go as it should ({:?}): {}", run.end, run.stderr.trim_end());
        }
        Ok(())
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The names in a directory.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut names: Vec<String> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}
