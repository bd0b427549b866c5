//! Certificates and private keys, in all their common forms.

use crate::{
    keyset::{text, unhex},
    tools::run,
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Runs `openssl ARGS`, which must succeed.
pub fn openssl(args: &[&str]) -> String {
    run("openssl", args)
}

/// PEM with all that is usual elsewhere at once: a byte order mark, text in Latin 1 around the blocks, lines of 76
/// characters with blanks behind them, empty lines, CR LF.
#[must_use]
pub fn as_others_write(pem: &str) -> Vec<u8> {
    let mut file = b"\xef\xbb\xbffriendlyName: Schl\xfcssel\r\n".to_vec();
    for block in pem.split_inclusive("-----END ") {
        // What ends the last block stands before what begins this one.
        let (before, rest) = block.split_once("-----BEGIN ").unwrap_or(("", block));
        file.extend(before.bytes());
        let Some((label, body)) = rest.split_once("-----\n").filter(|_| rest.ends_with("-----END ")) else {
            file.extend(rest.bytes());
            continue;
        };
        file.extend(format!("-----BEGIN {label}-----\r\n").bytes());
        let base64: Vec<u8> =
            body.bytes().filter(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(byte)).collect();
        let base64 = base64.strip_suffix(b"END").unwrap_or(&base64);
        for line in base64.chunks(76) {
            file.extend(line.iter().chain(b" \t\r\n\r\n"));
        }
        file.extend(b"-----END ");
    }
    file.extend(b"gr\xfc\xdfe\r\n");
    file
}

/// A certificate and its private key, two PEM files.
#[derive(Debug)]
pub struct Identity {
    dir: TempDir,
}

impl Identity {
    /// RSA: a self-signed certificate and a PKCS#8 key.
    #[must_use]
    pub fn rsa(bits: u32) -> Self {
        Self::generate(&["-algorithm", "RSA", "-pkeyopt", &format!("rsa_keygen_bits:{bits}")])
    }

    /// An elliptic curve (`P-256`, `P-384`): a self-signed certificate and a PKCS#8 key.
    #[must_use]
    pub fn ec(curve: &str) -> Self {
        let curve = format!("ec_paramgen_curve:{curve}");
        Self::generate(&["-algorithm", "EC", "-pkeyopt", &curve, "-pkeyopt", "ec_param_enc:named_curve"])
    }

    fn generate(algorithm: &[&str]) -> Self {
        let identity = Self { dir: TempDir::with_prefix("identity-").expect("a temporary directory") };
        let key = identity.key();
        openssl(&[&["genpkey"], algorithm, &["-out", text(&key)]].concat());
        let subject = "/O=Test/CN=1b4e28ba-2fa1-11d2-883f-0016d3cca427/serialNumber=PID:test SN:1";
        openssl(&[
            "req",
            "-new",
            "-x509",
            "-sha256",
            "-days",
            "36500",
            "-subj",
            subject,
            "-key",
            text(&key),
            "-out",
            text(&identity.cert()),
            "-addext",
            "extendedKeyUsage=serverAuth,clientAuth",
        ]);
        identity
    }

    /// The certificate's file.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// The private key's file.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("privkey.pem")
    }

    /// The numbers that only the private key has, without leading zeros.
    #[must_use]
    pub fn private_numbers(&self) -> Vec<Vec<u8>> {
        const PRIVATE: [&str; 7] =
            ["priv:", "privateExponent:", "prime1:", "prime2:", "exponent1:", "exponent2:", "coefficient:"];
        let text = openssl(&["pkey", "-in", text(&self.key()), "-noout", "-text"]);
        let (mut numbers, mut inside) = (Vec::<String>::new(), false);
        for line in text.lines() {
            if !line.starts_with(' ') {
                inside = PRIVATE.contains(&line);
                numbers.extend(inside.then(String::new));
            } else if let (true, Some(number)) = (inside, numbers.last_mut()) {
                number.extend(line.chars().filter(char::is_ascii_hexdigit));
            }
        }
        assert!(!numbers.is_empty(), "openssl names no private number: {text}");
        let bytes = |number: String| unhex(&number).into_iter().skip_while(|byte| *byte == 0).collect();
        numbers.into_iter().map(bytes).collect()
    }

    /// Makes the key a PKCS#1 one (`BEGIN RSA PRIVATE KEY`).
    #[must_use]
    pub fn pkcs1(self) -> Self {
        openssl(&["rsa", "-in", text(&self.key()), "-traditional", "-out", text(&self.key())]);
        self
    }

    /// Makes the key a SEC1 one (`BEGIN EC PRIVATE KEY`) with `BEGIN EC PARAMETERS` before it.
    #[must_use]
    pub fn sec1(self, curve: &str) -> Self {
        let [key, parameters] = ["sec1", "parameters"].map(|name| self.dir.path().join(name));
        openssl(&["ec", "-in", text(&self.key()), "-out", text(&key)]);
        openssl(&["ecparam", "-name", curve, "-out", text(&parameters)]);
        let both = [read(&parameters), read(&key)].concat();
        fs::write(self.key(), both).expect("a writable directory");
        self
    }

    /// Encrypts the key with a password.
    #[must_use]
    pub fn encrypted(self) -> Self {
        let out = self.dir.path().join("encrypted");
        let key = self.key();
        openssl(&["pkcs8", "-topk8", "-in", text(&key), "-passout", "pass:secret", "-out", text(&out)]);
        fs::rename(out, self.key()).expect("a writable directory");
        self
    }

    /// Gives both files lines that end in CR LF.
    #[must_use]
    pub fn crlf(self) -> Self {
        self.edit(|pem| pem.replace('\n', "\r\n"))
    }

    /// Puts what `openssl x509` has to say before the certificate, and a comment before the key.
    #[must_use]
    pub fn with_leading_text(self) -> Self {
        let cert = openssl(&["x509", "-in", text(&self.cert()), "-subject", "-issuer", "-dates"]);
        assert!(!cert.starts_with("-----"), "no text before the certificate: {cert}");
        let key = format!("The key of a machine\n\n{}", read(&self.key()));
        self.write(&cert, &key)
    }

    /// Writes both files as [`as_others_write`] does.
    #[must_use]
    pub fn as_others_write(self) -> Self {
        for file in [self.cert(), self.key()] {
            fs::write(&file, as_others_write(&read(&file))).expect("a writable directory");
        }
        self
    }

    /// Takes the last newline from both files.
    #[must_use]
    pub fn without_final_newline(self) -> Self {
        self.edit(|pem| pem.trim_end().to_owned())
    }

    /// Takes the second half from both files.
    #[must_use]
    pub fn truncated(self) -> Self {
        self.edit(|pem| pem[..pem.len() / 2].to_owned())
    }

    /// Puts the certificate of another behind this one: a chain.
    #[must_use]
    pub fn with_chain(self, issuer: &Self) -> Self {
        let chain = read(&self.cert()) + &read(&issuer.cert());
        let key = read(&self.key());
        self.write(&chain, &key)
    }

    /// Gives it the key of another.
    #[must_use]
    pub fn with_key_of(self, other: &Self) -> Self {
        let cert = read(&self.cert());
        self.write(&cert, &read(&other.key()))
    }

    /// Brings both files to a size with a comment before the PEM text.
    #[must_use]
    pub fn padded_to(self, cert: usize, key: usize) -> Self {
        let pad = |pem: String, size: usize| {
            let missing = size.checked_sub(pem.len()).unwrap_or_else(|| panic!("{} bytes are too many", pem.len()));
            if missing == 0 { pem } else { format!("{}\n{pem}", "#".repeat(missing - 1)) }
        };
        let (cert, key) = (pad(read(&self.cert()), cert), pad(read(&self.key()), key));
        self.write(&cert, &key)
    }

    fn edit(self, change: impl Fn(String) -> String) -> Self {
        let (cert, key) = (change(read(&self.cert())), change(read(&self.key())));
        self.write(&cert, &key)
    }

    fn write(self, cert: &str, key: &str) -> Self {
        fs::write(self.cert(), cert).expect("a writable directory");
        fs::write(self.key(), key).expect("a writable directory");
        self
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("PEM is text")
}
