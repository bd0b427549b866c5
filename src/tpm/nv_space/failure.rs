//! What failures mean for an index, and what is to be done.

use super::NvSpace;
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tpm::{
        nv::{Access, Nv},
        response_code,
    },
    tpm2::nv::attribute,
};
use tss_esapi::structures::Auth;

impl NvSpace<'_> {
    /// Where the index is protected against guessing, a TPM would count the next power cut as a failed attempt.
    pub(super) fn expect_power_cut(&mut self, nv: &Nv, access: Access) {
        let counts = nv.public.attributes & attribute::NO_DA == 0 && matches!(access, Access::Index(_));
        if counts || access.policy().is_some() {
            self.tpm.expect_power_cut();
        }
    }

    pub(super) fn never_written(&self, what: &str, index: u32) -> Error {
        named(Kind::Usage, what, index, "nothing has been written to it yet").remedy("write it first: `trust nv write`")
    }

    /// What a failure means for an index.
    pub(super) fn explained(&self, what: &str, index: u32, by: Option<Access>, error: Error) -> Error {
        let is = |kind, why: &str| named(kind, what, index, why);
        match self.tpm.last_code() {
            response_code::AUTH_FAIL | response_code::BAD_AUTH => match by {
                Some(Access::Owner(_)) => is(Kind::Refused, "the owner's password is wrong")
                    .remedy("give the right one; where Trust provisioned the machine, its TPM admin password"),
                _ => is(Kind::Refused, "the index has another password, or PIN")
                    .remedy("give it with --pin-file; do not guess, since that locks the TPM out"),
            },
            response_code::NV_UNINITIALIZED => self.never_written(what, index),
            response_code::NV_LOCKED => is(Kind::Refused, "it is locked until the machine is restarted")
                .remedy("restart the machine; where it was locked for good, remove it and define it anew"),
            response_code::NV_DEFINED => is(Kind::Usage, "it is defined already")
                .remedy("choose another index, or none; or remove that one first: `trust nv remove`"),
            response_code::NV_SPACE => is(Kind::System, "the TPM's NV memory is full, and nothing was changed")
                .remedy("remove what is not needed: `trust nv list`, `trust nv remove`"),
            response_code::HANDLE => is(Kind::Usage, "the TPM has no such index").remedy(LIST),
            _ => error.within(format!("{what} {index:#010x}")),
        }
    }
}

/// See which there are.
pub(super) const LIST: &str = "see which there are: `trust nv list`";
/// For an index without its whole content.
pub(super) const WRITE_AGAIN: &str = "write it again: `trust nv write`";
/// For what only the platform may.
pub(super) const PLATFORM: &str = "leave it to the firmware, whose it is";

/// A failure with the index that it is about.
pub(super) fn named(kind: Kind, what: &str, index: u32, why: &str) -> Error {
    Error::new(kind, format!("{what} {index:#010x}"), why.to_owned())
}

/// A password as ESYS takes it.
pub(super) fn auth(password: &Secret, what: &'static str) -> Result<Auth> {
    Auth::from_bytes(password.expose()).map_err(|_| {
        Error::new(Kind::Usage, format!("use {what}"), "it is longer than a TPM takes").remedy("give the right one")
    })
}
