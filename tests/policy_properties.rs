//! Policies, Names and PCRs as this program computes them, and as a TPM does: random ones, in trial sessions.
//!
//! `TRUST_SEED`, which a failure names, makes the same ones again.

use harness::{Raw, Response, Swtpm, rc};
use std::{
    env,
    hash::{BuildHasher, RandomState},
    time::Duration,
};
use trust::{
    digest::{self, Digest},
    measure::pcr,
    policy::{
        Assertion, Policy,
        assertion::{Comparison, Operand},
        boot_kind::BootKind,
        public_key::PolicyKey,
        version,
    },
    tpm,
    tpm2::{
        Name, NvPublic, Selection,
        constants::{alg, rh},
        nv::attribute,
    },
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

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::from(u16::from_be_bytes(self.bytes())) % end
    }

    /// At most so many bytes.
    fn operand(&mut self, most: usize) -> Operand {
        let length = self.below(most + 1);
        Operand::from_slice(&self.bytes::<64>()[..length]).unwrap()
    }

    /// A policy of whatever there is, with alternatives within alternatives.
    fn policy(&mut self, depth: usize) -> Policy {
        let length = self.below(3) + usize::from(depth == 0);
        let mut assertions: Vec<Assertion> = Vec::new();
        for _ in 0..length {
            // A session for each level is what a TPM has room for: once behind the other they take one more.
            let more = depth < 2 && !assertions.iter().any(|other| matches!(other, Assertion::Or(_)));
            assertions.push(self.assertion(depth, more));
        }
        Policy::of(assertions)
    }

    fn assertion(&mut self, depth: usize, or: bool) -> Assertion {
        match self.below(if or { 8 } else { 7 }) {
            0 => {
                // Of the bank that is active: a TPM takes others out of the selection.
                let pcrs = u32::from(u16::from_be_bytes(self.bytes())) << self.below(9);
                let selections = [Selection { bank: alg::SHA256, pcrs }].into_iter().collect();
                Assertion::Pcr { selections, values: self.bytes() }
            }
            1 => {
                let operand = Operand::from_slice(&self.bytes::<4>()[..1 + self.below(4)]).unwrap();
                let offset = self.below(5 - operand.len()) as u16;
                let comparison = [Comparison::Equal, Comparison::Below, Comparison::AtLeast][self.below(3)];
                Assertion::Nv { index: version::index(), operand, offset, comparison }
            }
            2 => Assertion::Authorize { signer: self.key().name(), policy_ref: self.operand(64) },
            3 => Assertion::AuthorizeNv { index: policy_index() },
            4 => Assertion::AuthValue,
            5 => {
                let hierarchy = [rh::OWNER, rh::ENDORSEMENT, rh::LOCKOUT][self.below(3)];
                Assertion::Secret { hierarchy, policy_ref: self.operand(64) }
            }
            // TPM2_Unseal: a session is for one command at most.
            6 => Assertion::CommandCode(0x15e),
            _ => Assertion::Or((0..2 + self.below(7)).map(|_| self.policy(depth + 1)).collect()),
        }
    }

    /// The public part of a key; there is no private one.
    fn key(&mut self) -> PolicyKey {
        let mut modulus = if self.bytes::<1>()[0].is_multiple_of(2) {
            self.bytes::<256>().to_vec()
        } else {
            self.bytes::<384>().to_vec()
        };
        modulus[0] |= 0x80;
        *modulus.last_mut().unwrap() |= 1;
        PolicyKey::from_modulus(&modulus).unwrap()
    }
}

/// An index that may hold the digest of a policy, as [`Tpm::new`] defines it.
fn policy_index() -> NvPublic {
    let attributes = attribute::OWNERWRITE | attribute::OWNERREAD | attribute::AUTHREAD;
    NvPublic::new(0x0150_0099, attributes, None, 34)
}

/// Commands in TPM form (part 3), each built here.
struct Tpm {
    // Switched off when dropped.
    on: Swtpm,
    raw: Raw,
}

