//! `trust uki …`.

mod build;
mod inspect;
mod measure;

use crate::{
    error::Result,
    host::{atomic, authenticode, format::pe::Image, key::Hash},
};
use clap::Subcommand;
use std::path::Path;

/// `trust uki …`
#[derive(Subcommand)]
pub enum Ukis {
    /// Build an image, sign it, and say what its boot will measure
    #[command(after_help = build::HELP)]
    Build(Box<build::Build>),
    /// Say what the boot of an image will measure: PCR 4, and PCR 11 after each phase
    #[command(after_help = measure::HELP)]
    Measure(measure::Measure),
    /// Show what is in an image: sections, signers, command line, initrd
    #[command(after_help = inspect::HELP)]
    Inspect(inspect::Inspect),
}

impl Ukis {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Build(command) => command.run(),
            Self::Measure(command) => command.run(),
            Self::Inspect(command) => command.run(),
        }
    }
}

/// The digest that PCR 4 is extended with when a firmware or a shim starts an image.
fn digest(image: &Image<'_>) -> Vec<u8> {
    authenticode::digest(image, Hash::Sha256)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    atomic::read_image(path)
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Image<'a>> {
    Image::parse(bytes).map_err(|e| e.within(in_file(path)))
}

fn in_file(path: &Path) -> String {
    format!("use {}", path.display())
}
