//! `trust uki …`.

mod build;
mod inspect;
mod measure;

use super::HostCommand;
use crate::{
    error::Result,
    host::{
        fs::data::{Input, MAX_IMAGE},
        image::pe::Image,
    },
};
use clap::Parser;
use std::path::Path;

/// Unified kernel images: build, measure, inspect
#[derive(Parser)]
#[command(name = "uki")]
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

impl HostCommand for Ukis {
    fn run(self) -> Result<()> {
        match self {
            Self::Build(command) => command.run(),
            Self::Measure(command) => command.run(),
            Self::Inspect(command) => command.run(),
        }
    }
}

fn open(path: &Path) -> Result<Input> {
    Input::open(path, MAX_IMAGE)
}

fn parse<'a>(path: &Path, input: &'a Input) -> Result<Image<'a>> {
    Image::parse(input).map_err(|e| e.within(in_file(path)))
}

fn in_file(path: &Path) -> String {
    format!("use {}", path.display())
}
