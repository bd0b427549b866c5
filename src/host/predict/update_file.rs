//! Files with updates of PK, KEK, db and dbx, in the forms in which they are shipped. Pure.

use crate::{
    error::{Error, Kind, Result},
    host::{
        pki::{certificate, cms::SignedData, key::PublicKey},
        uefi::{
            authentication::SignedWrite,
            signature_list::{self, SignatureList, X509},
            variable::{APPEND_WRITE, AUTHENTICATED, DB, DBX, KEK, PK, Variable},
        },
    },
};
use der::Decode;
use std::borrow::Cow;
use x509_cert::Certificate;

/// The variables that there are updates of.
const VARIABLES: [Variable<'_>; 4] = [PK, KEK, DB, DBX];

/// Reads an update for a variable: signed (`.auth`, and `.bin` of the vendors), signature lists alone (`.esl`), or a variable as
/// efivarfs shows it. A signed file that removes the PK holds nothing.
///
/// Whether the firmware accepts the signature is for the firmware to say.
///
/// # Errors
/// [`Kind::Corrupt`]: it is none of them; [`Kind::Usage`]: it is not meant for this variable, as far as that can be told.
pub fn parse(bytes: &[u8], variable: Variable<'_>) -> Result<Vec<SignatureList>> {
    if certificate::all(bytes).is_ok_and(|found| !found.is_empty()) {
        return Err(unfit(variable, "a certificate alone does not say who its owner is, and that is measured too"));
    }
    let lists = signature_list::parse_file(bytes)?;
    let write = SignedWrite::parse(bytes);
    if let Some(other) = write.and_then(signed_for).filter(|other| *other != variable) {
        return Err(unfit(variable, format!("its signature is for {}", other.name)));
    }
    let count = lists.iter().map(|list| list.signatures.len()).sum::<usize>();
    match variable {
        PK if write.is_some() && count == 0 => Ok(lists),
        _ if count == 0 => Err(unfit(variable, "there is nothing in it")),
        PK if count > 1 => Err(unfit(variable, "a PK is one certificate, and it holds more")),
        PK | KEK if lists.iter().any(|list| list.kind != X509) => {
            Err(unfit(variable, "it holds something else than certificates"))
        }
        _ => Ok(lists),
    }
}

/// The variable that a signature is for; `None` where that cannot be told.
fn signed_for(write: SignedWrite<'_>) -> Option<Variable<'static>> {
    let signature =
        SignedData::parse(write.signature).or_else(|_| SignedData::parse_content_info(write.signature)).ok()?;
    let keys: Vec<PublicKey> = signature
        .certificates
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .filter_map(|certificate| PublicKey::from_info(certificate.tbs_certificate().subject_public_key_info()).ok())
        .collect();
    let is_for = |variable: &Variable<'static>| {
        [AUTHENTICATED | APPEND_WRITE, AUTHENTICATED].iter().any(|attributes| {
            let signed = write.to_be_signed(*variable, *attributes);
            keys.iter().any(|key| signature.is_by(key, &signed))
        })
    };
    VARIABLES.into_iter().find(is_for)
}

fn unfit(variable: Variable<'_>, why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Usage, format!("use it as an update of {}", variable.name), why)
        .remedy("give a file of signature lists (.esl), or a signed one (.auth, .bin), for that variable")
}
