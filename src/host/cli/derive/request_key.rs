//! `trust derive request-key`.

use super::source::PrimaryOptions;
use crate::{
    error::{Error, Kind, Result},
    host::derive::{
        DerivedKey, Prf, Requester,
        request_key::{KeyUnderConstruction, KeyWish, log},
    },
};
use clap::Args;
use std::{ffi::OsString, os::unix::ffi::OsStrExt};

pub const HELP: &str = "\
/etc/request-key.d/trust.conf has request-key(8) start it when a process asks for such a key, and none is found.

Examples of what such a process does:
  keyctl request2 user trust:path:/usr/bin/foo:NAME '32 path' @p
  keyctl request2 user trust:csum:SHA256:NAME '32 csum' @p
  keyctl request2 user trust:label:LABEL:NAME '32 label=LABEL version=2' @p

The process that waits must be what the description says. Why a key was rejected stands in the system's log.

A key in a keyring is given to whoever finds it there, and so is one that somebody has put there under this name: ask the
service, trust derive serve, where that matters.";

/// Seconds for which a process that asks again is told that the key was rejected.
const REJECTED: u32 = 5;

/// A key that a process waits for.
#[derive(Args)]
pub struct RequestKey {
    /// The key's number: %k
    #[arg(value_name = "KEY")]
    key: i32,
    /// Its description: %d
    #[arg(value_name = "DESCRIPTION")]
    description: OsString,
    /// The callout information: %c
    #[arg(value_name = "CALLOUT")]
    callout: OsString,
    /// The user that asks: %u
    #[arg(value_name = "UID")]
    uid: u32,
    /// How long the key stays
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
    #[command(flatten)]
    source: PrimaryOptions,
}

impl RequestKey {
    pub fn run(self) -> Result<()> {
        let key = KeyUnderConstruction::assume(self.key).inspect_err(log)?;
        let Err(error) = self.construct(&key) else { return Ok(()) };
        log(&error);
        // Else the kernel does, as soon as this program ends.
        let _ = key.reject(REJECTED);
        Err(error)
    }

    #[allow(clippy::disallowed_methods, reason = "to hand it over is what it is made for")]
    fn construct(&self, key: &KeyUnderConstruction) -> Result<()> {
        let wish = KeyWish::parse(self.description.as_bytes(), &self.callout.to_string_lossy())?;
        let requester = Requester::of_pid(key.waiting_thread()?)?;
        let derive = || {
            if requester.uid() != self.uid {
                return Err(Error::new(
                    Kind::Refused,
                    "tell who asks",
                    "its effective uid is not that of its file system",
                )
                .remedy("ask with both the same"));
            }
            let context = wish.context(&requester)?;
            let tpm_key = self.source.make(wish.request().bound)?;
            let of = *tpm_key.name();
            let derived = DerivedKey::new(
                wish.request(),
                &context,
                &Prf { value: tpm_key.derive_last(&context.message())?, of },
            )?;
            requester.is_still_there()?;
            key.instantiate(derived.key.expose(), self.timeout)
        };
        derive().map_err(|error| error.within(format!("derive a key for {requester}")))
    }
}
