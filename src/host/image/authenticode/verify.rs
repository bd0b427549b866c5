//! Images verified, as strictly as a firmware could.

use super::{
    chain::{self, ChainLink},
    content,
    digest::{Gaps, ImageDigest},
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::data::Data,
        image::pe::{Certificate, CheckSum, Image, WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS},
        pki::{
            cms::{SPC_INDIRECT_DATA, SignedData, Tlv},
            key::Hash,
        },
    },
};
use aws_lc_rs::digest::Context;
use der::{Reader, SliceReader};
use std::time::SystemTime;

/// What is to be said about an image.
#[derive(Clone, Debug)]
pub struct ImageReport {
    /// Why no signature could make this image acceptable.
    pub flaw: Option<String>,
    /// What no firmware minds, but the owner may: a checksum that is not right.
    pub doubt: Option<String>,
    /// Which of the certificates given were passed over.
    pub notes: Vec<String>,
    /// Each signature, in the order of the table.
    pub signatures: Vec<SignatureReport>,
}

/// What is to be said about a signature, as far as it could be read.
#[derive(Clone, Debug)]
pub struct SignatureReport {
    /// The subject of the signer's certificate.
    pub signer: Option<String>,
    /// Who has issued that.
    pub issuer: Option<String>,
    /// The hash, and the digest of the image that was signed.
    pub digest: Option<(Hash, Vec<u8>)>,
    /// Whether that is the digest of this image.
    pub is_of_image: bool,
    /// Whether it makes the image acceptable.
    pub verdict: Verdict,
    /// What firmware does not mind, but the owner may: certificates that have expired, or cannot be read.
    pub notes: Vec<String>,
}

impl SignatureReport {
    /// Notes what the search for a way to an anchor has come to.
    fn conclude(&mut self, path: Result<Vec<ChainLink>>) {
        self.verdict = match path {
            Ok(path) => {
                let now = SystemTime::now();
                self.notes.extend(path.iter().filter_map(|link| link.note_on_time(now)));
                Verdict::Accepted(path.iter().map(ChainLink::subject).collect())
            }
            Err(why) => Verdict::Refused(why.why().to_owned()),
        };
    }
}

/// Whether a signature is good for the certificates given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// By way of these subjects, the first the signer's, the last a certificate given.
    Accepted(Vec<String>),
    /// For this reason.
    Refused(String),
}

impl ImageReport {
    /// Has what no firmware minds be a reason to refuse.
    pub fn be_strict(&mut self) {
        self.flaw = self.flaw.take().or_else(|| self.doubt.take());
    }

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
            [SignatureReport { verdict: Verdict::Refused(why), .. }] => why.clone(),
            several => format!("none of its {} signatures is good for the certificates given", several.len()),
        })
    }
}

/// Verifies an image for a verifier that trusts one of `anchors`, X.509 certificates in DER. All of it is read once.
///
/// # Errors
/// [`Kind::Corrupt`]: no image, or no anchor that can be read; those of reading. Everything else is in the report.
pub fn verify<'a>(image: impl Into<Data<'a>>, anchors: &[impl AsRef<[u8]>]) -> Result<ImageReport> {
    let image = Image::parse(image)?;
    let (anchors, notes) = read_anchors(anchors)?;
    let opened: Vec<_> = image.certificates().iter().map(open).collect();

    let is_wanted = |hash: &Hash| opened.iter().any(|(said, _)| said.digest.as_ref().is_some_and(|(of, _)| of == hash));
    let hashes: Vec<_> = Hash::ALL.into_iter().filter(is_wanted).collect();
    let (mut gaps, mut sum) = (Gaps::new(&image), CheckSum::new(image.headers()));
    let digests = digests(&image, &hashes, |at, bytes| {
        gaps.see(at, bytes);
        sum.see(at, bytes);
    })?;

    let judged = opened.into_iter().map(|(mut signature, opened)| {
        signature.is_of_image = signature.digest.as_ref().is_some_and(|stated| digests.contains(stated));
        let path = opened.and_then(|opened| judge(&signature, &opened, &anchors));
        signature.conclude(path);
        signature
    });
    Ok(ImageReport {
        signatures: judged.collect(),
        flaw: gaps.flaw().or_else(|| flaw(&image)),
        doubt: doubt(image.headers().check_sum, sum.of_length(image.data().len())),
        notes,
    })
}

