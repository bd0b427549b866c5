//! A token of software (SoftHSM2), with a directory of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// Keys that are only ever used through PKCS#11. The PIN is [`Token::PIN`].
#[derive(Debug)]
pub struct Token(TempDir);

impl Token {
    /// The user's PIN.
    pub const PIN: &str = "47110815";

    /// A token called `Fleet`, without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::without("")
    }

    /// One that does not know some mechanisms, such as `CKM_SHA256_RSA_PKCS`.
    #[must_use]
    pub fn without(mechanisms: &str) -> Self {
        let token = Self(TempDir::with_prefix("token-").expect("a temporary directory"));
        let objects = token.0.path().join("objects");
        fs::create_dir(&objects).expect("a writable directory");
        let mut config = format!("directories.tokendir = {}\nobjectstore.backend = file\n", objects.display());
        if !mechanisms.is_empty() {
            config += &format!("slots.mechanisms = -{mechanisms}\n");
        }
        fs::write(token.config(), config).expect("a writable directory");
        fs::write(token.pin_file(), format!("{}\n", Self::PIN)).expect("a writable directory");
        token.add_token("Fleet");
        token
    }

    /// Another token that the same module reaches.
    pub fn add_token(&self, label: &str) {
        let pins = ["--so-pin", "12345678", "--pin", Self::PIN];
        self.run("softhsm2-util", &[&["--init-token", "--free", "--label", label][..], &pins].concat());
    }

    /// What programs that use it need in their environment.
    #[must_use]
    pub fn environment(&self) -> (&'static str, PathBuf) {
        ("SOFTHSM2_CONF", self.config())
    }

    /// The PKCS#11 module.
    #[must_use]
    pub fn module() -> &'static str {
        // Debian's place and the one that it shares with others.
        let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so"];
        places.into_iter().find(|place| Path::new(place).exists()).expect("SoftHSM2 (Debian: libsofthsm2)")
    }

    /// A file that holds the PIN.
    #[must_use]
    pub fn pin_file(&self) -> PathBuf {
        self.0.path().join("pin")
    }

    /// Imports a key in PKCS#8, with its public half.
    pub fn import(&self, key: &Path, label: &str, id: &str) {
        self.import_to("Fleet", key, label, id);
    }

    /// Imports it into another token.
    pub fn import_to(&self, token: &str, key: &Path, label: &str, id: &str) {
        let key = key.to_str().expect("UTF-8");
        let place = ["--token", token, "--label", label, "--id", id, "--pin", Self::PIN];
        self.run("softhsm2-util", &[&["--import", key][..], &place].concat());
    }

    /// Runs `pkcs11-tool --login ARGS`, which must succeed, and returns what it printed.
    pub fn tool(&self, args: &[&str]) -> String {
        let login = ["--module", Self::module(), "--token-label", "Fleet", "--login", "--pin", Self::PIN];
        self.run("pkcs11-tool", &[&login[..], args].concat())
    }

    /// The URI of a key.
    #[must_use]
    pub fn uri(&self, object: &str) -> String {
        let (module, pin) = (Self::module(), self.pin_file());
        format!("pkcs11:token=Fleet;object={object}?module-path={module}&pin-source=file:{}", pin.display())
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("softhsm2.conf")
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let (name, value) = self.environment();
        let output = Command::new(program).args(args).env(name, value).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{program} {args:?}: {}\n{said}", output.status);
        said
    }
}

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}
