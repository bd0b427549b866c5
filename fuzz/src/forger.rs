//! Somebody on the bus who has put a storage root key of his own in the place of the TPM's. He knows every session's
//! key, so that whatever he answers is authentic: only then does anybody look into it.
//!
//! TPM 2.0 Library part 1, sections 11.4.10 (key derivation), 18.6 (authorizations) and 21 (parameter encryption).

use aes::cipher::KeyIvInit;
use harness::session::{hmac, kdf_a, salt};
use p256::{
    FieldBytes, NonZeroScalar, PublicKey, Sec1Point,
    elliptic_curve::sec1::{FromSec1Point, ToSec1Point},
};
use sha2::{Digest, Sha256};
use std::{ops::Range, sync::LazyLock};

const SESSIONS: u16 = 0x8002;
const START_AUTH_SESSION: u32 = 0x176;
/// `TPM_RS_PW`: no session, and nothing to vouch with.
const PASSWORD: u32 = 0x4000_0009;
/// `TPMA_SESSION`: the first parameter of the answer is encrypted.
const ENCRYPT: u8 = 0x40;

/// The public part of his key: x and y.
#[must_use]
pub fn public_point() -> [[u8; 32]; 2] {
    static POINT: LazyLock<[[u8; 32]; 2]> = LazyLock::new(|| {
        let point = PublicKey::from_secret_scalar(&private()).to_sec1_point(false);
        let coordinate = |bytes: Option<&FieldBytes>| (*bytes.expect("not the point at infinity")).into();
        [coordinate(point.x()), coordinate(point.y())]
    });
    *POINT
}

fn private() -> NonZeroScalar {
    NonZeroScalar::from_repr(FieldBytes::from([7; 32])).into_option().expect("below the order of the curve")
}

/// The key of the session that was started last.
#[derive(Default)]
pub struct Forger {
    key: Option<[u8; 32]>,
}

/// An authorization in a command.
struct Session<'a> {
    handle: u32,
    nonce: &'a [u8],
    attributes: u8,
}

/// The authorization that answers it: where it is.
struct Authorization {
    nonce: Range<usize>,
    attributes: usize,
    hmac: Range<usize>,
}

impl Forger {
    /// Makes an answer to `command` authentic, as far as it has the form of one.
    pub fn vouch(&mut self, command: &[u8], answer: &mut [u8]) {
        if word(command, 6) == Some(START_AUTH_SESSION) {
            if let Some(key) = session_key(command, answer) {
                self.key = Some(key);
            }
        } else if let Some(key) = self.key {
            let _ = sign(&key, command, answer);
        }
    }
}

/// What both sides arrive at when a session starts.
fn session_key(command: &[u8], answer: &[u8]) -> Option<[u8; 32]> {
    let caller = sized(command, 18)?;
    let ephemeral = sized(command, caller.end)?;
    let x = sized(command, ephemeral.start)?;
    let y = sized(command, x.end)?;
    let tpm = sized(answer, 14)?;
    let [x, y] = [FieldBytes::try_from(&command[x]).ok()?, FieldBytes::try_from(&command[y]).ok()?];
    let peer = PublicKey::from_sec1_point(&Sec1Point::from_affine_coordinates(&x, &y, false)).into_option()?;
    let salt = salt(&private(), &peer, &x, &public_point()[0]);
    Some(kdf_a(&salt, b"ATH\0", [&answer[tpm], &command[caller]]))
}

/// Encrypts the first parameter where the command has asked for it, then vouches for all of them.
fn sign(key: &[u8; 32], command: &[u8], answer: &mut [u8]) -> Option<()> {
    let code = word(command, 6)?;
    (half(answer, 0)? == SESSIONS && word(answer, 6)? == 0).then_some(())?;
    let start = if matches!(code, 0x131 | 0x157 | 0x167) { 14 } else { 10 };
    let size = usize::try_from(word(answer, start)?).ok()?;
    let parameters = start + 4..(start + 4).checked_add(size)?;
    answer.get(parameters.clone())?;
    let mut at = parameters.end;
    let mut vouched = Vec::new();
    for session in sessions(command)? {
        let nonce = sized(answer, at)?;
        let attributes = nonce.end;
        let hmac = sized(answer, attributes + 1)?;
        at = hmac.end;
        vouched.push((session, Authorization { nonce, attributes, hmac }));
    }
    vouched.retain(|(session, _)| session.handle != PASSWORD);
    for (session, authorization) in &vouched {
        if session.attributes & ENCRYPT != 0
            && let Some(first) = sized(answer, parameters.start)
            && first.end <= parameters.end
        {
            let secret = kdf_a(key, b"CFB\0", [&answer[authorization.nonce.clone()], session.nonce]);
            let (key, iv) = secret.split_at(16);
            cfb_mode::Encryptor::<aes::Aes128Enc>::new_from_slices(key, iv).ok()?.encrypt(&mut answer[first]);
        }
    }
    let mut hash = Sha256::new();
    hash.update([&[0; 4], &code.to_be_bytes()[..], &answer[parameters]].concat());
    let hash = hash.finalize();
    for (session, authorization) in vouched {
        let parts = [&hash[..], &answer[authorization.nonce], session.nonce, &answer[authorization.attributes..][..1]];
        let vouch = hmac(key, &parts);
        let field = &mut answer[authorization.hmac];
        if field.len() == 32 {
            field.copy_from_slice(&vouch);
        }
    }
    Some(())
}

/// The authorizations that come with a command.
fn sessions(command: &[u8]) -> Option<Vec<Session<'_>>> {
    (half(command, 0)? == SESSIONS).then_some(())?;
    let handles = match word(command, 6)? {
        0x149 => 3,
        0x120 | 0x137 | 0x14e => 2,
        0x17b => 0,
        _ => 1,
    };
    let mut at = 10 + 4 * handles + 4;
    let end = at + usize::try_from(word(command, at - 4)?).ok()?;
    let mut sessions = Vec::new();
    while at < end {
        let nonce = sized(command, at + 4)?;
        let attributes = nonce.end;
        let hmac = sized(command, attributes + 1)?;
        sessions.push(Session {
            handle: word(command, at)?,
            nonce: &command[nonce],
            attributes: *command.get(attributes)?,
        });
        at = hmac.end;
    }
    Some(sessions)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Where the contents are of the `TPM2B` that begins at `at`.
fn sized(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let contents = at + 2..at + 2 + usize::from(half(bytes, at)?);
    bytes.get(contents.clone()).map(|_| contents)
}
