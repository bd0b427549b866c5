//! What `verify` refuses, and with which word.

use super::*;
use crate::host::{
    fs::atomic::Output,
    image::{
        authenticode::{Signer, copy_bare, digest, sign},
        pe::tests::{sample, with_table},
    },
    keyset::profile::{self, Owner, Valid},
    pki::{
        certificate,
        cms::{Attributed, sign_attributed},
        key::{KeyType, PrivateKey},
    },
};
use ::cms::{
    content_info::ContentInfo,
    signed_data::{CertificateSet, SignedData as Parts, SignerInfos},
};
use der::{
    Any, Decode, Encode,
    asn1::{OctetString, SetOfVec},
    oid::{
        ObjectIdentifier,
        db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA},
    },
};
use x509_cert::Certificate as X509;

struct Party {
    key: PrivateKey,
    certificate: X509,
}

impl Party {
    fn new() -> Self {
        let key = PrivateKey::generate(KeyType::EcP256).unwrap();
        let owner = Owner { keyset: "k".into(), organizations: Vec::new() };
        let template = profile::code_signer("signer", &owner, Valid::Years(1)).unwrap();
        Self { certificate: certificate::self_sign(&template, &key).unwrap(), key }
    }

    fn der(&self) -> Vec<u8> {
        self.certificate.to_der().unwrap()
    }

    /// A signature over content of this kind.
    fn signature(&self, kind: ObjectIdentifier, content: &[u8]) -> Vec<u8> {
        let content = Attributed { kind, der: content };
        sign_attributed(content, &self.key, &self.certificate, &[], Hash::Sha256).unwrap()
    }

    /// A good signature for [`sample`], after `change`, signed again.
    fn changed(&self, change: impl FnOnce(&mut Parts)) -> Vec<u8> {
        let good = self.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256));
        let info = ContentInfo::from_der(&good).unwrap();
        let mut parts: Parts = info.content.decode_as().unwrap();
        change(&mut parts);
        let content = Any::encode_from(&parts).unwrap();
        ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der().unwrap()
    }

    /// As [`Self::changed`], with other attributes, signed by themselves.
    fn with_attributes(&self, keep: &[ObjectIdentifier], twice: Option<ObjectIdentifier>) -> Vec<u8> {
        self.changed(|parts| {
            let mut signer = parts.signer_infos.0.get(0).unwrap().clone();
            let all = signer.signed_attrs.take().unwrap().into_vec();
            let kept = all.iter().filter(|attribute| keep.contains(&attribute.oid)).cloned();
            let mut again: Vec<_> = all.iter().filter(|attribute| Some(attribute.oid) == twice).cloned().collect();
            for attribute in &mut again {
                // Another value, so that the set may hold both.
                attribute.values = SetOfVec::try_from(vec![Any::encode_from(&ID_DATA).unwrap()]).unwrap();
            }
            let attributes = SetOfVec::try_from(kept.chain(again).collect::<Vec<_>>()).unwrap();
            let signed = attributes.to_der().unwrap();
            signer.signature = OctetString::new(self.key.sign(Hash::Sha256, &signed).unwrap()).unwrap();
            signer.signed_attrs = Some(attributes);
            parts.signer_infos = SignerInfos::try_from(vec![signer]).unwrap();
        })
    }
}

fn content_of_sample(hash: Hash) -> Vec<u8> {
    content::encode(hash, &digest(&Image::parse(&sample(b"")).unwrap(), hash).unwrap()).unwrap()
}

/// The sample with these signatures.
fn signed(signatures: &[&[u8]]) -> Vec<u8> {
    let entries = signatures.iter().map(|signature| entry(0x200, 2, signature, 0));
    with_table(&entries.collect::<Vec<_>>().concat())
}

/// What `sign` makes of an image.
fn signed_anew(image: &[u8], kept: &[Certificate<'_>], signer: Signer<'_>) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut output = Output::begin(&dir.path().join("image"), 0o600).unwrap();
    copy_bare(&Image::parse(image).unwrap(), &mut output).unwrap();
    sign(&mut output, kept, signer, Hash::Sha256, |_, _| ()).unwrap();
    output.data().read().unwrap().into_owned()
}

fn check_sum(image: &[u8]) -> u32 {
    let mut sum = CheckSum::new(Image::parse(image).unwrap().headers());
    sum.see(0, image);
    sum.of_length(image.len())
}

fn entry(revision: u16, kind: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let length = (content.len() as u32 + 8).to_le_bytes();
    let mut entry = [&length[..], &revision.to_le_bytes(), &kind.to_le_bytes(), content].concat();
    entry.resize(entry.len().next_multiple_of(8), padding);
    entry
}

#[track_caller]
fn refused(image: &[u8], party: &Party, because: &str) {
    let refusal = verify(image, &[party.der()]).unwrap().refusal();
    assert!(refusal.as_ref().is_some_and(|why| why.contains(because)), "{refusal:?}");
}

