//! The LUKS2 header ("LUKS2 On-Disk Format Specification", sections 2 and 3): a binary header of 4096 bytes and a
//! JSON area, twice, then the keyslots. All numbers are big endian.
//!
//! A seal is a MAC in a token of type `trust-seal`. It covers every byte of binary header and JSON area but those that
//! change whenever the header is written, and itself; so nothing here needs to understand JSON.

use std::ops::Range;

/// Size of the binary header.
const BINARY: usize = 4096;
/// Where the copies can begin: right behind a first area of one of the allowed sizes, 16 KiB to 4 MiB.
pub const SIZES: [usize; 9] = [0x4000, 0x8000, 0x1_0000, 0x2_0000, 0x4_0000, 0x8_0000, 0x10_0000, 0x20_0000, 0x40_0000];
/// The largest keyslots area, 128 MiB.
const MAX_KEYSLOTS: u64 = 128 << 20;
/// What header and keyslots need at most: cryptsetup refuses a file that is smaller than the header says.
pub const ROOM: u64 = 2 * 0x40_0000 + MAX_KEYSLOTS;

const MAGIC: Range<usize> = 0..6;
const VERSION: Range<usize> = 6..8;
const HEADER_SIZE: Range<usize> = 8..16;
const SEQUENCE: Range<usize> = 16..24;
const LABEL: Range<usize> = 24..72;
const CHECKSUM_ALGORITHM: Range<usize> = 72..104;
const SALT: Range<usize> = 104..168;
const UUID: Range<usize> = 168..208;
const OFFSET: Range<usize> = 256..264;
const CHECKSUM: Range<usize> = 448..512;

const FIRST: &[u8; 6] = b"LUKS\xba\xbe";
const SECOND: &[u8; 6] = b"SKUL\xba\xbe";

/// What stands before the MAC of a seal, as cryptsetup writes the token down.
const SEAL: &[u8] = br#""type":"trust-seal","keyslots":[],"mac":""#;
/// Hexadecimal digits of the MAC.
const MAC_DIGITS: usize = 64;

/// What a keyslot begins with, behind its number.
const SLOT: &[u8] = br#"{"type":"luks2","#;

/// What leads from the passphrase in the keyring to a keyslot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayIn {
    /// A token, and a keyslot.
    Open,
    /// No token.
    NoToken,
    /// A token, but all its keyslots are to be ignored.
    Ignored,
}

/// Binary header and JSON area of one of the two copies.
#[derive(Clone, Debug)]
pub struct Header(Vec<u8>);

impl Header {
    /// Takes the copy that lies at `offset` of a device out of `bytes`, which begin there.
    ///
    /// `None` when it is none, or of another version than 2.
    #[must_use]
    pub fn parse(bytes: &[u8], offset: usize) -> Option<Self> {
        bytes.get(..size_of(bytes, offset)?).map(|bytes| Self(bytes.to_vec()))
    }