/// The digests of an image, all of which `also` is shown meanwhile.
fn digests(image: &Image<'_>, hashes: &[Hash], mut also: impl FnMut(usize, &[u8])) -> Result<Vec<(Hash, Vec<u8>)>> {
    let mut digests: Vec<_> = hashes.iter().map(|hash| (*hash, ImageDigest::new(image, *hash))).collect();
    image.pieces(0..image.data().len(), |at, bytes| {
        also(at, bytes);
        digests.iter_mut().for_each(|(_, digest)| digest.see(at, bytes));
    })?;
    digests.into_iter().map(|(hash, digest)| Ok((hash, digest.finish(image)?))).collect()
}

/// A signature that is good for its image; whom its signer leads to is asked later, of any number of certificates.
#[derive(Clone, Debug)]
pub struct GoodSignature {
    signer: ChainLink,
    embedded: Vec<ChainLink>,
}

impl GoodSignature {
    /// One by the holder of this certificate, as is known of an image that is not at hand.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not a certificate in DER.
    pub fn by(certificate: &[u8]) -> Result<Self> {
        Ok(Self { signer: ChainLink::read(certificate)?, embedded: Vec::new() })
    }

    /// The certificate of its signer, in DER.
    #[must_use]
    pub fn signer(&self) -> &[u8] {
        self.signer.der()
    }

    /// Whose that is.
    #[must_use]
    pub fn subject(&self) -> String {
        self.signer.subject()
    }

    /// What is signed of its signer's certificate (`TBSCertificate`), and of those beside it that there is a way to.
    pub fn to_be_signed(&self) -> impl Iterator<Item = &[u8]> {
        let leads_to =
            |link: &&ChainLink| chain::find(&self.signer, &self.embedded, std::slice::from_ref(*link)).is_ok();
        std::iter::once(&self.signer).chain(self.embedded.iter().filter(leads_to)).map(ChainLink::to_be_signed)
    }

    /// Whether there is a way from its signer to this certificate in DER.
    #[must_use]
    pub fn leads_to(&self, certificate: &[u8]) -> bool {
        ChainLink::read(certificate)
            .is_ok_and(|anchor| chain::find(&self.signer, &self.embedded, std::slice::from_ref(&anchor)).is_ok())
    }
}

/// An image as whoever is to start it sees it.
#[derive(Clone, Debug)]
pub struct SignedImage {
    /// Its signatures that are good for it, in the order of its table.
    pub signatures: Vec<GoodSignature>,
    /// Its digests, one for each hash.
    pub digests: Vec<(Hash, Vec<u8>)>,
    /// Those of other algorithms, in the order in which they were asked for.
    pub more: Vec<Vec<u8>>,
}

/// Reads the signatures of an image that are good for it, and its digests; `more` are begun of other algorithms, and finished.
/// All of it is read once.
///
/// # Errors
/// [`Kind::Corrupt`]: it is not an image; those of reading.
pub fn good_signatures(image: &Image<'_>, more: Vec<Context>) -> Result<SignedImage> {
    let mut more: Vec<_> = more.into_iter().map(|context| ImageDigest::with(image, context)).collect();
    let digests = digests(image, &Hash::ALL, |at, bytes| more.iter_mut().for_each(|digest| digest.see(at, bytes)))?;
    let more = more.into_iter().map(|digest| digest.finish(image)).collect::<Result<_>>()?;
    let good = image.certificates().iter().map(open).filter_map(|(mut signature, opened)| {
        signature.is_of_image = signature.digest.as_ref().is_some_and(|stated| digests.contains(stated));
        let opened = opened.ok()?;
        // Its own signer is the nearest that it leads to.
        judge(&signature, &opened, std::slice::from_ref(&opened.signer)).ok()?;
        Some(GoodSignature { signer: opened.signer.clone(), embedded: opened.embedded })
    });
    let signatures = good.collect();
    Ok(SignedImage { signatures, digests, more })
}

