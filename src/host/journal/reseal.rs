//! A file under seals of a throw-away key, so that another program may look into it: journalctl verifies nothing of a sealed
//! file without its key, and takes keys in argv, where every process reads them.

use super::{
    format::{JournalHeader, MOST_HEADER, OBJECT_HEAD, ObjectHead, ObjectKind, TAG, TagObject},
    key::VerificationKey,
    seal::seal,
    seal_keys::SealKeys,
    stop::Stop,
    window::JournalWindow,
};
use crate::{
    error::{Error, Kind, Result},
    host::fs::{atomic::cannot, data::Input},
};
use std::{fs::OpenOptions, io, os::unix::fs::FileExt, path::Path};

/// Bytes of the window.
const WINDOW: usize = 1 << 20;

/// Makes all seals of a file anew, with another key.
///
/// # Errors
/// Those of reading and writing; [`Kind::Corrupt`]: the file is not a journal whose objects follow each other.
pub fn reseal(path: &Path, key: VerificationKey) -> Result<()> {
    let failed = |e: io::Error| cannot("write", path, &e);
    let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    let input = Input::open(path, i64::MAX as u64)?;
    let mut window = JournalWindow::new(input.data(), WINDOW);
    let write = |at, tag: &[u8]| file.write_all_at(tag, at).map_err(failed);
    tags(&mut window, &mut SealKeys::new(vec![key]), write).map_err(|stop| match stop {
        Stop::Failed(error) => error,
        Stop::Misfit(_) | Stop::OtherKey(_) => {
            let what = format!("seal {}", path.display());
            Error::new(Kind::Corrupt, what, "it is not a whole journal file").remedy("run it again")
        }
    })
}

/// The same for a file in memory, with the first of some keys; `None`: its objects do not follow each other.
#[must_use]
pub fn resealed(bytes: &[u8], keys: &mut SealKeys) -> Option<Vec<u8>> {
    let (mut window, mut new) = (JournalWindow::new(bytes.into(), WINDOW), bytes.to_vec());
    let write = |at: u64, tag: &[u8]| {
        let place = usize::try_from(at).ok().and_then(|at| new.get_mut(at..)?.get_mut(..tag.len()));
        place.into_iter().for_each(|place| place.copy_from_slice(tag));
        Ok(())
    };
    tags(&mut window, keys, write).ok()?;
    Some(new)
}

/// Makes the tags anew, and has each written. A tag does not cover those before it.
fn tags(
    window: &mut JournalWindow<'_>,
    keys: &mut SealKeys,
    mut write: impl FnMut(u64, &[u8]) -> Result<()>,
) -> std::result::Result<(), Stop> {
    let gone = || super::stop::misfit(0, "object", "it is gone");
    let length = usize::try_from(window.len()).map_or(MOST_HEADER, |length| length.min(MOST_HEADER));
    let header = window.get(0, length)?.and_then(JournalHeader::parse).ok_or_else(gone)?;
    let (mut at, mut part, mut is_first) = (header.size, header.size, true);
    while at <= header.tail_object {
        let bytes = window.get(at, OBJECT_HEAD)?.ok_or_else(gone)?;
        let head = ObjectHead::parse(bytes, header.is_compact()).map_err(|_| gone())?;
        if head.kind == ObjectKind::Tag {
            let tag = window.get(at, TAG)?.and_then(TagObject::parse).ok_or_else(gone)?;
            let key = keys.key(0, tag.epoch)?;
            let tag = seal(window, &header, part..at + TAG as u64, is_first, &key)?;
            write(at + 32, &tag)?;
            (part, is_first) = (at + TAG as u64, false);
        }
        at = head.stride().and_then(|stride| at.checked_add(stride)).ok_or_else(gone)?;
    }
    Ok(())
}
