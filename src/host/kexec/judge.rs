//! Whether an image is one that this machine would start: signed by whom it trusts, and not revoked. Pure.

use super::successor::{WHAT, unusable};
use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    host::{
        image::{authenticode::GoodSignature, pe::Image},
        predict::{update::StartedImage, verifier},
        uefi::signature_list::{SignatureList, X509},
    },
};

/// Whom a machine trusts.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// X.509 certificates in DER.
    pub certificates: Vec<Vec<u8>>,
    /// What is revoked: dbx.
    pub revoked: Vec<SignatureList>,
}

/// Who has signed an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The subject of the certificate.
    pub subject: String,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// The image's own digest.
    pub image: Vec<u8>,
}

/// Who has signed this image, if that is somebody trusted. All of it is read once.
///
/// # Errors
/// [`Kind::Refused`]: nobody who is trusted has, or it is revoked; [`Kind::Corrupt`]: it is no image; those of reading.
pub fn judge(image: &Image<'_>, trusted: &Trusted) -> Result<SignedBy> {
    let read = StartedImage::read(image, Vec::new())?;
    let refused = |why: &str| Error::new(Kind::Refused, WHAT, why.to_owned());
    if let Some(why) = verifier::refusal(&read, &trusted.revoked) {
        return Err(refused(why).remedy("build and sign a newer one"));
    }
    let by = read.signatures.iter().find(|signature| is_trusted(signature, trusted));
    let by = by.ok_or_else(|| {
        let why = if read.signatures.is_empty() {
            "it bears no signature that is good for it"
        } else {
            "nobody has signed it who is trusted here"
        };
        refused(why).remedy("give the image of this machine's owner; `trust verify efi` says more")
    })?;
    let image = read.sha256().unwrap_or_default().to_vec();
    Ok(SignedBy { subject: by.subject(), fingerprint: hash(&[by.signer()]), image })
}

/// Whether a kernel that is locked down would start the kernel within: it must be signed itself, by somebody trusted.
///
/// # Errors
/// [`Kind::Refused`] if not; [`Kind::Corrupt`]: it is no image; those of reading.
pub fn judge_kernel(kernel: &Image<'_>, trusted: &Trusted) -> Result<()> {
    let read = StartedImage::read(kernel, Vec::new())?;
    // Linux takes the first signature for the only one.
    let is_signed = read.signatures.iter().any(|signature| is_trusted(signature, trusted));
    if is_signed && kernel.certificates().len() == 1 {
        return Ok(());
    }
    let why = if is_signed {
        "the kernel in it bears several signatures, and this kernel, which is locked down, would take none"
    } else {
        "the kernel in it is not signed itself, as this kernel demands, which is locked down"
    };
    Err(Error::new(Kind::Refused, WHAT, why)
        .remedy("build it with `trust uki build`, which signs both (--sign-kernel)"))
}

fn is_trusted(signature: &GoodSignature, trusted: &Trusted) -> bool {
    trusted.certificates.iter().any(|certificate| signature.leads_to(certificate))
}

/// Whom to trust where nobody is named: what the firmware's variables hold.
///
/// # Errors
/// [`Kind::Usage`]: they hold no certificate.
pub fn of_firmware(db: &[SignatureList], dbx: Vec<SignatureList>) -> Result<Trusted> {
    let lists = db.iter().filter(|list| list.kind == X509);
    let certificates: Vec<_> = lists.flat_map(|list| &list.signatures).map(|entry| entry.data.clone()).collect();
    if certificates.is_empty() {
        let why = "this machine's firmware has no certificate in db to verify it with";
        return Err(unusable(why).remedy("say who is trusted: --cert FILE, or --keyset KEYSET"));
    }
    Ok(Trusted { certificates, revoked: dbx })
}
