//! What IMA has extended its PCR with: each record of its list, in every bank.

use super::{Raw, RawData, SHA1, is_boot, printable};
use crate::{
    bytes::Reader,
    host::eventlog::replay::BankHash,
    tpm2::{bank, constants::alg},
};

/// Bytes of a name in the template `ima`, as its digest is computed: zeros fill it up.
const NAME: usize = 256;

/// One record, as an extension of a PCR.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaExtension {
    /// Its number, from 1 on.
    pub number: usize,
    /// The PCR: 10, unless the kernel is configured otherwise.
    pub pcr: u8,
    /// What was measured, by its name, printable.
    pub name: String,
    /// Of a kernel's first record: the hash of the PCRs that it has found, by the hash of this bank.
    pub(super) found: Option<(u16, Vec<u8>)>,
    /// What each bank was extended with.
    pub digests: Vec<(u16, Vec<u8>)>,
    /// The digest in SHA-1, with which kernels before 5.8 have extended all banks, zeros behind it.
    sha1: [u8; SHA1],
}

impl ImaExtension {
    /// What kernels before 5.8 have extended a bank with.
    #[must_use]
    pub fn of_old_kernels(&self, bank: u16) -> Option<Vec<u8>> {
        let mut digest = self.sha1.to_vec();
        digest.resize(bank::by_id(bank)?.size, 0);
        Some(digest)
    }
}

/// The records of a list, as far as it can be understood, with their digests for these banks.
#[must_use]
pub fn read(list: &[u8], banks: &[u16]) -> Vec<ImaExtension> {
    let mut reader = Reader::new(list);
    let records = std::iter::from_fn(|| Raw::read(&mut reader));
    (1..).zip(records).filter_map(|(number, record)| extension(number, &record, banks)).collect()
}

fn extension(number: usize, record: &Raw<'_>, banks: &[u16]) -> Option<ImaExtension> {
    let padded = match record.data {
        RawData::Fields(_) => Vec::new(),
        RawData::File(digest, name) => {
            let room = vec![0; NAME.saturating_sub(name.len())];
            [digest, name, &room].concat()
        }
    };
    let data = match record.data {
        RawData::Fields(data) => data,
        RawData::File(..) => &padded,
    };
    // Where a file was open for writing, nothing is said of its content, and the PCR gets ones.
    let is_violation = record.sha1.iter().all(|byte| *byte == 0);
    let digest = |id: u16| {
        let hash = BankHash::of(id)?;
        Some(if is_violation { vec![0xff; bank::by_id(id)?.size] } else { hash.digest(data) })
    };
    let fields = record.fields();
    Some(ImaExtension {
        number,
        pcr: u8::try_from(record.pcr).ok()?,
        name: printable(fields.name),
        found: fields.digest.filter(|_| is_boot(fields.name)),
        digests: banks.iter().filter_map(|bank| Some((*bank, digest(*bank)?))).collect(),
        sha1: digest(alg::SHA1)?.try_into().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
    }

    fn record(sha1: [u8; SHA1], template: &[u8], data: &[u8]) -> Vec<u8> {
        [&10_u32.to_le_bytes()[..], &sha1, &sized(template), data].concat()
    }

    #[test]
    fn the_digest_is_of_all_data_and_of_the_padded_name_of_the_oldest_template() {
        let data = [sized(&[b"sha256:\0", &[7; 32][..]].concat()), sized(b"/bin/true\0")].concat();
        let mut oldest = [&[9; SHA1], &b"/bin/sh"[..]].concat();
        let list = [
            record([1; SHA1], b"ima-ng", &sized(&data)),
            record([1; SHA1], b"ima", &[&[9; SHA1][..], &sized(b"/bin/sh")].concat()),
            record([0; SHA1], b"ima-ng", &sized(&data)),
        ]
        .concat();
        oldest.resize(SHA1 + NAME, 0);
        let read = read(&list, &[alg::SHA1, alg::SHA256, 0x7777]);
        let found: Vec<_> = read.iter().map(|extension| (extension.number, extension.pcr, &*extension.name)).collect();
        assert_eq!(found, [(1, 10, "/bin/true"), (2, 10, "/bin/sh"), (3, 10, "/bin/true")]);
        let of = |bytes: &[u8]| {
            let (sha1, sha256) = (digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes), digest(&SHA256, bytes));
            vec![(alg::SHA1, sha1.as_ref().to_vec()), (alg::SHA256, sha256.as_ref().to_vec())]
        };
        let violation = vec![(alg::SHA1, vec![0xff; 20]), (alg::SHA256, vec![0xff; 32])];
        let digests: Vec<_> = read.iter().map(|extension| extension.digests.clone()).collect();
        assert_eq!(digests, [of(&data), of(&oldest), violation]);
        let old = read[0].of_old_kernels(alg::SHA256).unwrap();
        assert_eq!(old, [digest(&SHA1_FOR_LEGACY_USE_ONLY, &data).as_ref(), &[0; 12]].concat());
    }
}
