//! What the headers say, and whether it fits the file.

use super::{Headers, Section, bad};
use crate::{error::Result, host::fs::data::Data};
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

const DIRECTORY_ENTRY: usize = size_of::<ImageDataDirectory>();

/// A pointer and a size out of a header.
pub(super) type Extent = (u32, u32);

/// All that comes before the sections' data; the sections; where the certificate table is said to lie.
pub(super) fn read_headers<'a>(bytes: &[u8], data: Data<'a>) -> Result<(Headers, Vec<Section<'a>>, Extent)> {
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
    let offsets = Offsets { file_header, optional_header, section_table };
    let machine = file.machine.get(LE).0;
    let (headers, table) = match magic.get(LE) {
        IMAGE_NT_OPTIONAL_HDR32_MAGIC => read_optional::<ImageOptionalHeader32>(bytes, &offsets, machine)?,
        IMAGE_NT_OPTIONAL_HDR64_MAGIC => read_optional::<ImageOptionalHeader64>(bytes, &offsets, machine)?,
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
struct Offsets {
    file_header: usize,
    optional_header: usize,
    section_table: usize,
}

fn read_optional<H: ImageOptionalHeader>(bytes: &[u8], offsets: &Offsets, machine: u16) -> Result<(Headers, Extent)> {
    let optional: &H = at(bytes, offsets.optional_header, "the optional header")?;
    let directory = offsets.optional_header + size_of::<H>();
    let entries = optional.number_of_rva_and_sizes() as usize;
    if entries > IMAGE_NUMBEROF_DIRECTORY_ENTRIES || directory + entries * DIRECTORY_ENTRY != offsets.section_table {
        return Err(bad("the data directory is not as long as the headers say"));
    }
    let (section_alignment, file_alignment) = (optional.section_alignment(), optional.file_alignment());
    if !section_alignment.is_power_of_two() || !file_alignment.is_power_of_two() {
        return Err(bad("an alignment is not a power of two"));
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
        file_header: offsets.file_header,
        optional_header: offsets.optional_header,
        section_table: offsets.section_table,
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

fn at<'a, T: Pod>(bytes: &'a [u8], offset: usize, what: &str) -> Result<&'a T> {
    bytes.read_at(offset as u64).map_err(|()| bad(format!("it ends before {what} does")))
}
