//! What a TPM's response code means for the person in front of the machine
//! (TPM 2.0 Library part 2, section 6.6).

use crate::error::{Error, Kind};

pub const INITIALIZE: u32 = 0x100;
pub const FAILURE: u32 = 0x101;
pub const POLICY: u32 = 0x126;
pub const PCR_CHANGED: u32 = 0x128;
#[cfg(feature = "host")]
pub const AUTH_UNAVAILABLE: u32 = 0x12f;
pub const NV_AUTHORIZATION: u32 = 0x149;
pub const NV_UNINITIALIZED: u32 = 0x14a;
pub const NV_SPACE: u32 = 0x14b;
#[cfg(feature = "host")]
pub const NV_LOCKED: u32 = 0x148;
#[cfg(feature = "host")]
pub const NV_DEFINED: u32 = 0x14c;
pub const OBJECT_MEMORY: u32 = 0x902;
pub const SESSION_MEMORY: u32 = 0x903;
pub const YIELDED: u32 = 0x908;
pub const CANCELED: u32 = 0x909;
pub const TESTING: u32 = 0x90a;
#[cfg(feature = "host")]
pub const LOCALITY: u32 = 0x907;
pub const NV_RATE: u32 = 0x920;
pub const LOCKOUT: u32 = 0x921;
pub const RETRY: u32 = 0x922;

/// Format-one codes, stripped of the number of the handle, parameter or session.
pub const ASYMMETRIC: u32 = 0x081;
#[cfg(feature = "host")]
pub const ATTRIBUTES: u32 = 0x082;
pub const VALUE: u32 = 0x084;
pub const HIERARCHY: u32 = 0x085;
pub const KEY_SIZE: u32 = 0x087;
pub const MODE: u32 = 0x089;
pub const TYPE: u32 = 0x08a;
pub const HANDLE: u32 = 0x08b;
pub const AUTH_FAIL: u32 = 0x08e;
pub const SIZE: u32 = 0x095;
pub const SYMMETRIC: u32 = 0x096;
pub const SIGNATURE: u32 = 0x09b;
pub const KEY: u32 = 0x09c;
pub const POLICY_FAIL: u32 = 0x09d;
#[cfg(feature = "host")]
pub const INTEGRITY: u32 = 0x09f;
pub const BAD_AUTH: u32 = 0x0a2;
pub const BINDING: u32 = 0x0a5;
pub const CURVE: u32 = 0x0a6;

/// The layer number of the kernel's or a daemon's resource manager, which passes TPM codes on under it.
const RESOURCE_MANAGER_LAYERS: u32 = 0x00ff_0000;

/// A code as the constants above have it.
pub const fn base(code: u32) -> u32 {
    let code = code & !RESOURCE_MANAGER_LAYERS;
    if code & 0x080 == 0 { code } else { code & 0x0bf }
}

/// Whether the same command may succeed if it is simply sent again.
pub const fn is_transient(code: u32) -> bool {
    matches!(base(code), YIELDED | CANCELED | TESTING | NV_RATE | RETRY)
}

/// Whether other commands will fare no better: the TPM is not in use, or stays busy.
#[cfg(feature = "host")]
pub const fn is_final(code: u32) -> bool {
    matches!(base(code), INITIALIZE | FAILURE) || is_transient(code)
}

/// Whether the TPM does not know an algorithm that it is to use.
pub const fn is_unknown_algorithm(code: u32) -> bool {
    matches!(base(code), ASYMMETRIC | KEY_SIZE | MODE | TYPE | SYMMETRIC | CURVE)
}

/// An error for a code that the caller has no better words for.
pub fn error(what: &'static str, code: u32) -> Error {
    let (kind, why, remedy) = match base(code) {
        INITIALIZE => (Kind::NoTpm, "the firmware has not started the TPM", None),
        FAILURE => (
            Kind::NoTpm,
            "the TPM is in failure mode",
            Some("switch the machine off and on; if it stays so, update the TPM's firmware or replace it"),
        ),
        LOCKOUT => (Kind::LockedOut, "the TPM is in lockout after too many failed authorizations", None),
        POLICY | POLICY_FAIL => (Kind::Refused, "the TPM says that the policy is not satisfied", None),
        PCR_CHANGED => (Kind::Refused, "the PCRs kept changing", Some("let the kernel measure less (IMA) before this")),
        SIGNATURE => (Kind::Corrupt, "the signature of the policy is wrong", None),
        HANDLE | NV_UNINITIALIZED => (Kind::Unprovisioned, "the TPM does not hold it", None),
        AUTH_FAIL | BAD_AUTH => (
            Kind::Refused,
            "the TPM refuses the authorization: it has another owner, or an attacker alters what is sent to it",
            Some(
                "restart the machine; if this happens again, clear the TPM in the firmware setup and provision it anew",
            ),
        ),
        NV_AUTHORIZATION => (
            Kind::Refused,
            "the index gives the owner no access: it is the firmware's, or another program's",
            Some(
                "clear the TPM in the firmware setup, which removes what is not the firmware's, and provision it anew",
            ),
        ),
        NV_SPACE => (
            Kind::Unprovisioned,
            "the TPM's NV memory is full",
            Some("undefine NV indices that are not needed (tpm2_nvundefine), then run it again"),
        ),
        OBJECT_MEMORY | SESSION_MEMORY => (
            Kind::System,
            "the TPM's memory is full of other programs' objects",
            Some("use the kernel's resource manager, /dev/tpmrm0"),
        ),
        HIERARCHY => (
            Kind::NoTpm,
            "the firmware has switched a hierarchy of the TPM off",
            Some("switch it on in the firmware setup"),
        ),
        _ if is_transient(code) => {
            (Kind::System, "the TPM is busy and stays so", Some("restart the machine, and allow it longer (--wait)"))
        }
        _ => (Kind::Corrupt, "the TPM refuses", Some("report the code; it is not one that should occur")),
    };
    let error = Error::new(kind, what, format!("{why} (TPM code {code:#05x})"));
    match remedy {
        Some(remedy) => error.remedy(remedy),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_and_session_numbers_are_removed_from_codes() {
        assert_eq!(base(0x18b), HANDLE, "first handle");
        assert_eq!(base(0x2c4), VALUE, "second parameter");
        assert_eq!(base(0x99d), POLICY_FAIL, "first session");
        assert_eq!(base(0x98e), AUTH_FAIL);
        assert_eq!(base(0x921), LOCKOUT);
        assert_eq!(base(0x000b_0921), LOCKOUT, "through a resource manager");
        assert_eq!(base(0x14a), NV_UNINITIALIZED);
        assert!(is_transient(0x922) && !is_transient(0x921));
    }
}
