//! Storage root keys of machines: signed by the SUDI authority, and whether a keyset's boots require that.

use super::signed_policy;
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        keyset::{Keyset, Role},
        pki::{certificate, key::Hash},
    },
    policy::pcr7data::authority,
    tpm2::{StorageKey, storage_key::statement},
};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// As [`sign`], for the key with this Name, in hex, or whose `TPM2B_PUBLIC` is in this file; returns the Name.
///
/// # Errors
/// [`Kind::Usage`]: no such public area; else those of [`sign`].
pub fn certify(keyset: &Keyset, public: &Path, output: &Path) -> Result<String> {
    let name = match public.to_str() {
        Some(name) if is_name(name) => name.to_owned(),
        _ => read(public)?.name(),
    };
    sign(keyset, &name, output)?;
    Ok(name)
}

/// Whether it is the Name of a key, with SHA-256, as `provision` prints it.
fn is_name(text: &str) -> bool {
    let is_digit = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 68 && text.starts_with("000b") && text.bytes().all(is_digit)
}

fn read(public: &Path) -> Result<StorageKey> {
    StorageKey::from_tpm2b(&atomic::read(public)?).ok_or_else(|| {
        let why = "it is not the TPM2B_PUBLIC of an ECC P-256 storage key that cannot leave its TPM";
        Error::new(Kind::Usage, format!("use {}", public.display()), why).remedy(
            "take what `trust provision --srk-public` has written: it says what to do with a TPM that has another key",
        )
    })
}

/// Has sudi-ca sign the statement of a storage root key, and writes the signature to `output`.
///
/// # Errors
/// Those of reading the keyset and writing.
pub fn sign(keyset: &Keyset, name: &str, output: &Path) -> Result<()> {
    let signature = keyset.key(Role::SudiCa)?.sign(Hash::Sha256, statement(name).as_bytes())?;
    atomic::replace(output, atomic::SHARED, &signature)
}

/// Makes the boots of a keyset require such a signature, from the next image on, or no longer require it. Returns the file
/// in the signed policies that says so.
///
/// # Errors
/// Those of reading the keyset and writing.
pub fn pin(keyset: &Keyset, on: bool) -> Result<PathBuf> {
    let path = file(keyset);
    if !on {
        return match fs::remove_file(&path) {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(atomic::cannot("remove", &path, &why)),
            _ => Ok(path),
        };
    }
    let pem = certificate::to_pem(&keyset.certificate(Role::SudiCa)?)?;
    if let Some(directory) = path.parent() {
        atomic::make_dirs(directory)?;
    }
    atomic::replace(&path, atomic::PUBLIC, pem.as_bytes())?;
    Ok(path)
}

/// Whether they require it.
#[must_use]
pub fn is_pinned(keyset: &Keyset) -> bool {
    file(keyset).exists()
}

/// The path of the authority's certificate that the boots of a keyset use.
#[must_use]
pub fn file(keyset: &Keyset) -> PathBuf {
    signed_policy::directory(&keyset.pcr7data()).join(authority(keyset.name()))
}
