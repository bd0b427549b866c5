//! A keyset, and the images and variables of its machines: all of it made by `trust`.

use super::{Architecture, Initrd, Vm, shim_with};
use crate::{
    Home, State, Swtpm,
    assets::{self, Kernel},
    run,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// What the kernel of every guest is told: where its consoles are, that a panic is the end, and not to panic because
/// the timer is late, as it is under emulation on a busy machine; and not to defend itself against a processor that
/// guesses, which an emulated one does not.
pub const CMDLINE: &str = "console=tty0 console=ttyS0 quiet panic=-1 no_timer_check mitigations=off";
/// What the signed command line of an image that opens volumes has beside that: no other system can be resumed, and
/// whatever is appended is passed to Trust.
pub const SIGNED: &str = "noresume rdinit=/usr/bin/trust -- init --end";
/// The keys that sign images.
const SIGNERS: [&str; 3] = ["uki-production", "uki-limited", "uki-tpm"];

/// What verifies the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// The firmware.
    Direct,
    /// shim, which the firmware checks.
    Shim,
}

/// A home directory with keyset `k`, whose policies know both chains, and a place for images.
#[derive(Debug)]
pub struct Deployment {
    home: Home,
    dir: TempDir,
    /// As an argument.
    shim: String,
}

impl Deployment {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("deployment-").expect("a temporary directory");
        let shim = text(&dir.path().join("shimx64.efi"));
        let deployment = Self { home: Home::with_keyset(), dir, shim };
        fs::write(deployment.shim(), shim_with(&deployment.vendor_db())).expect("a writable directory");
        deployment.sign("uefi-db", &deployment.shim());
        deployment.trust(&[&["keyset", "pcr7data", "k"], &deployment.chain(Chain::Shim)[..]].concat());
        deployment
    }

    /// Where its administrator is at home.
    #[must_use]
    pub const fn home(&self) -> &Home {
        &self.home
    }

    /// Runs `trust ARGS`, which must succeed, and returns what it printed.
    #[track_caller]
    pub fn trust(&self, args: &[&str]) -> String {
        self.home.ok(args)
    }

    /// A name for a file.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of the keyset: `uefi-db`, `cert.pem`.
    #[must_use]
    pub fn key(&self, role: &str, item: &str) -> PathBuf {
        self.home.keys().join("k").join(role).join(item)
    }

    /// shim with this keyset's certificates, signed by it.
    #[must_use]
    pub fn shim(&self) -> PathBuf {
        PathBuf::from(&self.shim)
    }

    /// The options that say which chain is meant.
    #[must_use]
    pub fn chain(&self, chain: Chain) -> Vec<&str> {
        match chain {
            Chain::Direct => vec!["--chain", "direct"],
            Chain::Shim => vec!["--chain", "shim", "--shim", &self.shim],
        }
    }

    /// Makes the image of `kind` (`production`, `limited`, `tpm`) of this initrd and its kernel, with the program of the initrd
    /// in it. `options` are further ones of `trust uki build`; `--cmdline` takes the place of [`CMDLINE`]. Returns what that
    /// printed.
    pub fn build(&self, kind: &str, initrd: &Initrd, options: &[&str], output: &Path) -> String {
        let architecture = initrd.architecture();
        let with_trust = format!("--with-trust={}", text(&static_program(architecture)));
        let (kernel, stub) = (initrd.kernel(), architecture.stub());
        let (kernel, stub, initrd, output) = (text(&kernel.image), text(&stub), text(&initrd.pack()), text(output));
        let args = ["uki", "build", "k", "--kind", kind, "--kernel", &kernel, "--stub", &stub];
        let more = ["--initrd", &initrd, "--output", &output, &with_trust];
        let cmdline: &[&str] = if options.contains(&"--cmdline") { &[] } else { &["--cmdline", CMDLINE] };
        self.trust(&[&args[..], &more, cmdline, options].concat())
    }

    /// Makes the production image of an initrd that has all that it needs, for this command line.
    pub fn build_as_it_is(&self, initrd: &Path, cmdline: &str, output: &Path) {
        let (kernel, stub) = (Architecture::X86_64.kernel(), Architecture::X86_64.stub());
        let (kernel, stub, initrd, output) = (text(&kernel.image), text(&stub), text(initrd), text(output));
        let args = ["uki", "build", "k", "--kind", "production", "--kernel", &kernel, "--stub", &stub];
        self.trust(&[&args[..], &["--initrd", &initrd, "--cmdline", cmdline, "--output", &output]].concat());
    }

    /// Signs an image in its place.
    pub fn sign(&self, role: &str, image: &Path) {
        let (key, cert, image) = (self.key(role, "privkey.pem"), self.key(role, "cert.pem"), text(image));
        self.trust(&["sign", "efi", "--key", &text(&key), "--cert", &text(&cert), "--output", &image, &image]);
    }

    /// Signs a kernel as those within production images are, in the place of whoever has signed it: Linux looks at the first
    /// signature alone.
    pub fn sign_kernel(&self, kernel: &Kernel, output: &Path) {
        let role = "uki-production";
        let (key, cert) = (self.key(role, "privkey.pem"), self.key(role, "cert.pem"));
        let signing = ["sign", "efi", "--replace", "--key", &text(&key), "--cert", &text(&cert)].map(str::to_owned);
        let files = ["--output".to_owned(), text(output), text(&kernel.image)];
        self.trust(&signing.iter().chain(&files).map(String::as_str).collect::<Vec<_>>());
    }

    /// A firmware's variables with the keyset's keys for a chain, in a file of this name. `options` are further ones of
    /// `trust enroll vars`.
    #[must_use]
    pub fn variables(&self, chain: Chain, options: &[&str], name: &str) -> PathBuf {
        self.variables_of(Architecture::X86_64, chain, options, name)
    }

    /// The same for another architecture.
    #[must_use]
    pub fn variables_of(&self, architecture: Architecture, chain: Chain, options: &[&str], name: &str) -> PathBuf {
        let store = self.file(name);
        let (input, output) = (text(&architecture.empty_variables()), text(&store));
        let chain = if chain == Chain::Shim { "shim" } else { "direct" };
        let args = ["enroll", "vars", "k", "--vars-in", &input, "--output", &output, "--chain", chain];
        self.trust(&[&args[..], options].concat());
        store
    }

    /// Variables of this name with the same keys, of a firmware that was told not to check.
    #[must_use]
    pub fn without_secure_boot(&self, name: &str) -> PathBuf {
        let off = self.file(name).with_extension("off.fd");
        let mut command = assets::program("virt-fw-vars");
        command.arg("--input").arg(self.file(name)).arg("--output").arg(&off);
        let output = command.args(["--set-false", "SecureBootEnable"]).output().expect("it is among the assets");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        off
    }

    /// Puts an image on the machine's boot disk, behind shim if that is the chain.
    pub fn install(&self, vm: &Vm, chain: Chain, image: &Path) {
        match chain {
            Chain::Direct => vm.set_boot_disk(&[(vm.architecture().default_loader(), image)]),
            Chain::Shim => vm.set_boot_disk(&[("EFI/BOOT/BOOTX64.EFI", &self.shim()), ("EFI/BOOT/grubx64.efi", image)]),
        }
    }

    /// Seals a secret for the running system of the keyset's machines, with a TPM that has this state. Returns the file.
    #[must_use]
    pub fn seal(&self, state: &State, secret: &str) -> String {
        let tpm = Swtpm::new();
        tpm.restore(state);
        tpm.boot();
        let (input, pcr7data) = (self.file("secret"), text(&self.key("pcr7data", "")));
        fs::write(&input, secret).expect("a writable directory");
        self.trust(&["seal", "--system", "--pcr7data", &pcr7data, "--tcti", &tpm.tcti(), &text(&input)])
    }

    /// The certificates that sign images, as signature lists without an owner.
    fn vendor_db(&self) -> Vec<u8> {
        let list = |role: &&str| {
            let list = self.file(&format!("{role}.esl"));
            run("cert-to-efi-sig-list", &[&text(&self.key(role, "cert.pem")), &text(&list)]);
            fs::read(list).expect("it wrote one")
        };
        SIGNERS.iter().map(list).collect::<Vec<_>>().concat()
    }
}

impl Default for Deployment {
    fn default() -> Self {
        Self::new()
    }
}

/// The program of the initrd, which runs in a guest without libraries.
pub(super) fn program() -> PathBuf {
    static_program(Architecture::X86_64)
}

fn static_program(architecture: Architecture) -> PathBuf {
    let path = architecture.trust_initrd();
    let bytes = fs::read(&path).expect("a readable file");
    let loader = b"/ld-linux";
    let dynamic = bytes.windows(loader.len()).any(|window| window == loader);
    assert!(!dynamic, "{} is not static: `cargo xtask dist` builds one that is", path.display());
    path
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary paths are text").to_owned()
}
