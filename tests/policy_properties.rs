//! Policies, Names and PCRs as this program computes them, and as a TPM does: random ones, in trial sessions.
//!
//! `TRUST_SEED`, which a failure names, makes the same ones again.

use harness::{Raw, Response, Swtpm, rc};
use std::{
    env,
    hash::{BuildHasher, RandomState},
};
use trust::{
    digest::{self, Digest},
    policy::public_key::PublicKey,
};

/// How many of each.
const ROUNDS: usize = 40;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const RH_OWNER: u32 = 0x4000_0001;
const RH_NULL: u32 = 0x4000_0007;
const VERSION_INDEX: u32 = 0x0150_0020;
const PCR_7: u32 = 7;
/// `TPML_PCR_SELECTION` of sha256:7.
const SELECTION: [u8; 10] = [0, 0, 0, 1, 0x00, 0x0b, 3, 0x80, 0, 0];
/// `TPMT_TK_VERIFIED` that vouches for nothing; a trial session does not mind.
const NO_TICKET: [u8; 8] = [0x80, 0x22, 0x40, 0, 0, 0x07, 0, 0];

/// splitmix64.
struct Random(u64);

impl Random {
    fn new() -> Self {
        let given = env::var("TRUST_SEED").ok().map(|seed| seed.parse().expect("TRUST_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("TRUST_SEED={seed}");
        Self(seed)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes()[..chunk.len()]);
        }
        bytes
    }

    /// The public part of a key; who would have the private one is not asked.
    fn key(&mut self) -> PublicKey {
        let mut modulus = if self.bytes::<1>()[0].is_multiple_of(2) {
            self.bytes::<256>().to_vec()
        } else {
            self.bytes::<384>().to_vec()
        };
        modulus[0] |= 0x80;
        *modulus.last_mut().unwrap() |= 1;
        PublicKey::from_modulus(modulus).unwrap()
    }
}

/// Commands in TPM form (part 3), each built here.
struct Tpm {
    // Switched off when dropped.
    _on: Swtpm,
    raw: Raw,
}

impl Tpm {
    /// With the index of the policy version, as `provision` defines it.
    fn new() -> Self {
        let on = Swtpm::new();
        let attributes = "ownerwrite|ownerread|authread";
        on.tools().ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", attributes]);
        let tpm = Self { raw: on.raw(), _on: on };
        // Its Name says whether it has ever been written.
        tpm.write_version(*b"0000");
        tpm
    }

