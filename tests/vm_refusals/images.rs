//! Other images, other keys, other machines.

use super::{NOT_PROVISIONED, REFUSED, explained, fixture, gets_nothing, gets_the_secrets, memory};
use harness::vm::{Chain, Report, Vm};
use std::{fs, sync::OnceLock};

/// What the boot of the production image came to, and how many private keys and passphrases were left in memory: by the
/// firmware, or by way of shim.
pub fn production(chain: Chain) -> &'static (Report, (usize, usize)) {
    static BOOTS: [OnceLock<(Report, (usize, usize))>; 2] = [const { OnceLock::new() }; 2];
    BOOTS[usize::from(chain == Chain::Shim)].get_or_init(|| {
        let vm = fixture().machine(chain, &fixture().image("production"));
        let kept = memory::keep(&vm, &format!("memory-{chain:?}"), &[]);
        let report = vm.boot();
        report.ok();
        (report, memory::secrets_in(&kept))
    })
}

#[test]
fn a_production_image_is_given_the_secrets_once() {
    for chain in [Chain::Direct, Chain::Shim] {
        let (report, (keys, passphrases)) = production(chain);
        gets_the_secrets(report);
        // Until `trust finish` is called, this is where they are.
        assert!(*keys > 0 && *passphrases > 0, "{keys} keys and {passphrases} passphrases in the machine's memory");
    }
}

#[test]
fn a_limited_image_gets_nothing() {
    let report = fixture().machine(Chain::Direct, &fixture().image("limited")).boot();
    gets_nothing(&report, REFUSED);
    explained(&report, "what booted was signed by \"UKI Limited\", and not by \"UKI Production\"");
}

#[test]
fn firmware_refuses_an_unsigned_image() {
    fixture().machine(Chain::Direct, &fixture().image("unsigned")).boot().refused("Access Denied");
}

#[test]
fn firmware_refuses_an_image_signed_by_a_stranger() {
    fixture().machine(Chain::Direct, &fixture().image("strange")).boot().refused("Access Denied");
}

#[test]
fn firmware_refuses_an_image_with_one_byte_changed() {
    // Of the command line, the initrd and the kernel: of each section the byte in the middle.
    for section in [".cmdline", ".initrd", ".linux"] {
        let mut image = fs::read(fixture().image("production")).unwrap();
        let (start, size) = section_of(&image, section);
        image[start + size / 2] ^= 1;
        let changed = fixture().deployment.file(&format!("changed{section}.efi"));
        fs::write(&changed, image).unwrap();
        fixture().machine(Chain::Direct, &changed).boot().refused("Access Denied");
    }
}

#[test]
fn shim_refuses_unsigned_and_foreign_images() {
    for name in ["unsigned", "strange"] {
        fixture().machine(Chain::Shim, &fixture().image(name)).boot().refused("Security Violation");
    }
}

#[test]
fn without_secure_boot_no_secrets_are_given() {
    let unprotected = fixture().machine(Chain::Direct, &fixture().image("unsigned"));
    unprotected.set_variables(&harness::vm::empty_variables());
    gets_nothing(&unprotected.boot(), REFUSED);

    // The right keys, the right image, but the firmware was told not to check.
    let off = fixture().deployment.without_secure_boot("Direct.fd");
    let unchecked = fixture().machine(Chain::Direct, &fixture().image("production"));
    unchecked.set_variables(&off);
    let report = unchecked.boot();
    gets_nothing(&report, REFUSED);
    explained(&report, "Secure Boot is switched off");
}

#[test]
fn with_another_db_no_secrets_are_given() {
    let stranger = fixture().deployment.file("stranger.pem");
    let variables =
        fixture().deployment.variables(Chain::Direct, &["--db", stranger.to_str().unwrap()], "another-db.fd");
    for image in ["production", "strange"] {
        let vm = fixture().machine(Chain::Direct, &fixture().image(image));
        vm.set_variables(&variables);
        let report = vm.boot();
        gets_nothing(&report, REFUSED);
        explained(&report, "the firmware's db is not the one that the policies were signed for");
    }
}

#[test]
fn another_machine_yields_no_secrets() {
    let vm = Vm::new(&fixture().deployment.file("Direct.fd"));
    fixture().deployment.install(&vm, Chain::Direct, &fixture().image("production"));
    gets_nothing(&vm.boot(), NOT_PROVISIONED);
}

/// Where a section's content is in the file, and how long it is.
fn section_of(image: &[u8], name: &str) -> (usize, usize) {
    let number = |at: usize| u32::from_le_bytes(image[at..][..4].try_into().unwrap()) as usize;
    let short = |at: usize| usize::from(u16::from_le_bytes(image[at..][..2].try_into().unwrap()));
    let coff = number(0x3c) + 4;
    let headers = (0..short(coff + 2)).map(|section| coff + 20 + short(coff + 16) + 40 * section);
    let mut named = headers.filter(|at| image[*at..][..8].split(|byte| *byte == 0).next() == Some(name.as_bytes()));
    let header = named.next().expect("there is such a section");
    (number(header + 20), number(header + 8))
}
