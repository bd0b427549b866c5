//! The PIN: from the URI, from the file that it names, or from the user.

use crate::{
    error::{Error, Kind, Result},
    host::pki::{
        key::ask,
        pkcs11_uri::{Pin, Uri},
    },
};
use cryptoki::types::AuthPin;
use std::path::Path;

/// The PIN of the token called `label`. All copies are wiped.
pub fn of(uri: &Uri, label: &str) -> Result<AuthPin> {
    let pin = match &uri.pin {
        Pin::Value(value) => value.clone(),
        Pin::File(name) => ask::first_line(Path::new(name), "the PIN")?,
        Pin::Unsaid => ask::terminal(&format!("PIN of token {label:?}: "), "the PIN")
            .map_err(|e| e.remedy("give it, or add ?pin-source=/FILE to the URI"))?,
    };
    if pin.is_empty() {
        return Err(Error::new(Kind::Usage, "log in to the token", "the PIN is empty").remedy("give it"));
    }
    Ok(AuthPin::from(pin.as_str()))
}
