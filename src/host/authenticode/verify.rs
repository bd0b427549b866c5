//! Images verified, as strictly as a firmware could.

use super::{
    chain::{self, Link},
    content,
    digest::{digest, hidden},
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        format::{
            cms::{SPC_INDIRECT_DATA, SignedData},
            pe::{Certificate, Image, WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS},
        },
        key::Hash,
    },
};
use der::{Reader, SliceReader};
use std::time::SystemTime;

/// What is to be said about an image.
#[derive(Clone, Debug)]
pub struct Report {
    /// Why no signature could make this image acceptable.
    pub flaw: Option<String>,
    /// Each signature, in the order of the table.
    pub signatures: Vec<Signature>,
}

/// What is to be said about a signature, as far as it could be read.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The subject of the signer's certificate.
    pub signer: Option<String>,
    /// Who has issued that.
    pub issuer: Option<String>,
    /// The hash, and the digest of the image that was signed.
    pub digest: Option<(Hash, Vec<u8>)>,
    /// Whether it makes the image acceptable.
    pub verdict: Verdict,
    /// What firmware does not mind, but the owner may: certificates that have expired.
    pub notes: Vec<String>,
}

/// Whether a signature is good for the certificates given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By way of these subjects, the first the signer's, the last a certificate given.
    Accepted(Vec<String>),
    /// For this reason.
    Refused(String),
}

impl Report {
    /// Whether the image is without a flaw and one of its signatures is accepted.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.refusal().is_none()
    }

    /// Why the image is not accepted.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        if self.flaw.is_some() {
            return self.flaw.clone();
        }
        if self.signatures.iter().any(|signature| matches!(signature.verdict, Verdict::Accepted(_))) {
            return None;
        }
        Some(match self.signatures.as_slice() {
            [] => "it is not signed".to_owned(),
            [Signature { verdict: Verdict::Refused(why), .. }] => why.clone(),
            several => format!("none of its {} signatures is good for the certificates given", several.len()),
        })
    }
}

/// Verifies an image for anybody who trusts one of `anchors`, X.509 certificates in DER.
///
/// # Errors
/// [`Kind::Corrupt`]: no image, or an anchor that is no certificate. Everything else is in the report.
pub fn verify(image: &[u8], anchors: &[impl AsRef<[u8]>]) -> Result<Report> {
    let image = Image::parse(image)?;
    let anchors = anchors.iter().map(|der| Link::read(der.as_ref())).collect::<Result<Vec<_>>>()?;
    let signatures = image.certificates().iter().map(|certificate| judge(&image, certificate, &anchors)).collect();
    Ok(Report { flaw: flaw(&image), signatures })
}

/// Bytes that no signature covers have to be what they must be.
fn flaw(image: &Image<'_>) -> Option<String> {
    if let Some(gap) = hidden(image) {
        return Some(format!(
            "firmware does not hash its bytes {:#x} to {:#x}, which are not zero",
            gap.start, gap.end
        ));
    }
    if image.certificates().iter().any(|certificate| certificate.padding.iter().any(|byte| *byte != 0)) {
        return Some("there is something in the padding of its certificate table".to_owned());
    }
    let stated = image.headers().check_sum;
    let sum = Some(stated).filter(|stated| *stated != 0).map(|_| image.check_sum())?;
    (stated != sum).then(|| format!("its checksum is {stated:#x} and should be {sum:#x}"))
}

fn judge(image: &Image<'_>, certificate: &Certificate<'_>, anchors: &[Link]) -> Signature {
    let refused = |why| Verdict::Refused(why);
    let mut signature =
        Signature { signer: None, issuer: None, digest: None, verdict: refused(String::new()), notes: Vec::new() };
    signature.verdict = match judge_into(&mut signature, image, certificate, anchors) {
        Ok(path) => {
            let now = SystemTime::now();
            signature.notes = path.iter().filter_map(|link| link.note_on_time(now)).collect();
            Verdict::Accepted(path.iter().map(|link| link.subject()).collect())
        }
        Err(why) => refused(why.why().to_owned()),
    };
    signature
}

/// The way to an anchor; what is found out before that fails is noted.
fn judge_into(
    signature: &mut Signature,
    image: &Image<'_>,
    certificate: &Certificate<'_>,
    anchors: &[Link],
) -> Result<Vec<Link>> {
    if (certificate.revision, certificate.kind) != (WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS) {
        let Certificate { revision, kind, .. } = certificate;
        return Err(bad(format!("it is of revision {revision:#x} and kind {kind:#x}, and no Authenticode")));
    }
    let signed_data = SignedData::parse_content_info(without_padding(certificate.content)?)?;
    let embedded: Vec<_> = signed_data.certificates.iter().filter_map(|der| Link::read(der).ok()).collect();
    let by = &signed_data.signer;
    let signer = embedded.iter().find(|link| link.is_named(by.issuer, by.serial_number));
    let signer = signer.ok_or_else(|| bad("the signer's certificate is not in it"))?;
    signature.signer = Some(signer.subject());
    signature.issuer = Some(signer.issuer());

    let content = signed_data.content.filter(|_| signed_data.content_type == SPC_INDIRECT_DATA);
    let content = content.ok_or_else(|| bad("it is not about an image"))?;
    let (hash, stated) = content::decode(&content)?;
    signature.digest = Some((hash, stated.to_vec()));
    if by.hash() != Some(hash) {
        return Err(bad("the image and the signature are hashed in different ways"));
    }
    if stated != digest(image, hash) {
        return Err(bad("the image is not the one that was signed"));
    }
    if by.attributes.is_none() {
        return Err(bad("its attributes are missing"));
    }
    if !signed_data.is_by(&signer.key()?, content.value()) {
        return Err(bad("it was not made with the key of its signer"));
    }
    chain::find(signer, &embedded, anchors).map(|path| path.into_iter().cloned().collect())
}

/// The value in DER at the beginning; zeros up to a multiple of eight may follow.
fn without_padding(content: &[u8]) -> Result<&[u8]> {
    let mut reader = SliceReader::new(content).map_err(|why| bad(why.to_string()))?;
    let der = reader.tlv_bytes().map_err(|why| bad(format!("it is not in DER: {why}")))?;
    let rest = content.get(der.len()..).unwrap_or_default();
    if rest.len() >= 8 || rest.iter().any(|byte| *byte != 0) {
        return Err(bad("something follows it"));
    }
    Ok(der)
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Refused, "accept a signature", why)
}

#[cfg(test)]
mod tests;
