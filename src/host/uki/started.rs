//! A unified kernel image, or another EFI program, as a prediction of a machine's next boot needs it.

use super::{pcrs, stub};
use crate::{
    error::Result,
    host::{
        image::pe::Image,
        predict::update::{MeasuredSection, StartedImage},
    },
    measure::bank::Bank,
};

/// Reads what of an image is verified and measured. One without systemd's stub has no sections that count.
///
/// # Errors
/// Those of [`pcrs::measure`] and [`StartedImage::read`].
pub fn image(image: &Image<'_>) -> Result<StartedImage> {
    let mut profiles = Vec::new();
    if stub::version(image)?.is_some() {
        for sections in pcrs::measure(image, None, &Bank::ALL)?.profiles {
            let section = |section: super::measured::Measured| MeasuredSection {
                name: section.name.to_owned(),
                digests: Bank::ALL.map(|bank| (bank.id(), section.digest(bank))).to_vec(),
            };
            profiles.push(sections.into_iter().map(section).collect());
        }
    }
    StartedImage::read(image, profiles)
}
