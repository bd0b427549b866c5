//! What is where in an answer (TPM 2.0 Library part 1, section 18).

use super::harm::Answer;
use harness::{cc, sha256};
use std::ops::Range;

/// The base point of P-256: its private key is known to be 1.
const FOREIGN: [&str; 2] = [
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
];

/// Where the parts of a success are.
pub struct Parts {
    pub handle: Option<Range<usize>>,
    pub parameters: Range<usize>,
    /// How many sessions it has.
    pub sessions: usize,
    /// The last one, if it is authenticated.
    pub session: Option<Session>,
}

/// One session of an answer.
pub struct Session {
    pub nonce: Range<usize>,
    pub attributes: usize,
    /// Empty where it is a password that authorizes.
    pub hmac: Range<usize>,
}

impl Parts {
    /// `None` if it is no success.
    pub fn of(answer: &Answer) -> Option<Self> {
        let bytes = &answer.bytes;
        let number = |range: Range<usize>| bytes[range].iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        if bytes.len() < 10 || number(6..10) != 0 {
            return None;
        }
        let has_handle =
            [cc::CREATE_PRIMARY, cc::LOAD, cc::LOAD_EXTERNAL, cc::START_AUTH_SESSION].contains(&answer.code);
        let handle = has_handle.then_some(10..14);
        let start = if has_handle { 14 } else { 10 };
        if number(0..2) != 0x8002 {
            return Some(Self { handle, parameters: start..bytes.len(), sessions: 0, session: None });
        }
        let parameters = start + 4..start + 4 + number(start..start + 4);
        let (mut at, mut sessions, mut session) = (parameters.end, 0, None);
        while at < bytes.len() {
            let nonce = at + 2..at + 2 + number(at..at + 2);
            let attributes = nonce.end;
            let hmac = attributes + 3..attributes + 3 + number(attributes + 1..attributes + 3);
            at = hmac.end;
            sessions += 1;
            session = Some(Session { nonce, attributes, hmac });
        }
        Some(Self { handle, parameters, sessions, session: session.filter(|session| !session.hmac.is_empty()) })
    }

    /// The places of bytes of the parameters, if there are any.
    pub fn first(&self) -> Option<usize> {
        self.parameters.clone().next()
    }

    pub fn middle(&self) -> Option<usize> {
        self.parameters.clone().nth(self.parameters.len() / 2)
    }

    pub fn last(&self) -> Option<usize> {
        self.parameters.clone().next_back()
    }
}

/// The answer that tells a storage key, with a point of the same curve in the place of the TPM's, and the Name that
/// goes with it.
pub fn with_foreign_key(answer: &Answer) -> Option<Vec<u8>> {
    let at = match answer.code {
        cc::READ_PUBLIC => 10,
        // Behind a handle, and the size of the parameters.
        cc::CREATE_PRIMARY => 18,
        _ => return None,
    };
    let bytes = &answer.bytes;
    let size = usize::from(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let area = bytes.get(at + 2..at + 2 + size)?;
    // Both coordinates are at its end, each behind its size.
    let kept = area.len().checked_sub(68)?;
    let digits = |hex: &str| {
        let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
        (0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>()
    };
    let [x, y] = FOREIGN.map(digits);
    let foreign = [&area[..kept], &[0, 32], &x, &[0, 32], &y].concat();
    let [old, new] = [area, &foreign].map(|area| sha256(&[area]));
    let replaced = [&bytes[..at + 2], &foreign, &bytes[at + 2 + size..]].concat();
    let name = replaced.windows(32).position(|window| window == old);
    let mut replaced = replaced;
    if let Some(name) = name {
        replaced[name..name + 32].copy_from_slice(&new);
    }
    Some(replaced)
}