#[test]
fn an_intact_signature_is_accepted() {
    let party = Party::new();
    let good = party.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256));
    let image = signed(&[&good]);
    let report = verify(&image, &[party.der()]).unwrap();
    assert!(report.is_accepted(), "{report:?}");
    // The same signature, as `sign` makes it: the checks below are about what differs from it.
    let signer = Signer { key: &party.key, certificate: &party.certificate, intermediates: &[] };
    let ours = signed_anew(&sample(b""), &[], signer);
    assert_eq!(verify(&ours, &[party.der()]).unwrap().signatures[0].digest, report.signatures[0].digest);
    assert!(verify(&signed(&[&party.changed(|_| ())]), &[party.der()]).unwrap().is_accepted());
    refused(&image, &Party::new(), "and the certificate of this name that was given is another");
    refused(&sample(b""), &party, "it is not signed");
    let broken = b"0\x03abc".to_vec();
    assert_eq!(verify(&image, &[&broken]).unwrap_err().kind(), Kind::Corrupt);
    assert_eq!(verify(&image, &[&broken, &broken]).unwrap_err().kind(), Kind::Corrupt);
    for anchors in [[broken.clone(), party.der()], [party.der(), broken]] {
        let report = verify(&image, &anchors).unwrap();
        assert!(report.is_accepted() && report.notes[0].contains("of the 2 given is passed over"), "{report:?}");
    }
    let nobody: [&[u8]; 0] = [];
    assert!(!verify(&image, &nobody).unwrap().is_accepted());
}

#[test]
fn one_valid_signature_of_several_is_enough() {
    let (one, two) = (Party::new(), Party::new());
    let [first, second] =
        [&one, &two].map(|party| party.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256)));
    for image in [signed(&[&first, &second]), signed(&[&second, b"nonsense", &first])] {
        assert!(verify(&image, &[one.der()]).unwrap().is_accepted());
        assert!(verify(&image, &[two.der()]).unwrap().is_accepted());
        refused(&image, &Party::new(), "signatures is good for the certificates given");
    }
}

#[test]
fn a_signature_of_another_image_is_refused() {
    let party = Party::new();
    let other = content::encode(Hash::Sha256, &[0; 32]).unwrap();
    refused(&signed(&[&party.signature(SPC_INDIRECT_DATA, &other)]), &party, "not the one that was signed");
    let short = content::encode(Hash::Sha256, &[]).unwrap();
    refused(&signed(&[&party.signature(SPC_INDIRECT_DATA, &short)]), &party, "not the one that was signed");
    let mixed = content_of_sample(Hash::Sha384);
    refused(&signed(&[&party.signature(SPC_INDIRECT_DATA, &mixed)]), &party, "hashed in different ways");
    let good = content_of_sample(Hash::Sha256);
    refused(&signed(&[&party.signature(ID_DATA, &good)]), &party, "not about an image");
    let mut kind = good.clone();
    let at = kind.windows(3).position(|bytes| bytes == [2, 1, 15]).unwrap();
    kind[at + 2] = 25;
    refused(&signed(&[&party.signature(SPC_INDIRECT_DATA, &kind)]), &party, "something other than a PE image");
    let image = signed(&[&party.signature(SPC_INDIRECT_DATA, &good)]);
    let mut changed = image.clone();
    changed[0x200] ^= 1;
    refused(&changed, &party, "not the one that was signed");
}

#[test]
fn missing_and_repeated_attributes_are_refused() {
    let party = Party::new();
    let both = [ID_CONTENT_TYPE, ID_MESSAGE_DIGEST];
    let good = party.with_attributes(&both, None);
    assert!(verify(&signed(&[&good]), &[party.der()]).unwrap().is_accepted());
    for (keep, twice) in [
        (&both[..1], None),
        (&both[1..], None),
        (&[][..], None),
        (&both[..], Some(ID_CONTENT_TYPE)),
        (&both[..], Some(ID_MESSAGE_DIGEST)),
    ] {
        let image = signed(&[&party.with_attributes(keep, twice)]);
        refused(&image, &party, "not made with the key of its signer");
    }
    let none = party.changed(|parts| {
        let mut signer = parts.signer_infos.0.get(0).unwrap().clone();
        let content = parts.encap_content_info.econtent.clone().unwrap();
        signer.signed_attrs = None;
        let signature = party.key.sign(Hash::Sha256, content.value()).unwrap();
        signer.signature = OctetString::new(signature).unwrap();
        parts.signer_infos = SignerInfos::try_from(vec![signer]).unwrap();
    });
    refused(&signed(&[&none]), &party, "its attributes are missing");
}

