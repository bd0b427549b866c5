//! Where everything will be: headers, sections, their places in the file and in memory (PE Format, sections 2 to 4).

use super::{NewSection, SBAT, cut_off, too_large, unfit};
use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
    host::{
        fs::{atomic::Output, data::Data},
        image::pe::{Headers, Image},
    },
};

/// Offsets in the `IMAGE_FILE_HEADER`.
const NUMBER_OF_SECTIONS: usize = 2;
const POINTER_TO_SYMBOL_TABLE: usize = 8;
/// Offsets in the optional header, of either kind.
const SIZE_OF_INITIALIZED_DATA: usize = 8;
const SIZE_OF_IMAGE: usize = 56;
const CHECK_SUM: usize = 64;
const DLL_CHARACTERISTICS: usize = 70;
/// The bit of `DllCharacteristics` that promises to run with data not executable.
const NX_COMPAT: u16 = 0x0100;

const SECTION_HEADER: usize = 40;
/// Offsets in a section's header, behind its name.
const NAME: usize = 8;
const VIRTUAL_SIZE: usize = 8;
const VIRTUAL_ADDRESS: usize = 12;
const RAW_SIZE: usize = 16;
const RAW_START: usize = 20;
const CHARACTERISTICS: usize = 36;
/// `IMAGE_SCN_CNT_CODE` and `IMAGE_SCN_MEM_READ`: kernels of old are run where they are.
pub(super) const CODE: u32 = 0x4000_0020;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA` and `IMAGE_SCN_MEM_READ`.
pub(super) const DATA: u32 = 0x4000_0040;
/// What the kernel's memory is made of; a stub may be aligned to less.
const PAGE: u32 = 4096;

/// An image of which it is known where everything will be.
pub(super) struct ImageLayout<'a> {
    headers: Headers,
    head: Vec<u8>,
    /// What follows the headers of the stub.
    body: Vec<u8>,
    /// The section table.
    table: Vec<SectionHeader>,
    /// What follows the stub, each up to a multiple of the file's alignment.
    added: Vec<Vec<Data<'a>>>,
    end_in_file: usize,
    /// Where the next section can begin in memory.
    end_in_memory: u32,
    initialized: u32,
}

/// A line of the section table.
#[derive(Clone, Copy)]
struct SectionHeader([u8; SECTION_HEADER]);

impl SectionHeader {
    fn get(&self, at: usize) -> u32 {
        self.0.get(at..).and_then(|rest| Reader::new(rest).le32()).unwrap_or(0)
    }

    fn set(&mut self, at: usize, value: u32) {
        if let Some(place) = self.0.get_mut(at..at + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn has_name(&self, name: &str) -> bool {
        let there = self.0.iter().take(NAME).take_while(|byte| **byte != 0);
        there.eq(name.as_bytes())
    }
}

impl<'a> ImageLayout<'a> {
    /// Begins with the stub, without the symbols that it may have brought.
    pub(super) fn begin(stub: &Image<'_>) -> Result<Self> {
        let headers = stub.headers().clone();
        let end = stub.sections().iter().map(|section| section.raw.end).fold(headers.size_of_headers, usize::max);
        let body = stub.data().get(headers.size_of_headers..end).ok_or_else(cut_off)?.read()?.into_owned();
        let end_in_memory = stub.sections().iter().map(|section| section.virtual_range().end).max().unwrap_or(0);
        let end_in_memory = u32::try_from(end_in_memory).map_err(|_| too_large())?;
        let table = stub.head().get(headers.section_table..).unwrap_or_default();
        let table = table.as_chunks().0.iter().take(stub.sections().len()).map(|line| SectionHeader(*line)).collect();
        let mut layout = Self {
            head: stub.head().to_vec(),
            end_in_file: end,
            added: Vec::new(),
            initialized: 0,
            headers,
            body,
            table,
            end_in_memory,
        };
        let optional = layout.headers.optional_header;
        let initialized = layout.head.get(optional + SIZE_OF_INITIALIZED_DATA..).unwrap_or_default();
        layout.initialized = Reader::new(initialized).le32().unwrap_or(0);
        // Both the pointer to the symbols and their number.
        layout.put(layout.headers.file_header + POINTER_TO_SYMBOL_TABLE, &[0; 8])?;
        layout.put(optional + CHECK_SUM, &[0; 4])?;
        if let Some(entry) = layout.headers.certificate_entry.clone() {
            layout.put(entry.start, &[0; 8])?;
        }
        Ok(layout)
    }

    pub(super) fn add(&mut self, section: &NewSection<'a>, characteristics: u32) -> Result<()> {
        let name = section.name;
        let fail = |why: &'static str| Error::new(Kind::Usage, format!("add section {name}"), why);
        if self.table.iter().any(|there| there.has_name(name)) {
            return Err(fail("it is there already").remedy("give a stub without it: systemd's, as it was packaged"));
        }
        if name.len() > NAME || section.len() == 0 {
            return Err(fail("it has no data, or its name is longer than eight bytes"));
        }
        let header = self.headers.section_table + self.table.len() * SECTION_HEADER;
        if header + SECTION_HEADER > self.headers.size_of_headers {
            return Err(unfit("its headers have no room for another section").remedy("give systemd's stub"));
        }
        let file_alignment = self.headers.file_alignment as usize;
        let start = self.end_in_file.next_multiple_of(file_alignment);
        let end = (start + section.len()).next_multiple_of(file_alignment);
        // All that lies before the end can be told by a header.
        size(end)?;
        self.end_in_file = end;
        let raw_size = size(end - start)?;

        let alignment = self.headers.section_alignment.max(PAGE);
        let address = self.end_in_memory.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        let virtual_size = size(section.len())?;
        self.end_in_memory = address.checked_add(virtual_size).ok_or_else(too_large)?;
        self.initialized = self.initialized.saturating_add(raw_size);

        let mut line = SectionHeader([0; SECTION_HEADER]);
        line.0.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
        line.set(VIRTUAL_SIZE, virtual_size);
        line.set(VIRTUAL_ADDRESS, address);
        line.set(RAW_SIZE, raw_size);
        line.set(RAW_START, size(start)?);
        line.set(CHARACTERISTICS, characteristics);
        self.table.push(line);
        self.added.push(section.data.clone());
        Ok(())
    }

    /// Writes the revocation levels where the stub has its own, or, where those have no room to grow, behind everything.
    pub(super) fn put_revocation_levels(&mut self, stub: &Image<'_>, merged: &'a [u8]) -> Result<()> {
        let Some((index, there)) = (0..).zip(stub.sections()).find(|(_, section)| section.name() == SBAT) else {
            return Ok(());
        };
        let start = there.virtual_range().start;
        let next = stub.sections().iter().map(|other| other.virtual_range().start).filter(|other| *other > start).min();
        let has_room = merged.len() <= there.raw.len() && next.is_none_or(|next| start + merged.len() as u64 <= next);
        let body = there.raw.start - self.head.len()..there.raw.end - self.head.len();
        if has_room {
            let place = self.body.get_mut(body).ok_or_else(cut_off)?;
            place.fill(0);
            place.iter_mut().zip(merged).for_each(|(place, byte)| *place = *byte);
            let line = self.table.get_mut(index).ok_or_else(cut_off)?;
            line.set(VIRTUAL_SIZE, size(merged.len())?);
            self.end_in_memory = self.end_in_memory.max(size(start as usize + merged.len())?);
            return Ok(());
        }
        // Cut out, so that no bytes stay behind that belong to no section.
        if there.raw.is_empty() || body.end > self.body.len() {
            return Err(cut_off());
        }
        self.body.drain(body);
        self.end_in_file -= there.raw.len();
        let line = self.table.remove(index);
        for other in &mut self.table {
            let at = other.get(RAW_START);
            if at as usize >= there.raw.end {
                other.set(RAW_START, at - line.get(RAW_SIZE));
            }
        }
        self.initialized = self.initialized.saturating_sub(line.get(RAW_SIZE));
        self.add(&NewSection { name: SBAT, data: vec![merged.into()] }, there.characteristics)
    }

    /// Does not promise for the kernel what the kernel does not.
    pub(super) fn withdraw_nx(&mut self) -> Result<()> {
        let characteristics = dll_characteristics(&self.head, &self.headers) & !NX_COMPAT;
        self.put(self.headers.optional_header + DLL_CHARACTERISTICS, &characteristics.to_le_bytes())
    }

    pub(super) fn write(mut self, output: &mut Output) -> Result<()> {
        let (file, optional) = (self.headers.file_header, self.headers.optional_header);
        let alignment = self.headers.section_alignment;
        let size_of_image = self.end_in_memory.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        let count = u16::try_from(self.table.len()).map_err(|_| too_large())?;
        self.put(file + NUMBER_OF_SECTIONS, &count.to_le_bytes())?;
        self.put(optional + SIZE_OF_INITIALIZED_DATA, &self.initialized.to_le_bytes())?;
        self.put(optional + SIZE_OF_IMAGE, &size_of_image.to_le_bytes())?;
        let table: Vec<u8> = self.table.iter().flat_map(|line| line.0).collect();
        self.put(self.headers.section_table, &table)?;

        output.append(&self.head)?;
        output.append(&self.body)?;
        let file_alignment = self.headers.file_alignment as usize;
        output.align(file_alignment)?;
        for section in self.added {
            section.into_iter().try_for_each(|data| output.append(data))?;
            output.align(file_alignment)?;
        }
        Ok(())
    }

    fn put(&mut self, at: usize, value: &[u8]) -> Result<()> {
        let place = self.head.get_mut(at..at + value.len()).ok_or_else(cut_off)?;
        place.copy_from_slice(value);
        Ok(())
    }
}

/// Whether a kernel promises to run with data not executable.
pub(super) fn promises_nx(kernel: &Image<'_>) -> bool {
    dll_characteristics(kernel.head(), kernel.headers()) & NX_COMPAT != 0
}

pub(super) fn dll_characteristics(head: &[u8], headers: &Headers) -> u16 {
    let field = head.get(headers.optional_header + DLL_CHARACTERISTICS..).unwrap_or_default();
    Reader::new(field).le16().unwrap_or(0)
}

fn size(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| too_large())
}
