//! Key files of all kinds, with policies: `TPMKey` of the draft.
//!
//! ```text
//! TPMKey ::= SEQUENCE {
//!   type         OBJECT IDENTIFIER            2.23.133.10.1.3 to .5
//!   emptyAuth    [0] BOOLEAN OPTIONAL         true: no password
//!   policy       [1] SEQUENCE OF TPMPolicy OPTIONAL
//!   secret       [2] OCTET STRING OPTIONAL    of an importable key
//!   authPolicy   [3] SEQUENCE OF TPMAuthPolicy OPTIONAL
//!   description  [4] UTF8String OPTIONAL
//!   rsaParent    [5] BOOLEAN OPTIONAL         a parent that is a hierarchy means an RSA key of it
//!   parent       INTEGER
//!   pubkey       OCTET STRING                 TPM2B_PUBLIC
//!   privkey      OCTET STRING                 TPM2B_PRIVATE
//! }
//! TPMPolicy     ::= SEQUENCE { commandCode [0] INTEGER, commandPolicy [1] OCTET STRING }
//! TPMAuthPolicy ::= SEQUENCE { name [0] UTF8String OPTIONAL, policy [1] SEQUENCE OF TPMPolicy }
//! ```
//!
//! All tags in brackets are explicit.

use super::LABEL;
use crate::{bytes::Reader as Fields, pem, tpm2::duplication::tpm2b};
use der::{
    Decode, DecodeValue, Encode, EncodeValue, FixedTag, Header, Reader, SliceReader, Tag, TagMode, TagNumber, Tagged,
    asn1::{AnyRef, ContextSpecific, ContextSpecificRef, ObjectIdentifier, OctetStringRef, Utf8StringRef},
};

/// Statements of a policy, and alternatives of a key, that are read at most.
const MAX_ITEMS: usize = 64;

/// What a key file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileKind {
    /// A key that `TPM2_Load` takes.
    Loadable,
    /// A key that `TPM2_Import` takes.
    Importable,
    /// Data that `TPM2_Unseal` gives back.
    Sealed,
}

/// A key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// What it is for.
    pub kind: KeyFileKind,
    /// Whether no password belongs to it.
    pub empty_auth: bool,
    /// How its policy is asserted, in this order.
    pub policy: Vec<Statement>,
    /// Policies of which one must hold, where [`Self::policy`] says so.
    pub alternatives: Vec<Alternative>,
    /// What people are told.
    pub description: Option<String>,
    /// Whether the parent, where that is a hierarchy, is an RSA key.
    pub rsa_parent: bool,
    /// A persistent handle, or a hierarchy.
    pub parent: u32,
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// What is in the `TPM2B_PRIVATE`.
    pub private: Vec<u8>,
}

/// `TPMPolicy`: one command that asserts something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `TPM_CC`.
    pub code: u32,
    /// Its parameters, with differences that the draft lists.
    pub body: Vec<u8>,
}

/// `TPMAuthPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// What people call it.
    pub name: Option<String>,
    /// How it is asserted.
    pub policy: Vec<Statement>,
}

impl KeyFileKind {
    const ALL: [(Self, ObjectIdentifier); 3] = [
        (Self::Loadable, super::LOADABLE),
        (Self::Importable, ObjectIdentifier::new_unwrap("2.23.133.10.1.4")),
        (Self::Sealed, ObjectIdentifier::new_unwrap("2.23.133.10.1.5")),
    ];
}

impl KeyFile {
    /// In DER; `None` where something in it is larger than it can be.
    #[must_use]
    pub fn to_der(&self) -> Option<Vec<u8>> {
        let kind = KeyFileKind::ALL.into_iter().find(|(kind, _)| *kind == self.kind)?.1;
        let mut fields = kind.to_der().ok()?;
        if self.empty_auth {
            explicit(&mut fields, 0, &true)?;
        }
        if !self.policy.is_empty() {
            explicit(&mut fields, 1, &AnyRef::new(Tag::Sequence, &statements(&self.policy)?).ok()?)?;
        }
        if !self.alternatives.is_empty() {
            let all = self.alternatives.iter().try_fold(Vec::new(), |mut all, alternative| {
                all.extend(alternative.to_der()?);
                Some(all)
            })?;
            explicit(&mut fields, 3, &AnyRef::new(Tag::Sequence, &all).ok()?)?;
        }
        if let Some(description) = &self.description {
            explicit(&mut fields, 4, &Utf8StringRef::new(description).ok()?)?;
        }
        if self.rsa_parent {
            explicit(&mut fields, 5, &true)?;
        }
        self.parent.encode_to_vec(&mut fields).ok()?;
        for area in [tpm2b(&self.public)?, tpm2b(&self.private)?] {
            OctetStringRef::new(&area).ok()?.encode_to_vec(&mut fields).ok()?;
        }
        AnyRef::new(Tag::Sequence, &fields).ok()?.to_der().ok()
    }