    fn ask(&self, tag: u16, code: u32, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let size = u32::try_from(10 + body.len()).unwrap();
        let command = [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), &body].concat();
        // The first use of what is subject to dictionary attack protection, in a boot, is to be asked for once more.
        let Response(answer) = match self.raw.send(&command) {
            response if response.code() == rc::RETRY => self.raw.send(&command),
            response => response,
        };
        assert_eq!(answer[6..10], [0; 4], "command {code:#x}");
        answer[10..].to_vec()
    }

    /// With an empty password for each of `handles` that wants one.
    fn ask_with_password(&self, code: u32, handles: &[u32], parameters: &[u8]) -> Vec<u8> {
        let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
        let password = [0, 0, 0, 9, 0x40, 0, 0, 0x09, 0, 0, 0, 0, 0];
        self.ask(SESSIONS, code, &[&handles, &password, parameters])
    }

    fn write_version(&self, version: [u8; 4]) {
        const NV_WRITE: u32 = 0x137;
        self.ask_with_password(NV_WRITE, &[RH_OWNER, VERSION_INDEX], &[&sized(&version)[..], &[0, 0]].concat());
    }

    fn extend_pcr7(&self, digest: &Digest) {
        const PCR_EXTEND: u32 = 0x182;
        self.ask_with_password(PCR_EXTEND, &[PCR_7], &[&[0, 0, 0, 1, 0x00, 0x0b][..], digest].concat());
    }

    fn lock(&self) {
        const PCR_EVENT: u32 = 0x13c;
        self.ask_with_password(PCR_EVENT, &[PCR_7], &sized(digest::LOCK_EVENT));
    }

    fn pcr7(&self) -> Digest {
        const PCR_READ: u32 = 0x17e;
        let answer = self.ask(NO_SESSIONS, PCR_READ, &[&SELECTION]);
        answer[answer.len() - 32..].try_into().unwrap()
    }

    /// The Name that the TPM gives a key.
    fn name_of(&self, key: &PublicKey) -> digest::Name {
        const LOAD_EXTERNAL: u32 = 0x167;
        let answer =
            self.ask(NO_SESSIONS, LOAD_EXTERNAL, &[&[0, 0], &sized(&key.tpmt_public()), &RH_OWNER.to_be_bytes()]);
        self.flush(&answer[..4]);
        answer[answer.len() - 34..].try_into().unwrap()
    }

    fn flush(&self, handle: &[u8]) {
        const FLUSH_CONTEXT: u32 = 0x165;
        self.ask(NO_SESSIONS, FLUSH_CONTEXT, &[handle]);
    }

    /// What a trial session comes to in which `assert` has asserted something.
    fn trial(&self, assert: impl FnOnce(&Self, u32)) -> Digest {
        const START_AUTH_SESSION: u32 = 0x176;
        const POLICY_GET_DIGEST: u32 = 0x189;
        let null = RH_NULL.to_be_bytes();
        // No salt; of type trial; no symmetric algorithm; SHA-256.
        let session =
            self.ask(NO_SESSIONS, START_AUTH_SESSION, &[&null, &null, &sized(&[0; 16]), &[0, 0, 3, 0, 0x10, 0, 0x0b]]);
        let session = &session[..4];
        assert(self, u32::from_be_bytes(session.try_into().unwrap()));
        let answer = self.ask(NO_SESSIONS, POLICY_GET_DIGEST, &[session]);
        self.flush(session);
        answer[2..].try_into().unwrap()
    }

    /// PCR 7 as it is now.
    fn assert_pcr7(&self, session: u32) {
        const POLICY_PCR: u32 = 0x17f;
        self.ask(NO_SESSIONS, POLICY_PCR, &[&session.to_be_bytes(), &[0, 0], &SELECTION]);
    }

    fn assert_version(&self, session: u32, version: [u8; 4]) {
        const POLICY_NV: u32 = 0x149;
        // From offset 0 on, equal.
        let parameters = [&sized(&version)[..], &[0, 0], &[0, 0]].concat();
        self.ask_with_password(POLICY_NV, &[VERSION_INDEX, VERSION_INDEX, session], &parameters);
    }

    fn assert_signed(&self, session: u32, policy: &Digest, signer: &digest::Name) {
        const POLICY_AUTHORIZE: u32 = 0x16a;
        let no_reference = [0, 0];
        self.ask(
            NO_SESSIONS,
            POLICY_AUTHORIZE,
            &[&session.to_be_bytes(), &sized(policy), &no_reference, &sized(signer), &NO_TICKET],
        );
    }
}

/// A `TPM2B`.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn policies_of_boots() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        tpm.extend_pcr7(&random.bytes());
        let (pcr7, version) = (tpm.pcr7(), random.bytes());
        assert_eq!(digest::passwd(&pcr7), tpm.trial(Tpm::assert_pcr7), "PCR 7 is {}", digest::hex(&pcr7));
        let both = tpm.trial(|tpm, session| {
            tpm.assert_pcr7(session);
            tpm.assert_version(session, version);
        });
        assert_eq!(digest::luks(&pcr7, &version), both, "PCR 7 is {}, version {version:?}", digest::hex(&pcr7));
    }
}

#[test]
fn policies_of_indices_and_names_of_keys() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        let (key, whatever) = (random.key(), random.bytes());
        let name = tpm.name_of(&key);
        assert_eq!(key.name(), name, "the modulus is {}", digest::hex(key.modulus()));
        let signed = tpm.trial(|tpm, session| tpm.assert_signed(session, &whatever, &name));
        assert_eq!(digest::authorize(&name), signed, "the Name is {}", digest::hex(&name));
        // What was asserted before has no part in it.
        let behind = tpm.trial(|tpm, session| {
            tpm.assert_pcr7(session);
            tpm.assert_signed(session, &whatever, &name);
        });
        assert_eq!(behind, signed);
    }
}

#[test]
fn values_of_pcr_7() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        let (before, event) = (tpm.pcr7(), random.bytes());
        tpm.extend_pcr7(&event);
        assert_eq!(digest::extend(&before, &event), tpm.pcr7(), "{} is extended", digest::hex(&before));
        let before = tpm.pcr7();
        tpm.lock();
        assert_eq!(digest::locked(&before), tpm.pcr7(), "{} is locked", digest::hex(&before));
    }
}
