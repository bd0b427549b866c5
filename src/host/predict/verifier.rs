//! Which entry of which database lets an image through: what firmware and shim measure of it. Pure.
//!
//! - EDK II takes the signatures in their order, and for each the certificates of db in theirs; what no certificate of db has
//!   signed, its hash may let through.
//! - shim (15.3 to 16.1) asks for the hash first: in db, its vendor database, `MokListRT`; then for each signature it looks
//!   for a certificate in the same places, of each list the first. A certificate that is built in comes last.

use super::update::StartedImage;
use crate::host::{
    image::authenticode::GoodSignature,
    uefi::{
        signature_list::{SHA256, SignatureList, X509, X509_HASHES},
        variable::{DB, Variable},
    },
};

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

/// Why this dbx keeps an image from being started, as a clause.
#[must_use]
pub fn refusal(image: &StartedImage, dbx: &[SignatureList]) -> Option<&'static str> {
    if !hashes(image, dbx).is_empty() {
        return Some("its hash is in dbx");
    }
    let mut certificates = dbx.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
    let is_signer = |data: &[u8]| image.signatures.iter().any(|signature| signature.leads_to(data));
    if certificates.any(|entry| is_signer(&entry.data)) {
        return Some("a certificate that has signed it is in dbx");
    }
    let is_revoked = image.signatures.iter().any(|signature| is_revoked_by_hash(signature, dbx));
    is_revoked.then_some("the hash of a certificate that has signed it is in dbx")
}

/// Whether dbx has the hash of a certificate on the way from this signer. From when on that is revoked is not asked: nobody vouches for
/// the time of a signature.
#[must_use]
pub fn is_revoked_by_hash(signature: &GoodSignature, dbx: &[SignatureList]) -> bool {
    signature.to_be_signed().any(|signed| {
        dbx.iter().any(|list| {
            let Some((_, bank)) = X509_HASHES.iter().find(|(kind, _)| *kind == list.kind) else { return false };
            let hash = bank.hash(signed);
            list.signatures.iter().any(|entry| entry.data.starts_with(&hash))
        })
    })
}
