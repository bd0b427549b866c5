//! Commands and responses as they cross the wire (TPM 2.0 Library part 1, section 18).

use std::fmt;

/// Command codes (part 2, section 6.5.2): those that a test names.
pub mod cc {
    #![allow(missing_docs, reason = "the names are those of the specification")]
    pub const EVICT_CONTROL: u32 = 0x120;
    pub const NV_UNDEFINE_SPACE: u32 = 0x122;
    pub const CLEAR: u32 = 0x126;
    pub const HIERARCHY_CHANGE_AUTH: u32 = 0x129;
    pub const SET_PRIMARY_POLICY: u32 = 0x12e;
    pub const NV_DEFINE_SPACE: u32 = 0x12a;
    pub const CREATE_PRIMARY: u32 = 0x131;
    pub const NV_WRITE: u32 = 0x137;
    pub const PCR_EVENT: u32 = 0x13c;
    pub const NV_READ: u32 = 0x14e;
    pub const POLICY_NV: u32 = 0x149;
    pub const SHUTDOWN: u32 = 0x145;
    pub const CREATE: u32 = 0x153;
    pub const HMAC: u32 = 0x155;
    pub const FLUSH_CONTEXT: u32 = 0x165;
    pub const IMPORT: u32 = 0x156;
    pub const LOAD: u32 = 0x157;
    pub const LOAD_EXTERNAL: u32 = 0x167;
    pub const POLICY_AUTHORIZE: u32 = 0x16a;
    pub const NV_READ_PUBLIC: u32 = 0x169;
    pub const UNSEAL: u32 = 0x15e;
    pub const START_AUTH_SESSION: u32 = 0x176;
    pub const VERIFY_SIGNATURE: u32 = 0x177;
    pub const GET_CAPABILITY: u32 = 0x17a;
    pub const GET_RANDOM: u32 = 0x17b;
    pub const PCR_READ: u32 = 0x17e;
    pub const POLICY_PCR: u32 = 0x17f;
    pub const PCR_EXTEND: u32 = 0x182;
    pub const READ_PUBLIC: u32 = 0x173;
    pub const POLICY_GET_DIGEST: u32 = 0x189;
    pub const CREATE_LOADED: u32 = 0x191;
}

/// Response codes (part 2, section 6.6): those that a test names.
pub mod rc {
    #![allow(missing_docs, reason = "the names are those of the specification")]
    pub const SUCCESS: u32 = 0;
    pub const FAILURE: u32 = 0x101;
    pub const PCR_CHANGED: u32 = 0x128;
    pub const NV_SPACE: u32 = 0x14b;
    pub const VALUE: u32 = 0x084;
    pub const HANDLE: u32 = 0x08b;
    pub const SESSION_MEMORY: u32 = 0x903;
    pub const YIELDED: u32 = 0x908;
    pub const TESTING: u32 = 0x90a;
    pub const LOCKOUT: u32 = 0x921;
    pub const RETRY: u32 = 0x922;
}

/// TPM_ST_NO_SESSIONS.
const NO_SESSIONS: u16 = 0x8001;
/// TPM_ST_SESSIONS.
const SESSIONS: u16 = 0x8002;

/// A command, as the program sent it.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// Header and all.
    pub bytes: Vec<u8>,
    /// Process that sent it, where the socket tells.
    pub sender: Option<i32>,
}

/// A response, as the TPM, or an attacker in its place, gave it.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(pub Vec<u8>);

impl Command {
    /// Its command code; 0 if it has none.
    #[must_use]
    pub fn code(&self) -> u32 {
        u32_at(&self.bytes, 6)
    }

    /// Whether a session or password comes with it.
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        u16_at(&self.bytes, 0) == SESSIONS
    }

    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(10..).unwrap_or_default()
    }

    /// The 32-bit word at an offset into the body: a handle, a capability.
    #[must_use]
    pub fn word(&self, offset: usize) -> u32 {
        u32_at(self.body(), offset)
    }
}

impl Response {
    /// Its response code; [`rc::FAILURE`] if it has none.
    #[must_use]
    pub fn code(&self) -> u32 {
        if self.0.len() < 10 { rc::FAILURE } else { u32_at(&self.0, 6) }
    }

    /// Whether the TPM did what it was told.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.code() == rc::SUCCESS
    }

    /// A response of nothing but a code.
    #[must_use]
    pub fn error(code: u32) -> Self {
        Self::with(NO_SESSIONS, code, &[])
    }

    /// A response with any tag, code and body, its size true.
    #[must_use]
    pub fn with(tag: u16, code: u32, body: &[u8]) -> Self {
        let size = u32::try_from(body.len() + 10).expect("a response is small");
        Self([&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat())
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {:#x} of {} bytes", self.code(), self.bytes.len())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "response {:#x} of {} bytes", self.code(), self.0.len())
    }
}

/// The big-endian 16-bit number at an offset; 0 past the end.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes(b.try_into().expect("two bytes")))
}

/// The big-endian 32-bit number at an offset; 0 past the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |b| u32::from_be_bytes(b.try_into().expect("four bytes")))
}
