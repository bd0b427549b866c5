//! Fields of binary formats, one after the other, never past the end: little-endian as UEFI and cpio's kin have them,
//! big-endian as TPMs and LUKS2 have them. Pure.

/// What is left of some bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// From the first byte on.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Whether there is no next byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next `len` bytes, if there are so many.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// The next two bytes, little-endian.
    pub fn le16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes, little-endian.
    pub fn le32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes, little-endian.
    pub fn le64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next two bytes, big-endian.
    pub fn be16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes, big-endian.
    pub fn be32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The bytes of a `TPM2B` (TPM 2.0 Library part 2, section 10.4): their number in two bytes, then themselves.
    pub fn tpm2b(&mut self) -> Option<&'a [u8]> {
        let size = self.be16()?;
        self.take(usize::from(size))
    }
}

#[cfg(feature = "host")]
impl<'a> Reader<'a> {
    /// Where the next byte is.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next 16 bytes as an `EFI_GUID`: its first three fields are little-endian.
    pub fn guid(&mut self) -> Option<uuid::Uuid> {
        self.array().map(uuid::Uuid::from_bytes_le)
    }
}

/// Bytes in a row, at most `N`, without allocation.
pub type Buffer<const N: usize> = heapless::Vec<u8, N>;

/// What `write` writes; `None` when that is more than `N` bytes.
#[must_use]
pub fn bounded<const N: usize>(write: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Option<Buffer<N>> {
    let mut buffer = [0; N];
    let length = write(Writer::new(&mut buffer)).finish()?;
    Buffer::from_slice(buffer.get(..length)?).ok()
}

/// Fields written one after the other, never past the end: big-endian, as TPMs have them.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut [u8],
    /// Where the next byte goes; `None` once something did not fit.
    at: Option<usize>,
}

impl<'a> Writer<'a> {
    /// From the first byte of `buffer` on.
    #[must_use]
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, at: Some(0) }
    }

    /// How many bytes have been written; `None` when there was no room for all.
    #[must_use]
    pub const fn finish(self) -> Option<usize> {
        self.at
    }

    /// These bytes.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.at = self.at.and_then(|at| {
            let end = at.checked_add(bytes.len())?;
            self.buffer.get_mut(at..end)?.copy_from_slice(bytes);
            Some(end)
        });
        self
    }

    /// A number in two bytes.
    #[must_use]
    pub fn be16(self, number: u16) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// A number in four bytes.
    #[must_use]
    pub fn be32(self, number: u32) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// A `TPM2B`: what [`Reader::tpm2b`] reads.
    #[must_use]
    pub fn tpm2b(self, bytes: &[u8]) -> Self {
        match u16::try_from(bytes.len()) {
            Ok(size) => self.be16(size).bytes(bytes),
            Err(_) => Self { at: None, ..self },
        }
    }
}
