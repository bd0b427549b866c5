//! Whether a response is built as TPM 2.0 Library part 1, section 18 describes.
//! Pure: bytes in, verdict out. tpm2-tss trusts the sizes in a response; after
//! this it may.

use super::fault::Fault;
use crate::bytes::Reader;

/// Tag, size and response code.
pub const HEADER: usize = 10;

const ST_NO_SESSIONS: u16 = 0x8001;
const ST_SESSIONS: u16 = 0x8002;
/// `TPM_TAG_RSP_COMMAND`: what a TPM 1.2 answers.
const TPM12: u16 = 0x00c4;
/// The largest digest, nonce or HMAC: SHA-512.
const MAX_DIGEST: usize = 64;
/// At most three sessions go with a command.
const MAX_SESSIONS: usize = 3;

/// Commands whose response begins with a handle, as far as they are used here.
const WITH_HANDLE: [u32; 4] = [
    0x0000_0131, // CreatePrimary
    0x0000_0157, // Load
    0x0000_0167, // LoadExternal
    0x0000_0176, // StartAuthSession
];

/// What every command and every response begins with.
struct MessageHeader {
    tag: u16,
    /// Of the whole, in bytes.
    size: u32,
    /// The command's code, or the response's.
    code: u32,
}

impl MessageHeader {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { tag: reader.be16()?, size: reader.be32()?, code: reader.be32()? })
    }

    fn of(message: &[u8]) -> Option<Self> {
        Self::read(&mut Reader::new(message))
    }
}

/// The size that a header states.
pub fn stated_size(response: &[u8]) -> Option<usize> {
    usize::try_from(MessageHeader::of(response)?.size).ok()
}

/// The response code of a whole response.
pub fn code(response: &[u8]) -> Option<u32> {
    Some(MessageHeader::of(response)?.code)
}

/// Checks `response` against the command that it answers.
///
/// # Errors
/// [`Fault::Tpm12`] or [`Fault::Malformed`].
pub fn check(command: &[u8], response: &[u8]) -> Result<(), Fault> {
    if Reader::new(response).be16() == Some(TPM12) {
        return Err(Fault::Tpm12);
    }
    well_formed(command, response).ok_or(Fault::Malformed)
}

fn well_formed(command: &[u8], response: &[u8]) -> Option<()> {
    let exact = |holds: bool| holds.then_some(());
    let (asked, mut reader) = (MessageHeader::of(command)?, Reader::new(response));
    let header = MessageHeader::read(&mut reader)?;
    exact(usize::try_from(header.size).ok()? == response.len())?;
    if header.code != 0 {
        return exact(header.tag == ST_NO_SESSIONS && reader.is_empty());
    }
    // A response without sessions to a command with sessions would be one that is not authenticated.
    exact(header.tag == asked.tag)?;
    if WITH_HANDLE.contains(&asked.code) {
        reader.be32()?;
    }
    match header.tag {
        ST_NO_SESSIONS => Some(()),
        ST_SESSIONS => {
            let parameters = usize::try_from(reader.be32()?).ok()?;
            reader.take(parameters)?;
            sessions(reader)
        }
        _ => None,
    }
}

/// The authorization area: nonce, attributes and HMAC of each session, and nothing behind.
fn sessions(mut area: Reader<'_>) -> Option<()> {
    let is_digest = |bytes: &[u8]| bytes.len() <= MAX_DIGEST;
    let mut count = 0;
    while !area.is_empty() {
        count += 1;
        let (nonce, _attributes, hmac) = (area.tpm2b()?, area.take(1)?, area.tpm2b()?);
        (is_digest(nonce) && is_digest(hmac)).then_some(())?;
    }
    (1..=MAX_SESSIONS).contains(&count).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NV_READ: u32 = 0x0000_014e;

    fn command(tag: u16, code: u32) -> Vec<u8> {
        [&tag.to_be_bytes()[..], &10u32.to_be_bytes(), &code.to_be_bytes()].concat()
    }

    fn response(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(HEADER + body.len()).unwrap();
        [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
    }

    /// Two bytes of parameters, then a session with an empty nonce and HMAC.
    const BODY: [u8; 11] = [0, 0, 0, 2, 7, 7, 0, 0, 1, 0, 0];

    #[test]
    fn well_formed_responses_are_accepted() {
        let nv_read = command(ST_SESSIONS, NV_READ);
        assert_eq!(check(&nv_read, &response(ST_SESSIONS, 0, &BODY)), Ok(()));
        assert_eq!(check(&nv_read, &response(ST_NO_SESSIONS, 0x922, &[])), Ok(()));
        let start = command(ST_NO_SESSIONS, 0x176);
        assert_eq!(check(&start, &response(ST_NO_SESSIONS, 0, &[3, 0, 0, 0, 0, 0])), Ok(()));
    }

    #[test]
    fn truncated_responses_and_false_sizes_are_refused() {
        let nv_read = command(ST_SESSIONS, NV_READ);
        let good = response(ST_SESSIONS, 0, &BODY);
        for end in 0..good.len() {
            assert!(check(&nv_read, &good[..end]).is_err(), "cut at {end}");
            let mut cut = good[..end].to_vec();
            if let (Some(field), Ok(size)) = (cut.get_mut(2..6), u32::try_from(end)) {
                field.copy_from_slice(&size.to_be_bytes());
            }
            assert!(check(&nv_read, &cut).is_err(), "cut at {end}, size corrected");
        }
        for (at, value) in [(5, 200), (13, 200), (13, 255), (17, 65), (20, 65), (9, 1), (1, 1)] {
            let mut lying = good.clone();
            lying[at] = value;
            assert!(check(&nv_read, &lying).is_err(), "byte {at} = {value}");
        }
    }

    #[test]
    fn a_success_without_sessions_is_refused() {
        let nv_read = command(ST_SESSIONS, NV_READ);
        assert_eq!(check(&nv_read, &response(ST_NO_SESSIONS, 0, &[0, 0])), Err(Fault::Malformed));
    }

    #[test]
    fn a_tpm_1_2_is_recognised() {
        assert_eq!(check(&command(ST_NO_SESSIONS, 0x17a), &response(TPM12, 0x1e, &[])), Err(Fault::Tpm12));
    }
}
