//! `EFI_SIGNATURE_LIST` (UEFI Specification 2.10, section 32.4.1): PK, KEK, db and dbx.

use super::{
    authentication,
    variable::{self, guid},
};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
};
use std::collections::HashSet;
use uuid::Uuid;

/// `EFI_CERT_X509_GUID`: a certificate in DER.
pub const X509: Uuid = guid("a5c059a1-94e4-4aa7-87b5-ab155c2bf072");
/// `EFI_CERT_SHA256_GUID`: the SHA-256 of an image, 32 bytes.
pub const SHA256: Uuid = guid("c1c41626-504c-4092-aca9-41f936934328");
/// `EFI_CERT_X509_SHA256_GUID`: the hash of what a certificate is signed over (`TBSCertificate`), and since when it is revoked
/// (`EFI_TIME`, zeros for always).
pub const X509_SHA256: Uuid = guid("3bd2a492-96c0-4079-b420-fcf98ef103ed");
/// `EFI_CERT_X509_SHA384_GUID`: likewise.
pub const X509_SHA384: Uuid = guid("7076876e-80c2-4ee6-aad2-28b349a6865b");
/// `EFI_CERT_X509_SHA512_GUID`: likewise.
pub const X509_SHA512: Uuid = guid("446dbf63-2502-4cda-bcfa-2465d2b0fe9d");

/// Bytes before a list's header: type, size of the list, of the header, of each signature.
const FIXED: usize = 28;
/// Bytes of an owner.
const OWNER: usize = 16;

/// Signatures of one type and one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureList {
    /// What the signatures are: [`X509`], [`SHA256`] or one of the others.
    pub kind: Uuid,
    /// The header that some type may have; none has so far.
    pub header: Vec<u8>,
    /// Bytes of each signature without its owner.
    pub size: usize,
    /// The signatures.
    pub signatures: Vec<SignatureData>,
}

/// `EFI_SIGNATURE_DATA`: one signature and who added it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureData {
    /// Who added it: an administrator's choice, without meaning to the firmware.
    pub owner: Uuid,
    /// A certificate, a hash, …
    pub data: Vec<u8>,
}

impl SignatureList {
    /// A list of one certificate.
    #[must_use]
    pub fn x509(owner: Uuid, certificate: Vec<u8>) -> Self {
        let size = certificate.len();
        Self { kind: X509, header: Vec::new(), size, signatures: vec![SignatureData { owner, data: certificate }] }
    }

    /// A list of hashes.
    #[must_use]
    pub fn sha256(owner: Uuid, hashes: &[[u8; 32]]) -> Self {
        let signatures = hashes.iter().map(|hash| SignatureData { owner, data: hash.to_vec() }).collect();
        Self { kind: SHA256, header: Vec::new(), size: 32, signatures }
    }
}

impl SignatureList {
    /// What tells its signatures from others.
    fn keys(&self) -> impl Iterator<Item = (Uuid, Uuid, &[u8])> {
        self.signatures.iter().map(|signature| (self.kind, signature.owner, signature.data.as_slice()))
    }
}

impl SignatureData {
    /// The `EFI_SIGNATURE_DATA` itself: owner, then data.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.owner.to_bytes_le()[..], &self.data].concat()
    }
}

/// Reads the lists of a variable, or of a file with extension `esl`; nothing is left over, and no bytes are no lists.
///
/// # Errors
/// [`Kind::Corrupt`] when a size is not that of what follows, or not the one that its type must have.
pub fn parse(bytes: &[u8]) -> Result<Vec<SignatureList>> {
    let mut rest = Reader::new(bytes);
    let mut lists = Vec::new();
    while !rest.is_empty() {
        let at = rest.position();
        lists.push(parse_one(&mut rest).ok_or_else(|| {
            Error::new(
                Kind::Corrupt,
                "read signature lists",
                format!("the sizes in the EFI_SIGNATURE_LIST at byte {at} do not fit what follows"),
            )
            .remedy("give a file of signature lists (.esl), whole and without an authentication header")
        })?);
    }
    Ok(lists)
}

/// Reads a file of signature lists in any of the forms they come in: bare (`esl`), signed (`auth`), or as
/// efivarfs shows the variable, behind its attributes.
///
/// # Errors
/// As [`parse`].
pub fn parse_file(bytes: &[u8]) -> Result<Vec<SignatureList>> {
    let attributes = Reader::new(bytes).le32();
    let bare = match authentication::contents(bytes) {
        Some(contents) => contents,
        // No GUID of a type begins like that.
        None if attributes == Some(variable::AUTHENTICATED) => bytes.get(4..).unwrap_or_default(),
        None => bytes,
    };
    parse(bare)
}

/// Adds `more` to a variable as a firmware does that is asked to append (`EFI_VARIABLE_APPEND_WRITE`): signatures
/// that are there already are left out, and lists that nothing is left of.
#[must_use]
pub fn append(lists: &[SignatureList], more: &[SignatureList]) -> Vec<SignatureList> {
    let known: HashSet<_> = lists.iter().flat_map(SignatureList::keys).collect();
    let mut all = lists.to_vec();
    for list in more {
        let mut list = list.clone();
        let kind = list.kind;
        list.signatures.retain(|signature| !known.contains(&(kind, signature.owner, signature.data.as_slice())));
        if !list.signatures.is_empty() {
            all.push(list);
        }
    }
    all
}

fn parse_one(rest: &mut Reader<'_>) -> Option<SignatureList> {
    let kind = rest.guid()?;
    let [list_size, header_size, signature_size] = [rest.le32()?, rest.le32()?, rest.le32()?];
    let mut body = Reader::new(rest.take(usize::try_from(list_size).ok()?.checked_sub(FIXED)?)?);
    let header = body.take(usize::try_from(header_size).ok()?)?.to_vec();
    let size = usize::try_from(signature_size).ok()?.checked_sub(OWNER)?;
    // UEFI knows no empty signature; it would also be one of any number.
    if size == 0 || (kind == SHA256 && size != 32) || ((kind == SHA256 || kind == X509) && !header.is_empty()) {
        return None;
    }
    let mut signatures = Vec::new();
    while !body.is_empty() {
        signatures.push(SignatureData { owner: body.guid()?, data: body.take(size)?.to_vec() });
    }
    Some(SignatureList { kind, header, size, signatures })
}

/// The lists, one after the other.
///
/// # Errors
/// [`Kind::Usage`] when a signature has not the size that its list gives, or a list is of 4 GiB.
pub fn to_bytes(lists: &[SignatureList]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for list in lists {
        write_one(list, &mut bytes)
            .ok_or_else(|| Error::new(Kind::Usage, "write a signature list", "its signatures are not of one size"))?;
    }
    Ok(bytes)
}

fn write_one(list: &SignatureList, bytes: &mut Vec<u8>) -> Option<()> {
    let signature_size = list.size.checked_add(OWNER)?;
    let signatures_size = list.signatures.len().checked_mul(signature_size)?;
    let list_size = signatures_size.checked_add(FIXED)?.checked_add(list.header.len())?;
    bytes.extend_from_slice(&list.kind.to_bytes_le());
    for size in [list_size, list.header.len(), signature_size] {
        bytes.extend_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
    }
    bytes.extend_from_slice(&list.header);
    for signature in &list.signatures {
        (signature.data.len() == list.size).then_some(())?;
        bytes.extend_from_slice(&signature.to_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests;
