//! The metadata of a LUKS2 header ("LUKS2 On-Disk Format Specification", section 3), and whether the volume may be
//! sealed: data and keyslots must be encrypted by a known cipher, and no operation may be under way.
//!
//! A seal makes a header trusted for good, so that anything unknown is refused.

use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Ciphers without authentication, as cryptsetup names them, and their shortest key in bytes: 128 bits of strength.
const CIPHERS: [(&str, u64); 10] = [
    ("aes-xts-plain64", 32),
    ("capi:xts(aes)-plain64", 32),
    ("serpent-xts-plain64", 32),
    ("twofish-xts-plain64", 32),
    ("camellia-xts-plain64", 32),
    ("aes-cbc-essiv:sha256", 16),
    ("serpent-cbc-essiv:sha256", 16),
    ("twofish-cbc-essiv:sha256", 16),
    ("xchacha12,aes-adiantum-plain64", 32),
    ("xchacha20,aes-adiantum-plain64", 32),
];
/// Integrity algorithms for these, and the bytes of their key.
const MACS: [(&str, u64); 2] = [("hmac(sha256)", 32), ("hmac(sha512)", 64)];
/// Authenticated ciphers: the cipher, its kind of integrity, and its shortest key.
const AEADS: [(&str, &str, u64); 4] = [
    ("aegis128-random", "aead", 16),
    ("aegis256-random", "aead", 32),
    ("aes-gcm-random", "aead", 16),
    ("chacha20-random", "poly1305", 32),
];
/// The key description of the passphrase that a keyslot must have.
const DESCRIPTION: &str = "machine:luks";
/// The token of a seal.
const SEAL: &str = "trust-seal";
/// The priority of keyslots that cryptsetup tries only when they are named.
const IGNORED: u8 = 0;
/// The number of tokens that a header can hold.
const TOKENS: u8 = 32;

/// The JSON area, as far as it matters here.
#[derive(Deserialize)]
pub struct Metadata {
    keyslots: BTreeMap<String, Keyslot>,
    tokens: BTreeMap<String, TokenEntry>,
    segments: BTreeMap<String, Segment>,
    digests: BTreeMap<String, KeyslotDigest>,
    config: Config,
}

#[derive(Deserialize)]
struct Keyslot {
    r#type: String,
    key_size: u64,
    area: Area,
    priority: Option<u8>,
}

#[derive(Deserialize)]
struct Area {
    r#type: String,
    encryption: Option<String>,
    key_size: Option<u64>,
}

#[derive(Deserialize)]
struct TokenEntry {
    r#type: String,
    #[serde(default)]
    keyslots: BTreeSet<String>,
    key_description: Option<String>,
}

#[derive(Deserialize)]
struct Segment {
    r#type: String,
    #[serde(default)]
    offset: String,
    encryption: Option<String>,
    integrity: Option<Integrity>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize)]
struct Integrity {
    r#type: String,
}

#[derive(Deserialize)]
struct KeyslotDigest {
    keyslots: BTreeSet<String>,
    segments: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Default, Deserialize)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// The facts of a header that is sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct HeaderFacts {
    /// How the data is encrypted.
    pub cipher: String,
    /// How it is authenticated, if it is.
    pub integrity: Option<String>,
    /// The size of the volume key.
    pub key_bits: u64,
    /// Every keyslot that has the volume key.
    pub keyslots: BTreeSet<String>,
    /// The tokens that lead from the passphrase of this machine to one of them.
    pub tokens: BTreeMap<String, BTreeSet<String>>,
}

impl Metadata {
    /// Reads it from the JSON area, which is padded with zeros.
    ///
    /// # Errors
    /// [`Kind::Corrupt`].
    pub fn parse(json: &[u8]) -> Result<Self> {
        let json = json.split(|byte| *byte == 0).next().unwrap_or_default();
        serde_json::from_slice(json).map_err(|e| {
            Error::new(Kind::Corrupt, "read the LUKS2 header", e.to_string())
                .remedy("format the volume with cryptsetup luksFormat --type luks2")
        })
    }