#[test]
fn anything_but_one_present_signer_is_refused() {
    let (party, other) = (Party::new(), Party::new());
    let without = party.changed(|parts| parts.certificates = None);
    refused(&signed(&[&without]), &party, "the signer's certificate is not in it");
    let choice = ::cms::cert::CertificateChoices::Certificate(other.certificate.clone());
    let set = CertificateSet::try_from(vec![choice]).unwrap();
    let another = party.changed(|parts| parts.certificates = Some(set));
    refused(&signed(&[&another]), &party, "the signer's certificate is not in it");
    let two = party.changed(|parts| {
        let signer = parts.signer_infos.0.get(0).unwrap().clone();
        let mut second = signer.clone();
        second.signature = OctetString::new(vec![0; 8]).unwrap();
        parts.signer_infos = SignerInfos::try_from(vec![signer, second]).unwrap();
    });
    refused(&signed(&[&two]), &party, "SET has more than 1 parts");
    let none = party.changed(|parts| parts.signer_infos = SignerInfos::try_from(Vec::new()).unwrap());
    refused(&signed(&[&none]), &party, "there is no signer");
    let content = party.changed(|parts| parts.encap_content_info.econtent = None);
    refused(&signed(&[&content]), &party, "not about an image");
}

#[test]
fn other_entries_of_the_table_are_refused() {
    let party = Party::new();
    let good = party.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256));
    // Padding that is counted in dwLength, as Microsoft does it, is padding still.
    let padding = good.len().next_multiple_of(8) - good.len();
    let counted = [&good[..], &vec![0; padding]].concat();
    assert!(verify(&signed(&[&counted]), &[party.der()]).unwrap().is_accepted());
    refused(&signed(&[&[&good[..], &[0; 8]].concat()]), &party, "something follows it");
    refused(&signed(&[&[&good[..], &[1]].concat()]), &party, "something follows it");
    refused(&signed(&[&good[..good.len() - 1]]), &party, "not in DER");
    // At least a byte of padding, whatever the length of an ECDSA signature.
    let odd = if good.len().is_multiple_of(8) { [&good[..], &[0]].concat() } else { good.clone() };
    refused(&with_table(&entry(0x200, 2, &odd, 7)), &party, "something in the padding");
    refused(&with_table(&entry(0x100, 2, &good, 0)), &party, "no Authenticode");
    refused(&with_table(&entry(0x200, 1, &good, 0)), &party, "no Authenticode");
}

#[test]
fn a_stale_checksum_is_refused_only_if_strict() {
    let party = Party::new();
    let mut image = signed(&[&party.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256))]);
    let (sum, field) = (check_sum(&image), Image::parse(&image).unwrap().headers().check_sum_field());
    for (stated, doubts) in [(0, false), (sum, false), (sum + 1, true)] {
        image[field.clone()].copy_from_slice(&stated.to_le_bytes());
        let mut report = verify(&image, &[party.der()]).unwrap();
        assert!(report.is_accepted());
        assert_eq!(report.doubt.is_some(), doubts, "{report:?}");
        report.be_strict();
        assert_eq!(report.refusal().is_some_and(|why| why.contains("its checksum is")), doubts);
    }
}

/// What firmware would not read to the end is refused, and mended when it is signed anew.
#[test]
fn empty_table_entries_are_repaired() {
    let party = Party::new();
    let good = entry(0x200, 2, &party.signature(SPC_INDIRECT_DATA, &content_of_sample(Hash::Sha256)), 0);
    let signer = Signer { key: &party.key, certificate: &party.certificate, intermediates: &[] };
    for (table, behind, because) in [
        ([&good[..], &[0; 8]].concat(), &[][..], "ends in zeros"),
        ([&[8, 0, 0, 0, 0, 2, 2, 0], &good[..]].concat(), &[], "is empty"),
        (good.clone(), &[0; 16], "zeros follow"),
    ] {
        let image = [&with_table(&table)[..], behind].concat();
        refused(&image, &party, because);
        let mended = signed_anew(&image, &[], signer);
        let report = verify(&mended, &[party.der()]).unwrap();
        assert!(report.is_accepted() && report.doubt.is_none(), "{report:?}");
    }
}

#[test]
fn an_unreadable_certificate_is_named_and_skipped() {
    let (party, other) = (Party::new(), Party::new());
    let content = content_of_sample(Hash::Sha256);
    let content = Attributed { kind: SPC_INDIRECT_DATA, der: &content };
    let others = [other.certificate.clone()];
    let good = sign_attributed(content, &party.key, &party.certificate, &others, Hash::Sha256).unwrap();
    // Of a version that there is not: behind two headers of four bytes and a tag.
    let with_broken = |der: Vec<u8>| {
        let mut signature = good.clone();
        let at = signature.windows(der.len()).position(|part| part == der).unwrap();
        assert_eq!(signature[at + 8..at + 13], [0xa0, 3, 2, 1, 2]);
        signature[at + 12] = 9;
        signed(&[&signature])
    };
    let report = verify(&with_broken(other.der()), &[party.der()]).unwrap();
    assert!(report.is_accepted(), "{report:?}");
    assert!(report.signatures[0].notes[0].contains("of the 2 in it is passed over"), "{report:?}");
    refused(&with_broken(party.der()), &party, "the signer's certificate is not in it");
}
