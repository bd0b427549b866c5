//! What a signature is over.
//!
//! The bytes and their order are those of `HashPeImage` in EDK II's
//! DxeImageVerificationLib: the headers but for the checksum and the certificate
//! table's entry, the sections in the order of the file, and what follows up to
//! the certificate table. It counts what it has hashed so far in order to know
//! where the rest begins: with gaps between the sections that is too early, some
//! bytes are then hashed twice, and the gaps themselves (the first bytes of
//! them, if they are long) not at all. Signers that hash the file from one end
//! to the other come to the same digest as long as there are no gaps.

use crate::host::{format::pe::Image, key::Hash};
use std::ops::Range;

/// The digest of an image: 32 or 48 bytes, of exactly what firmware hashes.
///
/// Of the file as it is: [`super::sign()`] appends zeros up to a multiple of eight bytes first, which then count.
#[must_use]
pub fn digest(image: &Image<'_>, hash: Hash) -> Vec<u8> {
    let ranges = covered(image);
    hash.digest_all(ranges.into_iter().filter_map(|range| image.bytes().get(range)))
}

/// The first gap that [`digest`] passes over although it does not consist of zeros.
#[must_use]
pub fn hidden(image: &Image<'_>) -> Option<Range<usize>> {
    let rest = rest(image);
    let mut end = image.headers().size_of_headers;
    for section in in_file_order(image) {
        let gap = end..section.start.min(rest.start);
        if image.bytes().get(gap.clone()).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0)) {
            return Some(gap);
        }
        end = section.end;
    }
    None
}

/// What is hashed, in this order.
fn covered(image: &Image<'_>) -> Vec<Range<usize>> {
    let headers = image.headers();
    let check_sum = headers.check_sum_field();
    let entry = headers.certificate_entry.clone().unwrap_or(check_sum.end..check_sum.end);
    let mut ranges = vec![0..check_sum.start, check_sum.end..entry.start, entry.end..headers.size_of_headers];
    ranges.extend(in_file_order(image));
    ranges.push(rest(image));
    ranges
}

fn in_file_order(image: &Image<'_>) -> Vec<Range<usize>> {
    let mut raw: Vec<_> = image.sections().iter().map(|s| s.raw.clone()).filter(|raw| !raw.is_empty()).collect();
    raw.sort_unstable_by_key(|raw| raw.start);
    raw
}

/// What follows the sections, by the count of bytes and not by where the last one ends.
fn rest(image: &Image<'_>) -> Range<usize> {
    let sections: usize = image.sections().iter().map(|section| section.raw.len()).sum();
    image.headers().size_of_headers.saturating_add(sections)..image.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::format::pe::tests::sample;

    fn covered_bytes(file: &[u8]) -> Vec<u8> {
        let image = Image::parse(file).unwrap();
        covered(&image).into_iter().flat_map(|range| file[range].to_vec()).collect()
    }

    #[test]
    fn all_but_check_sum_and_table_entry() {
        let file = sample(b"rest");
        let headers = Image::parse(&file).unwrap().headers().clone();
        let (sum, entry) = (headers.check_sum_field(), headers.certificate_entry.unwrap());
        let expected = [&file[..sum.start], &file[sum.end..entry.start], &file[entry.end..]].concat();
        assert_eq!(covered_bytes(&file), expected);
        let image = Image::parse(&file).unwrap();
        assert_eq!(digest(&image, Hash::Sha384), Hash::Sha384.digest(&expected));
        assert_eq!(hidden(&image), None);
    }

    /// The second section moved 16 bytes away from the first, with `gap` between them.
    fn with_gap(gap: [u8; 16]) -> Vec<u8> {
        let mut file = sample(b"");
        let text = Image::parse(&file).unwrap().headers().section_table + 20;
        file[text] = 0x20;
        file.splice(0x210..0x210, gap);
        file
    }

    #[test]
    fn gaps_are_counted_as_firmware_counts_them() {
        let file = with_gap([0; 16]);
        let image = Image::parse(&file).unwrap();
        assert_eq!(rest(&image), 0x220..0x230, "the last section once more");
        assert!(covered_bytes(&file).ends_with(&[[b'd'; 16], [b't'; 16], [b't'; 16]].concat()));
        assert_eq!(hidden(&image), None);
        for at in 0..16 {
            let mut gap = [0; 16];
            gap[at] = 1;
            let file = with_gap(gap);
            assert_eq!(hidden(&Image::parse(&file).unwrap()), Some(0x210..0x220));
        }
    }
}
