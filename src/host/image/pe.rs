//! PE images (PE Format, Microsoft, sections 2 to 5): headers, sections, the certificate table.
//!
//! As strict as the loader of EDK II, and stricter where a lax reading would
//! leave bytes that no digest covers: every number in the headers has to fit
//! the file, sections share no bytes, and the certificate table is the end of
//! the file.
//!
//! An image is as large as it likes: its headers and its certificate table are
//! read once and kept, the rest is read when somebody wants it.

mod check_sum;

use crate::{
    error::{Error, Kind, Result},
    host::fs::data::Data,
};
use object::{
    LittleEndian as LE, U16, U32,
    pe::{
        IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_DOS_SIGNATURE, IMAGE_NT_OPTIONAL_HDR32_MAGIC,
        IMAGE_NT_OPTIONAL_HDR64_MAGIC, IMAGE_NT_SIGNATURE, IMAGE_NUMBEROF_DIRECTORY_ENTRIES, ImageDataDirectory,
        ImageDosHeader, ImageFileHeader, ImageOptionalHeader32, ImageOptionalHeader64, ImageSectionHeader,
    },
    pod::Pod,
    read::{ReadRef, pe::ImageOptionalHeader},
};
use std::{borrow::Cow, ops::Range};

pub use check_sum::CheckSum;

/// `WIN_CERT_REVISION_2_0`, the only one there is.
pub const WIN_CERT_REVISION: u16 = 0x0200;
/// `WIN_CERT_TYPE_PKCS_SIGNED_DATA`: Authenticode.
pub const WIN_CERT_TYPE_PKCS: u16 = 0x0002;
/// Entries of the certificate table begin at multiples of this.
pub const CERTIFICATE_ALIGNMENT: usize = 8;
/// `dwLength`, `wRevision` and `wCertificateType`.
pub const CERTIFICATE_HEADER: usize = 8;

