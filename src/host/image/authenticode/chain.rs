//! From a signer to a certificate that is trusted (RFC 5280, section 6), as firmware walks it: without
//! time, which firmware does not know, and without revocation, which dbx is for.
//!
//! The trusted certificate is the end of the chain, whether it has issued itself or not. Every
//! link to it is there and is signed; there is no other way to be trusted.

use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::pki::{
        cms::Tlv,
        key::{Hash, PublicKey},
    },
};
use der::{
    Decode, Tag,
    asn1::BitString,
    oid::{
        AssociatedOid, ObjectIdentifier,
        db::rfc5912::{
            ID_CE_CERTIFICATE_POLICIES, ID_CE_CRL_DISTRIBUTION_POINTS, ID_CE_EXT_KEY_USAGE, ID_CE_SUBJECT_ALT_NAME,
        },
    },
};
use std::time::{Duration, SystemTime};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, KeyUsage},
};

/// Intermediates in a chain, at most.
const MAX_INTERMEDIATES: usize = 8;
/// Signatures of certificates that are looked at in search of a chain, at most.
const MAX_CHECKS: usize = 200;
/// Netscape's certificate type.
const NETSCAPE_CERT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113730.1.1");
/// Extensions that may be critical: those that are looked at here, and those that say what firmware does not ask.
const KNOWN: [ObjectIdentifier; 7] = [
    BasicConstraints::OID,
    KeyUsage::OID,
    ID_CE_CERTIFICATE_POLICIES,
    ID_CE_CRL_DISTRIBUTION_POINTS,
    ID_CE_EXT_KEY_USAGE,
    ID_CE_SUBJECT_ALT_NAME,
    NETSCAPE_CERT_TYPE,
];

/// A certificate and the bytes that it came as.
#[derive(Clone, Debug)]
pub struct ChainLink {
    der: Vec<u8>,
    certificate: Certificate,
}

impl ChainLink {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn read(der: &[u8]) -> Result<Self> {
        match Certificate::from_der(der) {
            Ok(certificate) => Ok(Self { der: der.to_vec(), certificate }),
            Err(why) => Err(Error::new(Kind::Corrupt, "read a certificate", why.to_string())
                .remedy("give an X.509 certificate in DER or PEM")),
        }
    }

    /// The bytes that it came as.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its key, if that is of a kind that signs for us.
    ///
    /// # Errors
    /// Those of [`PublicKey::from_info`].
    pub fn key(&self) -> Result<PublicKey> {
        PublicKey::from_info(self.certificate.tbs_certificate().subject_public_key_info())
    }

    /// What its issuer has signed of it: its `TBSCertificate`, in DER.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        crate::host::pki::certificate::to_be_signed(&self.der).unwrap_or_default()
    }

    /// Whose it is.
    #[must_use]
    pub fn subject(&self) -> String {
        printable(&self.certificate.tbs_certificate().subject().to_string())
    }

    /// Who has issued it.
    #[must_use]
    pub fn issuer(&self) -> String {
        printable(&self.certificate.tbs_certificate().issuer().to_string())
    }

    /// Whether issuer and serial number, in DER, are this one's.
    #[must_use]
    pub fn is_named(&self, issuer: &[u8], serial_number: &[u8]) -> bool {
        use der::Encode;
        let tbs = self.certificate.tbs_certificate();
        tbs.issuer().to_der().is_ok_and(|der| der == issuer)
            && tbs.serial_number().to_der().is_ok_and(|der| der == serial_number)
    }

    /// What firmware does not mind, but its owner may.
    #[must_use]
    pub fn note_on_time(&self, now: SystemTime) -> Option<String> {
        let validity = self.certificate.tbs_certificate().validity();
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        if now > validity.not_after.to_unix_duration() {
            Some(format!("the certificate of {} expired on {}", self.subject(), validity.not_after))
        } else if now < validity.not_before.to_unix_duration() {
            Some(format!("the certificate of {} is not valid before {}", self.subject(), validity.not_before))
        } else {
            None
        }
    }

    /// Whether this says that `issuer` has issued it.
    fn names(&self, issuer: &Self) -> bool {
        self.certificate.tbs_certificate().issuer() == issuer.certificate.tbs_certificate().subject()
    }

    /// Why it cannot issue a certificate, with so many CAs between that and the signer's (RFC 5280, sections 4.2.1.3
    /// and 4.2.1.9).
    fn unfit(&self, between: usize) -> Option<&'static str> {
        let tbs = self.certificate.tbs_certificate();
        let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten().map(|(_, constraints)| constraints);
        let Some(constraints) = constraints.filter(|constraints| constraints.ca) else { return Some("it is not a CA") };
        match tbs.get_extension::<KeyUsage>() {
            Ok(None) => {}
            Ok(Some((_, usage))) if usage.key_cert_sign() => {}
            _ => return Some("its key is not for signing certificates"),
        }
        if constraints.path_len_constraint.is_some_and(|most| between > usize::from(most)) {
            return Some("there are more CAs between it and the signer than it allows");
        }
        self.unknown()
    }

    /// Something critical in it that is not understood here.
    fn unknown(&self) -> Option<&'static str> {
        let extensions = self.certificate.tbs_certificate().extensions().map(Vec::as_slice).unwrap_or_default();
        let unknown = extensions.iter().any(|extension| extension.critical && !KNOWN.contains(&extension.extn_id));
        unknown.then_some("it has a critical extension of a kind that is not known")
    }

    /// Over the bytes that it came as.
    fn is_signed_by(&self, key: &PublicKey) -> bool {
        let parts = Tlv::read(&self.der).and_then(|certificate| certificate.parts(Tag::Sequence, 3));
        let Ok([tbs, _, _]) = parts.as_deref() else { return false };
        let algorithm = self.certificate.signature_algorithm();
        let hash = Hash::ALL.into_iter().find(|hash| algorithm.oid == key.family().signature_oid(*hash));
        let signature = BitString::as_bytes(self.certificate.signature());
        // RFC 5280, section 4.1.1.2: what is signed says the same.
        algorithm == self.certificate.tbs_certificate().signature()
            && matches!((hash, signature), (Some(hash), Some(signature)) if key.verify(hash, tbs.der, signature))
    }
}

