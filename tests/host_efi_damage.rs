//! Signed programs after damage: refused, wherever it is.
//!
//! The checksum sees every changed byte, so that it would hide what the signature does not see. Most of this is
//! therefore done to programs whose checksum is 0, which means none, and what then passes is listed.

use harness::{Home, assets, openssl, run};
use std::{collections::BTreeSet, fs, ops::Range, path::Path};
use trust::host::{
    image::{
        authenticode::{self, Verdict},
        pe::{CERTIFICATE_HEADER, Image},
    },
    pki::{cms::SignedData, key::Hash},
};

/// A signed program, and the certificate that it is verified against.
struct Sample {
    bytes: Vec<u8>,
    anchor: Vec<u8>,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn der(pem: &Path) -> Vec<u8> {
    let file = pem.with_extension("der");
    openssl(&["x509", "-in", text(pem), "-outform", "DER", "-out", text(&file)]);
    fs::read(file).unwrap()
}

impl Sample {
    /// systemd's smallest program, signed with a key of a keyset.
    fn ours(hash: &str) -> Self {
        let home = Home::with_keyset();
        let (dir, output) = (home.keys().join("k/uefi-db"), home.path().join("signed.efi"));
        let (key, cert) = (dir.join("privkey.pem"), dir.join("cert.pem"));
        let stub = assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub");
        let files = ["--key", text(&key), "--cert", text(&cert), "--output", text(&output), "--digest", hash];
        home.ok(&[&["sign", "efi", text(&stub)][..], &files].concat());
        Self { bytes: fs::read(output).unwrap(), anchor: der(&cert) }
    }

    /// A file of Debian's, with the certificate in its first signature that has issued the others, or else the signer's.
    fn of_debian(name: &str, anchor: &str) -> Self {
        let (home, file) = (Home::new(), assets::path(name));
        let signature = home.path().join("signature");
        run("sbattach", &["--detach", text(&signature), text(&file)]);
        let all = openssl(&["pkcs7", "-inform", "DER", "-in", text(&signature), "-print_certs"]);
        let pem = all.split_inclusive("-----END CERTIFICATE-----").find(|pem| {
            let subject = pem.lines().find(|line| line.starts_with("subject")).unwrap_or_default();
            subject.contains(anchor)
        });
        let path = home.path().join("anchor.pem");
        fs::write(&path, pem.unwrap_or_else(|| panic!("{name} holds no certificate of {anchor}"))).unwrap();
        Self { bytes: fs::read(file).unwrap(), anchor: der(&path) }
    }

    fn without_check_sum(mut self) -> Self {
        let field = Image::parse(&self.bytes).unwrap().headers().check_sum_field();
        self.bytes[field].fill(0);
        assert!(self.accepts(&self.bytes));
        self
    }

    fn accepts(&self, bytes: &[u8]) -> bool {
        let report = authenticode::verify(bytes, &[&self.anchor]);
        report.is_ok_and(|report| report.is_accepted() && report.doubt.is_none())
    }

    /// The places at which a change to `byte ^ mask` is accepted.
    fn passing(&self, places: impl IntoIterator<Item = usize>, masks: &[u8]) -> BTreeSet<usize> {
        let mut bytes = self.bytes.clone();
        let mut passing = BTreeSet::new();
        for at in places {
            for mask in masks {
                bytes[at] ^= mask;
                if self.accepts(&bytes) {
                    passing.insert(at);
                }
                bytes[at] ^= mask;
            }
        }
        passing
    }

