//! `EFI_VARIABLE_AUTHENTICATION_2` (UEFI Specification 2.10, section 8.2.2): who may write PK, KEK, db and dbx.
//!
//! What signed files with extension `auth` hold: a time, a signature over
//! variable and contents, then the contents.

use super::variable::{Variable, guid};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// `EFI_CERT_TYPE_PKCS7_GUID`.
const PKCS7: Uuid = guid("4aafd29d-68df-49ee-8aa9-347d375665a7");
/// `WIN_CERT_TYPE_EFI_GUID`.
const EFI_GUID: u16 = 0x0ef1;
const REVISION: u16 = 0x0200;
/// Bytes of `WIN_CERTIFICATE_UEFI_GUID` before the signature.
const HEADER: usize = 24;

/// `EFI_TIME`, as it must be here: in UTC, and whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(der::DateTime);

impl Time {
    /// Now.
    ///
    /// # Errors
    /// [`Kind::System`]: the clock stands before 1970.
    pub fn now() -> Result<Self> {
        let now = der::DateTime::from_system_time(SystemTime::now());
        now.map(Self).map_err(|e| Error::new(Kind::System, "tell the time", e.to_string()).remedy("set the clock"))
    }

    /// Of a date and time in UTC.
    #[must_use]
    pub const fn of(time: der::DateTime) -> Self {
        Self(time)
    }

    /// A second later.
    ///
    /// # Errors
    /// [`Kind::System`]: the last one of the year 9999.
    pub fn next(self) -> Result<Self> {
        let later = self.0.unix_duration().saturating_add(Duration::from_secs(1));
        let later = der::DateTime::from_unix_duration(later);
        later.map(Self).map_err(|e| Error::new(Kind::System, "tell the time", e.to_string()).remedy("set the clock"))
    }

    /// The structure.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let [low, high] = self.0.year().to_le_bytes();
        let fields = [low, high, self.0.month(), self.0.day(), self.0.hour(), self.0.minutes(), self.0.seconds()];
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }
}

/// What a signature for such a variable is made over.
#[must_use]
pub fn to_be_signed(variable: Variable<'_>, attributes: u32, time: Time, contents: &[u8]) -> Vec<u8> {
    SignedWrite { time: &time.to_bytes(), signature: &[], contents }.to_be_signed(variable, attributes)
}

/// A signed write: header and contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedWrite<'a> {
    /// `EFI_TIME`.
    time: &'a [u8],
    /// `SignedData` in DER, or what should be.
    pub signature: &'a [u8],
    /// What is to be written, or appended.
    pub contents: &'a [u8],
}

impl<'a> SignedWrite<'a> {
    /// Reads one, if these bytes begin with a header.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Reader::new(bytes);
        let time = rest.take(16)?;
        let length = usize::try_from(rest.le32()?).ok()?;
        let known = rest.le16()? == REVISION && rest.le16()? == EFI_GUID && rest.guid()? == PKCS7;
        let signature = rest.take(length.checked_sub(HEADER)?)?;
        known.then(|| Self { time, signature, contents: rest.rest() })
    }

    /// What its signature is over, if it is for this variable and these attributes.
    #[must_use]
    pub fn to_be_signed(&self, variable: Variable<'_>, attributes: u32) -> Vec<u8> {
        let name: Vec<u8> = variable.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let parts: [&[u8]; 5] =
            [&name, &variable.vendor.to_bytes_le(), &attributes.to_le_bytes(), self.time, self.contents];
        parts.concat()
    }
}

/// The header, without the contents: `signature` is `SignedData` in DER.
///
/// # Errors
/// [`Kind::Usage`]: a signature of 4 GiB.
pub fn header(time: Time, signature: &[u8]) -> Result<Vec<u8>> {
    let length = signature.len().checked_add(HEADER).and_then(|length| u32::try_from(length).ok());
    let length =
        length.ok_or_else(|| Error::new(Kind::Usage, "write a signed variable", "the signature is too long"))?;
    let parts: [&[u8]; 6] = [
        &time.to_bytes(),
        &length.to_le_bytes(),
        &REVISION.to_le_bytes(),
        &EFI_GUID.to_le_bytes(),
        &PKCS7.to_bytes_le(),
        signature,
    ];
    Ok(parts.concat())
}

/// Takes the header off, if these bytes begin with one.
#[must_use]
pub fn contents(bytes: &[u8]) -> Option<&[u8]> {
    SignedWrite::parse(bytes).map(|write| write.contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::uefi::variable::DBX;

    #[test]
    fn headers_are_written_as_specified_and_removed() {
        let time = Time::of("2026-11-22T10:11:12Z".parse().unwrap());
        let header = header(time, b"signature").unwrap();
        let expected: &[&[u8]] = &[
            &[0xea, 0x07, 11, 22, 10, 11, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[33, 0, 0, 0, 0x00, 0x02, 0xf1, 0x0e],
            &[0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7],
            b"signature",
        ];
        assert_eq!(header, expected.concat());
        let file = [&header[..], b"contents"].concat();
        assert_eq!(contents(&file), Some(&b"contents"[..]));
        for len in 0..header.len() {
            assert_eq!(contents(&file[..len]), None, "{len}");
        }
        for (at, value) in [(16, 23), (16, 0), (19, 0xff), (21, 1), (22, 0), (24, 0)] {
            let mut lying = file.clone();
            lying[at] = value;
            assert_eq!(contents(&lying), None, "{at}");
        }
    }

    #[test]
    fn a_signature_covers_name_vendor_attributes_time_and_contents() {
        let time = Time::of("2000-01-01T00:00:00Z".parse().unwrap());
        let signed = to_be_signed(DBX, 0x27, time, b"contents");
        assert_eq!(signed[..6], [b'd', 0, b'b', 0, b'x', 0]);
        assert_eq!(signed[6..22], DBX.vendor.to_bytes_le());
        assert_eq!(signed[22..26], [0x27, 0, 0, 0]);
        assert_eq!(signed[26..42], time.to_bytes());
        assert_eq!(signed[42..], *b"contents");
    }
}
