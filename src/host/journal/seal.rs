//! The seal over a part of a file: HMAC-SHA-256 of what of each object may not change.

use super::{
    format::{JournalHeader, OBJECT_HEAD, ObjectHead, SEALED_HEADER},
    stop::{Stop, misfit},
    window::JournalWindow,
};
use crate::digest::Digest;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::ops::Range;

/// The seal over all objects of a range of the file, which ends with a tag, and over the header where the first tag has it.
///
/// # Errors
/// The window's; that objects are there has been seen before.
pub(super) fn seal(
    window: &mut JournalWindow<'_>,
    header: &JournalHeader,
    range: Range<u64>,
    is_first: bool,
    key: &Digest,
) -> Result<Digest, Stop> {
    let changed = |at| move || misfit(at, "object", "it has changed while it was read");
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| changed(range.start)())?;
    if is_first {
        for part in SEALED_HEADER {
            let bytes = window.get(part.start as u64, part.len())?;
            hmac.update(bytes.ok_or_else(changed(0))?);
        }
    }
    let compact = header.is_compact();
    let mut at = range.start;
    while at < range.end {
        let bytes = window.get(at, OBJECT_HEAD)?.ok_or_else(changed(at))?;
        let head = ObjectHead::parse(bytes, compact).map_err(|_| changed(at)())?;
        for part in head.sealed(compact) {
            let (mut from, end) = (at.saturating_add(part.start), at.saturating_add(part.end));
            while from < end {
                let bytes = window.some(from, end - from)?.ok_or_else(changed(at))?;
                hmac.update(bytes);
                from += bytes.len() as u64;
            }
        }
        at = head.stride().and_then(|stride| at.checked_add(stride)).ok_or_else(changed(at))?;
    }
    Ok(hmac.finalize().into_bytes().into())
}
