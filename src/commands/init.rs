//! `init`: the first process of an initrd, before whatever `/init` is.
//!
//! systemd's stub appends to the signed command line what the firmware's SMBIOS tables (`io.systemd.stub.kernel-cmdline-extra`)
//! and addons say. The kernel reads no parameter behind `--`, so that a command line which ends with
//! `rdinit=/usr/bin/trust -- init --end` has them all arrive here, as arguments, and go no further.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec},
};
use crate::{
    error::{Error, Kind, Result},
    process,
};
use std::ffi::OsString;

pub const COMMAND: Command = Command {
    name: "init",
    alias: None,
    about: "As the first process of all: make sure that nothing was appended to the signed command line, then become /init.",
    heading: Heading::Boot,
    calls: None,
    new: || Box::new(Init::default()),
};

/// What the signed command line ends with, where this program is the first process of all.
pub const END: Spec = Spec {
    name: "--end",
    value: "",
    default: "",
    help: "as the first process of all, at the end of the signed command line: what has been appended after it is refused",
};

/// What a kernel starts by default.
const INIT: &str = "/init";

#[derive(Default)]
struct Init {
    /// Taken out by [`up_to_the_end`].
    end: bool,
}

impl Run for Init {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments.add(&END, &mut self.end);
    }

    fn run(&self) -> Result<()> {
        if !process::is_first() {
            return Err(Error::new(Kind::Usage, "run init", "it is the kernel that starts it")
                .remedy("end the kernel's command line with rdinit=/usr/bin/trust -- init --end"));
        }
        Err(process::become_program(&[INIT.into()]))
    }
}

/// The arguments of the first process, without the mark at their end. The first mark counts: what is appended may have one.
///
/// # Errors
/// [`Kind::Refused`]: there is no such mark, or something follows it.
pub fn up_to_the_end(args: &[OsString]) -> Result<&[OsString]> {
    const WHAT: &str = "start this system";
    let Some(end) = args.iter().position(|word| word == END.name) else {
        return Err(Error::new(Kind::Refused, WHAT, format!("its command line does not end with {}", END.name))
            .remedy("sign one that does: what follows is not signed, and is refused"));
    };
    let (signed, appended) = args.split_at(end);
    match appended {
        [_end, first, ..] => {
            let why = format!("{} has been appended to its command line, and is not signed", first.display());
            Err(Error::new(Kind::Refused, WHAT, why).remedy(
                "have the firmware and the boot loader append nothing: see the OEM strings of SMBIOS, and addons",
            ))
        }
        _ => Ok(signed),
    }
}
