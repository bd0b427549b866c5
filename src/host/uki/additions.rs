//! What a keyset adds to an initrd: a further archive.
//!
//! ```text
//! /pcr7data/policy-N/…   what trust finds its policies in
//! /manifestCA.pem        what a machine's services check their peers with
//! /usr/bin/trust         the program, if wanted
//! ```

use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        image::cpio::Archive,
        keyset::{Inside, Keyset, Role},
        pki::certificate,
    },
};
use std::path::Path;

/// Where the signed policies lie in an initrd.
pub const PCR7DATA: &str = "pcr7data";
/// Where the certificate of the manifest CA lies.
pub const MANIFEST_CA: &str = "manifestCA.pem";
/// Where the program lies.
pub const PROGRAM: &str = "usr/bin/trust";
/// Where the program is, relative to the running one: beside it, where `cargo xtask install` puts it, or where packages do.
const PROGRAM_HERE: [&str; 3] = ["trust-initrd", "../lib/trust/trust-initrd", "/usr/lib/trust/trust-initrd"];

/// Readable by all: nothing in there is secret.
const PUBLIC: u32 = 0o644;
const EXECUTABLE: u32 = 0o755;
/// Upper bound in bytes; a larger program is not one for an initrd.
const MAX_PROGRAM: u64 = 64 << 20;

/// The archive: the keyset's public files, and the program if there is one.
///
/// # Errors
/// Those of reading the keyset.
pub fn archive(keyset: &Keyset, program: Option<Vec<u8>>) -> Result<Vec<u8>> {
    let mut archive = Archive::new();
    // All of it: `finish --keep-policies` leaves the running system its entries from here, and needs those of both values.
    add_tree(&mut archive, &Inside::of(keyset.path())?, PCR7DATA)?;
    let manifest_ca = certificate::to_pem(&keyset.certificate(Role::ManifestCa)?)?;
    archive.file(MANIFEST_CA, PUBLIC, manifest_ca.into_bytes())?;
    if let Some(program) = program {
        archive.file(PROGRAM, EXECUTABLE, program)?;
    }
    archive.to_bytes()
}

/// Reads the program for an initrd on this architecture: the one given, or
/// `trust-initrd` beside the running one or installed with it. `machine` is the kernel's, as PE images say it.
///
/// # Errors
/// Those of reading; [`Kind::Usage`] when it is not one for that architecture.
pub fn program(given: Option<&Path>, machine: u16) -> Result<Vec<u8>> {
    let here = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned())).unwrap_or_default();
    let [beside, installed, packaged] = PROGRAM_HERE.map(|name| here.join(name));
    let own = [&beside, &installed, &packaged].into_iter().find(|path| path.exists()).unwrap_or(&beside).clone();
    let path = given.map_or(own, Path::to_owned);
    let bytes = atomic::read_up_to(&path, MAX_PROGRAM).map_err(|e| {
        if given.is_some() { e } else { e.remedy("name the program for the initrd: --with-trust=FILE") }
    })?;
    // e_machine (System V ABI, ELF header).
    let found = bytes.get(18..).and_then(|rest| Reader::new(rest).le16());
    let why = match elf_machine(machine) {
        _ if !bytes.starts_with(b"\x7fELF") => "it is not a program",
        Some(wanted) if found != Some(wanted) => "it is for another architecture than the kernel",
        _ => return Ok(bytes),
    };
    let what = format!("put {} into the initrd", path.display());
    Err(Error::new(Kind::Usage, what, why).remedy("give trust-initrd as it was built for the target"))
}

/// The `e_machine` of ELF programs that run where PE images with this `Machine` do.
const fn elf_machine(machine: u16) -> Option<u16> {
    match machine {
        0x8664 => Some(62),
        0xaa64 => Some(183),
        0x5064 => Some(243),
        0x6264 => Some(258),
        _ => None,
    }
}

/// Adds what is below a directory of the keyset, but for what is unfinished. All may read an image.
fn add_tree(archive: &mut Archive, keyset: &Inside, path: &str) -> Result<()> {
    archive.directory(path)?;
    for name in keyset.list(Path::new(path))? {
        let path = format!("{path}/{name}");
        if keyset.is_dir(Path::new(&path))? {
            add_tree(archive, keyset, &path)?;
        } else {
            archive.file(&path, PUBLIC, keyset.read(Path::new(&path))?)?;
        }
    }
    Ok(())
}
