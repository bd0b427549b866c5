//! The PIN: from the URI, from the file that it names, or from whoever sits there.

use crate::{
    error::{Error, Kind, Result},
    host::{
        atomic,
        format::pkcs11_uri::{Pin, Uri},
    },
};
use cryptoki::types::AuthPin;
use std::{io::ErrorKind, path::Path};
use zeroize::Zeroizing;

/// The PIN of the token called `label`. Whatever held it on the way is wiped.
pub fn of(uri: &Uri, label: &str) -> Result<AuthPin> {
    let pin = match &uri.pin {
        Pin::Value(value) => value.clone(),
        Pin::File(name) => from_file(Path::new(name))?,
        Pin::Unsaid => ask(label)?,
    };
    if pin.is_empty() {
        return Err(Error::new(Kind::Usage, "log in to the token", "the PIN is empty").remedy("give it"));
    }
    Ok(AuthPin::from(pin.as_str()))
}

/// The first line.
fn from_file(path: &Path) -> Result<Zeroizing<String>> {
    let bytes = Zeroizing::new(atomic::read(path).map_err(|e| e.within("get the PIN"))?);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match str::from_utf8(line) {
        Ok(pin) => Ok(Zeroizing::new(pin.to_owned())),
        Err(_) => Err(Error::new(Kind::Usage, "get the PIN", format!("{} is no text", path.display()))
            .remedy("write the PIN into its first line")),
    }
}

fn ask(label: &str) -> Result<Zeroizing<String>> {
    let asked = rpassword::prompt_password(format!("PIN of token {label:?}: "));
    asked.map(Zeroizing::new).map_err(|e| {
        let why = match e.kind() {
            ErrorKind::Interrupted | ErrorKind::UnexpectedEof => "it was not given".to_owned(),
            _ => format!("there is no terminal ({e})"),
        };
        Error::new(Kind::Usage, "ask for the PIN", why).remedy("give it, or add ?pin-source=/FILE to the URI")
    })
}
