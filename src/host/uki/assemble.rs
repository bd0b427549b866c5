//! Sections put on a stub (UAPI.5; PE Format, Microsoft, section 4): the same input gives the same bytes.

use super::kernel;
use crate::{
    error::{Error, Kind, Result},
    host::format::pe::{Headers, Image},
};

/// The section that holds the kernel.
pub const LINUX: &str = ".linux";
/// Revocation levels, of the stub and of the kernel.
const SBAT: &str = ".sbat";

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
/// `VirtualSize` in a section's header.
const VIRTUAL_SIZE: usize = 8;
/// `IMAGE_SCN_CNT_CODE` and `IMAGE_SCN_MEM_READ`: kernels of old are run where they are.
const CODE: u32 = 0x4000_0020;
/// `IMAGE_SCN_CNT_INITIALIZED_DATA` and `IMAGE_SCN_MEM_READ`.
const DATA: u32 = 0x4000_0040;
/// What the kernel's memory is made of; a stub may be aligned to less.
const PAGE: u32 = 4096;

/// A section to be added.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// At most eight bytes, like `.cmdline`.
    pub name: &'a str,
    /// Not empty.
    pub data: &'a [u8],
}

/// Puts the sections on the stub, in this order, and the kernel last: what it
/// needs of memory when it decompresses itself in place lies behind the image.
///
/// The kernel's SBAT entries join those of the stub, so that either can be revoked.
///
/// # Errors
/// [`Kind::Corrupt`]: stub or kernel are none; [`Kind::Usage`]: they do not
/// fit each other, the stub is signed or has no room, a section is there already.
pub fn assemble(stub: &[u8], kernel: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>> {
    let image = Image::parse(stub).map_err(|e| {
        Error::new(Kind::Corrupt, "use the stub", e.cause()).remedy("give systemd's, like linuxx64.efi.stub")
    })?;
    let inner = kernel::parse(kernel)?;
    let (wanted, given) = (inner.headers().machine, image.headers().machine);
    if wanted != given {
        let why = format!("it is for {}, and the kernel for {}", machine_name(given), machine_name(wanted));
        return Err(unfit(why).remedy("give the stub of the kernel's architecture"));
    }
    if !image.certificates().is_empty() {
        return Err(
            unfit("it is signed, and would be so no more").remedy("give the unsigned one, which ends in .efi.stub")
        );
    }
    let mut output = Output::begin(&image)?;
    if let Some(sbat) = inner.section(SBAT) {
        output.add_revocation_levels(&image, sbat.data)?;
    }
    for section in sections {
        output.add(section, DATA)?;
    }
    output.add(&Section { name: LINUX, data: kernel }, CODE)?;
    if !promises_nx(kernel, inner.headers()) {
        output.withdraw_nx()?;
    }
    output.finish()
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

/// An image in the making.
struct Output {
    bytes: Vec<u8>,
    headers: Headers,
    names: Vec<String>,
    /// Where the next section can begin in memory.
    end_in_memory: u32,
    initialized: u32,
}

impl Output {
    /// Begins with the stub, without the symbols that it may have brought.
    fn begin(stub: &Image<'_>) -> Result<Self> {
        let headers = stub.headers().clone();
        let end = stub.sections().iter().map(|section| section.raw.end).fold(headers.size_of_headers, usize::max);
        let bytes = stub.bytes().get(..end).unwrap_or_default().to_vec();
        let names = stub.sections().iter().map(|section| section.name().into_owned()).collect();
        let end_in_memory = stub.sections().iter().map(|section| section.virtual_range().end).max().unwrap_or(0);
        let end_in_memory = u32::try_from(end_in_memory).map_err(|_| too_large())?;
        let mut output = Self { bytes, headers, names, end_in_memory, initialized: 0 };
        let optional = output.headers.optional_header;
        output.initialized = output.get_u32(optional + SIZE_OF_INITIALIZED_DATA);
        // Both the pointer to the symbols and their number.
        output.put(output.headers.file_header + POINTER_TO_SYMBOL_TABLE, &[0; 8])?;
        output.put(optional + CHECK_SUM, &[0; 4])?;
        Ok(output)
    }

    fn add(&mut self, section: &Section<'_>, characteristics: u32) -> Result<()> {
        let name = section.name;
        let fail = |why: &'static str| Error::new(Kind::Usage, format!("add section {name}"), why);
        if self.names.iter().any(|there| there == name) {
            return Err(fail("it is there already").remedy("give a stub without it: systemd's, as it was packaged"));
        }
        if name.len() > 8 || section.data.is_empty() {
            return Err(fail("it has no data, or its name is longer than eight bytes"));
        }
        let header = self.headers.section_table + self.names.len() * SECTION_HEADER;
        if header + SECTION_HEADER > self.headers.size_of_headers {
            return Err(unfit("its headers have no room for another section").remedy("give systemd's stub"));
        }
        let file_alignment = self.headers.file_alignment as usize;
        self.bytes.resize(self.bytes.len().next_multiple_of(file_alignment), 0);
        let raw_start = size(self.bytes.len())?;
        self.bytes.extend_from_slice(section.data);
        self.bytes.resize(self.bytes.len().next_multiple_of(file_alignment), 0);
        let raw_size = size(self.bytes.len())? - raw_start;

        let alignment = self.headers.section_alignment.max(PAGE);
        let address = self.end_in_memory.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        let virtual_size = size(section.data.len())?;
        self.end_in_memory = address.checked_add(virtual_size).ok_or_else(too_large)?;
        self.initialized = self.initialized.saturating_add(raw_size);
        self.names.push(name.to_owned());

        let mut fields = [0; SECTION_HEADER];
        let numbers = [virtual_size, address, raw_size, raw_start, 0, 0, 0, characteristics];
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        // No longer than eight bytes, see above; what follows is 32 bytes long.
        let name = name.bytes().chain([0; 8]).take(8);
        fields.iter_mut().zip(name.chain(numbers)).for_each(|(field, byte)| *field = byte);
        self.put(header, &fields)
    }

    /// Writes the kernel's entries behind those of the stub, without another first line.
    fn add_revocation_levels(&mut self, stub: &Image<'_>, kernels: &[u8]) -> Result<()> {
        let lines = |bytes: &[u8]| {
            let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let Some((index, there)) = (0..).zip(stub.sections()).find(|(_, section)| section.name() == SBAT) else {
            return Ok(());
        };
        let mut merged = lines(there.data);
        merged.extend(lines(kernels).into_iter().filter(|line| !line.starts_with("sbat,")));
        let mut merged = merged.join("\n").into_bytes();
        merged.push(b'\n');
        if merged.len() > there.raw.len() {
            return Err(unfit("its section .sbat has no room for the kernel's entries").remedy("give systemd's stub"));
        }
        let header = self.headers.section_table + index * SECTION_HEADER;
        self.put(header + VIRTUAL_SIZE, &size(merged.len())?.to_le_bytes())?;
        merged.resize(there.raw.len(), 0);
        self.put(there.raw.start, &merged)
    }

    /// Does not promise for the kernel what the kernel does not.
    fn withdraw_nx(&mut self) -> Result<()> {
        let at = self.headers.optional_header + DLL_CHARACTERISTICS;
        let characteristics = get_u16(&self.bytes, at) & !NX_COMPAT;
        self.put(at, &characteristics.to_le_bytes())
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        let (file, optional) = (self.headers.file_header, self.headers.optional_header);
        let alignment = self.headers.section_alignment;
        let size_of_image = self.end_in_memory.checked_next_multiple_of(alignment).ok_or_else(too_large)?;
        let count = u16::try_from(self.names.len()).map_err(|_| too_large())?;
        self.put(file + NUMBER_OF_SECTIONS, &count.to_le_bytes())?;
        self.put(optional + SIZE_OF_INITIALIZED_DATA, &self.initialized.to_le_bytes())?;
        self.put(optional + SIZE_OF_IMAGE, &size_of_image.to_le_bytes())?;
        // What cannot be read again must not be signed.
        Image::parse(&self.bytes)?;
        Ok(self.bytes)
    }

    fn put(&mut self, at: usize, value: &[u8]) -> Result<()> {
        let place = self.bytes.get_mut(at..at + value.len()).ok_or_else(|| unfit("its headers are cut off"))?;
        place.copy_from_slice(value);
        Ok(())
    }

    fn get_u32(&self, at: usize) -> u32 {
        let bytes = self.bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    }
}

fn promises_nx(kernel: &[u8], headers: &Headers) -> bool {
    get_u16(kernel, headers.optional_header + DLL_CHARACTERISTICS) & NX_COMPAT != 0
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
        assemble(&stub(), &kernel(), sections)
    }

    #[test]
    fn sections_are_where_the_headers_say() {
        let (cmdline, initrd) = (b"quiet".as_slice(), vec![7; 5000]);
        let sections = [Section { name: ".cmdline", data: cmdline }, Section { name: ".initrd", data: &initrd }];
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
        assert!(image.section(".cmdline").unwrap().data.starts_with(cmdline));
        assert_eq!(&image.section(".linux").unwrap().data[..kernel().len()], kernel());
        // What lay behind the last section of the stub is gone.
        assert!(!bytes.windows(7).any(|window| window == b"symbols"));
    }

    #[test]
    fn the_kernel_brings_its_revocation_levels_and_withdraws_promises() {
        let mut stub = stub();
        stub[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x160_u16.to_le_bytes());
        let mut kernel = program(&[(".sbat", b"sbat,1,y\nlinux,1,the kernel\n")]);
        let bytes = assemble(&stub, &kernel, &[]).unwrap();
        let image = Image::parse(&bytes).unwrap();
        let sbat = image.section(".sbat").unwrap();
        let expected = b"sbat,1,x\nsystemd-stub,1\nlinux,1,the kernel\n";
        assert_eq!(&sbat.data[..sbat.virtual_size as usize], expected);
        assert!(sbat.data[expected.len()..].iter().all(|byte| *byte == 0));
        assert_eq!(get_u16(&bytes, image.headers().optional_header + DLL_CHARACTERISTICS), 0x60);

        kernel[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x100_u16.to_le_bytes());
        let bytes = assemble(&stub, &kernel, &[]).unwrap();
        assert_eq!(get_u16(&bytes, image.headers().optional_header + DLL_CHARACTERISTICS), 0x160);

        let long = [b"sbat,1\n".as_slice(), &[b'x'; 500]].concat();
        let refused = assemble(&stub, &program(&[(".sbat", &long)]), &[]).unwrap_err();
        assert!(refused.to_string().contains(".sbat"), "{refused}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let data = b"x".as_slice();
        let refused = |sections: &[Section<'_>]| assembled(sections).unwrap_err().to_string();
        assert!(refused(&[Section { name: ".text", data }]).contains("there already"));
        assert!(refused(&[Section { name: LINUX, data }]).contains("there already"));
        assert!(refused(&[Section { name: ".toolong12", data }]).contains("longer than eight"));
        assert!(refused(&[Section { name: ".empty", data: b"" }]).contains("no data"));
        let many: Vec<_> =
            [".a", ".b", ".c", ".d", ".e", ".f", ".g", ".h", ".i", ".j", ".k", ".l", ".m", ".n", ".o", ".p"]
                .map(|name| Section { name, data })
                .into();
        assert!(refused(&many).contains("no room"));

        let mut other = stub();
        other[68..70].copy_from_slice(&0x014c_u16.to_le_bytes());
        assert!(assemble(&other, &kernel(), &[]).unwrap_err().to_string().contains("ia32"));
        for len in 0..0x400 {
            assert!(assemble(&stub()[..len], &kernel(), &[]).is_err(), "{len} bytes of a stub");
            assert!(assemble(&stub(), &kernel()[..len], &[]).is_err(), "{len} bytes of a kernel");
        }
    }
}
