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

//!
//! Each part of this is shown all bytes of an image once, in their order, and
//! picks what concerns it: so that one reading does for several.

use crate::{
    error::Result,
    host::{image::pe::Image, pki::key::Hash},
};
use aws_lc_rs::digest::Context;
use std::{collections::VecDeque, ops::Range};

/// The digest of an image: 32 or 48 bytes, of exactly what firmware hashes.
///
/// Of the file as it is: [`super::sign()`] appends zeros up to a multiple of eight bytes first, which then count.
///
/// # Errors
/// Those of reading.
pub fn digest(image: &Image<'_>, hash: Hash) -> Result<Vec<u8>> {
    digest_and(image, hash, |_, _| ())
}

/// The same; `also` is shown all bytes of the image meanwhile, in their order, each part with its place.
///
/// # Errors
/// Those of reading.
pub fn digest_and(image: &Image<'_>, hash: Hash, mut also: impl FnMut(usize, &[u8])) -> Result<Vec<u8>> {
    let mut digest = ImageDigest::new(image, hash);
    image.pieces(0..image.end(), |at, bytes| {
        digest.see(at, bytes);
        also(at, bytes);
    })?;
    digest.finish(image)
}

/// A digest in the making.
pub struct ImageDigest {
    context: Context,
    ranges: Ranges,
    /// What is hashed a second time: gaps between sections have firmware begin the last part too early.
    again: Range<usize>,
}

impl ImageDigest {
    /// That of this image.
    #[must_use]
    pub fn new(image: &Image<'_>, hash: Hash) -> Self {
        Self::with(image, hash.begin())
    }

    /// By any algorithm: what was begun with it.
    #[must_use]
    pub fn with(image: &Image<'_>, context: Context) -> Self {
        let headers = image.headers();
        let check_sum = headers.check_sum_field();
        let entry = headers.certificate_entry.clone().unwrap_or(check_sum.end..check_sum.end);
        let mut ranges = vec![0..check_sum.start, check_sum.end..entry.start, entry.end..headers.size_of_headers];
        ranges.extend(in_file_order(image));
        let (rest, end) = (rest(image), ranges.last().map_or(0, |last| last.end));
        let has_gaps = rest.start < end;
        if !has_gaps {
            ranges.push(rest.clone());
        }
        let again = if has_gaps { rest } else { 0..0 };
        Self { context, ranges: Ranges::new(ranges), again }
    }

    /// Is shown a part of the file.
    pub fn see(&mut self, at: usize, bytes: &[u8]) {
        self.ranges.pick(at, bytes, |_, bytes| self.context.update(bytes));
    }

    /// The digest, when all of the image has been shown.
    ///
    /// # Errors
    /// Those of reading.
    pub fn finish(mut self, image: &Image<'_>) -> Result<Vec<u8>> {
        image.pieces(self.again, |_, bytes| self.context.update(bytes))?;
        Ok(self.context.finish().as_ref().to_vec())
    }
}

/// The first gap that firmware passes over although it does not consist of zeros.
pub struct Gaps {
    gaps: Ranges,
    found: Option<Range<usize>>,
}

impl Gaps {
    /// Those of this image.
    #[must_use]
    pub fn new(image: &Image<'_>) -> Self {
        let rest = rest(image);
        let mut end = image.headers().size_of_headers;
        let gaps = in_file_order(image).into_iter().map(|section| {
            let gap = end..section.start.min(rest.start);
            end = section.end;
            gap
        });
        Self { gaps: Ranges::new(gaps), found: None }
    }

    /// Is shown a part of the file.
    pub fn see(&mut self, at: usize, bytes: &[u8]) {
        let Self { gaps, found } = self;
        gaps.pick(at, bytes, |gap, bytes| {
            if found.is_none() && bytes.iter().any(|byte| *byte != 0) {
                *found = Some(gap.clone());
            }
        });
    }

    /// Why no signature would vouch for the whole image.
    #[must_use]
    pub fn flaw(&self) -> Option<String> {
        let gap = self.found.as_ref()?;
        Some(format!("firmware does not hash its bytes {:#x} to {:#x}, which are not zero", gap.start, gap.end))
    }
}

/// Parts of a file, one behind the other.
struct Ranges(VecDeque<Range<usize>>);

impl Ranges {
    fn new(ranges: impl IntoIterator<Item = Range<usize>>) -> Self {
        Self(ranges.into_iter().filter(|range| range.start < range.end).collect())
    }

    /// Shows what of these bytes, which begin at `at`, belongs to each part.
    fn pick(&mut self, at: usize, bytes: &[u8], mut see: impl FnMut(&Range<usize>, &[u8])) {
        let end = at + bytes.len();
        while let Some(range) = self.0.front().filter(|range| range.start < end) {
            let part = range.start.saturating_sub(at)..range.end.min(end).saturating_sub(at);
            see(range, bytes.get(part).unwrap_or_default());
            if range.end > end {
                break;
            }
            self.0.pop_front();
        }
    }
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
    use crate::host::image::pe::tests::sample;

    /// What the ranges cover, one behind the other.
    fn covered_bytes(file: &[u8]) -> Vec<u8> {
        let image = Image::parse(file).unwrap();
        let ImageDigest { ranges, again, .. } = ImageDigest::new(&image, Hash::Sha256);
        ranges.0.into_iter().chain([again]).flat_map(|range| file[range].to_vec()).collect()
    }

    fn flaw(file: &[u8]) -> Option<String> {
        let image = Image::parse(file).unwrap();
        let mut gaps = Gaps::new(&image);
        image.pieces(0..image.end(), |at, bytes| gaps.see(at, bytes)).unwrap();
        gaps.flaw()
    }

    #[test]
    fn the_digest_covers_all_but_check_sum_and_table_entry() {
        let file = sample(b"rest");
        let headers = Image::parse(&file).unwrap().headers().clone();
        let (sum, entry) = (headers.check_sum_field(), headers.certificate_entry.unwrap());
        let expected = [&file[..sum.start], &file[sum.end..entry.start], &file[entry.end..]].concat();
        assert_eq!(covered_bytes(&file), expected);
        let image = Image::parse(&file).unwrap();
        assert_eq!(digest(&image, Hash::Sha384).unwrap(), Hash::Sha384.digest(&expected));
        assert_eq!(flaw(&file), None);
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
        let covered = covered_bytes(&file);
        assert!(covered.ends_with(&[[b'd'; 16], [b't'; 16], [b't'; 16]].concat()));
        assert_eq!(digest(&image, Hash::Sha256).unwrap(), Hash::Sha256.digest(&covered));
        assert_eq!(flaw(&file), None);
        for at in 0..16 {
            let mut gap = [0; 16];
            gap[at] = 1;
            assert!(flaw(&with_gap(gap)).unwrap().contains("0x210 to 0x220"));
        }
    }

    #[test]
    fn the_digest_is_independent_of_piece_sizes() {
        for file in [sample(b"rest"), with_gap([0; 16])] {
            let image = Image::parse(&file).unwrap();
            for size in 1..80 {
                let mut pieces = ImageDigest::new(&image, Hash::Sha256);
                file.chunks(size).zip((0..).step_by(size)).for_each(|(bytes, at)| pieces.see(at, bytes));
                assert_eq!(pieces.finish(&image).unwrap(), digest(&image, Hash::Sha256).unwrap(), "{size}");
            }
        }
    }
}
