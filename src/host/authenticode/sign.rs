//! Images signed.

use super::{content, digest, digest::hidden};
use crate::{
    error::{Error, Kind, Result},
    host::{
        format::{
            cms,
            pe::{CERTIFICATE_ALIGNMENT, CERTIFICATE_HEADER, Image, WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS},
        },
        key::{Hash, PrivateKey},
    },
};
use x509_cert::Certificate;

/// Who signs.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// The key.
    pub key: &'a PrivateKey,
    /// Its certificate.
    pub certificate: &'a Certificate,
    /// Certificates between it and the one that firmware knows, which go along.
    pub intermediates: &'a [Certificate],
}

/// Signs an image, after the signatures that it has.
///
/// The result is the same each time for RSA keys: it holds no time. An image
/// that has this very signature stays as it is.
///
/// # Errors
/// [`Kind::Usage`]: the certificate is for another key; [`Kind::Corrupt`]: no image, or one of
/// which firmware would not hash all bytes; those of [`PrivateKey::sign`].
pub fn sign(image: &[u8], signer: Signer<'_>, hash: Hash) -> Result<Vec<u8>> {
    let parsed = Image::parse(image)?;
    let entry = parsed.headers().certificate_entry.clone();
    let entry = entry.ok_or_else(|| refused("its data directory has no place for a certificate table"))?;
    if let Some(gap) = hidden(&parsed) {
        let why = format!("firmware does not hash its bytes {:#x} to {:#x}, which are not zero", gap.start, gap.end);
        return Err(refused(why));
    }
    let (body, table) = image.split_at_checked(parsed.end()).unwrap_or((image, &[]));
    let mut signed = body.to_vec();
    signed.resize(signed.len().next_multiple_of(CERTIFICATE_ALIGNMENT), 0);
    let start = signed.len();
    write(&mut signed, entry.start, &[0; 8]);
    let content = content::encode(hash, &digest(&Image::parse(&signed)?, hash))?;
    let content = cms::Attributed { kind: cms::SPC_INDIRECT_DATA, der: &content };
    let signature = cms::sign_attributed(content, signer.key, signer.certificate, signer.intermediates, hash)?;

    signed.extend_from_slice(table);
    if !parsed.certificates().iter().any(|present| present.content == signature) {
        append(&mut signed, &signature)?;
    }
    let size = field(signed.len() - start)?;
    write(&mut signed, entry.start, &[field(start)?, size].concat());
    let sum = Image::parse(&signed)?;
    let (place, sum) = (sum.headers().check_sum_field(), sum.check_sum());
    write(&mut signed, place.start, &sum.to_le_bytes());
    Ok(signed)
}

/// An image without its signatures: no certificate table, and the checksum of what is left.
///
/// # Errors
/// [`Kind::Corrupt`]: no image.
pub fn strip(image: &[u8]) -> Result<Vec<u8>> {
    let parsed = Image::parse(image)?;
    let mut bare = image.get(..parsed.end()).unwrap_or_default().to_vec();
    if let Some(entry) = &parsed.headers().certificate_entry {
        write(&mut bare, entry.start, &[0; 8]);
    }
    let sum = Image::parse(&bare)?;
    let (place, sum) = (sum.headers().check_sum_field(), sum.check_sum());
    write(&mut bare, place.start, &sum.to_le_bytes());
    Ok(bare)
}

/// Appends a `WIN_CERTIFICATE`, padded.
fn append(table: &mut Vec<u8>, signature: &[u8]) -> Result<()> {
    table.extend_from_slice(&field(signature.len() + CERTIFICATE_HEADER)?);
    table.extend_from_slice(&WIN_CERT_REVISION.to_le_bytes());
    table.extend_from_slice(&WIN_CERT_TYPE_PKCS.to_le_bytes());
    table.extend_from_slice(signature);
    table.resize(table.len().next_multiple_of(CERTIFICATE_ALIGNMENT), 0);
    Ok(())
}

fn write(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at.saturating_add(value.len())) {
        place.copy_from_slice(value);
    }
}

/// A number as headers hold it.
fn field(number: usize) -> Result<[u8; 4]> {
    u32::try_from(number).map(u32::to_le_bytes).map_err(|_| refused("it is longer than 4 GiB"))
}

fn refused(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Corrupt, "sign an image", why).remedy("build the image anew")
}