    /// The numbers of the tokens that are seals. Exactly one is valid.
    #[must_use]
    pub fn seals(&self) -> Vec<u8> {
        (0..TOKENS).filter(|id| self.token(*id).is_some_and(|token| token.r#type == SEAL)).collect()
    }

    /// A free token number; `None`: there is none.
    #[must_use]
    pub fn free_token(&self) -> Option<u8> {
        (0..TOKENS).find(|id| self.token(*id).is_none())
    }

    fn token(&self, id: u8) -> Option<&TokenEntry> {
        self.tokens.get(&id.to_string())
    }

    /// Checks what would be sealed; `size` is that of both copies of the header, in bytes.
    ///
    /// # Errors
    /// [`Kind::Refused`]: the volume does not protect its data.
    pub fn check(&self, size: u64) -> Result<HeaderFacts> {
        if let Some(name) = self.config.requirements.mandatory.first() {
            return Err(if name.starts_with("online-reencrypt") {
                refused(format!("a re-encryption of it is under way ({name})"))
                    .remedy("end it first, with the passphrase: cryptsetup reencrypt --resume-only DEVICE")
            } else {
                refused(format!("its header asks for {name:?}"))
            });
        }
        let mut segments = self.segments.iter();
        let (Some((id, segment)), None) = (segments.next(), segments.next()) else {
            return Err(refused(format!("it has {} segments and not one", self.segments.len())));
        };
        if segment.r#type != "crypt" || !segment.flags.is_empty() {
            return Err(refused(format!("its segment is of type {:?} {:?}", segment.r#type, segment.flags)));
        }
        if segment.offset.parse().unwrap_or(0) < size {
            return Err(refused("its data begins where the header lies: they are on two devices".into())
                .remedy("format the volume anew, without --header: what Trust opens has its header at its beginning"));
        }
        let cipher = segment.encryption.as_deref().unwrap_or("no cipher");
        let integrity = segment.integrity.as_ref().map(|integrity| integrity.r#type.as_str());
        let shortest = match integrity {
            None => shortest_key(cipher),
            Some(kind) => shortest_authentic(cipher, kind),
        };
        let shortest = shortest.ok_or_else(|| {
            let integrity = integrity.map(|kind| format!(" and integrity {kind:?}")).unwrap_or_default();
            refused(format!("nothing is known of the encryption of its data, {cipher:?}{integrity}"))
        })?;
        let digest = self.digests.values().find(|digest| digest.segments.contains(id));
        let keyslots = digest.map(|digest| digest.keyslots.clone()).unwrap_or_default();
        let mut key_bits = 0;
        for (id, slot) in &self.keyslots {
            slot.check(id)?;
            if keyslots.contains(id) {
                key_bits = slot.key_size * 8;
                if slot.key_size < shortest {
                    return Err(refused(format!("its key has {key_bits} bits, too few for {cipher}")));
                }
            }
        }
        let tokens = self.tokens.iter().filter_map(|(id, token)| Some((id.clone(), token.leads_to(&keyslots)?)));
        let mut tokens: BTreeMap<_, _> = tokens.collect();
        if keyslots.is_empty() {
            return Err(refused("no keyslot has the key of its data".into())
                .remedy("put a copy of the header back (cryptsetup luksHeaderRestore), or format the volume anew"));
        }
        if tokens.is_empty() {
            return Err(refused(format!("no token of its header leads from {DESCRIPTION} to a keyslot"))
                .remedy("add one first: cryptsetup token add --key-description machine:luks DEVICE"));
        }
        let is_ignored = |id: &String| self.keyslots.get(id).is_some_and(|slot| slot.priority == Some(IGNORED));
        let ignored = tokens.values().flatten().find(|id| is_ignored(id)).cloned().unwrap_or_default();
        tokens.retain(|_, slots| !slots.iter().all(is_ignored));
        if tokens.is_empty() {
            let why = format!(
                "keyslot {ignored}, to which its token leads, has the priority `ignore`, and no boot would try it"
            );
            let remedy =
                format!("give it another one first: cryptsetup config --priority normal --key-slot {ignored} DEVICE");
            return Err(refused(why).remedy(remedy));
        }
        Ok(HeaderFacts {
            cipher: cipher.to_owned(),
            integrity: integrity.map(str::to_owned),
            key_bits,
            keyslots,
            tokens,
        })
    }
}

impl Keyslot {
    /// Whether the volume key is stored in it encrypted, and permanently.
    fn check(&self, id: &str) -> Result<()> {
        if (self.r#type.as_str(), self.area.r#type.as_str()) != ("luks2", "raw") {
            let why = format!("keyslot {id} is of type {:?} with an area of type {:?}", self.r#type, self.area.r#type);
            return Err(refused(why));
        }
        let cipher = self.area.encryption.as_deref().unwrap_or("no cipher");
        let shortest = shortest_key(cipher)
            .ok_or_else(|| refused(format!("nothing is known of the encryption of keyslot {id}, {cipher:?}")))?;
        match self.area.key_size.unwrap_or(0) {
            size if size < shortest => Err(refused(format!("keyslot {id} is encrypted with {} bits only", size * 8))),
            _ => Ok(()),
        }
    }
}

impl TokenEntry {
    /// The keyslots that the passphrase of this machine is for.
    fn leads_to(&self, keyslots: &BTreeSet<String>) -> Option<BTreeSet<String>> {
        let ours = self.r#type == "luks2-keyring" && self.key_description.as_deref() == Some(DESCRIPTION);
        let slots: BTreeSet<_> = self.keyslots.intersection(keyslots).cloned().collect();
        (ours && !slots.is_empty()).then_some(slots)
    }
}

/// The shortest key of a cipher that does not authenticate.
fn shortest_key(cipher: &str) -> Option<u64> {
    CIPHERS.iter().find(|(name, _)| *name == cipher).map(|(_, size)| *size)
}

/// The same of one that authenticates, with the key for that.
fn shortest_authentic(cipher: &str, integrity: &str) -> Option<u64> {
    if let Some((.., size)) = AEADS.iter().find(|(name, kind, _)| (*name, *kind) == (cipher, integrity)) {
        return Some(*size);
    }
    let (_, more) = MACS.iter().find(|(name, _)| *name == integrity)?;
    // The IV may then be stored beside each sector.
    let stored = cipher.strip_suffix("-random").map(|name| format!("{name}-plain64"));
    Some(shortest_key(stored.as_deref().unwrap_or(cipher))? + more)
}

fn refused(why: String) -> Error {
    Error::new(Kind::Refused, "seal the header", why).remedy(
        "format the volume anew with cryptsetup luksFormat --type luks2 and its defaults, add the token, and seal it then",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A header made by cryptsetup with its defaults, with our token.
    fn usual() -> Value {
        json!({
            "keyslots": {"0": {
                "type": "luks2", "key_size": 64, "af": {"type": "luks1", "stripes": 4000, "hash": "sha256"},
                "area": {"type": "raw", "offset": "32768", "size": "258048", "encryption": "aes-xts-plain64", "key_size": 64},
                "kdf": {"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": ""},
            }},
            "tokens": {"0": {"type": "luks2-keyring", "keyslots": ["0"], "key_description": "machine:luks"}},
            "segments": {"0": {
                "type": "crypt", "offset": "16777216", "size": "dynamic", "iv_tweak": "0",
                "encryption": "aes-xts-plain64", "sector_size": 512,
            }},
            "digests": {"0": {"type": "pbkdf2", "keyslots": ["0"], "segments": ["0"]}},
            "config": {"json_size": "12288", "keyslots_size": "16744448"},
        })
    }

    fn check(json: &Value) -> Result<HeaderFacts> {
        Metadata::parse(&[json.to_string().as_bytes(), &[0; 16]].concat())?.check(0x8000)
    }

    fn with(path: &str, value: Value) -> Value {
        let mut json = usual();
        let (parent, name) = path.rsplit_once('/').unwrap();
        json.pointer_mut(parent).unwrap()[name] = value;
        json
    }

    #[test]
    fn defaults_of_cryptsetup_are_accepted() {
        let facts = check(&usual()).unwrap();
        assert_eq!((facts.cipher.as_str(), facts.key_bits), ("aes-xts-plain64", 512));
        assert_eq!(facts.tokens, BTreeMap::from([("0".into(), BTreeSet::from(["0".into()]))]));
        for (cipher, integrity) in [
            ("serpent-xts-plain64", None),
            ("xchacha20,aes-adiantum-plain64", None),
            ("aes-cbc-essiv:sha256", None),
            ("aegis128-random", Some("aead")),
            ("chacha20-random", Some("poly1305")),
            ("aes-xts-random", Some("hmac(sha256)")),
            ("aes-xts-plain64", Some("hmac(sha256)")),
        ] {
            let mut json = with("/segments/0/encryption", cipher.into());
            if let Some(kind) = integrity {
                json["segments"]["0"]["integrity"] = json!({"type": kind, "journal_encryption": "none"});
            }
            assert!(check(&json).is_ok(), "{cipher} {integrity:?}");
        }
    }

    #[test]
    fn ciphers_that_do_not_encrypt_are_refused() {
        let integrity = |kind: &str| json!({"type": kind, "journal_encryption": "none", "journal_integrity": "none"});
        for (path, value, why) in [
            ("/segments/0/encryption", json!("cipher_null-ecb"), "cipher_null-ecb"),
            ("/segments/0/encryption", json!("null"), "null"),
            ("/segments/0/encryption", json!("aes-ecb"), "aes-ecb"),
            ("/segments/0/encryption", json!("aes-xts-random"), "aes-xts-random"),
            ("/segments/0/encryption", json!("aes-xts-null"), "aes-xts-null"),
            ("/segments/0/encryption", Value::Null, "no cipher"),
            ("/segments/0/integrity", integrity("none"), "integrity \"none\""),
            ("/segments/0/integrity", integrity("crc32c"), "integrity \"crc32c\""),
            ("/segments/0/integrity", integrity("aead"), "integrity \"aead\""),
            ("/segments/0/integrity", integrity("hmac(sha512)"), "512 bits, too few"),
            ("/segments/0/type", json!("linear"), "type \"linear\""),
            ("/segments/0/type", json!("hw-opal"), "type \"hw-opal\""),
            ("/segments/0/flags", json!(["backup-final"]), "backup-final"),
            ("/segments/0/offset", json!("0"), "on two devices"),
            ("/segments/1", usual()["segments"]["0"].clone(), "2 segments"),
            ("/segments", json!({}), "0 segments"),
            ("/keyslots/0/key_size", json!(16), "128 bits, too few"),
            ("/keyslots/0/type", json!("reencrypt"), "keyslot 0 is of type \"reencrypt\""),
            ("/keyslots/0/area/type", json!("datashift"), "area of type \"datashift\""),
            ("/keyslots/0/area/encryption", json!("cipher_null-ecb"), "keyslot 0, \"cipher_null-ecb\""),
            ("/keyslots/0/area/key_size", json!(8), "64 bits only"),
            ("/config/requirements", json!({"mandatory": ["online-reencrypt-v2"]}), "online-reencrypt-v2"),
            ("/keyslots/0/priority", json!(0), "keyslot 0, to which its token leads, has the priority `ignore`"),
            ("/tokens/0/keyslots", json!([]), "no token"),
            ("/tokens/0/key_description", json!("another"), "no token"),
            ("/tokens/0/type", json!("luks2-keyrings"), "no token"),
            ("/digests/0/segments", json!([]), "no keyslot"),
            ("/digests/0/keyslots", json!(["1"]), "no token"),
            ("/digests/0/keyslots", json!([]), "no keyslot"),
        ] {
            let error = check(&with(path, value)).unwrap_err();
            assert_eq!(error.kind(), Kind::Refused, "{error}");
            assert!(error.to_string().contains(why), "{path}: {error}");
        }
        for json in [&b""[..], b"{}", b"[]", b"{\"keyslots\":{}}"] {
            assert!(Metadata::parse(json).is_err_and(|e| e.kind() == Kind::Corrupt));
        }
        // A duplicate member: programs do not agree on which one counts.
        let twice = usual().to_string().replace(
            "\"encryption\":\"aes-xts-plain64\",\"iv",
            "\"encryption\":\"null\",\"encryption\":\"aes-xts-plain64\",\"iv",
        );
        assert_ne!(twice, usual().to_string());
        assert!(Metadata::parse(twice.as_bytes()).is_err());
    }

    #[test]
    fn the_seal_is_read_from_its_token() {
        let seal = |tokens: Value| {
            let metadata = Metadata::parse(with("/tokens", tokens).to_string().as_bytes()).unwrap();
            (metadata.seals(), metadata.free_token())
        };
        let (ours, other) = (json!({"type": "trust-seal", "keyslots": []}), json!({"type": "x", "keyslots": []}));
        assert_eq!(seal(json!({})), (vec![], Some(0)));
        assert_eq!(seal(json!({"0": other, "3": ours, "7": ours})), (vec![3, 7], Some(1)));
        let full: serde_json::Map<_, _> = (0..TOKENS).map(|id| (id.to_string(), other.clone())).collect();
        assert_eq!(seal(full.into()), (vec![], None));
    }
}