impl Tpm {
    /// With the index of the policy version, as `provision` defines it.
    fn new() -> Self {
        let on = Swtpm::new();
        let attributes = "ownerwrite|ownerread|authread";
        on.tools().ok("nvdefine", &["0x1500020", "-C", "o", "-s", "4", "-a", attributes]);
        on.tools().ok("nvdefine", &["0x1500099", "-C", "o", "-s", "34", "-a", attributes]);
        let tpm = Self { raw: on.raw(), on };
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
        self.ask_with_password(PCR_EVENT, &[PCR_7], &sized(pcr::LOCK_EVENT));
    }

    fn pcr7(&self) -> Digest {
        const PCR_READ: u32 = 0x17e;
        let answer = self.ask(NO_SESSIONS, PCR_READ, &[&SELECTION]);
        answer[answer.len() - 32..].try_into().unwrap()
    }

    /// The Name that the TPM gives a key.
    fn name_of(&self, key: &PolicyKey) -> Name {
        const LOAD_EXTERNAL: u32 = 0x167;
        let answer = self.ask(NO_SESSIONS, LOAD_EXTERNAL, &[&[0, 0], &sized(key.area()), &RH_OWNER.to_be_bytes()]);
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

    fn assert_signed(&self, session: u32, policy: &Digest, signer: &Name, policy_ref: &[u8]) {
        const POLICY_AUTHORIZE: u32 = 0x16a;
        let parameters = [&sized(policy), &sized(policy_ref), &sized(signer), &NO_TICKET[..]];
        self.ask(NO_SESSIONS, POLICY_AUTHORIZE, &[&session.to_be_bytes(), &parameters.concat()]);
    }

    /// The assertions of a policy, each by its command, behind those in `before`.
    fn assert_all(&self, session: u32, before: &[Assertion], policy: &Policy) {
        let mut before = before.to_vec();
        for assertion in policy.assertions() {
            self.assert_one(session, &before, assertion);
            before.push(assertion.clone());
        }
    }

    fn assert_one(&self, session: u32, before: &[Assertion], assertion: &Assertion) {
        let handle = session.to_be_bytes();
        match assertion {
            Assertion::Pcr { selections, values } => {
                const POLICY_PCR: u32 = 0x17f;
                let mut list = (selections.len() as u32).to_be_bytes().to_vec();
                for Selection { bank, pcrs } in selections {
                    list.extend([&bank.to_be_bytes()[..], &[3], &pcrs.to_le_bytes()[..3]].concat());
                }
                self.ask(NO_SESSIONS, POLICY_PCR, &[&handle, &sized(values), &list]);
            }
            Assertion::Nv { index, operand, offset, comparison } => {
                const POLICY_NV: u32 = 0x149;
                let how: u16 = match comparison {
                    Comparison::Equal => 0,
                    Comparison::Below => 5,
                    Comparison::AtLeast => 7,
                };
                let parameters = [&sized(operand)[..], &offset.to_be_bytes(), &how.to_be_bytes()].concat();
                self.ask_with_password(POLICY_NV, &[index.index, index.index, session], &parameters);
            }
            Assertion::Authorize { signer, policy_ref } => self.assert_signed(session, &[7; 32], signer, policy_ref),
            Assertion::AuthorizeNv { index } => {
                const POLICY_AUTHORIZE_NV: u32 = 0x192;
                self.ask_with_password(POLICY_AUTHORIZE_NV, &[index.index, index.index, session], &[]);
            }
            Assertion::AuthValue => {
                const POLICY_AUTH_VALUE: u32 = 0x16b;
                self.ask(NO_SESSIONS, POLICY_AUTH_VALUE, &[&handle]);
            }
            Assertion::Secret { hierarchy, policy_ref } => {
                const POLICY_SECRET: u32 = 0x151;
                let (no_nonce, no_command, no_end) = ([0, 0], [0, 0], [0; 4]);
                let parameters = [&no_nonce[..], &no_command, &sized(policy_ref), &no_end].concat();
                self.ask_with_password(POLICY_SECRET, &[*hierarchy, session], &parameters);
            }
            Assertion::Signed { .. } => unreachable!("none is made: `host_policy_store` has a TPM assert them"),
            Assertion::CommandCode(code) => {
                const POLICY_COMMAND_CODE: u32 = 0x16c;
                self.ask(NO_SESSIONS, POLICY_COMMAND_CODE, &[&handle, &code.to_be_bytes()]);
            }
            Assertion::Or(branches) => {
                const POLICY_OR: u32 = 0x171;
                let mut list = (branches.len() as u32).to_be_bytes().to_vec();
                for branch in branches {
                    let whole = Policy::of(before.iter().chain(branch.assertions()).cloned());
                    list.extend(sized(&self.trial(|tpm, session| tpm.assert_all(session, &[], &whole))));
                }
                self.ask(NO_SESSIONS, POLICY_OR, &[&handle, &list]);
            }
        }
    }
}

/// A `TPM2B`.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

#[test]
fn boot_policies_equal_trial_sessions() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        tpm.extend_pcr7(&random.bytes());
        let (pcr7, version) = (tpm.pcr7(), random.bytes());
        let of = |kind: BootKind| kind.policy(&pcr7, version).unwrap().digest();
        assert_eq!(of(BootKind::Admin), tpm.trial(Tpm::assert_pcr7), "PCR 7 is {}", digest::hex(&pcr7));
        let both = tpm.trial(|tpm, session| {
            tpm.assert_pcr7(session);
            tpm.assert_version(session, version);
        });
        assert_eq!(of(BootKind::Production), both, "PCR 7 is {}, version {version:?}", digest::hex(&pcr7));
    }
}

