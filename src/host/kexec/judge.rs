//! Whether an image is one that this machine would start: signed by whom it trusts, and not revoked. Pure.

use super::successor::{WHAT, unusable};
use crate::{
    digest::{Digest, hash},
    error::{Error, Kind, Result},
    host::{
        image::{authenticode::GoodSignature, pe::Image},
        predict::{
            live::LiveVariables,
            sbat::{self, LEVEL_AT_RUNTIME},
            update::StartedImage,
            verifier,
        },
        uefi::{
            signature_list::{self, SignatureList, X509},
            variable::{DB, DBX},
        },
    },
};

/// Upper bound in bytes of a list of generations.
const MAX_SBAT: usize = 1 << 20;

/// Whom a machine trusts.
#[derive(Clone, Debug, Default)]
pub struct Trusted {
    /// X.509 certificates in DER.
    pub certificates: Vec<Vec<u8>>,
    /// What is revoked: dbx.
    pub revoked: Vec<SignatureList>,
    /// The SBAT level, if a shim has left one.
    pub sbat_level: Option<Vec<u8>>,
}

impl Trusted {
    /// These certificates, or without any those in the firmware's db; and what its variables revoke.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is no certificate; [`Kind::Corrupt`]: a database is none.
    pub fn of(named: Option<Vec<Vec<u8>>>, variables: &LiveVariables) -> Result<Self> {
        let lists = |variable| signature_list::parse(variables.get(variable).unwrap_or_default());
        let certificates = match named {
            Some(named) => named,
            None => certificates(&lists(DB)?)?,
        };
        let revoked = lists(DBX)?;
        let certificates =
            certificates.into_iter().filter(|certificate| !verifier::is_revoked(certificate, &revoked)).collect();
        Ok(Self { certificates, revoked, sbat_level: variables.get(LEVEL_AT_RUNTIME).map(<[u8]>::to_vec) })
    }
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
    let refused = |why: String| Error::new(Kind::Refused, WHAT, why);
    if let Some(why) = verifier::refusal(&read, &trusted.revoked) {
        return Err(refused(why.to_owned()).remedy("build and sign a newer one"));
    }
    if let Some(level) = &trusted.sbat_level {
        let sbat = image.section(".sbat").map(|section| section.contents().first(MAX_SBAT).read()).transpose()?;
        if let Some(why) = sbat::refusal(sbat.as_deref().unwrap_or_default(), level) {
            return Err(refused(why).remedy("build and sign a newer one"));
        }
    }
    let by = read.signatures.iter().find(|signature| is_trusted(signature, trusted));
    let by = by.ok_or_else(|| {
        let why = if read.signatures.is_empty() {
            "it bears no signature that is good for it"
        } else {
            "nobody has signed it who is trusted here"
        };
        refused(why.to_owned()).remedy("give the image of this machine's owner; `trust verify efi` says more")
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

fn certificates(db: &[SignatureList]) -> Result<Vec<Vec<u8>>> {
    let lists = db.iter().filter(|list| list.kind == X509);
    let certificates: Vec<_> = lists.flat_map(|list| &list.signatures).map(|entry| entry.data.clone()).collect();
    if certificates.is_empty() {
        let why = "this machine's firmware has no certificate in db to verify it with";
        return Err(unusable(why).remedy("say who is trusted: --cert FILE, or --keyset KEYSET"));
    }
    Ok(certificates)
}
