//! `luks check PATH`: what a device or a mounted root stands on.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec},
    phases,
};
use crate::{error::Result, luks::backing};
use std::path::PathBuf;

pub const COMMAND: Command = Command {
    name: "luks check",
    alias: None,
    about: "Check that a device, or all that is mounted at a directory, stands on volumes that luks open has opened in this boot.",
    heading: Heading::Boot,
    calls: Some(&[phases::SEARCH_KEYS]),
    new: || Box::new(LuksCheck::default()),
};

#[derive(Default)]
struct LuksCheck {
    path: PathBuf,
}

impl Run for LuksCheck {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments
            .add(&Spec { name: "PATH", value: "", default: "", help: "the device, or the directory" }, &mut self.path);
    }

    fn run(&self) -> Result<()> {
        COMMAND.confine(&[])?;
        backing::check(&self.path)
    }
}
