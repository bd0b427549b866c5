//! The file that names a key in a token, as OpenSSL's pkcs11-provider writes and reads it.
//!
//! ```asn1
//! SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String uri }
//! ```

use crate::error::{Error, Kind, Result};
use der::{AnyRef, Decode, Encode, Reader, SliceReader, Tag, Tagged, asn1::Utf8StringRef};

/// The value of the first member.
const VERSION: &[u8] = b"PKCS#11 Provider URI v1.0";

/// Decodes the URI.
///
/// # Errors
/// [`Kind::Corrupt`]: something else, or another version.
pub fn decode(der: &[u8]) -> Result<&str> {
    let sequence = AnyRef::from_der(der).map_err(|_| corrupt("it is no DER"))?;
    if sequence.tag() != Tag::Sequence {
        return Err(corrupt("it is not a sequence"));
    }
    let mut members = SliceReader::new(sequence.value()).map_err(|_| corrupt("it is empty"))?;
    let version = AnyRef::decode(&mut members).map_err(|_| corrupt("its version is missing"))?;
    if version.tag() != Tag::VisibleString || version.value() != VERSION {
        return Err(corrupt("its version is not 1.0"));
    }
    let uri = AnyRef::decode(&mut members).map_err(|_| corrupt("its URI is missing"))?;
    if !members.is_finished() {
        return Err(corrupt("something comes after its URI"));
    }
    match str::from_utf8(uri.value()) {
        Ok(text) if uri.tag() == Tag::Utf8String => Ok(text),
        _ => Err(corrupt("its URI is not text")),
    }
}

/// Encodes a URI.
///
/// # Errors
/// [`Kind::System`]: it is too long for DER.
pub fn encode(uri: &str) -> Result<Vec<u8>> {
    let encoded = || {
        let mut members = AnyRef::new(Tag::VisibleString, VERSION)?.to_der()?;
        Utf8StringRef::new(uri)?.encode_to_vec(&mut members)?;
        AnyRef::new(Tag::Sequence, &members)?.to_der()
    };
    encoded().map_err(|e: der::Error| Error::new(Kind::System, "write a PKCS#11 URI", e.to_string()))
}

fn corrupt(why: &'static str) -> Error {
    Error::new(Kind::Corrupt, "read the PKCS#11 URI of a key", why).remedy("restore the file from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_uri_is_decoded() {
        let long = "x".repeat(5000);
        for uri in ["", "pkcs11:object=ä", &long] {
            assert_eq!(decode(&encode(uri).unwrap()).unwrap(), uri);
        }
    }

    #[test]
    fn malformed_files_are_refused() {
        let good = encode("pkcs11:object=a").unwrap();
        for at in 0..good.len() {
            assert!(decode(&good[..at]).is_err(), "{at}");
            // In the URI itself any ASCII will do, here.
            for byte in if at < good.len() - 15 { 0..=255 } else { 128..=255 } {
                let mut damaged = good.clone();
                damaged[at] = byte;
                assert_eq!(decode(&damaged).is_ok(), damaged == good, "{at} {byte}");
            }
        }
        assert!(decode(&[&good[..], &[0]].concat()).is_err());
        let mut more = good.clone();
        more[1] += 2;
        more.extend([5, 0]);
        assert!(decode(&more).is_err());
    }
}
