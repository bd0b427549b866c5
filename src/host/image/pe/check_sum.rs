//! `CheckSum`: of the whole file, and no protection against attackers.

use super::Headers;
use std::ops::Range;

/// The sum of a file's 16-bit words but those of the field itself, folded to 16
/// bits, and the file's length. Its parts may come in any order.
#[derive(Clone, Debug)]
pub struct CheckSum {
    field: Range<usize>,
    sum: u128,
}

impl CheckSum {
    /// Of an image with these headers.
    #[must_use]
    pub const fn new(headers: &Headers) -> Self {
        Self { field: headers.check_sum_field(), sum: 0 }
    }

    /// Adds a part of the file, which begins at this place.
    pub fn see(&mut self, at: usize, bytes: &[u8]) {
        let before = bytes.get(..self.field.start.saturating_sub(at)).unwrap_or(bytes);
        self.sum += sum_of_words(before, at);
        let end = self.field.end.saturating_sub(at);
        self.sum += sum_of_words(bytes.get(end..).unwrap_or_default(), at + end);
    }

    /// What the field should say, if the file is so long.
    #[must_use]
    pub const fn of_length(&self, length: usize) -> u32 {
        let mut sum = self.sum;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // No file that a PE header can describe is longer than 4 GiB: modulo 2^32 by definition.
        (sum as u32).wrapping_add(length as u32)
    }
}

/// The sum of little-endian words, of bytes that begin at this place of a file. Since carries come around, words of 64
/// bits do as well as words of 16.
fn sum_of_words(bytes: &[u8], at: usize) -> u128 {
    let (first, bytes) = bytes.split_at_checked(at & 1).unwrap_or_default();
    let (words, last) = bytes.as_chunks::<8>();
    let words: u128 = words.iter().map(|word| u128::from(u64::from_le_bytes(*word))).sum();
    let mut end = [0; 8];
    end.iter_mut().zip(last).for_each(|(place, byte)| *place = *byte);
    let first = first.first().copied().map_or(0, u128::from);
    (first << 8) + words + u128::from(u64::from_le_bytes(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_sums_of_parts_add_up() {
        let bytes: Vec<u8> = (1..=29).collect();
        let folded = |mut sum: u128| {
            while sum > 0xffff {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            sum
        };
        let words =
            bytes.chunks(2).map(|word| u128::from(word[0]) + (u128::from(*word.get(1).unwrap_or(&0)) << 8)).sum();
        let whole = folded(words);
        for at in 0..=29 {
            let parts = sum_of_words(&bytes[..at], 0) + sum_of_words(&bytes[at..], at);
            assert_eq!(folded(parts), whole, "{at}");
        }
    }
}
