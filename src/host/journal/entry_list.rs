//! The list of all entries, by which readers find them. No seal covers it, since it grows: an attacker who takes an entry
//! out of it hides it, without touching it.

use super::{
    format::{ARRAY_ITEMS, ObjectHead, ObjectKind},
    report::Misfit,
    stop::{Stop, misfit},
    window::JournalWindow,
};
use crate::host::fs::data::Data;

/// Bytes of the window: arrays are read from their beginning to their end.
const WINDOW: usize = 16 * 1024;

/// A walk along the chain of arrays.
pub(super) struct EntryList<'a> {
    window: JournalWindow<'a>,
    compact: bool,
    /// The end of the file's objects.
    end: u64,
    /// The array that is being read; how many entries it has room for, and how many were read.
    array: u64,
    room: u64,
    used: u64,
    /// The one behind it.
    next: u64,
}

impl<'a> EntryList<'a> {
    pub(super) fn new(data: Data<'a>, first: u64, end: u64, compact: bool) -> Self {
        Self { window: JournalWindow::new(data, WINDOW), compact, end, array: 0, room: 0, used: 0, next: first }
    }

    /// Where the next entry is said to be; `None`: there is none.
    pub(super) fn next(&mut self) -> Result<Option<u64>, Stop> {
        while self.used == self.room {
            if self.next == 0 {
                return Ok(None);
            }
            self.enter()?;
        }
        let size = if self.compact { 4 } else { 8 };
        let at = self.array + ARRAY_ITEMS + self.used * size as u64;
        let item = self.window.get(at, size)?.and_then(|bytes| match self.compact {
            true => bytes.try_into().map(u32::from_le_bytes).map(u64::from).ok(),
            false => bytes.try_into().map(u64::from_le_bytes).ok(),
        });
        match item.ok_or_else(|| self.bad("the file ends in it"))? {
            0 if self.next == 0 => Ok(None),
            0 => Err(self.bad("it is not full, and yet another one follows")),
            entry => {
                self.used += 1;
                Ok(Some(entry))
            }
        }
    }

    /// The last array, and how many entries are in it, when all have been read.
    pub(super) const fn tail(&self) -> (u64, u64) {
        (self.array, self.used)
    }

    /// Goes to the next array, which lies behind this one.
    fn enter(&mut self) -> Result<(), Stop> {
        let (before, at) = (self.array, self.next);
        self.array = at;
        if at <= before || !at.is_multiple_of(8) || at >= self.end {
            return Err(self.bad("a list that leads there leads nowhere"));
        }
        let bytes = self.window.get(at, 24)?.ok_or_else(|| misfit(at, "entry array", "the file ends in it"))?;
        let next = bytes.last_chunk().copied().map_or(0, u64::from_le_bytes);
        let head = ObjectHead::parse(bytes, self.compact).map_err(|why| misfit(at, "entry array", why))?;
        if head.kind != ObjectKind::EntryArray {
            return Err(self.bad("it is none, and yet in the list of all entries"));
        }
        if at.checked_add(head.size).is_none_or(|end| end > self.end) {
            return Err(self.bad("it does not end within the file"));
        }
        let size = if self.compact { 4 } else { 8 };
        (self.room, self.used, self.next) = ((head.size - ARRAY_ITEMS) / size, 0, next);
        Ok(())
    }

    fn bad(&self, why: &str) -> Stop {
        Stop::Misfit(Misfit { offset: self.array, object: "entry array", why: why.to_owned() })
    }
}