/// Those of them that can be read, of which there is one, and a note on each of the others: they vouch for nothing.
fn read_anchors(given: &[impl AsRef<[u8]>]) -> Result<(Vec<ChainLink>, Vec<String>)> {
    let (mut anchors, mut notes) = (Vec::new(), Vec::new());
    for (number, der) in (1..).zip(given) {
        match ChainLink::read(der.as_ref()) {
            Ok(anchor) => anchors.push(anchor),
            Err(why) if number == given.len() && anchors.is_empty() => return Err(why),
            Err(why) => notes.push(format!(
                "certificate {number} of the {} given is passed over, it cannot be read: {}",
                given.len(),
                why.why()
            )),
        }
    }
    Ok((anchors, notes))
}

/// Bytes that no signature covers have to be what they must be.
fn flaw(image: &Image<'_>) -> Option<String> {
    if image.certificates().iter().any(|certificate| certificate.padding.iter().any(|byte| *byte != 0)) {
        return Some("there is something in the padding of its certificate table".to_owned());
    }
    image.table_flaw().map(|flaw| format!("{flaw}: `trust sign efi --replace` mends that"))
}

/// What no firmware minds: nobody signs a checksum, and few programs write one.
fn doubt(stated: u32, sum: u32) -> Option<String> {
    (stated != 0 && stated != sum).then(|| format!("its checksum is {stated:#x} and should be {sum:#x}"))
}

/// A signature of which all has been read that does not need the image.
struct Opened<'a> {
    signed_data: SignedData<'a>,
    content: Tlv<'a>,
    embedded: Vec<ChainLink>,
    signer: ChainLink,
}

/// Reads a signature; what is found out before that fails is noted.
fn open<'a>(entry: &'a Certificate<'_>) -> (SignatureReport, Result<Opened<'a>>) {
    let mut signature = SignatureReport {
        signer: None,
        issuer: None,
        digest: None,
        is_of_image: false,
        verdict: Verdict::Refused(String::new()),
        notes: Vec::new(),
    };
    let opened = open_into(&mut signature, entry);
    (signature, opened)
}

fn open_into<'a>(signature: &mut SignatureReport, entry: &'a Certificate<'_>) -> Result<Opened<'a>> {
    if (entry.revision, entry.kind) != (WIN_CERT_REVISION, WIN_CERT_TYPE_PKCS) {
        let Certificate { revision, kind, .. } = entry;
        return Err(bad(format!("it is of revision {revision:#x} and kind {kind:#x}, and no Authenticode")));
    }
    let signed_data = SignedData::parse_content_info(without_padding(&entry.content)?)?;
    let mut embedded = Vec::new();
    for (number, der) in (1..).zip(&signed_data.certificates) {
        match ChainLink::read(der) {
            Ok(link) => embedded.push(link),
            // Without it the chain is found all the same, or not at all.
            Err(why) => signature.notes.push(format!(
                "certificate {number} of the {} in it is passed over, it cannot be read: {}",
                signed_data.certificates.len(),
                why.why()
            )),
        }
    }
    let by = &signed_data.signer;
    let signer = embedded.iter().find(|link| link.is_named(by.issuer, by.serial_number)).cloned();
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
    Ok(Opened { signed_data, content, embedded, signer })
}

/// The way to an anchor.
fn judge(signature: &SignatureReport, opened: &Opened<'_>, anchors: &[ChainLink]) -> Result<Vec<ChainLink>> {
    let Opened { signed_data, content, embedded, signer } = opened;
    if !signature.is_of_image {
        return Err(bad("the image is not the one that was signed"));
    }
    if signed_data.signer.attributes.is_none() {
        return Err(bad("its attributes are missing"));
    }
    if !signed_data.is_by(&signer.key()?, content.value()) {
        return Err(bad("it was not made with the key of its signer"));
    }
    chain::find(signer, embedded, anchors).map(|path| path.into_iter().cloned().collect())
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