#[test]
fn index_policies_and_key_names_equal_the_tpms() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        let (key, whatever) = (random.key(), random.bytes());
        let name = tpm.name_of(&key);
        assert_eq!(key.name(), name, "the key is {}", digest::hex(key.area()));
        let signed = tpm.trial(|tpm, session| tpm.assert_signed(session, &whatever, &name, &[]));
        let policy = Policy::authorized_by(name, Operand::new());
        assert_eq!(policy.digest(), signed, "the Name is {}", digest::hex(&name));
        // What was asserted before has no part in it.
        let behind = tpm.trial(|tpm, session| {
            tpm.assert_pcr7(session);
            tpm.assert_signed(session, &whatever, &name, &[]);
        });
        assert_eq!(behind, signed);
    }
}

/// Computed here, asserted by this test's commands, and asserted by the program: the same.
#[test]
fn policies_of_any_assertions_equal_trial_sessions() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    let address = tpm.on.tcti().parse().unwrap();
    for _ in 0..ROUNDS {
        let policy = random.policy(0);
        let by_hand = tpm.trial(|tpm, session| tpm.assert_all(session, &[], &policy));
        assert_eq!(policy.digest(), by_hand, "computed: {policy:#?}");
        let mut program = tpm::Tpm::connect(&address, Duration::from_secs(10), false).unwrap();
        assert_eq!(program.trial(&policy).unwrap(), by_hand, "asserted by the program: {policy:#?}");
    }
}

#[test]
fn computed_pcr_7_values_equal_the_tpms() {
    let (tpm, mut random) = (Tpm::new(), Random::new());
    for _ in 0..ROUNDS {
        let (before, event) = (tpm.pcr7(), random.bytes());
        tpm.extend_pcr7(&event);
        assert_eq!(pcr::extend(&before, &event), tpm.pcr7(), "{} is extended", digest::hex(&before));
        let before = tpm.pcr7();
        tpm.lock();
        assert_eq!(pcr::locked(&before), tpm.pcr7(), "{} is locked", digest::hex(&before));
    }
}