/// No image has longer headers.
const MAX_HEADERS: usize = 1 << 20;
/// Signatures hold certificates and digests: no table of them is longer.
const MAX_TABLE: usize = 16 << 20;
/// Where `CheckSum` lies in the optional header, of either kind.
const CHECK_SUM: usize = 64;
/// Length of `CheckSum`.
const CHECK_SUM_LEN: usize = 4;
/// More signatures than any image has.
const MAX_CERTIFICATES: usize = 16;
const DIRECTORY_ENTRY: usize = size_of::<ImageDataDirectory>();

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
    /// [`Kind::Corrupt`]: it is no PE image, cut off, or its headers contradict themselves or the file.
    pub fn parse(data: impl Into<Data<'a>>) -> Result<Self> {
        let data = data.into();
        let mut head = data.first(MAX_HEADERS).read()?;
        let (headers, sections, table) = read_headers(&head, data)?;
        let end = sections.iter().map(|section| section.raw.end).fold(headers.size_of_headers, usize::max);
        let table = match locate_certificates(data, table, end)? {
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

/// A pointer and a size out of a header.
type Extent = (u32, u32);

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

/// All that comes before the sections' data; the sections; where the certificate table is said to lie.
fn read_headers<'a>(bytes: &[u8], data: Data<'a>) -> Result<(Headers, Vec<Section<'a>>, Extent)> {
    let dos: &ImageDosHeader = at(bytes, 0, "the DOS header")?;
    let signature = dos.e_lfanew.get(LE) as usize;
    if dos.e_magic.get(LE) != IMAGE_DOS_SIGNATURE {
        return Err(bad("it does not begin with MZ"));
    }
    if signature < size_of::<ImageDosHeader>() {
        return Err(bad("the PE header lies within the DOS header"));
    }
    let magic: &U32<LE> = at(bytes, signature, "the PE header")?;
    if magic.get(LE) != IMAGE_NT_SIGNATURE {
        return Err(bad("there is no PE signature"));
    }
    let file_header = signature + 4;
    let file: &ImageFileHeader = at(bytes, file_header, "the PE header")?;
    let optional_header = file_header + size_of::<ImageFileHeader>();
    let magic: &U16<LE> = at(bytes, optional_header, "the optional header")?;
    let section_table = optional_header + usize::from(file.size_of_optional_header.get(LE));
    let place = Place { file_header, optional_header, section_table };
    let machine = file.machine.get(LE).0;
    let (headers, table) = match magic.get(LE) {
        IMAGE_NT_OPTIONAL_HDR32_MAGIC => read_optional::<ImageOptionalHeader32>(bytes, &place, machine)?,
        IMAGE_NT_OPTIONAL_HDR64_MAGIC => read_optional::<ImageOptionalHeader64>(bytes, &place, machine)?,
        other => return Err(bad(format!("its optional header is of kind {other:#x}, neither PE32 nor PE32+"))),
    };
    let count = usize::from(file.number_of_sections.get(LE));
    let sections = bytes.read_slice_at::<ImageSectionHeader>(section_table as u64, count);
    let sections = sections.map_err(|()| bad("it ends within the section table"))?;
    if section_table + size_of_val(sections) > headers.size_of_headers || headers.size_of_headers > bytes.len() {
        return Err(bad("SizeOfHeaders is not where the headers end"));
    }
    let sections = read_sections(data, &headers, sections)?;
    Ok((headers, sections, table))
}

/// Offsets of the parts of the PE header.
struct Place {
    file_header: usize,
    optional_header: usize,
    section_table: usize,
}

fn read_optional<H: ImageOptionalHeader>(bytes: &[u8], place: &Place, machine: u16) -> Result<(Headers, Extent)> {
    let optional: &H = at(bytes, place.optional_header, "the optional header")?;
    let directory = place.optional_header + size_of::<H>();
    let entries = optional.number_of_rva_and_sizes() as usize;
    if entries > IMAGE_NUMBEROF_DIRECTORY_ENTRIES || directory + entries * DIRECTORY_ENTRY != place.section_table {
        return Err(bad("the data directory is not as long as the headers say"));
    }
    let (section_alignment, file_alignment) = (optional.section_alignment(), optional.file_alignment());
    if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
        return Err(bad("an alignment is no power of two"));
    }
    let certificate_entry = (entries > IMAGE_DIRECTORY_ENTRY_SECURITY).then(|| {
        let start = directory + IMAGE_DIRECTORY_ENTRY_SECURITY * DIRECTORY_ENTRY;
        start..start + DIRECTORY_ENTRY
    });
    let table = match &certificate_entry {
        Some(entry) => {
            let entry: &ImageDataDirectory = at(bytes, entry.start, "the data directory")?;
            (entry.virtual_address.get(LE), entry.size.get(LE))
        }
        None => (0, 0),
    };
    let headers = Headers {
        pe32_plus: optional.magic() == IMAGE_NT_OPTIONAL_HDR64_MAGIC,
        machine,
        subsystem: optional.subsystem().0,
        image_base: optional.image_base(),
        section_alignment,
        file_alignment,
        size_of_image: optional.size_of_image(),
        size_of_headers: optional.size_of_headers() as usize,
        check_sum: optional.check_sum(),
        file_header: place.file_header,
        optional_header: place.optional_header,
        section_table: place.section_table,
        certificate_entry,
    };
    Ok((headers, table))
}

fn read_sections<'a>(data: Data<'a>, headers: &Headers, table: &[ImageSectionHeader]) -> Result<Vec<Section<'a>>> {
    let mut sections = Vec::with_capacity(table.len());
    for header in table {
        let section = read_section(data, header)?;
        if !section.raw.is_empty() && section.raw.start < headers.size_of_headers {
            return Err(bad(format!("section {} overlaps the headers", section.name().escape_debug())));
        }
        if section.virtual_range().end > u64::from(headers.size_of_image) {
            return Err(bad(format!("section {} lies beyond SizeOfImage", section.name().escape_debug())));
        }
        sections.push(section);
    }
    refuse_overlaps(&sections, "in the file", |section| (section.raw.start as u64, section.raw.end as u64))?;
    refuse_overlaps(&sections, "in memory", |section| {
        let range = section.virtual_range();
        (range.start, range.end)
    })?;
    Ok(sections)
}

fn read_section<'a>(file: Data<'a>, header: &ImageSectionHeader) -> Result<Section<'a>> {
    let name = header.name.split(|byte| *byte == 0).next().unwrap_or_default();
    let (start, size) = (header.pointer_to_raw_data.get(LE) as usize, header.size_of_raw_data.get(LE) as usize);
    // Without data the pointer means nothing.
    let raw = if size == 0 { 0..0 } else { start..start.saturating_add(size) };
    let data = file.get(raw.clone());
    let data = data.ok_or_else(|| {
        bad(format!("section {} lies beyond the end of the file", String::from_utf8_lossy(name).escape_debug()))
    })?;
    Ok(Section {
        name: name.to_vec(),
        virtual_address: header.virtual_address.get(LE),
        virtual_size: header.virtual_size.get(LE),
        raw,
        characteristics: header.characteristics.get(LE).0,
        data,
    })
}

