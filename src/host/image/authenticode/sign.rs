//! Images signed.

use super::{
    content,
    digest::{Gaps, ImageDigest},
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic::Output,
        image::pe::{
            CERTIFICATE_ALIGNMENT, CERTIFICATE_HEADER, Certificate as Entry, CheckSum, Image, WIN_CERT_REVISION,
            WIN_CERT_TYPE_PKCS,
        },
        pki::{
            cms,
            key::{Hash, PrivateKey},
        },
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

/// Writes an image without its signatures, as [`sign`] wants it.
///
/// # Errors
/// Those of reading and writing.
pub fn copy_bare(image: &Image<'_>, output: &mut Output) -> Result<()> {
    let body = image.data().get(image.head().len()..image.end());
    output.append(image.head())?;
    output.append(body.unwrap_or_else(|| (&[]).into()))?;
    match &image.headers().certificate_entry {
        Some(entry) => output.put(entry.start, &[0; 8]),
        None => Ok(()),
    }
}

/// Signs an image that has been written without signatures, behind those that are to be `kept`, and returns its digest.
///
/// The result is the same each time for RSA keys: it holds no time. A signature that is kept already is not added
/// again. `also` is shown all bytes of the image meanwhile, in their order, each part with its place.
///
/// # Errors
/// [`Kind::Usage`]: the certificate is for another key; [`Kind::Corrupt`]: no image, or one of
/// which firmware would not hash all bytes; those of writing and of [`PrivateKey::sign`].
pub fn sign(
    output: &mut Output,
    kept: &[Entry<'_>],
    signer: Signer<'_>,
    hash: Hash,
    mut also: impl FnMut(usize, &[u8]),
) -> Result<Vec<u8>> {
    output.align(CERTIFICATE_ALIGNMENT)?;
    let image = Image::parse(output.data())?;
    let entry = image.headers().certificate_entry.clone();
    let entry = entry.ok_or_else(|| refused("its data directory has no place for a certificate table"))?;
    let (mut gaps, mut digest, mut sum) =
        (Gaps::new(&image), ImageDigest::new(&image, hash), CheckSum::new(image.headers()));
    image.pieces(0..image.end(), |at, bytes| {
        gaps.see(at, bytes);
        digest.see(at, bytes);
        sum.see(at, bytes);
        also(at, bytes);
    })?;
    if let Some(flaw) = gaps.flaw() {
        return Err(refused(flaw));
    }
    let digest = digest.finish(&image)?;
    let content = content::encode(hash, &digest)?;
    let content = cms::Attributed { kind: cms::SPC_INDIRECT_DATA, der: &content };
    let signature = cms::sign_attributed(content, signer.key, signer.certificate, signer.intermediates, hash)?;

    let mut table = Vec::new();
    for present in kept {
        append(&mut table, (present.revision, present.kind), &present.content, &present.padding)?;
    }
    if !kept.iter().any(|present| *present.content == signature) {
        let padding = signature.len().next_multiple_of(CERTIFICATE_ALIGNMENT) - signature.len();
        append(&mut table, (WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS), &signature, &vec![0; padding])?;
    }
    let start = image.end();
    let place = [field(start)?, field(table.len())?].concat();
    sum.see(entry.start, &place);
    sum.see(start, &table);
    let (check_sum, length) = (image.headers().check_sum_field(), start + table.len());
    field(length)?;
    output.append(&table)?;
    output.put(entry.start, &place)?;
    output.put(check_sum.start, &sum.of_length(length).to_le_bytes())?;
    Ok(digest)
}

/// Appends a `WIN_CERTIFICATE`.
fn append(table: &mut Vec<u8>, (revision, kind): (u16, u16), content: &[u8], padding: &[u8]) -> Result<()> {
    table.extend_from_slice(&field(content.len() + CERTIFICATE_HEADER)?);
    table.extend_from_slice(&revision.to_le_bytes());
    table.extend_from_slice(&kind.to_le_bytes());
    table.extend_from_slice(content);
    table.extend_from_slice(padding);
    Ok(())
}

/// A number as headers hold it.
fn field(number: usize) -> Result<[u8; 4]> {
    u32::try_from(number).map(u32::to_le_bytes).map_err(|_| refused("it is longer than 4 GiB"))
}

fn refused(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Corrupt, "sign an image", why).remedy("build the image anew")
}
