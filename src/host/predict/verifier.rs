//! Which entry of which database lets an image through: what firmware and shim measure of it. Pure.
//!
//! - EDK II takes the signatures in their order, and for each the certificates of db in theirs; what no certificate of db has
//!   signed, its hash may let through.
//! - shim (15.3 to 16.1) asks for the hash first: in db, its vendor database, `MokListRT`; then for each signature it looks
//!   for a certificate in the same places, of each list the first. A certificate that is built in comes last.

use super::update::StartedImage;
use crate::{
    host::{
        image::authenticode::GoodSignature,
        pki::certificate,
        uefi::{
            signature_list::{SHA256, SignatureList, X509, X509_SHA256, X509_SHA384, X509_SHA512},
            variable::{DB, Variable},
        },
    },
    measure::bank::Bank,
};
use uuid::Uuid;

/// Bytes of an owner before a certificate, and of a time behind the hash of one.
const OWNER: usize = 16;
const TIME: usize = 16;
/// How dbx names certificates without holding them.
const REVOKING: [(Uuid, Bank); 3] =
    [(X509_SHA256, Bank::Sha256), (X509_SHA384, Bank::Sha384), (X509_SHA512, Bank::Sha512)];
const REVOKED_BY_HASH: &str = "the hash of a certificate that has signed it is in dbx";

/// What has let an image through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingEntry {
    /// The variable that it is logged as.
    pub variable: Variable<'static>,
    /// `EFI_SIGNATURE_DATA`, or a certificate without an owner.
    pub contents: Vec<u8>,
}

/// A database that shim asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShimDatabase {
    /// The variable that its entries are logged as.
    pub variable: Variable<'static>,
    /// What it holds.
    pub lists: Vec<SignatureList>,
    /// Whether its certificates are logged without their owners.
    pub bare: bool,
}

/// All entries of db that let the firmware start this image; EDK II measures the first.
#[must_use]
pub fn of_firmware(image: &StartedImage, db: &[SignatureList]) -> Vec<VerifyingEntry> {
    let mut found: Vec<VerifyingEntry> = Vec::new();
    let mut add = |contents: Vec<u8>| {
        let authority = VerifyingEntry { variable: DB, contents };
        if !found.contains(&authority) {
            found.push(authority);
        }
    };
    for signature in &image.signatures {
        let certificates = db.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
        certificates.filter(|entry| signature.leads_to(&entry.data)).for_each(|entry| add(entry.to_bytes()));
    }
    hashes(image, db).into_iter().for_each(add);
    found
}

/// What shim measures when it starts this image; `None` where it does not start it.
#[must_use]
pub fn of_shim(image: &StartedImage, databases: &[ShimDatabase]) -> Option<VerifyingEntry> {
    let by_hash = databases.iter().find_map(|database| {
        let contents = hashes(image, &database.lists).into_iter().next()?;
        Some(VerifyingEntry { variable: database.variable, contents })
    });
    let by_certificate = || {
        image.signatures.iter().find_map(|signature| {
            databases.iter().find_map(|database| {
                let firsts = database.lists.iter().filter(|list| list.kind == X509);
                let mut firsts = firsts.filter_map(|list| list.signatures.first());
                let entry = firsts.find(|entry| signature.leads_to(&entry.data))?;
                let contents = if database.bare { entry.data.clone() } else { entry.to_bytes() };
                Some(VerifyingEntry { variable: database.variable, contents })
            })
        })
    };
    by_hash.or_else(by_certificate)
}

/// Entries that hold the image's own hash.
fn hashes(image: &StartedImage, lists: &[SignatureList]) -> Vec<Vec<u8>> {
    let entries = lists.iter().filter(|list| list.kind == SHA256).flat_map(|list| &list.signatures);
    entries.filter(|entry| Some(entry.data.as_slice()) == image.sha256()).map(|entry| entry.to_bytes()).collect()
}

/// Why this dbx keeps a firmware from starting an image, as a clause.
#[must_use]
pub fn refusal(image: &StartedImage, dbx: &[SignatureList]) -> Option<&'static str> {
    let mut signed = image.signatures.iter().flat_map(GoodSignature::to_be_signed);
    let by_hash = || signed.any(|signed| has_hash_of(signed, dbx)).then_some(REVOKED_BY_HASH);
    refusal_of_shim(image, dbx).or_else(by_hash)
}

/// The same of an entry of db that lets the image through.
#[must_use]
pub fn refusal_of(entry: &VerifyingEntry, dbx: &[SignatureList]) -> Option<&'static str> {
    let certificate = entry.contents.get(OWNER..).unwrap_or_default();
    is_revoked(certificate, dbx).then_some(REVOKED_BY_HASH)
}

/// Whether dbx has the hash of what this certificate is signed over.
#[must_use]
pub fn is_revoked(certificate: &[u8], dbx: &[SignatureList]) -> bool {
    certificate::to_be_signed(certificate).is_some_and(|signed| has_hash_of(signed, dbx))
}

/// A time from which on a certificate is revoked is not heeded: it would take a time stamp that firmware trusts.
fn has_hash_of(signed: &[u8], dbx: &[SignatureList]) -> bool {
    REVOKING.iter().any(|(kind, hash)| {
        let mut entries = dbx.iter().filter(|list| list.kind == *kind).flat_map(|list| &list.signatures).peekable();
        entries.peek().is_some() && {
            let wanted = hash.hash(signed);
            entries.any(|entry| entry.data.len() == wanted.len() + TIME && entry.data.starts_with(&wanted))
        }
    })
}

/// Why this dbx keeps shim from starting an image, as a clause: it does not look for hashes of certificates.
#[must_use]
pub fn refusal_of_shim(image: &StartedImage, dbx: &[SignatureList]) -> Option<&'static str> {
    if !hashes(image, dbx).is_empty() {
        return Some("its hash is in dbx");
    }
    let mut certificates = dbx.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
    let is_signer = |data: &[u8]| image.signatures.iter().any(|signature| signature.leads_to(data));
    certificates.any(|entry| is_signer(&entry.data)).then_some("a certificate that has signed it is in dbx")
}
