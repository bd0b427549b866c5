//! What is measured of a successor, before it is loaded: into PCR 7 whose it is, into 11 its sections, and its command line
//! into 12, as firmware and systemd-stub do when they start it. Pure.

use crate::{
    digest::Digest,
    error::Result,
    host::{
        image::pe::Image,
        uki::measured::{self, Measured},
    },
    measure::{bank::Bank, kexec},
};

/// Whose the successor is.
const SECURE_BOOT: u8 = 7;
/// What it is made of.
const SECTIONS: u8 = 11;
/// What it is told.
const COMMAND_LINE: u8 = 12;

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KexecMeasurement {
    /// The PCR.
    pub pcr: u8,
    /// What the log says of it.
    pub event: String,
    /// For each bank, by its `TPM_ALG_ID`.
    pub digests: Vec<(u16, Vec<u8>)>,
}

/// All of them in their order, for these banks. All of the image is read once.
///
/// # Errors
/// Those of [`measured::sections`] and of reading.
pub fn of(
    image: &Image<'_>,
    (stub, profile): (u16, usize),
    cmdline: &str,
    signer: &Digest,
    banks: &[Bank],
) -> Result<Vec<KexecMeasurement>> {
    let of_bytes = |pcr: u8, event: String, bytes: &[u8]| KexecMeasurement {
        pcr,
        event,
        digests: banks.iter().map(|bank| (bank.id(), bank.hash(bytes))).collect(),
    };
    let mut sections = measured::sections(image, stub, profile, banks)?;
    image.data().pieces(|at, bytes| {
        sections.iter_mut().for_each(|section| section.see(at, bytes));
        Ok(())
    })?;
    let event = kexec::event(signer);
    let mut all = vec![of_bytes(SECURE_BOOT, event.clone(), event.as_bytes())];
    for section in &sections {
        let name = [section.name.as_bytes(), b"\0"].concat();
        all.push(of_bytes(SECTIONS, section.name.to_owned(), &name));
        all.push(contents(section, banks));
    }
    let wide: Vec<u8> = cmdline.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    all.push(of_bytes(COMMAND_LINE, cmdline.to_owned(), &wide));
    Ok(all)
}

fn contents(section: &Measured, banks: &[Bank]) -> KexecMeasurement {
    let digests = banks.iter().map(|bank| (bank.id(), section.digest(*bank))).collect();
    KexecMeasurement { pcr: SECTIONS, event: format!("contents of {}", section.name), digests }
}
