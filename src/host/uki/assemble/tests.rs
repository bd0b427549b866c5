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

fn assembled(sections: &[NewSection<'_>]) -> Result<Vec<u8>> {
    assembled_from(&stub(), &kernel(), sections)
}

fn assembled_from(stub: &[u8], kernel: &[u8], sections: &[NewSection<'_>]) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut output = Output::begin(&dir.path().join("image"), 0o600)?;
    assemble(stub, &kernel::parse(kernel)?, sections, &mut output)?;
    Ok(output.data().read()?.into_owned())
}

fn section<'a>(name: &'a str, data: &'a [u8]) -> NewSection<'a> {
    NewSection { name, data: vec![data.into()] }
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
    assert_eq!(found[2], (".cmdline".into(), 0x3000, 5, layout::DATA));
    assert_eq!(found[3], (".initrd".into(), 0x4000, 5000, layout::DATA));
    assert_eq!(found[4], (".linux".into(), 0x6000, kernel().len() as u32, layout::CODE));
    assert_eq!(image.headers().size_of_image, 0x7000);
    assert_eq!(*image.section(".cmdline").unwrap().contents().read().unwrap(), *cmdline);
    assert_eq!(*image.section(".linux").unwrap().contents().read().unwrap(), kernel());
    // What lay behind the last section of the stub is gone.
    assert!(!bytes.windows(7).any(|window| window == b"symbols"));
}

#[test]
fn the_kernels_revocation_levels_are_merged_and_nx_is_withdrawn() {
    let mut stub = stub();
    stub[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x160_u16.to_le_bytes());
    let mut kernel = program(&[(".sbat", b"sbat,1,y\nlinux,1,the kernel\n")]);
    let bytes = assembled_from(&stub, &kernel, &[]).unwrap();
    let image = Image::parse(&bytes).unwrap();
    let sbat = image.section(".sbat").unwrap();
    let expected = b"sbat,1,x\nsystemd-stub,1\nlinux,1,the kernel\n";
    assert_eq!(*sbat.contents().read().unwrap(), *expected);
    assert!(sbat.data.read().unwrap()[expected.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(layout::dll_characteristics(&bytes, image.headers()), 0x60);

    kernel[64 + 24 + 70..64 + 24 + 72].copy_from_slice(&0x100_u16.to_le_bytes());
    let bytes = assembled_from(&stub, &kernel, &[]).unwrap();
    assert_eq!(layout::dll_characteristics(&bytes, image.headers()), 0x160);
}

/// As on the stub of Debian 12, whose `.sbat` stands between others.
#[test]
fn a_revocation_section_that_grows_is_moved() {
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
    let sections = [".a", ".b"].map(|name| NewSection { name, data: vec![large.data()] });
    let mut output = Output::begin(&dir.path().join("image"), 0o600).unwrap();
    let refused = assemble(&stub(), &kernel::parse(&kernel()).unwrap(), &sections, &mut output).unwrap_err();
    assert!(refused.to_string().contains("larger than 4 GiB"), "{refused}");
    assert!(output.data().is_empty());
}

#[test]
fn oversized_sections_are_refused() {
    let data = b"x".as_slice();
    let refused = |sections: &[NewSection<'_>]| assembled(sections).unwrap_err().to_string();
    assert!(refused(&[section(".text", data)]).contains("there already"));
    assert!(refused(&[section(LINUX, data)]).contains("there already"));
    assert!(refused(&[section(".toolong12", data)]).contains("longer than eight"));
    assert!(refused(&[section(".empty", b"")]).contains("no data"));
    let many: Vec<_> = [".a", ".b", ".c", ".d", ".e", ".f", ".g", ".h", ".i", ".j", ".k", ".l", ".m", ".n", ".o", ".p"]
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
