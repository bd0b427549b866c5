//! A journal file seen through a window that moves along it: constant memory, whatever the file's size, and no mapping,
//! which a file that shrinks meanwhile would turn into a signal.

use crate::{
    error::Result,
    host::fs::{data::Data, interrupt},
};

/// A part of a file that is in memory.
pub(super) struct JournalWindow<'a> {
    data: Data<'a>,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins, and how much of it is filled.
    start: u64,
    filled: usize,
}

impl<'a> JournalWindow<'a> {
    pub(super) fn new(data: Data<'a>, size: usize) -> Self {
        Self { data, buffer: vec![0; size], start: 0, filled: 0 }
    }

    /// Bytes of the file.
    pub(super) const fn len(&self) -> u64 {
        self.data.len() as u64
    }

    /// These bytes, which must fit into the window; `None`: the file has not so many.
    pub(super) fn get(&mut self, at: u64, length: usize) -> Result<Option<&[u8]>> {
        Ok(self.from(at, length)?.and_then(|bytes| bytes.get(..length)))
    }

    /// As many as are at hand of the bytes from `at` on, at least one and at most `most`; `None`: the file ends before them.
    pub(super) fn some(&mut self, at: u64, most: u64) -> Result<Option<&[u8]>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(self.from(at, 1)?.map(|bytes| bytes.get(..most).unwrap_or(bytes)))
    }

    /// What is at hand from `at` on, at least `least` bytes.
    fn from(&mut self, at: u64, least: usize) -> Result<Option<&[u8]>> {
        let is_there = at.checked_add(least as u64).is_some_and(|end| end <= self.len());
        if !is_there || least > self.buffer.len() {
            return Ok(None);
        }
        if at < self.start || at + least as u64 > self.start + self.filled as u64 {
            self.fill(at)?;
        }
        let from = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        Ok(self.buffer.get(from..self.filled))
    }

    fn fill(&mut self, at: u64) -> Result<()> {
        interrupt::check()?;
        self.filled = 0;
        let size = usize::try_from(self.len() - at).map_or(self.buffer.len(), |rest| rest.min(self.buffer.len()));
        if let Some(buffer) = self.buffer.get_mut(..size) {
            self.data.read_at(usize::try_from(at).unwrap_or(usize::MAX), buffer)?;
            (self.start, self.filled) = (at, size);
        }
        Ok(())
    }
}
