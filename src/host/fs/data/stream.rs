//! Bytes read once, from beginning to end.

use super::{Data, PIECE};
use crate::error::Error;
use std::io::{self, BufRead, Read};

/// A reader that can skip.
pub trait Forward: Read {
    /// Skips at most so many bytes, and returns how many.
    ///
    /// # Errors
    /// Those of reading.
    fn pass(&mut self, len: usize) -> io::Result<usize> {
        io::copy(&mut self.take(len as u64), &mut io::sink()).map(|passed| passed as usize)
    }

    /// Upper bound for the bytes left.
    fn left(&self) -> usize {
        usize::MAX
    }
}

/// Data from an offset on.
#[derive(Debug)]
pub struct From<'a> {
    data: Data<'a>,
    at: usize,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.data.len() - self.at);
        let Some(buffer) = buffer.get_mut(..len).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        self.data.read_at(self.at, buffer).map_err(io::Error::other)?;
        self.at += len;
        Ok(len)
    }
}

impl Forward for From<'_> {
    fn pass(&mut self, len: usize) -> io::Result<usize> {
        let len = len.min(self.data.len() - self.at);
        self.at += len;
        Ok(len)
    }

    fn left(&self) -> usize {
        self.data.len() - self.at
    }
}

/// A reader that can look ahead, and knows its position.
#[derive(Debug)]
pub struct Stream<R> {
    source: R,
    /// What has been read; the bytes from `at` on have not been used.
    buffer: Vec<u8>,
    at: usize,
    position: usize,
}

impl<'a> Stream<From<'a>> {
    /// Data from this offset on.
    #[must_use]
    pub fn of(data: Data<'a>, at: usize) -> Self {
        let at = at.min(data.len());
        Self { position: at, ..Self::new(From { data, at }) }
    }
}

impl<R: Forward> Stream<R> {
    /// All of a source.
    pub const fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), at: 0, position: 0 }
    }

    /// The offset of the next byte.
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The next bytes, without using them: so many, or fewer at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        while self.ahead() < len && self.fill(len)? {}
        Ok(self.buffer.get(self.at..self.buffer.len().min(self.at + len)).unwrap_or_default())
    }

    /// Skips so many bytes, and returns whether they existed.
    ///
    /// # Errors
    /// Those of reading.
    pub fn skip(&mut self, len: usize) -> io::Result<bool> {
        let ahead = self.ahead().min(len);
        self.at += ahead;
        let passed = if ahead < len { self.source.pass(len - ahead)? } else { 0 };
        self.position += ahead + passed;
        Ok(ahead + passed == len)
    }

    /// Skips zeros, and returns whether anything follows.
    ///
    /// # Errors
    /// Those of reading.
    pub fn skip_zeros(&mut self) -> io::Result<bool> {
        loop {
            let ahead = self.peek(PIECE)?;
            let (len, zeros) = (ahead.len(), ahead.iter().position(|byte| *byte != 0));
            self.skip(zeros.unwrap_or(len))?;
            if zeros.is_some() || len == 0 {
                return Ok(zeros.is_some());
            }
        }
    }

    const fn ahead(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// Reads ahead up to `len` bytes, and returns whether there was anything to read.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let there = self.buffer.len();
        self.buffer.resize(len.max(PIECE).min(self.source.left().saturating_add(there)), 0);
        let read = self.buffer.get_mut(there..).map_or(Ok(0), |room| self.source.read(room));
        self.buffer.truncate(there + read.as_ref().copied().unwrap_or(0));
        Ok(read? > 0)
    }
}

impl<R: Forward> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buffer)?;
        self.consume(len);
        Ok(len)
    }
}

impl<R: Forward> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.ahead() == 0 {
            self.fill(PIECE)?;
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, len: usize) {
        self.at += len;
        self.position += len;
    }
}

/// The error of a stream: one of ours unchanged, or what `otherwise` makes of its text.
pub fn failure(error: io::Error, otherwise: impl FnOnce(String) -> Error) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| otherwise(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns less than asked for, as decompressors do.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = buffer.len().min(997);
            self.0.read(&mut buffer[..len])
        }
    }

    impl Forward for Trickle<'_> {}

    fn walk(mut stream: Stream<impl Forward>) {
        assert!(stream.skip_zeros().unwrap());
        assert_eq!((stream.position(), stream.peek(3).unwrap()), (200_000, &b"abc"[..]));
        assert!(stream.skip(2).unwrap());
        let mut one = [0];
        stream.read_exact(&mut one).unwrap();
        assert_eq!((one, stream.position()), (*b"c", 200_003));
        assert!(stream.skip(200_000).unwrap());
        assert_eq!((stream.position(), stream.peek(9).unwrap()), (400_003, &b"xyz\0"[..]));
        assert!(stream.skip(3).unwrap() && !stream.skip_zeros().unwrap());
        assert!(stream.skip(0).unwrap() && !stream.skip(1).unwrap());
        assert_eq!((stream.position(), stream.peek(1).unwrap()), (400_007, &b""[..]));
    }

    #[test]
    fn bytes_are_read_in_order() {
        let bytes = [&[0; 200_000][..], b"abc", &[1; 200_000], b"xyz\0"].concat();
        walk(Stream::of((&bytes).into(), 0));
        walk(Stream::new(Trickle(&bytes)));
        assert_eq!(Stream::of((&bytes).into(), 200_001).peek(2).unwrap(), b"bc");
        assert_eq!(Stream::of((&bytes).into(), usize::MAX).peek(2).unwrap(), b"");
    }
}
