//! PKCS#11 URIs (RFC 7512): which key, in which token, through which module, with which PIN.

use crate::error::{Error, Kind, Result};
use percent_encoding::percent_decode_str;
use std::fmt;
use zeroize::Zeroizing;

/// The scheme.
const SCHEME: &str = "pkcs11:";
/// Upper bound for a URI, in bytes.
const MAX: usize = 8192;
/// Characters allowed in a value without `%`, besides letters and digits (RFC 7512, section 2.3).
const PLAIN: &[u8] = b"-._~:[]@!$'()*+,=";

/// A parsed PKCS#11 URI.
///
/// Printed, it shows no PIN; [`Self::as_str`] returns it as given.
pub struct Uri {
    text: Zeroizing<String>,
    /// The token.
    pub token: TokenAttributes,
    /// The slot that the token is in.
    pub slot: SlotAttributes,
    /// The module for them.
    pub library: LibraryAttributes,
    /// CKA_LABEL of the key.
    pub object: Option<String>,
    /// CKA_ID of the key.
    pub id: Option<Vec<u8>>,
    /// The type of the object, as the RFC spells it.
    pub kind: Option<String>,
    /// The file of the module, or its directory.
    pub module_path: Option<String>,
    /// The name of the module, without `lib` and `.so`.
    pub module_name: Option<String>,
    /// Where the PIN is.
    pub pin: Pin,
}

/// `token`, `manufacturer`, `serial` and `model` as in CK_TOKEN_INFO.
#[derive(Default)]
pub struct TokenAttributes {
    /// `label`
    pub label: Option<String>,
    /// `manufacturerID`
    pub manufacturer: Option<String>,
    /// `serialNumber`
    pub serial: Option<String>,
    /// `model`
    pub model: Option<String>,
}

/// `slot-…` as in CK_SLOT_INFO.
#[derive(Default)]
pub struct SlotAttributes {
    /// `CK_SLOT_ID`
    pub id: Option<u64>,
    /// `slotDescription`
    pub description: Option<String>,
    /// `manufacturerID`
    pub manufacturer: Option<String>,
}

/// `library-…` as in CK_INFO.
#[derive(Default)]
pub struct LibraryAttributes {
    /// `libraryDescription`
    pub description: Option<String>,
    /// `manufacturerID`
    pub manufacturer: Option<String>,
    /// `libraryVersion`: major and minor
    pub version: Option<(u8, u8)>,
}

/// Where the PIN is.
#[derive(Default)]
pub enum Pin {
    /// Not given.
    #[default]
    Unsaid,
    /// `pin-value`
    Value(Zeroizing<String>),
    /// `pin-source`: the name of a file
    File(String),
}

/// Whether a text claims to be a PKCS#11 URI.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    // RFC 3986, section 3.1: schemes are case-insensitive.
    text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
}