    /// The offset of a part of the file that was found by reading it.
    fn place(&self, part: &[u8]) -> Range<usize> {
        let start = part.as_ptr() as usize - self.bytes.as_ptr() as usize;
        assert!(start + part.len() <= self.bytes.len());
        start..start + part.len()
    }
}

/// The ends of everything, and of each section; some places in between.
fn places(image: &Image<'_>) -> BTreeSet<usize> {
    let headers = image.headers();
    let mut places: BTreeSet<usize> = (0..headers.size_of_headers).step_by(97).collect();
    places.extend((headers.file_header..headers.section_table + 40 * image.sections().len()).step_by(3));
    places.extend(headers.check_sum_field());
    places.extend(headers.certificate_entry.clone().unwrap());
    for section in image.sections().iter().filter(|section| !section.raw.is_empty()) {
        let raw = section.raw.clone();
        places.extend([raw.start, raw.start + raw.len() / 3, raw.end - 1]);
    }
    let table = image.certificate_table().unwrap();
    places.extend([table.start - 8, table.start - 1]);
    places.extend(table.clone().step_by(53));
    places.extend(table.start..table.start + 40);
    places.extend(table.end - 12..table.end);
    places
}

#[test]
fn a_change_of_any_byte_is_refused() {
    let sample = Sample::ours("sha256");
    assert!(sample.accepts(&sample.bytes));
    assert!(sample.passing(0..sample.bytes.len(), &[0x10]).is_empty());
}

/// All that no signature covers, in a program with one signature: how long that says it is, up to its padding.
#[test]
fn without_a_checksum_only_a_change_of_the_padding_passes() {
    for (hash, masks) in [("sha256", &[0x01, 0x06, 0x80][..]), ("sha384", &[0x02])] {
        let sample = Sample::ours(hash).without_check_sum();
        let passing = sample.passing(0..sample.bytes.len(), masks);
        let table = Image::parse(&sample.bytes).unwrap().certificate_table().unwrap();
        // The lowest byte of dwLength, as long as the end is rounded to the same multiple of eight.
        assert!(passing.is_subset(&BTreeSet::from([table.start])), "changes pass at {passing:x?}");
    }
}

#[test]
fn changed_programs_of_debian_are_refused() {
    for (name, anchor) in [
        ("usr/libexec/fwupd/efi/fwupdx64.efi.signed", "fwupd"),
        ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", "systemd-boot"),
        ("usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed", "grub2"),
        ("usr/lib/shim/shimx64.efi.signed", "Microsoft Corporation UEFI CA 2011"),
    ] {
        let sample = Sample::of_debian(name, anchor);
        assert!(sample.accepts(&sample.bytes), "{name}");
        let image = Image::parse(&sample.bytes).unwrap();
        let passing = sample.passing(places(&image), &[0x01]);
        assert!(passing.is_empty(), "{name}: {passing:x?}");
    }
}

#[test]
fn without_a_checksum_only_a_change_of_an_ignored_length_passes() {
    let masks = &[0x01];
    for (name, anchor) in [
        ("usr/libexec/fwupd/efi/fwupdx64.efi.signed", "fwupd"),
        ("usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed", "systemd-boot"),
    ] {
        let sample = Sample::of_debian(name, anchor).without_check_sum();
        let image = Image::parse(&sample.bytes).unwrap();
        let passing = sample.passing(places(&image), masks);
        let length = image.certificate_table().unwrap().start;
        assert!(passing.iter().all(|at| *at == length), "{name}: {passing:x?}");
    }
    // Shim has a timestamp, which no signer has signed, and a second signature.
    let sample = Sample::of_debian("usr/lib/shim/shimx64.efi.signed", "Microsoft Corporation UEFI CA 2011");
    let sample = sample.without_check_sum();
    let image = Image::parse(&sample.bytes).unwrap();
    let passing = sample.passing(places(&image), masks);
    let [first, second] = image.certificates() else { panic!("shim has two signatures") };
    let length = u16::from_be_bytes([first.content[2], first.content[3]]);
    let signed = SignedData::parse_content_info(&first.content[..usize::from(length) + 4]).unwrap();
    let copy = signed.certificates.iter().find(|der| **der == sample.anchor).unwrap();
    let free = [
        sample.place(copy),
        // dwLength of both, the embedded copy of the certificate that is trusted anyway, and what follows the
        // signature of the first: attributes that are not signed.
        sample.place(&first.content).start - CERTIFICATE_HEADER..sample.place(&first.content).start,
        sample.place(signed.signer.signature).end..sample.place(&first.content).end,
        sample.place(&second.content).start - CERTIFICATE_HEADER..sample.place(&second.content).end,
    ];
    let astray: Vec<_> = passing.iter().filter(|at| !free.iter().any(|range| range.contains(at))).collect();
    assert!(astray.is_empty(), "{astray:x?}");
    assert!(!passing.is_empty(), "the timestamp was looked at");
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// Changed, cut, grown, moved about: never a panic, and never accepted with another digest.
#[test]
fn mutated_programs_neither_panic_nor_pass_with_another_digest() {
    let sample = Sample::ours("sha256").without_check_sum();
    let digest = |bytes: &[u8]| Image::parse(bytes).and_then(|image| authenticode::digest(&image, Hash::Sha256)).ok();
    let original = digest(&sample.bytes);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut images, mut read, mut accepted) = (0, 0, 0);
    for round in 0..20_000 {
        let mut bytes = sample.bytes.clone();
        for _ in 0..=random.next(3) {
            mutate(&mut bytes, &mut random);
        }
        let Ok(report) = authenticode::verify(&bytes, &[&sample.anchor]) else { continue };
        images += 1;
        read += usize::from(report.signatures.iter().any(|signature| signature.signer.is_some()));
        if report.is_accepted() {
            accepted += 1;
            assert_eq!(digest(&bytes), original, "round {round}");
            let path: Vec<_> = report.signatures.iter().filter(|s| matches!(s.verdict, Verdict::Accepted(_))).collect();
            assert_eq!(path.len(), 1, "round {round}");
        }
    }
    // The mutations got past every gate.
    assert!(images > 2_000 && read > 500, "{images} images, {read} signatures read, {accepted} accepted");
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if bytes.is_empty() {
        return;
    }
    let at = random.next(bytes.len());
    // Headers and table are where the structure is.
    let at = if random.next(2) == 0 { at } else { at % 0x1a0 };
    let length = 1 + random.next(16.min(bytes.len()));
    let end = (at + length).min(bytes.len());
    match random.next(8) {
        0 => bytes[at] ^= 1 << random.next(8),
        1 => bytes[at] = random.next(256) as u8,
        2 => bytes[at..end].fill(0),
        3 => bytes[at..end].fill(0xff),
        4 => bytes.truncate(at),
        5 => drop(bytes.drain(at..end)),
        6 => {
            let copy = bytes[at..end].to_vec();
            let to = random.next(bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => bytes.extend((0..length).map(|_| random.next(256) as u8).collect::<Vec<_>>()),
    }
}
