//! Commands for which ESYS or tss-esapi has no use, as bytes (part 1, section 18).

use super::constants::{cc, rh};
use crate::bytes::{Buffer, Reader, Writer, bounded};

/// Bytes of the largest of them.
const MAX: usize = 64;
/// Bytes of a header: tag, size, command code.
pub(super) const HEADER: usize = 10;
/// `TPM_ST`.
pub(super) const NO_SESSIONS: u16 = 0x8001;
pub(super) const SESSIONS: u16 = 0x8002;

/// A command in TPM form.
pub type RawCommand = Buffer<MAX>;

/// `TPM2_ReadPublic` of an object (part 3, section 12.4).
#[must_use]
pub fn read_public(object: u32) -> RawCommand {
    command(NO_SESSIONS, cc::READ_PUBLIC, |writer| writer.be32(object))
}

/// Name and Qualified Name in the response to it.
#[must_use]
pub fn names(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut reader = Reader::new(response.get(HEADER..)?);
    let _public = reader.tpm2b()?;
    Some((reader.tpm2b()?, reader.tpm2b()?))
}

/// The public area (`TPMT_PUBLIC`) in the response to it.
#[cfg(feature = "host")]
#[must_use]
pub fn public_area(response: &[u8]) -> Option<&[u8]> {
    Reader::new(response.get(HEADER..)?).tpm2b()
}

/// `TPM2_DictionaryAttackParameters` (part 3, section 25.3), with an empty lockout password; both times are in seconds.
#[must_use]
pub fn dictionary_attack_parameters(max_tries: u32, recovery_time: u32, lockout_recovery: u32) -> RawCommand {
    command(SESSIONS, cc::DICTIONARY_ATTACK_PARAMETERS, |writer| {
        empty_password(writer.be32(rh::LOCKOUT)).be32(max_tries).be32(recovery_time).be32(lockout_recovery)
    })
}

/// An authorization area of one empty password: no nonce, no attributes.
pub(super) fn empty_password(writer: Writer<'_>) -> Writer<'_> {
    writer.be32(9).be32(rh::PASSWORD).bytes(&[0; 5])
}

/// A command with this tag and code: what `body` writes behind its header.
pub(super) fn command(tag: u16, code: u32, body: impl Fn(Writer<'_>) -> Writer<'_>) -> RawCommand {
    let length = |body: &RawCommand| u32::try_from(HEADER + body.len()).unwrap_or_default();
    // All of them have a fixed size, and fit.
    let body: RawCommand = bounded(&body).unwrap_or_default();
    bounded(|writer| writer.be16(tag).be32(length(&body)).be32(code).bytes(&body)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_equal_those_of_the_commands() {
        for (command, size) in [(read_public(0x8100_0001), 14), (dictionary_attack_parameters(256, 30, 86400), 39)] {
            assert_eq!((command.len(), command[2..6].to_vec()), (size, (size as u32).to_be_bytes().to_vec()));
        }
        let parameters = dictionary_attack_parameters(256, 30, 86400);
        assert_eq!(parameters[..14], [0x80, 0x02, 0, 0, 0, 39, 0, 0, 0x01, 0x3a, 0x40, 0, 0, 0x0a]);
    }
}
