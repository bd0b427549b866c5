//! A machine with a TPM, a keyset, an identity, and the program under test.

use crate::{
    identity::Identity,
    interposer::Interposer,
    keyset::{Boot, Keyset},
    sandbox::{Run, Sandbox},
    swtpm::Swtpm,
};

/// Shell functions for the scripts of a [`Machine`], see [`Machine::boot`].
pub const FUNCTIONS: &str = include_str!("functions.sh");

/// A machine: TPM, an interposer on its wire, a keyset, an identity to provision, and a [`Sandbox`].
#[derive(Debug)]
pub struct Machine {
    /// Its TPM.
    pub tpm: Swtpm,
    /// The wire between program and TPM.
    pub wire: Interposer,
    /// Whose boots the TPM knows.
    pub keyset: Keyset,
    /// What `provision` is given.
    pub identity: Identity,
    /// The rest of the machine.
    pub sandbox: Sandbox,
}

impl Machine {
    /// A new machine with an RSA-2048 identity.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Swtpm::new(), Identity::rsa(2048))
    }

    /// A new machine around a TPM.
    #[must_use]
    pub fn with(tpm: Swtpm, identity: Identity) -> Self {
        let (wire, keyset, mut sandbox) = (Interposer::new(&tpm), Keyset::new("snakeoil"), Sandbox::new());
        sandbox.set("TRUST", crate::trust_initrd()).set("TCTI", wire.tcti()).set("PCR7DATA", keyset.pcr7data());
        sandbox.set("CERT", identity.cert()).set("KEY", identity.key());
        Self { tpm, wire, keyset, identity, sandbox }
    }

    /// A new machine that the program under test has provisioned.
    #[must_use]
    pub fn provisioned() -> Self {
        let machine = Self::new();
        machine.provision();
        machine
    }

    /// A restart, the firmware's measurements, and then a script.
    ///
    /// Its functions: `trust COMMAND [OPTION…]` runs the program under test on this machine with an
    /// empty environment and `--on-lock-failure=exit`; `try NAME COMMAND…` prints `NAME STATUS`;
    /// `secret KEY` prints a key of the user keyring; `published` says whether anything is.
    pub fn boot(&self, boot: Boot, script: &str) -> Run {
        self.tpm.reboot();
        self.tpm.extend_pcr7(&boot.event());
        self.script(script)
    }

    /// A script without a restart: the TPM stays as it is, the keyring does not.
    pub fn script(&self, script: &str) -> Run {
        self.sandbox.run(&format!("{FUNCTIONS}\n{script}"))
    }

    /// Boots the provisioning image and provisions.
    #[track_caller]
    pub fn provision(&self) -> Run {
        let run = self.boot(Boot::Limited, r#"trust provision "$CERT" "$KEY""#);
        run.ok();
        run
    }

    /// Boots the provisioning image and provisions another identity.
    #[track_caller]
    pub fn provision_with(&self, identity: &Identity) -> Run {
        let (cert, key) = (identity.cert(), identity.key());
        let run = self.boot(Boot::Limited, &format!("trust provision '{}' '{}'", cert.display(), key.display()));
        run.ok();
        run
    }

    /// Boots for production and runs `trust COMMAND OPTIONS`. `NAME STATUS` lines: `status`; `published`: `yes` or `no`.
    pub fn attempt(&self, command: &str) -> Run {
        self.boot(Boot::Production, &format!("try status trust {command}\npublished"))
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// The exit status of the program, by [`Machine::attempt`] or `try status …`.
    #[track_caller]
    pub fn status(&self) -> i32 {
        self.ok().value("status").parse().expect("a status is a number")
    }

    /// Asserts that the program ended with this status, published nothing, and
    /// said why in one message of one or two sentences.
    #[track_caller]
    pub fn refused(&self, status: i32) -> &Self {
        assert_eq!(self.status(), status, "{self:#?}");
        assert_eq!(self.value("published"), "no", "{self:#?}");
        let messages: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("trust")).collect();
        assert_eq!(messages.len(), 1, "not one message: {self:#?}");
        assert!(messages[0].contains("cannot ") && messages[0].len() < 600, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}
