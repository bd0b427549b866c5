//! Signed files for a real firmware: each variable as signature lists (`esl`) and signed (`auth`).

use crate::{
    error::Result,
    host::{
        keyset::{Keyset, Role},
        pki::{cms, credentials::Credentials, key::Hash},
        predict::databases::{self, Chain, Databases},
        uefi::{
            authentication::{self, Time},
            signature_list::{self, SignatureList},
            variable::{APPEND_WRITE, AUTHENTICATED, DB, DBX, KEK, PK, Variable},
        },
    },
};

/// A file's name and contents.
pub type File = (String, Vec<u8>);

/// The files that put a machine under the control of a keyset: PK, KEK, db and dbx, `noPK.auth` that removes the PK again, and
/// for a shim its vendor database.
///
/// # Errors
/// Those of reading the keyset and of its keys.
pub fn take_over(keyset: &Keyset, chain: Chain, databases: &Databases, time: Time) -> Result<Vec<File>> {
    let (pk, kek) = (keyset.credentials(Role::UefiPk)?, keyset.credentials(Role::UefiKek)?);
    let mut files = Vec::new();
    for (variable, lists, signer) in
        [(PK, &databases.pk, &pk), (KEK, &databases.kek, &pk), (DB, &databases.db, &kek), (DBX, &databases.dbx, &kek)]
    {
        let contents = signature_list::to_bytes(lists)?;
        if !contents.is_empty() {
            files.push((format!("{}.auth", variable.name), sign(variable, AUTHENTICATED, time, &contents, signer)?));
            files.push((format!("{}.esl", variable.name), contents));
        }
    }
    // The firmware accepts only updates newer than its own.
    files.push(("noPK.auth".into(), sign(PK, AUTHENTICATED, time.next()?, &[], &pk)?));
    if chain == Chain::Shim {
        files.push(("vendor_db.esl".into(), signature_list::to_bytes(&databases::vendor_db(keyset)?)?));
    }
    Ok(files)
}

/// The files that append to db and dbx of a machine under the control of a keyset; none for empty lists.
///
/// # Errors
/// As [`take_over`].
pub fn append(keyset: &Keyset, db: &[SignatureList], dbx: &[SignatureList], time: Time) -> Result<Vec<File>> {
    let kek = keyset.credentials(Role::UefiKek)?;
    let mut files = Vec::new();
    for (variable, lists) in [(DB, db), (DBX, dbx)] {
        if !lists.is_empty() {
            let contents = signature_list::to_bytes(lists)?;
            let signed = sign(variable, AUTHENTICATED | APPEND_WRITE, time, &contents, &kek)?;
            files.push((format!("append-{}.auth", variable.name), signed));
            files.push((format!("append-{}.esl", variable.name), contents));
        }
    }
    Ok(files)
}

/// A signed write of a variable.
fn sign(variable: Variable<'_>, attributes: u32, time: Time, contents: &[u8], signer: &Credentials) -> Result<Vec<u8>> {
    let message = authentication::to_be_signed(variable, attributes, time, contents);
    let signature = cms::sign_detached(&message, &signer.key, &signer.certificate, Hash::Sha256)?;
    let mut file = authentication::header(time, &signature)?;
    file.extend_from_slice(contents);
    Ok(file)
}
