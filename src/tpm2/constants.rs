//! Numbers of the TPM Library (part 2, section 6; handles: section 7).

/// `TPM_ALG_ID`.
pub mod alg {
    pub const RSA: u16 = 0x0001;
    pub const SHA1: u16 = 0x0004;
    #[cfg(feature = "host")]
    pub const HMAC: u16 = 0x0005;
    pub const AES: u16 = 0x0006;
    #[cfg(feature = "host")]
    pub const KEYEDHASH: u16 = 0x0008;
    pub const SHA256: u16 = 0x000b;
    pub const SHA384: u16 = 0x000c;
    pub const SHA512: u16 = 0x000d;
    pub const NULL: u16 = 0x0010;
    #[cfg(feature = "host")]
    pub const RSASSA: u16 = 0x0014;
    #[cfg(feature = "host")]
    pub const ECDSA: u16 = 0x0018;
    pub const ECC: u16 = 0x0023;
    #[cfg(feature = "host")]
    pub const SYMCIPHER: u16 = 0x0025;
    pub const CFB: u16 = 0x0043;
}

/// `TPM_ECC_CURVE`.
pub mod curve {
    pub const NIST_P256: u16 = 0x0003;
    pub const NIST_P384: u16 = 0x0004;
    pub const NIST_P521: u16 = 0x0005;
}

/// `TPM_CC`.
pub mod cc {
    pub const NV_DEFINE_SPACE: u32 = 0x0000_012a;
    #[cfg(feature = "host")]
    pub const SET_PRIMARY_POLICY: u32 = 0x0000_012e;
    pub const CREATE_PRIMARY: u32 = 0x0000_0131;
    pub const DICTIONARY_ATTACK_PARAMETERS: u32 = 0x0000_013a;
    pub const POLICY_NV: u32 = 0x0000_0149;
    pub const POLICY_SECRET: u32 = 0x0000_0151;
    #[cfg(feature = "host")]
    pub const POLICY_SIGNED: u32 = 0x0000_0160;
    pub const POLICY_AUTHORIZE: u32 = 0x0000_016a;
    pub const POLICY_AUTH_VALUE: u32 = 0x0000_016b;
    pub const POLICY_COMMAND_CODE: u32 = 0x0000_016c;
    pub const POLICY_OR: u32 = 0x0000_0171;
    #[cfg(feature = "host")]
    pub const NV_READ_PUBLIC: u32 = 0x0000_0169;
    pub const READ_PUBLIC: u32 = 0x0000_0173;
    #[cfg(feature = "host")]
    pub const GET_CAPABILITY: u32 = 0x0000_017a;
    pub const PCR_READ: u32 = 0x0000_017e;
    pub const POLICY_PCR: u32 = 0x0000_017f;
    #[cfg(feature = "host")]
    pub const POLICY_PASSWORD: u32 = 0x0000_018c;
    pub const POLICY_AUTHORIZE_NV: u32 = 0x0000_0192;
    #[cfg(feature = "host")]
    pub const NV_READ: u32 = 0x0000_014e;
    #[cfg(feature = "host")]
    pub const TEST_PARMS: u32 = 0x0000_018a;
}

/// Where the handles of a kind begin (part 2, section 7.2).
#[cfg(feature = "host")]
pub mod first_handle {
    pub const NV_INDEX: u32 = 0x0100_0000;
    pub const PERSISTENT: u32 = 0x8100_0000;
    /// Persistent objects from here on are the platform's.
    pub const PLATFORM_PERSISTENT: u32 = 0x8180_0000;
}

/// `TPM_RH`: permanent handles.
pub mod rh {
    pub const OWNER: u32 = 0x4000_0001;
    pub const NULL: u32 = 0x4000_0007;
    pub const PASSWORD: u32 = 0x4000_0009;
    pub const LOCKOUT: u32 = 0x4000_000a;
    pub const ENDORSEMENT: u32 = 0x4000_000b;
    #[cfg(feature = "host")]
    pub const PLATFORM: u32 = 0x4000_000c;
}

/// `TPM_CAP`: kinds of what a TPM tells of itself.
#[cfg(feature = "host")]
pub mod cap {
    pub const ALGS: u32 = 0x0000_0000;
    pub const HANDLES: u32 = 0x0000_0001;
    pub const COMMANDS: u32 = 0x0000_0002;
    pub const PCRS: u32 = 0x0000_0005;
    pub const TPM_PROPERTIES: u32 = 0x0000_0006;
    pub const ECC_CURVES: u32 = 0x0000_0008;
    pub const AUTH_POLICIES: u32 = 0x0000_0009;
}

/// `TPM_PT`: properties of a TPM.
pub mod pt {
    pub const NV_INDEX_MAX: u32 = 0x0000_0117;
    pub const NV_BUFFER_MAX: u32 = 0x0000_012c;
    pub const PERMANENT: u32 = 0x0000_0200;
    pub const STARTUP_CLEAR: u32 = 0x0000_0201;
    #[cfg(feature = "host")]
    pub const HR_PERSISTENT_AVAIL: u32 = 0x0000_0209;
    #[cfg(feature = "host")]
    pub const LOCKOUT_COUNTER: u32 = 0x0000_020e;
    #[cfg(feature = "host")]
    pub const MAX_AUTH_FAIL: u32 = 0x0000_020f;
    #[cfg(feature = "host")]
    pub const LOCKOUT_INTERVAL: u32 = 0x0000_0210;
}

/// More of them, which only a description of a TPM asks for.
#[cfg(feature = "host")]
pub mod pt_description {
    pub const FAMILY_INDICATOR: u32 = 0x0000_0100;
    pub const REVISION: u32 = 0x0000_0102;
    pub const DAY_OF_YEAR: u32 = 0x0000_0103;
    pub const YEAR: u32 = 0x0000_0104;
    pub const MANUFACTURER: u32 = 0x0000_0105;
    pub const VENDOR_STRING_1: u32 = 0x0000_0106;
    pub const FIRMWARE_VERSION_1: u32 = 0x0000_010b;
    pub const FIRMWARE_VERSION_2: u32 = 0x0000_010c;
    pub const HR_LOADED: u32 = 0x0000_0203;
    pub const HR_LOADED_AVAIL: u32 = 0x0000_0204;
    pub const HR_ACTIVE: u32 = 0x0000_0205;
    pub const HR_ACTIVE_AVAIL: u32 = 0x0000_0206;
    pub const HR_TRANSIENT_AVAIL: u32 = 0x0000_0207;
    pub const LOCKOUT_RECOVERY: u32 = 0x0000_0211;
}

/// `TPMA_PERMANENT` (part 2, section 8.6).
pub mod permanent {
    pub const OWNER_AUTH_SET: u32 = 1 << 0;
    pub const ENDORSEMENT_AUTH_SET: u32 = 1 << 1;
    pub const LOCKOUT_AUTH_SET: u32 = 1 << 2;
    pub const IN_LOCKOUT: u32 = 1 << 9;
}

/// `TPMA_STARTUP_CLEAR` (part 2, section 8.7).
pub mod startup_clear {
    #[cfg(feature = "host")]
    pub const PLATFORM_ENABLED: u32 = 1 << 0;
    pub const STORAGE_ENABLED: u32 = 1 << 1;
    pub const ENDORSEMENT_ENABLED: u32 = 1 << 2;
}
