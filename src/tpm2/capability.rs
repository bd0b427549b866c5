//! `TPM2_GetCapability` (part 3, section 30.2), and the like of it that asks and changes nothing: the commands as bytes, and
//! what a TPM answers as it is, whatever it says. Pure.

use super::{
    Selection, bank,
    command::{HEADER, NO_SESSIONS, RawCommand, SESSIONS, command, empty_password},
    constants::{alg, cap, cc},
};
use crate::bytes::Reader;

/// Items of a list that are asked for at once.
pub const AT_ONCE: u32 = 64;

/// One answer of a list that may have several.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Whether the TPM says that there is more.
    pub more: bool,
    /// What it has given, in its order.
    pub items: Vec<T>,
}

/// `TPM2_GetCapability`: at most `count` values from `first` on.
#[must_use]
pub fn get(capability: u32, first: u32, count: u32) -> RawCommand {
    command(NO_SESSIONS, cc::GET_CAPABILITY, |writer| writer.be32(capability).be32(first).be32(count))
}

/// `TPM2_NV_Read` (part 3, section 31.13) of `size` bytes from `offset` on, with the index' own authorization, which is empty.
#[must_use]
pub fn nv_read(index: u32, size: u16, offset: u16) -> RawCommand {
    command(SESSIONS, cc::NV_READ, |writer| empty_password(writer.be32(index).be32(index)).be16(size).be16(offset))
}

/// `TPM2_TestParms` (part 3, section 30.3): whether the TPM has AES-128-CFB.
#[must_use]
pub fn test_aes_128_cfb() -> RawCommand {
    command(NO_SESSIONS, cc::TEST_PARMS, |writer| writer.be16(alg::SYMCIPHER).be16(alg::AES).be16(128).be16(alg::CFB))
}

/// As above: whether it has RSA 2048, in keys that verify.
#[must_use]
pub fn test_rsa_2048() -> RawCommand {
    command(NO_SESSIONS, cc::TEST_PARMS, |writer| {
        writer.be16(alg::RSA).be16(alg::NULL).be16(alg::NULL).be16(2048).be32(0)
    })
}

/// `TPML_HANDLE` and `TPML_CCA`: numbers.
#[must_use]
pub fn numbers(response: &[u8], capability: u32) -> Option<Page<u32>> {
    list(response, capability, Reader::be32)
}

/// `TPML_ECC_CURVE`.
#[must_use]
pub fn curves(response: &[u8]) -> Option<Page<u32>> {
    list(response, cap::ECC_CURVES, |reader| reader.be16().map(u32::from))
}

/// `TPML_ALG_PROPERTY`, without their attributes.
#[must_use]
pub fn algorithms(response: &[u8]) -> Option<Page<u32>> {
    list(response, cap::ALGS, |reader| {
        let algorithm = reader.be16()?;
        reader.be32().map(|_attributes| u32::from(algorithm))
    })
}

/// `TPML_TAGGED_TPM_PROPERTY`: each property with its value.
#[must_use]
pub fn properties(response: &[u8]) -> Option<Page<(u32, u32)>> {
    list(response, cap::TPM_PROPERTIES, |reader| Some((reader.be32()?, reader.be32()?)))
}

/// `TPML_PCR_SELECTION`: the PCRs that exist. A bank without any is inactive.
#[must_use]
pub fn banks(response: &[u8]) -> Option<Page<Selection>> {
    list(response, cap::PCRS, Selection::read)
}

/// `TPML_TAGGED_POLICY`: hierarchies, each with its policy's digest, which is empty where it has none.
#[must_use]
pub fn policies(response: &[u8]) -> Option<Page<(u32, &[u8])>> {
    list(response, cap::AUTH_POLICIES, |reader| {
        let (hierarchy, algorithm) = (reader.be32()?, reader.be16()?);
        let size = if algorithm == alg::NULL { 0 } else { bank::by_id(algorithm)?.size };
        Some((hierarchy, reader.take(size)?))
    })
}

/// The data in the response to [`nv_read`].
#[must_use]
pub fn nv_data(response: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(response.get(HEADER..)?);
    let _size = reader.be32()?;
    reader.tpm2b()
}

/// A response that is a list: `TPMI_YES_NO`, `TPMS_CAPABILITY_DATA`.
fn list<'a, T>(response: &'a [u8], capability: u32, item: impl Fn(&mut Reader<'a>) -> Option<T>) -> Option<Page<T>> {
    let mut reader = Reader::new(response.get(HEADER..)?);
    let more = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    if reader.be32()? != capability {
        return None;
    }
    let count = reader.be32()?;
    // Each item takes bytes: a count that is too large ends with the response.
    let items = (0..count).map(|_| item(&mut reader)).collect::<Option<Vec<_>>>()?;
    reader.is_empty().then_some(Page { more, items })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &[u8]) -> Vec<u8> {
        [&[0x80, 0x01, 0, 0, 0, 0, 0, 0, 0, 0][..], body].concat()
    }

    #[test]
    fn answers_of_a_tpm_are_read() {
        let answer = response(&[1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 2, 0, 0, 0, 2, 5]);
        assert_eq!(properties(&answer), Some(Page { more: true, items: vec![(0x200, 0x205)] }));
        let answer = response(&[0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 4, 3, 0, 0, 0, 0, 11, 3, 0xff, 0xff, 0xff]);
        let found: Vec<_> = banks(&answer).unwrap().items.into_iter().map(|bank| (bank.bank, bank.pcrs)).collect();
        assert_eq!(found, [(4, 0), (11, 0xff_ffff)]);
    }

    #[test]
    fn policies_of_hierarchies_are_read() {
        let of_owner = [&[0x40, 0, 0, 1, 0, 0x0b][..], &[7; 32]].concat();
        let answer = response(&[&[0, 0, 0, 0, 9, 0, 0, 0, 2][..], &of_owner, &[0x40, 0, 0, 0x0a, 0, 0x10]].concat());
        let found = policies(&answer).unwrap().items;
        assert_eq!(found, [(0x4000_0001, &[7; 32][..]), (0x4000_000a, &[])]);
        for end in 0..answer.len() {
            assert_eq!(policies(&answer[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let good = response(&[0, 0, 0, 0, 1, 0, 0, 0, 1, 0x81, 0, 0, 1]);
        assert_eq!(numbers(&good, cap::HANDLES), Some(Page { more: false, items: vec![0x8100_0001] }));
        for end in 0..good.len() {
            assert_eq!(numbers(&good[..end], cap::HANDLES), None, "cut at {end}");
        }
        assert_eq!(numbers(&[&good[..], &[0]].concat(), cap::HANDLES), None, "longer");
        assert_eq!(numbers(&good, cap::COMMANDS), None, "another capability");
        for (at, byte) in [(10, 2), (15, 0xff), (18, 0xff)] {
            let mut lying = good.clone();
            lying[at] = byte;
            assert_eq!(numbers(&lying, cap::HANDLES), None, "byte {at}");
        }
        assert_eq!(banks(&response(&[0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 4, 0xff])), None, "a bit map that is not there");
    }

    #[test]
    fn sizes_equal_those_of_the_commands() {
        for (command, size) in
            [(get(cap::HANDLES, 0, 1), 22), (nv_read(1, 8, 0), 35), (test_aes_128_cfb(), 18), (test_rsa_2048(), 22)]
        {
            assert_eq!((command.len(), command[2..6].to_vec()), (size, (size as u32).to_be_bytes().to_vec()));
        }
    }
}
