//! The policy version: an NV index whose content every production policy asks for, so that the owner can withdraw
//! policies by raising it. Pure.

use crate::tpm2::{NvPublic, nv::attribute};

/// Four ASCII digits.
pub type Version = [u8; 4];

/// What machines are provisioned with.
pub const FIRST: Version = *b"0001";

/// The index' handle.
pub const INDEX: u32 = 0x0150_0020;

/// The index' attributes: exact, since its Name is part of every production policy.
pub const ATTRIBUTES: u32 = attribute::OWNERWRITE | attribute::OWNERREAD | attribute::AUTHREAD;

/// The index as every provisioned machine has it, written.
#[must_use]
pub fn index() -> NvPublic {
    NvPublic::new(INDEX, ATTRIBUTES | attribute::WRITTEN, None, 4)
}

/// The version that is spelled so.
#[must_use]
pub fn parse(digits: &str) -> Option<Version> {
    let version: Version = digits.as_bytes().try_into().ok()?;
    version.iter().all(u8::is_ascii_digit).then_some(version)
}
