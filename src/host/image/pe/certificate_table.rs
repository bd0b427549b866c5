//! The certificate table: where it lies, and what is in it.

use super::{CERTIFICATE_ALIGNMENT, CERTIFICATE_HEADER, Certificate, bad, headers::Extent};
use crate::{bytes::Reader, error::Result, host::fs::data::Data};
use std::{borrow::Cow, ops::Range};

/// Upper bound in bytes: signatures hold certificates and digests alone.
const MAX_TABLE: usize = 16 << 20;
/// Upper bound of the number of signatures.
const MAX_CERTIFICATES: usize = 16;

/// Where the certificate table lies, which the headers say and `end`, the end of all sections, confirms; and its length.
///
/// A table of length 0 does not exist, wherever it lies: so says firmware.
pub(super) fn locate(file: Data<'_>, (start, size): Extent, end: usize) -> Result<Option<(Range<usize>, usize)>> {
    let (start, size) = (start as usize, size as usize);
    if size == 0 {
        return Ok(None);
    }
    if start < end || start % CERTIFICATE_ALIGNMENT != 0 {
        return Err(bad("its certificate table is not where one can be"));
    }
    if start.checked_add(size).is_none_or(|end| end > file.len()) {
        return Err(bad("its certificate table does not end where the file ends"));
    }
    if file.len() - start > MAX_TABLE {
        return Err(bad(format!("its certificate table is longer than {} MiB", MAX_TABLE >> 20)));
    }
    Ok(Some((start..file.len(), size)))
}

/// The certificate table, as far as it is one.
#[derive(Debug, Default)]
pub(super) struct Table<'a> {
    pub(super) place: Option<Range<usize>>,
    pub(super) entries: Vec<Certificate<'a>>,
    pub(super) flaw: Option<&'static str>,
}

impl<'a> Table<'a> {
    pub(super) fn read(file: Data<'a>, place: Range<usize>, size: usize) -> Result<Self> {
        let bytes = file.get(place.clone()).unwrap_or_else(|| (&[]).into()).read()?;
        let is_zero = |from: usize| bytes.get(from..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
        if bytes.len() != size && !is_zero(size) {
            return Err(bad("its certificate table does not end where the file ends"));
        }
        let part = |range: Range<usize>| match &bytes {
            Cow::Borrowed(bytes) => bytes.get(range).map(Cow::Borrowed),
            Cow::Owned(bytes) => bytes.get(range).map(|part| Cow::Owned(part.to_vec())),
        };
        let (mut entries, mut at) = (Vec::new(), 0);
        let mut flaw = (bytes.len() != size).then_some("zeros follow its certificate table");
        while at < size {
            let next = (entries.len() < MAX_CERTIFICATES).then(|| read_certificate(&bytes, at, size, part)).flatten();
            let Some((certificate, end)) = next else {
                flaw = Some(match entries.len() {
                    MAX_CERTIFICATES => "its certificate table has more than 16 entries",
                    _ if is_zero(at) => "its certificate table ends in zeros, and not in a signature",
                    _ => "an entry of its certificate table is empty or too long",
                });
                break;
            };
            entries.push(certificate);
            at = end;
        }
        Ok(Self { place: Some(place), entries, flaw })
    }
}

/// The entry of a certificate table that begins at `at`, and where the next one does.
fn read_certificate<'a>(
    table: &[u8],
    at: usize,
    size: usize,
    part: impl Fn(Range<usize>) -> Option<Cow<'a, [u8]>>,
) -> Option<(Certificate<'a>, usize)> {
    let mut header = Reader::new(table.get(at..)?);
    let (length, revision, kind) = (header.le32()? as usize, header.le16()?, header.le16()?);
    let (content, end) = (at + CERTIFICATE_HEADER, at + length);
    let next = at + length.next_multiple_of(CERTIFICATE_ALIGNMENT);
    if end <= content || next > size {
        return None;
    }
    let certificate = Certificate { revision, kind, content: part(content..end)?, padding: part(end..next)? };
    Some((certificate, next))
}
