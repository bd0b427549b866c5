//! A verification key as a picture, for a terminal and a camera.

use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::journal::VerificationKey,
};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use zeroize::Zeroizing;

/// `fss://KEY?machine=ID`, as journalctl has it, in characters.
///
/// # Errors
/// [`Kind::System`], which does not happen: it fits.
pub fn picture(key: &VerificationKey, machine: &[u8; 16]) -> Result<Zeroizing<String>> {
    let address = Zeroizing::new(format!("fss://{}?machine={}", *key.to_text(), hex(machine)));
    let code = QrCode::with_error_correction_level(address.as_bytes(), EcLevel::L)
        .map_err(|e| Error::new(Kind::System, "draw the verification key", e.to_string()))?;
    // What is drawn is bright on most terminals, and a camera looks for dark squares on bright ground.
    let mut image = code.render::<Dense1x2>();
    image.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark);
    Ok(Zeroizing::new(image.build()))
}