    /// In PEM.
    #[must_use]
    pub fn to_pem(&self) -> Option<String> {
        Some(pem::encode(LABEL, &self.to_der()?))
    }

    /// From DER.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let mut reader = SliceReader::new(der).map_err(|e| e.to_string())?;
        let file = reader.sequence(Self::fields).map_err(|e: der::Error| e.to_string())?;
        if !reader.is_finished() {
            return Err("something follows it".to_owned());
        }
        file.ok_or_else(|| "its parts are not those of a TPM 2.0 key".to_owned())
    }

    fn fields<'a>(reader: &mut SliceReader<'a>) -> der::Result<Option<Self>> {
        let oid = ObjectIdentifier::decode(reader)?;
        let kind = KeyFileKind::ALL.into_iter().find(|(_, known)| *known == oid);
        let empty_auth = flag(reader, 0)?;
        let policy = optional::<Items<Statement>>(reader, 1)?.unwrap_or_default().0;
        let _secret = optional::<&OctetStringRef>(reader, 2)?;
        let alternatives = optional::<Items<Alternative>>(reader, 3)?.unwrap_or_default().0;
        let description = optional::<Utf8StringRef<'a>>(reader, 4)?.map(|text| text.as_str().to_owned());
        let rsa_parent = flag(reader, 5)?;
        let parent = unsigned(reader)?;
        let area =
            |reader: &mut SliceReader<'a>| Ok::<_, der::Error>(sized(<&OctetStringRef>::decode(reader)?.as_bytes()));
        let (public, private) = (area(reader)?, area(reader)?);
        let whole = kind.zip(public).zip(private);
        Ok(whole.map(|(((kind, _), public), private)| Self {
            kind,
            empty_auth,
            policy,
            alternatives,
            description,
            rsa_parent,
            parent,
            public,
            private,
        }))
    }
}

impl Alternative {
    fn to_der(&self) -> Option<Vec<u8>> {
        let mut fields = Vec::new();
        if let Some(name) = &self.name {
            explicit(&mut fields, 0, &Utf8StringRef::new(name).ok()?)?;
        }
        explicit(&mut fields, 1, &AnyRef::new(Tag::Sequence, &statements(&self.policy)?).ok()?)?;
        AnyRef::new(Tag::Sequence, &fields).ok()?.to_der().ok()
    }
}

/// What is in a `TPM2B` that fills `bytes`.
fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields::new(bytes);
    let inner = fields.tpm2b()?;
    fields.is_empty().then(|| inner.to_vec())
}

/// A number of at most 32 bits; some programs write handles as negative numbers.
fn unsigned<'a>(reader: &mut SliceReader<'a>) -> der::Result<u32> {
    let any = AnyRef::decode(reader)?;
    let bytes = any.value();
    let digits = bytes.strip_prefix(&[0]).filter(|rest| rest.len() == 4).unwrap_or(bytes);
    if any.tag() != Tag::Integer || digits.is_empty() || digits.len() > 4 {
        return Err(Tag::Integer.value_error().into());
    }
    Ok(digits.iter().fold(0, |number, digit| number << 8 | u32::from(*digit)))
}

/// What is in a sequence of statements.
fn statements(policy: &[Statement]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    for statement in policy {
        let mut fields = Vec::new();
        explicit(&mut fields, 0, &statement.code)?;
        explicit(&mut fields, 1, &AnyRef::new(Tag::OctetString, &statement.body).ok()?)?;
        all.extend(AnyRef::new(Tag::Sequence, &fields).ok()?.to_der().ok()?);
    }
    Some(all)
}

/// Appends a value under an explicit tag.
fn explicit<T: EncodeValue + Tagged>(fields: &mut Vec<u8>, number: u32, value: &T) -> Option<()> {
    let tagged = ContextSpecificRef { tag_number: TagNumber(number), tag_mode: TagMode::Explicit, value };
    tagged.encode_to_vec(fields).ok().map(|_| ())
}

/// The value under an explicit tag, if that comes next.
fn optional<'a, T: Decode<'a, Error = der::Error>>(
    reader: &mut SliceReader<'a>,
    number: u32,
) -> der::Result<Option<T>> {
    Ok(ContextSpecific::decode_explicit(reader, TagNumber(number))?.map(|tagged| tagged.value))
}

