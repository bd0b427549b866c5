//! Sections put on a stub (UAPI.5; PE Format, Microsoft, section 4): the same input gives the same bytes.

use super::kernel;
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{atomic::Output, data::Data},
        image::pe::{Headers, Image},
    },
};

/// The section that holds the kernel.
pub const LINUX: &str = ".linux";
/// Revocation levels, of the stub and of the kernel.
const SBAT: &str = ".sbat";
/// More than any list of them.
const MAX_SBAT: usize = 1 << 20;

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
const CODE: u32 = 0x4000_0020;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA` and `IMAGE_SCN_MEM_READ`.
const DATA: u32 = 0x4000_0040;
/// What the kernel's memory is made of; a stub may be aligned to less.
const PAGE: u32 = 4096;

/// A section to be added.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// At most eight bytes, like `.cmdline`.
    pub name: &'a str,
    /// What it holds, one behind the other. Not empty.
    pub data: Vec<Data<'a>>,
}

impl Section<'_> {
    fn len(&self) -> usize {
        self.data.iter().map(|data| data.len()).sum()
    }
}

/// Puts the sections on the stub, in this order, and the kernel last: what it
/// needs of memory when it decompresses itself in place lies behind the image.
/// Nothing is written before all of it is known to fit.
///
/// The kernel's SBAT entries join those of the stub, so that either can be revoked.
///
/// # Errors
/// [`Kind::Corrupt`]: the stub is none; [`Kind::Usage`]: they do not fit each other, the stub is signed or has
/// no room, a section is there already, 4 GiB are not enough; those of reading and writing.
pub fn assemble(stub: &[u8], kernel: &Image<'_>, sections: &[Section<'_>], output: &mut Output) -> Result<()> {
    let image = Image::parse(stub).map_err(|e| {
        Error::new(Kind::Corrupt, "use the stub", e.cause()).remedy("give systemd's, like linuxx64.efi.stub")
    })?;
    let (wanted, given) = (kernel.headers().machine, image.headers().machine);
    if wanted != given {
        let why = format!("it is for {}, and the kernel for {}", machine_name(given), machine_name(wanted));
        return Err(unfit(why).remedy("give the stub of the kernel's architecture"));
    }
    if image.certificate_table().is_some() {
        return Err(
            unfit("it is signed, and would be so no more").remedy("give the unsigned one, which ends in .efi.stub")
        );
    }
    let revocation_levels = match kernel.section(SBAT) {
        Some(sbat) if sbat.data.len() > MAX_SBAT => return Err(kernel::unusable("its section .sbat is no list")),
        Some(sbat) => merge(&image, &sbat.data.read()?)?,
        None => None,
    };
    let mut layout = Layout::begin(&image)?;
    if let Some(merged) = &revocation_levels {
        layout.put_revocation_levels(&image, merged)?;
    }
    for section in sections {
        layout.add(section, DATA)?;
    }
    layout.add(&Section { name: LINUX, data: vec![kernel.data()] }, CODE)?;
    if !promises_nx(kernel) {
        layout.withdraw_nx()?;
    }
    layout.write(output)?;
    // What cannot be read again must not be signed.
    let again = Image::parse(output.data());
    again.map(drop).map_err(|e| e.within("assemble the image").remedy("this is a defect of trust: report it"))
}

/// The stub's revocation levels with the kernel's behind them, without another first line, if the stub has any.
fn merge(stub: &Image<'_>, kernels: &[u8]) -> Result<Option<Vec<u8>>> {
    let lines = |bytes: &[u8]| {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let Some(section) = stub.section(SBAT) else { return Ok(None) };
    let mut merged = lines(&section.data.read()?);
    merged.extend(lines(kernels).into_iter().filter(|line| !line.starts_with("sbat,")));
    let mut merged = merged.join("\n").into_bytes();
    merged.push(b'\n');
    Ok(Some(merged))
}

/// An architecture as UEFI calls it, by `Machine`.
#[must_use]
pub fn machine_name(machine: u16) -> String {
    match machine {
        0x014c => "ia32".into(),
        0x8664 => "x64".into(),
        0x01c2 => "arm".into(),
        0xaa64 => "aa64".into(),
        0x5064 => "riscv64".into(),
        0x6264 => "loongarch64".into(),
        other => format!("machine {other:#06x}"),
    }
}

/// An image of which it is known where everything will be.
struct Layout<'a> {
    headers: Headers,
    head: Vec<u8>,
    /// What follows the headers of the stub.
    body: Vec<u8>,
    /// The section table.
    table: Vec<Header>,
    /// What follows the stub, each up to a multiple of the file's alignment.
    added: Vec<Vec<Data<'a>>>,
    end_in_file: usize,
    /// Where the next section can begin in memory.
    end_in_memory: u32,
    initialized: u32,
}

/// A line of the section table.
#[derive(Clone, Copy)]
struct Header([u8; SECTION_HEADER]);

impl Header {
    fn get(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
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

impl<'a> Layout<'a> {
    /// Begins with the stub, without the symbols that it may have brought.
    fn begin(stub: &Image<'_>) -> Result<Self> {
        let headers = stub.headers().clone();
        let end = stub.sections().iter().map(|section| section.raw.end).fold(headers.size_of_headers, usize::max);
        let body = stub.data().get(headers.size_of_headers..end).ok_or_else(cut_off)?.read()?.into_owned();
        let end_in_memory = stub.sections().iter().map(|section| section.virtual_range().end).max().unwrap_or(0);
        let end_in_memory = u32::try_from(end_in_memory).map_err(|_| too_large())?;
        let table = stub.head().get(headers.section_table..).unwrap_or_default();
        let table = table.as_chunks().0.iter().take(stub.sections().len()).map(|line| Header(*line)).collect();
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
        let initialized = layout.head.get(optional + SIZE_OF_INITIALIZED_DATA..).and_then(|rest| rest.first_chunk());
        layout.initialized = initialized.map_or(0, |bytes| u32::from_le_bytes(*bytes));
        // Both the pointer to the symbols and their number.
        layout.put(layout.headers.file_header + POINTER_TO_SYMBOL_TABLE, &[0; 8])?;
        layout.put(optional + CHECK_SUM, &[0; 4])?;
        if let Some(entry) = layout.headers.certificate_entry.clone() {
            layout.put(entry.start, &[0; 8])?;
        }
        Ok(layout)
    }

    fn add(&mut self, section: &Section<'a>, characteristics: u32) -> Result<()> {
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

        let mut line = Header([0; SECTION_HEADER]);
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
    fn put_revocation_levels(&mut self, stub: &Image<'_>, merged: &'a [u8]) -> Result<()> {
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
        self.add(&Section { name: SBAT, data: vec![merged.into()] }, there.characteristics)
    }

    /// Does not promise for the kernel what the kernel does not.
    fn withdraw_nx(&mut self) -> Result<()> {
        let at = self.headers.optional_header + DLL_CHARACTERISTICS;
        let characteristics = get_u16(&self.head, at) & !NX_COMPAT;
        self.put(at, &characteristics.to_le_bytes())
    }

    fn write(mut self, output: &mut Output) -> Result<()> {
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

fn promises_nx(kernel: &Image<'_>) -> bool {
    get_u16(kernel.head(), kernel.headers().optional_header + DLL_CHARACTERISTICS) & NX_COMPAT != 0
}

fn get_u16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
}

fn size(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::new(Kind::Usage, "assemble the image", "it would be larger than 4 GiB").remedy("give a smaller initrd")
}

fn cut_off() -> Error {
    unfit("its headers do not describe it").remedy("give systemd's stub")
}

fn unfit(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Usage, "use the stub", why)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A program for x86-64 with these sections, and room for eight.
    pub fn program(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let optional = 64 + 24;
        let mut bytes = vec![0; 0x400];
        let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
        put(0, b"MZ");
        put(0x3c, &[64]);
        put(64, b"PE\0\0\x64\x86");
        put(64 + 6, &[sections.len() as u8]);
        put(64 + 20, &[240]);
        put(optional, &0x20b_u16.to_le_bytes());
        put(optional + 68, &[10]);
        let size_of_image = 0x1000 * (sections.len() as u32 + 1);
        for (offset, value) in [(32, 0x1000), (36, 0x200), (56, size_of_image), (60, 0x400), (108, 16)] {
            put(optional + offset, &u32::to_le_bytes(value));
        }
        for (index, (name, data)) in sections.iter().enumerate() {
            let header = optional + 240 + 40 * index;
            put(header, name.as_bytes());
            let (address, raw) = (0x1000 * (index as u32 + 1), 0x400 + 0x200 * index as u32);
            for (offset, value) in [(8, data.len() as u32), (12, address), (16, 0x200), (20, raw)] {
                put(header + offset, &u32::to_le_bytes(value));
            }
        }
        for (_, data) in sections {
            let end = bytes.len() + 0x200;
            bytes.extend_from_slice(data);
            bytes.resize(end, 0);
        }
        bytes
    }

    fn stub() -> Vec<u8> {
        [program(&[(".text", b"code"), (".sbat", b"sbat,1,x\nsystemd-stub,1\n")]), b"symbols".to_vec()].concat()
    }

    fn kernel() -> Vec<u8> {
        program(&[(".text", b"linux")])
    }

    fn assembled(sections: &[Section<'_>]) -> Result<Vec<u8>> {
        assembled_from(&stub(), &kernel(), sections)
    }

    fn assembled_from(stub: &[u8], kernel: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let mut output = Output::begin(&dir.path().join("image"), 0o600)?;
        assemble(stub, &kernel::parse(kernel)?, sections, &mut output)?;
        Ok(output.data().read()?.into_owned())
    }

    fn section<'a>(name: &'a str, data: &'a [u8]) -> Section<'a> {
        Section { name, data: vec![data.into()] }
    }

    #[test]
    fn sections_are_where_the_headers_say() {
        let (cmdline, initrd) = (b"quiet".as_slice(), vec![7; 5000]);
        let sections = [section(".cmdline", cmdline), section(".initrd", &initrd)];
        let bytes = assembled(&sections).unwrap();
        assert_eq!(bytes, assembled(&sections).unwrap());
        let image = Image::parse(&bytes).unwrap();
        let found: Vec<_> = image
            .sections()
            .iter()
            .map(|section| (section.name(), section.virtual_address, section.virtual_size, section.characteristics))
            .collect();
        assert_eq!(found[2], (".cmdline".into(), 0x3000, 5, DATA));
        assert_eq!(found[3], (".initrd".into(), 0x4000, 5000, DATA));
        assert_eq!(found[4], (".linux".into(), 0x6000, kernel().len() as u32, CODE));
        assert_eq!(image.headers().size_of_image, 0x7000);
        assert_eq!(*image.section(".cmdline").unwrap().contents().read().unwrap(), *cmdline);
        assert_eq!(*image.section(".linux").unwrap().contents().read().unwrap(), kernel());
        // What lay behind the last section of the stub is gone.
        assert!(!bytes.windows(7).any(|window| window == b"symbols"));
    }

    #[test]
    fn the_kernel_brings_its_revocation_levels_and_withdraws_promises() {
        let mut stub = stub();
        stub[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x160_u16.to_le_bytes());
        let mut kernel = program(&[(".sbat", b"sbat,1,y\nlinux,1,the kernel\n")]);
        let bytes = assembled_from(&stub, &kernel, &[]).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let sbat = image.section(".sbat").unwrap();
        let expected = b"sbat,1,x\nsystemd-stub,1\nlinux,1,the kernel\n";
        assert_eq!(*sbat.contents().read().unwrap(), *expected);
        assert!(sbat.data.read().unwrap()[expected.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(get_u16(&bytes, image.headers().optional_header + DLL_CHARACTERISTICS), 0x60);

        kernel[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x100_u16.to_le_bytes());
        let bytes = assembled_from(&stub, &kernel, &[]).unwrap();
        assert_eq!(get_u16(&bytes, image.headers().optional_header + DLL_CHARACTERISTICS), 0x160);
    }

    /// As on the stub of Debian 12, whose `.sbat` stands between others.
    #[test]
    fn revocation_levels_that_outgrow_their_place_get_another() {
        let stub =
            program(&[(".text", b"code"), (".sbat", b"sbat,1,x\nsystemd-stub,1\n"), (".reloc", b"r"), (".data", b"d")]);
        // For the file, and for memory alone.
        for (len, room) in [(0x300, 0x1000), (0x100, 0x40)] {
            let mut stub = stub.clone();
            let reloc = 64 + 24 + 240 + 2 * 40 + 12;
            stub[reloc..reloc + 4].copy_from_slice(&(0x2000_u32 + room).to_le_bytes());
            let long = [b"linux,1,".as_slice(), &vec![b'x'; len], b"\n"].concat();
            let kernel = program(&[(".text", b"linux"), (".data", b""), (".sbat", &[])]);
            let kernel = with_section(kernel, 2, &[b"sbat,1,y\n", &long[..]].concat());
            let bytes = assembled_from(&stub, &kernel, &[section(".cmdline", b"quiet")]).unwrap();
            let image = Image::parse(&bytes).unwrap();
            let names: Vec<_> = image.sections().iter().map(|section| section.name().into_owned()).collect();
            assert_eq!(names, [".text", ".reloc", ".data", ".sbat", ".cmdline", ".linux"]);
            let contents = |name: &str| image.section(name).unwrap().contents().read().unwrap().into_owned();
            assert_eq!(contents(".sbat"), [b"sbat,1,x\nsystemd-stub,1\n", &long[..]].concat());
            assert_eq!((contents(".reloc"), contents(".data")), (b"r".to_vec(), b"d".to_vec()));
            // One behind the other, in the file and in memory.
            let (mut raw, mut memory) = (0x400, 0);
            for section in image.sections() {
                assert_eq!(section.raw.start, raw, "{}", section.name());
                assert!(section.virtual_range().start >= memory, "{}", section.name());
                (raw, memory) = (section.raw.end, section.virtual_range().end);
            }
            assert_eq!(raw, bytes.len());
        }
    }

    /// The program with these data in its last section.
    fn with_section(mut program: Vec<u8>, index: usize, data: &[u8]) -> Vec<u8> {
        let header = 64 + 24 + 240 + 40 * index;
        let start = u32::from_le_bytes(program[header + 20..header + 24].try_into().unwrap()) as usize;
        program.truncate(start);
        program.extend_from_slice(data);
        program.resize(program.len().next_multiple_of(0x200), 0);
        let raw = (program.len() - start) as u32;
        program[header + 8..header + 12].copy_from_slice(&(data.len() as u32).to_le_bytes());
        program[header + 16..header + 20].copy_from_slice(&raw.to_le_bytes());
        program
    }

    #[test]
    fn an_image_beyond_4_gib_is_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        std::fs::File::create(&path).unwrap().set_len(2 << 30).unwrap();
        let large = crate::host::fs::data::Input::open(&path, u64::MAX).unwrap();
        let sections = [".a", ".b"].map(|name| Section { name, data: vec![large.data()] });
        let mut output = Output::begin(&dir.path().join("image"), 0o600).unwrap();
        let refused = assemble(&stub(), &kernel::parse(&kernel()).unwrap(), &sections, &mut output).unwrap_err();
        assert!(refused.to_string().contains("larger than 4 GiB"), "{refused}");
        assert!(output.data().is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = b"x".as_slice();
        let refused = |sections: &[Section<'_>]| assembled(sections).unwrap_err().to_string();
        assert!(refused(&[section(".text", data)]).contains("there already"));
        assert!(refused(&[section(LINUX, data)]).contains("there already"));
        assert!(refused(&[section(".toolong12", data)]).contains("longer than eight"));
        assert!(refused(&[section(".empty", b"")]).contains("no data"));
        let many: Vec<_> =
            [".a", ".b", ".c", ".d", ".e", ".f", ".g", ".h", ".i", ".j", ".k", ".l", ".m", ".n", ".o", ".p"]
                .map(|name| section(name, data))
                .into();
        assert!(refused(&many).contains("no room"));

        let mut other = stub();
        other[68..70].copy_from_slice(&0x014c_u16.to_le_bytes());
        assert!(assembled_from(&other, &kernel(), &[]).unwrap_err().to_string().contains("ia32"));
        for len in 0..0x400 {
            assert!(assembled_from(&stub()[..len], &kernel(), &[]).is_err(), "{len} bytes of a stub");
            assert!(assembled_from(&stub(), &kernel()[..len], &[]).is_err(), "{len} bytes of a kernel");
        }
    }
}