/// The way from the signer to one of the `anchors`, both included.
///
/// # Errors
/// [`Kind::Refused`], which says where the way ends.
pub fn find<'a>(
    signer: &'a ChainLink,
    embedded: &'a [ChainLink],
    anchors: &'a [ChainLink],
) -> Result<Vec<&'a ChainLink>> {
    if let Some(why) = signer.unknown() {
        return Err(refused(format!("the certificate of {} does not count: {why}", signer.subject())));
    }
    let mut path = vec![signer];
    let mut search = Search { embedded, anchors, checks: MAX_CHECKS, furthest: signer, obstacle: None };
    if search.extend(&mut path) {
        return Ok(path);
    }
    let end = search.furthest;
    Err(refused(match search.obstacle {
        _ if end.names(end) && anchors.iter().any(|anchor| end.names(anchor)) => {
            format!("its chain ends at {}, and the certificate of this name that was given is another", end.subject())
        }
        _ if end.names(end) => {
            format!("its chain ends at {}, which is not one of the certificates given", end.subject())
        }
        Some(obstacle) => obstacle,
        None => format!("there is no certificate of {}, which should have issued {}", end.issuer(), end.subject()),
    }))
}

struct Search<'a> {
    embedded: &'a [ChainLink],
    anchors: &'a [ChainLink],
    checks: usize,
    /// Where the longest way ended.
    furthest: &'a ChainLink,
    /// Why a certificate that has the right name is not the next one.
    obstacle: Option<String>,
}

impl<'a> Search<'a> {
    /// Goes on from the last of `path` to an anchor, or leaves it as it was.
    fn extend(&mut self, path: &mut Vec<&'a ChainLink>) -> bool {
        let Some(last) = path.last().copied() else { return false };
        if self.anchors.iter().any(|anchor| anchor.der == last.der) {
            return true;
        }
        let between = path.len() - 1;
        for anchor in self.anchors {
            if self.has_issued(anchor, last, between) {
                path.push(anchor);
                return true;
            }
        }
        if between == MAX_INTERMEDIATES {
            return false;
        }
        for next in self.embedded {
            if path.iter().all(|link| link.der != next.der) && self.has_issued(next, last, between) {
                path.push(next);
                (self.furthest, self.obstacle) = (next, None);
                if self.extend(path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    fn has_issued(&mut self, issuer: &ChainLink, certificate: &ChainLink, between: usize) -> bool {
        if !certificate.names(issuer) || self.checks == 0 {
            return false;
        }
        self.checks -= 1;
        let why = match (issuer.unfit(between), issuer.key()) {
            (Some(why), _) => why.to_owned(),
            (None, Err(why)) => why.why().to_owned(),
            (None, Ok(key)) if certificate.is_signed_by(&key) => return true,
            (None, Ok(_)) => "it has not signed that".to_owned(),
        };
        self.obstacle = Some(format!(
            "the certificate of {} at hand has not issued {}: {why}",
            issuer.subject(),
            certificate.subject()
        ));
        false
    }
}

fn refused(why: String) -> Error {
    Error::new(Kind::Refused, "accept a signature", why).remedy("give the certificate that should be trusted")
}