    /// The volume's label; empty for none.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        self.text(LABEL)
    }

    /// The name that it was made with.
    #[must_use]
    pub fn uuid(&self) -> &[u8] {
        self.text(UUID)
    }

    /// All of it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Size of this copy; the other one, and then the keyslots, follow.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// The JSON area, filled up with zeros.
    #[must_use]
    pub fn json(&self) -> &[u8] {
        self.0.get(BINARY..).unwrap_or_default()
    }

    /// The MAC in its seal, in hexadecimal digits; `None` when it has no seal, or several.
    #[must_use]
    pub fn mac(&self) -> Option<&[u8]> {
        self.0.get(self.mac_digits()?)
    }

    /// What the seal covers: everything but sequence number, salt, checksum, which copy this is, and the MAC.
    #[must_use]
    pub fn sealed(&self) -> Option<Vec<u8>> {
        let mut bytes = self.0.clone();
        for range in [MAGIC, SEQUENCE, SALT, OFFSET, CHECKSUM, self.mac_digits()?] {
            bytes.get_mut(range)?.fill(0);
        }
        Some(bytes)
    }

    /// Both copies, made from this one, with their checksums. `digest` is SHA-256; other checksums are not made.
    #[must_use]
    pub fn pair(&self, digest: impl Fn(&[u8]) -> [u8; 32]) -> Option<Vec<u8>> {
        let mut algorithm = [0; 32];
        algorithm.get_mut(..6)?.copy_from_slice(b"sha256");
        if self.0.get(CHECKSUM_ALGORITHM)? != algorithm {
            return None;
        }
        let mut pair = Vec::with_capacity(2 * self.size());
        for (magic, offset) in [(FIRST, 0), (SECOND, self.size() as u64)] {
            let mut copy = self.0.clone();
            copy.get_mut(MAGIC)?.copy_from_slice(magic);
            copy.get_mut(OFFSET)?.copy_from_slice(&offset.to_be_bytes());
            let checksum = copy.get_mut(CHECKSUM)?;
            checksum.fill(0);
            let sum = digest(&copy);
            copy.get_mut(CHECKSUM)?.get_mut(..32)?.copy_from_slice(&sum);
            pair.extend_from_slice(&copy);
        }
        Some(pair)
    }

    /// Where the keyslots lie on the device, in bytes: the places that the JSON area names. Ask a verified header only.
    ///
    /// `None` when one lies outside of the largest keyslots area or is not understood.
    #[must_use]
    pub fn keyslots(&self) -> Option<Vec<Range<u64>>> {
        let json = self.0.get(BINARY..)?;
        let first = 2 * self.size() as u64;
        after_each(json, br#""area":{"#)
            .map(|area| {
                let area = area.get(..area.iter().position(|byte| *byte == b'}')?)?;
                let start = decimal(area, br#""offset":""#)?;
                let end = start.checked_add(decimal(area, br#""size":""#)?)?;
                (first <= start && end <= first + MAX_KEYSLOTS).then_some(start..end)
            })
            .collect()
    }

    /// How many seals it bears; it should be one.
    #[must_use]
    pub fn seals(&self) -> usize {
        after_each(self.json(), SEAL).count()
    }

    /// Whether it says that a re-encryption is under way.
    #[must_use]
    pub fn is_being_reencrypted(&self) -> bool {
        after_each(self.json(), br#""mandatory":["online-reencrypt"#).next().is_some()
    }

    /// Whether cryptsetup finds a keyslot for this description of a key in the keyring: it takes none whose priority is
    /// to be ignored. Ask a verified header only.
    #[must_use]
    pub fn way_in(&self, description: &str) -> WayIn {
        let (json, mut found) = (self.json(), WayIn::NoToken);
        let quoted = format!("\"{description}\"");
        for rest in after_each(json, quoted.as_bytes()) {
            // The object in which it stands: that of a token has no others in it.
            let (before, after) = json.split_at(json.len() - rest.len());
            let start = before.iter().rposition(|byte| *byte == b'{').unwrap_or(0);
            let end = before.len() + after.iter().position(|byte| *byte == b'}').unwrap_or(after.len());
            let token = json.get(start..end).unwrap_or_default();
            let Some(list) = after_each(token, br#""keyslots":["#).next() else { continue };
            let list = list.split(|byte| *byte == b']').next().unwrap_or_default();
            for id in list.split(|byte| *byte == b',').filter(|id| !id.is_empty()) {
                let named = [id, b":", SLOT].concat();
                let rest = after_each(json, &named).next().unwrap_or_default();
                let next = after_each(rest, SLOT).next().unwrap_or_default();
                let slot = rest.get(..rest.len() - next.len()).unwrap_or_default();
                if after_each(slot, br#""priority":0"#).next().is_none() {
                    return WayIn::Open;
                }
                found = WayIn::Ignored;
            }
        }
        found
    }

    /// What stands in a field, up to the zero that ends it.
    fn text(&self, field: Range<usize>) -> &[u8] {
        self.0.get(field).and_then(|field| field.split(|byte| *byte == 0).next()).unwrap_or_default()
    }

    /// Where the digits of the one seal are.
    fn mac_digits(&self) -> Option<Range<usize>> {
        let json = self.0.get(BINARY..)?;
        let mut found = after_each(json, SEAL);
        let (rest, None) = (found.next()?, found.next()) else { return None };
        let digits = rest.get(..MAC_DIGITS)?;
        let start = self.0.len() - rest.len();
        let whole = rest.get(MAC_DIGITS) == Some(&b'"') && digits.iter().all(u8::is_ascii_hexdigit);
        whole.then_some(start..start + MAC_DIGITS)
    }
}

/// The name that a volume of version 1 was made with, of which `bytes` are the beginning.
#[must_use]
pub fn uuid_of_luks1(bytes: &[u8]) -> Option<&[u8]> {
    let is_one = bytes.get(MAGIC)? == FIRST && bytes.get(VERSION)? == [0, 1];
    // It has the same place in both versions.
    bytes.get(UUID).filter(|_| is_one)?.split(|byte| *byte == 0).next()
}

/// How large the copy is that lies at `offset` of a device and of which `bytes` are the beginning, if it is one.
#[must_use]
pub fn size_of(bytes: &[u8], offset: usize) -> Option<usize> {
    let magic = if offset == 0 { FIRST } else { SECOND };
    if bytes.get(MAGIC)? != magic || bytes.get(VERSION)? != [0, 2] {
        return None;
    }
    let size = usize::try_from(number(bytes, HEADER_SIZE)?).ok().filter(|size| SIZES.contains(size))?;
    let here = number(bytes, OFFSET)? == offset as u64 && (offset == 0 || offset == size);
    here.then_some(size)
}

/// What follows each occurrence of `what`.
fn after_each<'a>(bytes: &'a [u8], what: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let places = bytes.windows(what.len()).enumerate().filter(move |(_, window)| *window == what);
    places.filter_map(move |(at, _)| bytes.get(at + what.len()..))
}

/// The decimal number in quotes behind the first occurrence of `name`, which ends with its opening quote.
fn decimal(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let rest = after_each(bytes, name).next()?;
    let digits = rest.get(..rest.iter().position(|byte| *byte == b'"')?)?;
    str::from_utf8(digits).ok()?.parse().ok()
}

fn number(bytes: &[u8], range: Range<usize>) -> Option<u64> {
    bytes.get(range)?.try_into().ok().map(u64::from_be_bytes)
}
