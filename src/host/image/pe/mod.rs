//! PE images (PE Format, Microsoft, sections 2 to 5): headers, sections, the certificate table.
//!
//! As strict as the loader of EDK II, and stricter where a lax reading would
//! leave bytes that no digest covers: every number in the headers has to fit
//! the file, sections share no bytes, and the certificate table is the end of
//! the file.
//!
//! An image is as large as it likes: its headers and its certificate table are
//! read once and kept, the rest is read on demand.

mod certificate_table;
mod check_sum;
mod headers;

use crate::{
    error::{Error, Kind, Result},
    host::fs::data::Data,
};
use std::{borrow::Cow, ops::Range};

use certificate_table::Table;
pub use check_sum::CheckSum;

/// `WIN_CERT_REVISION_2_0`, the only one there is.
pub const WIN_CERT_REVISION: u16 = 0x0200;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`: Authenticode.
pub const WIN_CERT_TYPE_PKCS: u16 = 0x0002;
/// Entries of the certificate table begin at multiples of this.
pub const CERTIFICATE_ALIGNMENT: usize = 8;
/// `dwLength`, `wRevision` and `wCertificateType`.
pub const CERTIFICATE_HEADER: usize = 8;

/// Upper bound in bytes of the headers.
const MAX_HEADERS: usize = 1 << 20;
/// Where `CheckSum` lies in the optional header, of either kind.
const CHECK_SUM: usize = 64;
/// Length of `CheckSum`.
const CHECK_SUM_LEN: usize = 4;

/// An image whose headers fit it.
#[derive(Debug)]
pub struct Image<'a> {
    data: Data<'a>,
    /// As long as `SizeOfHeaders` says.
    head: Cow<'a, [u8]>,
    headers: Headers,
    sections: Vec<Section<'a>>,
    table: Table<'a>,
}

/// What the headers say, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// Whether it is PE32+: addresses of 64 bits.
    pub pe32_plus: bool,
    /// `Machine`: 0x8664 for x86-64, 0xaa64 for AArch64.
    pub machine: u16,
    /// `Subsystem`: 10 for an EFI application.
    pub subsystem: u16,
    /// `ImageBase`.
    pub image_base: u64,
    /// `SectionAlignment`, a power of two: of virtual addresses.
    pub section_alignment: u32,
    /// `FileAlignment`, a power of two: of raw data.
    pub file_alignment: u32,
    /// `SizeOfImage`: virtual, all sections lie within.
    pub size_of_image: u32,
    /// `SizeOfHeaders`: the section table and all before it lie within.
    pub size_of_headers: usize,
    /// `CheckSum`, see [`CheckSum`]; 0 for none.
    pub check_sum: u32,
    /// Offset of the `IMAGE_FILE_HEADER`, after `PE\0\0`.
    pub file_header: usize,
    /// Offset of the optional header.
    pub optional_header: usize,
    /// Offset of the section table, 40 bytes for each section.
    pub section_table: usize,
    /// The certificate table's entry in the data directory, unless that is too short to have one.
    pub certificate_entry: Option<Range<usize>>,
}

/// A section.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    name: Vec<u8>,
    /// `VirtualAddress`, relative to the image's base.
    pub virtual_address: u32,
    /// `VirtualSize`: shorter than `raw` where that is padded, longer where zeros follow in memory.
    pub virtual_size: u32,
    /// Where its data lie in the file; empty for none.
    pub raw: Range<usize>,
    /// `Characteristics`.
    pub characteristics: u32,
    /// The bytes at `raw`.
    pub data: Data<'a>,
}

/// An entry of the certificate table: `WIN_CERTIFICATE` (UEFI Specification 2.10, section 32.2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// `wRevision`.
    pub revision: u16,
    /// `wCertificateType`.
    pub kind: u16,
    /// `bCertificate`: what follows the header, as long as `dwLength` says.
    pub content: Cow<'a, [u8]>,
    /// Up to the next multiple of eight.
    pub padding: Cow<'a, [u8]>,
}

impl Headers {
    /// Where the checksum lies.
    #[must_use]
    pub const fn check_sum_field(&self) -> Range<usize> {
        self.optional_header + CHECK_SUM..self.optional_header + CHECK_SUM + CHECK_SUM_LEN
    }
}

impl<'a> Image<'a> {
    /// Reads an image.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not a PE image, is cut off, or its headers contradict themselves or the file.
    pub fn parse(data: impl Into<Data<'a>>) -> Result<Self> {
        let data = data.into();
        let mut head = data.first(MAX_HEADERS).read()?;
        let (headers, sections, table) = headers::read_headers(&head, data)?;
        let end = sections.iter().map(|section| section.raw.end).fold(headers.size_of_headers, usize::max);
        let table = match certificate_table::locate(data, table, end)? {
            Some((place, size)) => Table::read(data, place, size)?,
            None => Table::default(),
        };
        shorten(&mut head, headers.size_of_headers);
        Ok(Self { data, head, headers, sections, table })
    }

    /// The whole file. Its headers were read already: see [`Self::pieces`].
    #[must_use]
    pub const fn data(&self) -> Data<'a> {
        self.data
    }

    /// The headers as they were read, `SizeOfHeaders` bytes.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Shows a part of the file, a piece at a time, each with its place in the file. The headers are those that were judged.
    ///
    /// # Errors
    /// Those of [`Data::pieces`].
    pub fn pieces(&self, range: Range<usize>, mut see: impl FnMut(usize, &[u8])) -> Result<()> {
        let head = self.head.get(range.start..range.end.min(self.head.len())).unwrap_or_default();
        see(range.start, head);
        let start = range.start + head.len();
        let Some(rest) = self.data.get(start..range.end) else { return Ok(()) };
        rest.pieces(|at, piece| {
            see(start + at, piece);
            Ok(())
        })
    }

    /// What the headers say.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// The sections, in the order of their table.
    #[must_use]
    pub fn sections(&self) -> &[Section<'a>] {
        &self.sections
    }

    /// The first section of this name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section<'a>> {
        self.sections.iter().find(|section| section.name() == name)
    }

    /// The entries of the certificate table.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate<'a>] {
        &self.table.entries
    }

    /// Where the certificate table lies: at the end of the file, not empty.
    #[must_use]
    pub fn certificate_table(&self) -> Option<Range<usize>> {
        self.table.place.clone()
    }

    /// What keeps a firmware from reading the certificate table to its end.
    #[must_use]
    pub const fn table_flaw(&self) -> Option<&'static str> {
        self.table.flaw
    }

    /// Where the image ends and its certificate table begins, if it has one.
    #[must_use]
    pub fn end(&self) -> usize {
        self.table.place.as_ref().map_or(self.data.len(), |table| table.start)
    }
}

impl<'a> Section<'a> {
    /// The name as it stands in the table, at most eight bytes. Longer ones are not resolved: no loader does.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    /// Its data without the zeros that pad them in the file.
    #[must_use]
    pub fn contents(&self) -> Data<'a> {
        self.data.first(self.virtual_size as usize)
    }

    /// Where it lies in memory, relative to the image's base.
    #[must_use]
    pub fn virtual_range(&self) -> Range<u64> {
        let start = u64::from(self.virtual_address);
        // Some linkers leave the virtual size out.
        let size = if self.virtual_size == 0 { self.raw.len() as u64 } else { u64::from(self.virtual_size) };
        start..start + size
    }
}

/// Keeps the first bytes.
fn shorten(bytes: &mut Cow<'_, [u8]>, len: usize) {
    match bytes {
        Cow::Borrowed(bytes) => *bytes = bytes.get(..len).unwrap_or(bytes),
        Cow::Owned(bytes) => {
            bytes.truncate(len);
            bytes.shrink_to_fit();
        }
    }
}

fn bad(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Corrupt, "read a PE image", why).remedy("give an EFI program as it was built or signed")
}

#[cfg(test)]
pub mod tests;
