//! Where a derived key goes.

use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::{fs::atomic, say::output},
    secret::Secret,
};
use base64ct::{Base64, Encoding};
use clap::{Args, ValueHint};
use std::{
    fs::File,
    io::{IsTerminal, Write},
    path::PathBuf,
};
use zeroize::Zeroizing;

/// A file, a descriptor, or standard output; as it is, or as text.
#[derive(Args)]
pub struct KeyTarget {
    /// Where it goes [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Write it to this descriptor
    #[arg(long, value_name = "NUMBER", conflicts_with = "output")]
    fd: Option<u32>,
    /// As a line of hexadecimal digits
    #[arg(long)]
    hex: bool,
    /// As a line of base64
    #[arg(long, conflicts_with = "hex")]
    base64: bool,
}

impl KeyTarget {
    /// Refuses to show bytes on a terminal.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub fn check(&self) -> Result<()> {
        let is_raw = self.output.is_none() && self.fd.is_none() && !self.hex && !self.base64;
        if is_raw && std::io::stdout().is_terminal() {
            return Err(Error::new(Kind::Usage, "show the key on a terminal", "it is not text")
                .remedy("have it as --hex or --base64, or in a file: -o FILE"));
        }
        Ok(())
    }

    /// Hands it over.
    ///
    /// # Errors
    /// Those of writing.
    pub fn hand_over(&self, key: &Secret) -> Result<()> {
        let bytes = self.encoded(key);
        match (&self.output, self.fd) {
            (Some(path), _) => atomic::replace(path, atomic::PRIVATE, &bytes),
            (None, Some(fd)) => {
                let file = File::options().write(true).open(format!("/proc/self/fd/{fd}"));
                let written = file.and_then(|mut file| file.write_all(&bytes));
                written.map_err(|e| Error::system(format!("write to descriptor {fd}"), e).remedy("open it: 3>FILE"))
            }
            (None, None) => output::bytes(&bytes),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "to hand it over is what this command is for")]
    fn encoded(&self, key: &Secret) -> Zeroizing<Vec<u8>> {
        let key = key.expose();
        let text = match (self.hex, self.base64) {
            (true, _) => Zeroizing::new(hex(key)),
            (_, true) => Zeroizing::new(Base64::encode_string(key)),
            _ => return Zeroizing::new(key.to_vec()),
        };
        Zeroizing::new([text.as_bytes(), b"\n"].concat())
    }
}