fn refuse_overlaps(sections: &[Section<'_>], place: &str, range: impl Fn(&Section<'_>) -> (u64, u64)) -> Result<()> {
    let mut ranges: Vec<_> = sections.iter().map(range).filter(|(start, end)| start < end).collect();
    ranges.sort_unstable();
    if ranges.iter().zip(ranges.iter().skip(1)).any(|((_, end), (next, _))| next < end) {
        return Err(bad(format!("sections overlap {place}")));
    }
    Ok(())
}

/// Where the certificate table lies, which the headers say and `end`, the end of all sections, confirms; and its length.
///
/// A table without length is none, whatever its place: so firmware has it.
fn locate_certificates(file: Data<'_>, (start, size): Extent, end: usize) -> Result<Option<(Range<usize>, usize)>> {
    let (start, size) = (start as usize, size as usize);
    if size == 0 {
        return Ok(None);
    }
    if start < end || start % CERTIFICATE_ALIGNMENT != 0 {
        return Err(bad("its certificate table is not where one can be"));
    }
    if start.checked_add(size).is_none_or(|end| end > file.len()) {
        return Err(bad("its certificate table does not end where the file ends"));
    }
    if file.len() - start > MAX_TABLE {
        return Err(bad(format!("its certificate table is longer than {} MiB", MAX_TABLE >> 20)));
    }
    Ok(Some((start..file.len(), size)))
}

/// The certificate table, as far as it is one.
#[derive(Debug, Default)]
struct Table<'a> {
    place: Option<Range<usize>>,
    entries: Vec<Certificate<'a>>,
    flaw: Option<&'static str>,
}

impl<'a> Table<'a> {
    fn read(file: Data<'a>, place: Range<usize>, size: usize) -> Result<Self> {
        let bytes = file.get(place.clone()).unwrap_or_else(|| (&[]).into()).read()?;
        let is_zero = |from: usize| bytes.get(from..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        if bytes.len() != size && !is_zero(size) {
            return Err(bad("its certificate table does not end where the file ends"));
        }
        let part = |range: Range<usize>| match &bytes {
            Cow::Borrowed(bytes) => bytes.get(range).map(Cow::Borrowed),
            Cow::Owned(bytes) => bytes.get(range).map(|part| Cow::Owned(part.to_vec())),
        };
        let (mut entries, mut at) = (Vec::new(), 0);
        let mut flaw = (bytes.len() != size).then_some("zeros follow its certificate table");
        while at < size {
            let next = (entries.len() < MAX_CERTIFICATES).then(|| read_certificate(&bytes, at, size, part)).flatten();
            let Some((certificate, end)) = next else {
                flaw = Some(match entries.len() {
                    MAX_CERTIFICATES => "its certificate table has more than 16 entries",
                    _ if is_zero(at) => "its certificate table ends in zeros, and not in a signature",
                    _ => "an entry of its certificate table is empty or too long",
                });
                break;
            };
            entries.push(certificate);
            at = end;
        }
        Ok(Self { place: Some(place), entries, flaw })
    }
}

/// The entry of a certificate table that begins at `at`, and where the next one does.
fn read_certificate<'a>(
    table: &[u8],
    at: usize,
    size: usize,
    part: impl Fn(Range<usize>) -> Option<Cow<'a, [u8]>>,
) -> Option<(Certificate<'a>, usize)> {
    let header = table.get(at..)?.first_chunk::<CERTIFICATE_HEADER>()?;
    let [l0, l1, l2, l3, r0, r1, k0, k1] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (content, end) = (at + CERTIFICATE_HEADER, at + length);
    let next = at + length.next_multiple_of(CERTIFICATE_ALIGNMENT);
    if end <= content || next > size {
        return None;
    }
    let certificate = Certificate {
        revision: u16::from_le_bytes([r0, r1]),
        kind: u16::from_le_bytes([k0, k1]),
        content: part(content..end)?,
        padding: part(end..next)?,
    };
    Some((certificate, next))
}

fn at<'a, T: Pod>(bytes: &'a [u8], offset: usize, what: &str) -> Result<&'a T> {
    bytes.read_at(offset as u64).map_err(|()| bad(format!("it ends before {what} does")))
}

fn bad(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Corrupt, "read a PE image", why).remedy("give an EFI program as it was built or signed")
}

#[cfg(test)]
pub mod tests;