/// A boolean under an explicit tag; tpm2-tss-engine and its kin write 1 where DER has 255.
fn flag(reader: &mut SliceReader<'_>, number: u32) -> der::Result<bool> {
    match optional::<AnyRef<'_>>(reader, number)? {
        None => Ok(false),
        Some(any) if any.tag() == Tag::Boolean => Ok(any.value().iter().any(|byte| *byte != 0)),
        Some(_) => Err(Tag::Boolean.value_error().into()),
    }
}

/// Elements of a sequence, not too many of them.
struct Items<T>(Vec<T>);

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FixedTag for Items<T> {
    const TAG: Tag = Tag::Sequence;
}

impl<'a, T: Item> DecodeValue<'a> for Items<T> {
    type Error = der::Error;

    fn decode_value<R: Reader<'a>>(reader: &mut R, _: Header) -> der::Result<Self> {
        let mut items = Vec::new();
        while !reader.is_finished() {
            if items.len() == MAX_ITEMS {
                return Err(Tag::Sequence.length_error().into());
            }
            items.push(reader.sequence(T::fields)?);
        }
        Ok(Self(items))
    }
}

/// An element of [`Items`], from what is in its own sequence.
trait Item: Sized {
    fn fields<'a, R: Reader<'a>>(reader: &mut R) -> der::Result<Self>;
}

impl Item for Statement {
    fn fields<'a, R: Reader<'a>>(reader: &mut R) -> der::Result<Self> {
        let missing = || der::Error::from(Tag::Sequence.value_error());
        let code = ContextSpecific::<u32>::decode_explicit(reader, TagNumber(0))?.ok_or_else(missing)?;
        let body = ContextSpecific::<&OctetStringRef>::decode_explicit(reader, TagNumber(1))?.ok_or_else(missing)?;
        Ok(Self { code: code.value, body: body.value.as_bytes().to_vec() })
    }
}

impl Item for Alternative {
    fn fields<'a, R: Reader<'a>>(reader: &mut R) -> der::Result<Self> {
        let missing = || der::Error::from(Tag::Sequence.value_error());
        let name = ContextSpecific::<Utf8StringRef<'_>>::decode_explicit(reader, TagNumber(0))?;
        let policy = ContextSpecific::<Items<Statement>>::decode_explicit(reader, TagNumber(1))?.ok_or_else(missing)?;
        Ok(Self { name: name.map(|name| name.value.as_str().to_owned()), policy: policy.value.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> KeyFile {
        let policy = vec![Statement { code: 0x17f, body: vec![1, 2, 3] }, Statement { code: 0x16b, body: vec![] }];
        KeyFile {
            kind: KeyFileKind::Sealed,
            empty_auth: true,
            policy: policy.clone(),
            alternatives: vec![
                Alternative { name: Some("the other one".into()), policy: policy.clone() },
                Alternative { name: None, policy },
            ],
            description: Some("a key".into()),
            rsa_parent: true,
            parent: 0x8100_0001,
            public: vec![7; 70],
            private: vec![8; 130],
        }
    }

    #[test]
    fn what_is_written_is_read_and_nothing_less_or_more() {
        let small = KeyFile { empty_auth: false, policy: vec![], alternatives: vec![], ..full() };
        for file in [full(), KeyFile { description: None, rsa_parent: false, parent: 0x4000_0001, ..small }] {
            let der = file.to_der().unwrap();
            assert_eq!(KeyFile::parse(&der), Ok(file));
            for end in 0..der.len() {
                assert!(KeyFile::parse(&der[..end]).is_err());
            }
            assert!(KeyFile::parse(&[&der[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn loadable_key_of_the_initrd_is_read() {
        let pem = super::super::encode(0x8100_0001, &[1; 80], &[2; 100]).unwrap();
        let block = pem::blocks(pem.as_bytes()).next().unwrap();
        let file = KeyFile::parse(&block.der.unwrap()).unwrap();
        assert_eq!((file.kind, file.parent, file.empty_auth), (KeyFileKind::Loadable, 0x8100_0001, true));
        assert_eq!((file.public, file.private), (vec![1; 80], vec![2; 100]));
    }

    #[test]
    fn booleans_are_read_as_others_write_them() {
        let der = KeyFile { policy: vec![], alternatives: vec![], ..full() }.to_der().unwrap();
        let at = der.windows(3).position(|bytes| bytes == [1, 1, 255]).unwrap();
        for (byte, empty) in [(1, true), (0, false)] {
            let mut other = der.clone();
            other[at + 2] = byte;
            assert_eq!(KeyFile::parse(&other).unwrap().empty_auth, empty);
        }
    }

    #[test]
    fn sequences_without_end_are_not_collected() {
        let file = KeyFile { policy: vec![Statement { code: 0x16b, body: vec![] }; MAX_ITEMS + 1], ..full() };
        assert!(KeyFile::parse(&file.to_der().unwrap()).is_err());
    }
}