impl Uri {
    /// Parses a URI. Every attribute must be known and occur once: none is ignored.
    ///
    /// # Errors
    /// [`Kind::Usage`]; the message holds no value of an attribute.
    pub fn parse(text: &str) -> Result<Self> {
        let rest =
            text.get(SCHEME.len()..).filter(|_| is_uri(text)).ok_or_else(|| bad("it does not begin with pkcs11:"))?;
        if text.len() > MAX {
            return Err(bad(format!("it is longer than {MAX} bytes")));
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut attributes = UriAttributes::default();
        attributes.add(path, ';', b"&", &PATH)?;
        attributes.add(query, '&', b"/?|", &QUERY)?;
        Ok(Self {
            text: Zeroizing::new(text.to_owned()),
            token: TokenAttributes {
                label: attributes.text("token")?,
                manufacturer: attributes.text("manufacturer")?,
                serial: attributes.text("serial")?,
                model: attributes.text("model")?,
            },
            slot: SlotAttributes {
                id: attributes.number("slot-id")?,
                description: attributes.text("slot-description")?,
                manufacturer: attributes.text("slot-manufacturer")?,
            },
            library: LibraryAttributes {
                description: attributes.text("library-description")?,
                manufacturer: attributes.text("library-manufacturer")?,
                version: attributes.version("library-version")?,
            },
            object: attributes.text("object")?,
            id: attributes.take("id").map(|id| id.to_vec()),
            kind: attributes.text("type")?,
            module_path: attributes.text("module-path")?,
            module_name: attributes.text("module-name")?,
            pin: attributes.pin()?,
        })
    }

    /// As given, with the PIN if it has one: only for a private file.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Uri {
    /// The same URI with a module of this name in place of its own.
    ///
    /// # Errors
    /// As [`Self::parse`], when the name needs a `%`.
    pub fn with_module(&self, name: &str) -> Result<Self> {
        let (path, query) = self.text.split_once('?').unwrap_or((&self.text, ""));
        let others = query.split('&').filter(|part| !part.is_empty() && !part.starts_with("module-"));
        let mut text = Zeroizing::new(String::with_capacity(MAX));
        text.push_str(path);
        text.push_str("?module-name=");
        text.push_str(name);
        for part in others {
            text.push('&');
            text.push_str(part);
        }
        Self::parse(&text)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.text.split_once('?').unwrap_or((&self.text, ""));
        f.write_str(path)?;
        let mut before = '?';
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let shown = if part.starts_with("pin-value=") { "pin-value=…" } else { part };
            write!(f, "{before}{shown}")?;
            before = '&';
        }
        Ok(())
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Attributes of the path (RFC 7512, section 2.3).
const PATH: [&str; 13] = [
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "object",
    "type",
    "id",
    "slot-description",
    "slot-id",
    "slot-manufacturer",
];
/// Attributes of the query.
const QUERY: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

/// The attributes found, decoded.
#[derive(Default)]
struct UriAttributes(Vec<(&'static str, Zeroizing<Vec<u8>>)>);

impl UriAttributes {
    /// Adds the attributes of one of the two components.
    fn add(&mut self, component: &str, separator: char, also_plain: &[u8], known: &[&'static str]) -> Result<()> {
        if component.is_empty() {
            return Ok(());
        }
        for part in component.split(separator) {
            let (name, value) = part.split_once('=').ok_or_else(|| bad("an attribute has no value"))?;
            let known = known.iter().find(|known| **known == name);
            let Some(name) = known else {
                return Err(bad(format!("it has an attribute that is not known here: {:?}", short(name))));
            };
            if self.0.iter().any(|(other, _)| other == name) {
                return Err(bad(format!("{name} stands there twice")));
            }
            self.0.push((name, decode(name, value, also_plain)?));
        }
        Ok(())
    }

    fn take(&mut self, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        let place = self.0.iter().position(|(found, _)| *found == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        let text = |value: Zeroizing<Vec<u8>>| match String::from_utf8(value.to_vec()) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(bad(format!("{name} is not text"))),
        };
        self.take(name).map(text).transpose()
    }

    fn number(&mut self, name: &'static str) -> Result<Option<u64>> {
        let text = self.text(name)?;
        text.map(|text| decimal(&text).ok_or_else(|| bad(format!("{name} is not a number")))).transpose()
    }

    /// `1*DIGIT [ "." 1*DIGIT ]`; without the second part it is 0.
    fn version(&mut self, name: &'static str) -> Result<Option<(u8, u8)>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let (major, minor) = text.split_once('.').unwrap_or((&text, "0"));
        match (decimal(major), decimal(minor)) {
            (Some(major), Some(minor)) => Ok(Some((major, minor))),
            _ => Err(bad(format!("{name} is not a version"))),
        }
    }

    fn pin(&mut self) -> Result<Pin> {
        let value = self.text("pin-value")?.map(Zeroizing::new);
        match (value, self.text("pin-source")?) {
            (None, None) => Ok(Pin::Unsaid),
            (Some(value), None) => Ok(Pin::Value(value)),
            (None, Some(source)) => file_name(&source).map(|name| Pin::File(name.to_owned())),
            // Section 2.4: refused.
            (Some(_), Some(_)) => Err(bad("it has both pin-value and pin-source")),
        }
    }
}

/// The file that a `pin-source` names: a `file` URI (RFC 8089), or a path; programs are not run.
fn file_name(source: &str) -> Result<&str> {
    let scheme = source.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("file:"));
    let path = source.get(scheme.map_or(0, str::len)..).unwrap_or_default();
    let path = match path.strip_prefix("//").filter(|_| scheme.is_some()) {
        Some(host) => host.strip_prefix("localhost").unwrap_or(host),
        None => path,
    };
    if path.starts_with('/') {
        return Ok(path);
    }
    Err(bad("pin-source is neither an absolute path nor a file: URI"))
}

/// A decimal number.
fn decimal<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Decodes percent encoding, all of which must be valid.
fn decode(name: &str, value: &str, also_plain: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        let fine = match byte {
            b'%' => [rest.next(), rest.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) || also_plain.contains(&byte),
        };
        if !fine {
            return Err(bad(format!("{name} has a character that must be written as %XX")));
        }
    }
    Ok(Zeroizing::new(percent_decode_str(value).collect()))
}

/// The beginning of an unknown name, for a message.
fn short(name: &str) -> String {
    name.chars().take(32).collect()
}

fn bad(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Usage, "read a PKCS#11 URI", why)
        .remedy("give one such as \"pkcs11:token=Fleet;object=uefi-db?pin-source=/run/pin\" (RFC 7512)")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Uri::parse(text).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{text}");
        error.to_string()
    }

    #[test]
    fn attributes_are_found_and_decoded() {
        let uri = Uri::parse(
            "pkcs11:token=My%20token%2c%20caf%C3%A9;manufacturer=A;serial=0%3b1;model=m;library-description=d;\
             library-manufacturer=l;library-version=2.10;slot-id=18446744073709551615;slot-description=s;\
             slot-manufacturer=t;object=a:[]@!$'()*+,=&;id=%00%ffZ;type=private\
             ?module-path=/usr/lib/x.so&module-name=x&pin-source=file:/run/p%20in",
        )
        .unwrap();
        assert_eq!(uri.token.label.as_deref(), Some("My token, café"));
        assert_eq!(uri.token.manufacturer.as_deref(), Some("A"));
        assert_eq!(uri.token.serial.as_deref(), Some("0;1"));
        assert_eq!(uri.token.model.as_deref(), Some("m"));
        assert_eq!(uri.library.description.as_deref(), Some("d"));
        assert_eq!(uri.library.manufacturer.as_deref(), Some("l"));
        assert_eq!(uri.library.version, Some((2, 10)));
        assert_eq!(uri.slot.id, Some(u64::MAX));
        assert_eq!(uri.slot.description.as_deref(), Some("s"));
        assert_eq!(uri.slot.manufacturer.as_deref(), Some("t"));
        assert_eq!(uri.object.as_deref(), Some("a:[]@!$'()*+,=&"));
        assert_eq!(uri.id.as_deref(), Some(&[0, 0xff, b'Z'][..]));
        assert_eq!(uri.kind.as_deref(), Some("private"));
        assert_eq!(uri.module_path.as_deref(), Some("/usr/lib/x.so"));
        assert_eq!(uri.module_name.as_deref(), Some("x"));
        assert!(matches!(&uri.pin, Pin::File(name) if name == "/run/p in"));
    }

    /// The examples of RFC 7512, section 3, that name no program.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        for text in [
            "pkcs11:",
            "pkcs11:object=my-pubkey;type=public",
            "pkcs11:object=my-key;type=private?pin-source=file:/etc/token",
            "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;\
             object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin",
            "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11",
            "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1",
            "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin",
            "pkcs11:slot-description=Sun%20Metaslot",
            "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23",
            "pkcs11:id=%E2%82%AC",
            "pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06",
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!(uri.as_str(), text);
        }
        assert!(matches!(Uri::parse("PKCS11:object=k").unwrap().object.as_deref(), Some("k")));
        assert!(matches!(Uri::parse("pkcs11:library-version=3").unwrap().library.version, Some((3, 0))));
    }

    #[test]
    fn malformed_uris_are_refused() {
        for text in [
            "",
            "pkcs1",
            "pkcs11",
            "file:/x",
            "pkcs11:token",
            "pkcs11:;",
            "pkcs11:token=a;",
            "pkcs11:token=a;;object=b",
            "pkcs11:token=a;token=b",
            "pkcs11:Token=a",
            "pkcs11:x-vendor=1",
            "pkcs11:pin-value=1",
            "pkcs11:?object=a",
            "pkcs11:?pin-value=1&",
            "pkcs11:?pin-value=1&pin-value=1",
            "pkcs11:?pin-value=1&pin-source=/a",
            "pkcs11:token=%",
            "pkcs11:token=%4",
            "pkcs11:token=%4g",
            "pkcs11:token=%00",
            "pkcs11:token=%ff",
            "pkcs11:token=a b",
            "pkcs11:token=a/b",
            "pkcs11:token=a\nb",
            "pkcs11:token=ä",
            "pkcs11:token=a#b",
            "pkcs11:?pin-value=a;b",
            "pkcs11:slot-id=",
            "pkcs11:slot-id=+1",
            "pkcs11:slot-id=0x1",
            "pkcs11:slot-id=18446744073709551616",
            "pkcs11:library-version=1.2.3",
            "pkcs11:library-version=256",
            "pkcs11:library-version=1.",
            "pkcs11:?pin-source=pin",
            "pkcs11:?pin-source=|cat%20/pin",
            "pkcs11:?pin-source=file:pin",
            "pkcs11:?pin-source=file://host/pin",
            "pkcs11:?pin-source=http://host/pin",
        ] {
            refused(text);
        }
        let longest = format!("pkcs11:id={}", "a".repeat(MAX - 10));
        assert!(Uri::parse(&longest).is_ok());
        refused(&(longest + "a"));
        // Cut within a character, where the scheme would end.
        assert!(!is_uri("pkcs1é"));
    }

    #[test]
    fn a_pin_source_is_read_as_a_file_name() {
        for text in ["/run/pin", "file:/run/pin", "file:///run/pin", "FILE://localhost/run/pin"] {
            let uri = Uri::parse(&format!("pkcs11:?pin-source={text}")).unwrap();
            assert!(matches!(&uri.pin, Pin::File(name) if name == "/run/pin"), "{text}");
        }
    }

    #[test]
    fn a_module_path_is_replaced() {
        for (text, expected) in [
            ("pkcs11:object=a", "pkcs11:object=a?module-name=m"),
            ("pkcs11:object=module-path=?pin-value=1", "pkcs11:object=module-path=?module-name=m&pin-value=1"),
            ("pkcs11:?module-path=/x&pin-source=/p&module-name=y", "pkcs11:?module-name=m&pin-source=/p"),
        ] {
            assert_eq!(Uri::parse(text).unwrap().with_module("m").unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_pin_is_not_printed() {
        for (text, shown) in [
            ("pkcs11:object=a?pin-value=12345", "pkcs11:object=a?pin-value=…"),
            ("pkcs11:?pin-value=123?45/|&module-name=m", "pkcs11:?pin-value=…&module-name=m"),
            (
                "pkcs11:object=pin-value=1&2?module-name=m&pin-value=123%3645",
                "pkcs11:object=pin-value=1&2?module-name=m&pin-value=…",
            ),
            ("pkcs11:object=a;id=%01?pin-source=/a", "pkcs11:object=a;id=%01?pin-source=/a"),
        ] {
            let uri = Uri::parse(text).unwrap();
            assert_eq!((uri.to_string(), format!("{uri:?}")), (shown.into(), shown.into()));
        }
        for text in [
            "pkcs11:?pin-value=12345&pin-source=/x",
            "pkcs11:?pin-value=12345\u{7f}",
            "pkcs11:?pin-value=12345%ff",
            "pkcs11:pin-value=12345",
        ] {
            assert!(!refused(text).contains("12345"), "{text}");
        }
    }

    #[test]
    fn truncated_and_damaged_uris_do_not_panic() {
        let text =
            "pkcs11:token=My%20token;id=%01%ff;slot-id=12;library-version=1.2?module-name=x&pin-source=file:///a";
        for at in 0..text.len() {
            let _ = Uri::parse(text.get(..at).unwrap());
            for byte in 0..=0x7f {
                let mut damaged = text.as_bytes().to_vec();
                damaged[at] = byte;
                let _ = Uri::parse(str::from_utf8(&damaged).unwrap());
            }
        }
    }
}
