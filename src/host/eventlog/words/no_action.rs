//! `EV_NO_ACTION`: what extends nothing, and tells those who read the log (TCG PC Client Platform Firmware Profile 1.06,
//! section 10.4.5).

use super::text;
use crate::{bytes::Reader, host::eventlog::replay, measure::log::MAX_ALGORITHMS, tpm2::bank};

/// Signatures have so many bytes.
const SIGNATURE: usize = 16;

pub fn meaning(data: &[u8]) -> Option<String> {
    if let Some(locality) = replay::locality_of(data) {
        let why = if locality == 4 { ", an H-CRTM has measured before" } else { "" };
        return Some(format!("the TPM was started from locality {locality}{why}"));
    }
    let mut fields = Reader::new(data);
    let signature = text::utf8(fields.take(SIGNATURE)?)?;
    match signature.as_str() {
        "Spec ID Event03" => several_algorithms(&mut fields),
        "Spec ID Event00" => Some("log of the first format, for a BIOS and TPM 1.2".into()),
        "Spec ID Event02" => Some("log of the first format, for UEFI".into()),
        "H-CRTM CompMeas" => component(&mut fields),
        "SP800-155 Event" => {
            let (vendor, guid) = (fields.le32()?, fields.guid()?);
            Some(format!("reference manifest {guid} of vendor {vendor} (SP 800-155)"))
        }
        "SP800-155 Event2" | "SP800-155 Event3" => manifest(&mut fields),
        other if other.chars().all(|c| c.is_ascii_graphic() || c == ' ') => {
            Some(format!("{other:?}, nothing extended"))
        }
        _ => None,
    }
}

/// `TCG_EfiSpecIdEvent`.
fn several_algorithms(fields: &mut Reader<'_>) -> Option<String> {
    let (_platform, minor, major, errata, _word) =
        (fields.le32()?, fields.u8()?, fields.u8()?, fields.u8()?, fields.u8()?);
    let count = fields.le32().filter(|count| *count <= MAX_ALGORITHMS)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let (id, size) = (fields.le16()?, fields.le16()?);
        let is_known = bank::by_id(id).is_some_and(|bank| bank.size == usize::from(size));
        names.push(if is_known { bank::name(id) } else { format!("{} of {size} bytes", bank::name(id)) });
    }
    Some(format!("log with digests of {}; profile {major}.{minor} errata {errata}", names.join(", ")))
}

/// `TCG_HCRTMComponentEvent`.
fn component(fields: &mut Reader<'_>) -> Option<String> {
    let size = fields.u8()?;
    let what = text::any(fields.take(usize::from(size))?)?;
    Some(format!("H-CRTM has measured {what:?}"))
}

/// `TCG_Sp800_155_PlatformId_Event2` and `3`: vendor, manifest, then texts with their sizes.
fn manifest(fields: &mut Reader<'_>) -> Option<String> {
    let (vendor, guid) = (fields.le32()?, fields.guid()?);
    let mut texts = Vec::new();
    for _ in 0..4 {
        let size = fields.u8()?;
        texts.extend(text::any(fields.take(usize::from(size))?));
    }
    Some(format!("reference manifest {guid} of vendor {vendor} (SP 800-155): {}", texts.join(", ")))
}
