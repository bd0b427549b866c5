//! UEFI variables: names, vendors, attributes.

use crate::measure::variable::VariableData;
use uuid::Uuid;

/// `EFI_GLOBAL_VARIABLE` (UEFI Specification 2.10, section 3.3).
pub const GLOBAL: Uuid = guid("8be4df61-93ca-11d2-aa0d-00e098032b8c");
/// `EFI_IMAGE_SECURITY_DATABASE_GUID` (section 32.4.1).
pub const SECURITY_DATABASE: Uuid = guid("d719b2cb-3d3a-4596-a3bc-dad00e67656f");
/// shim's own variables (`SHIM_LOCK_GUID`).
pub const SHIM_LOCK: Uuid = guid("605dab50-e046-4300-abb6-3dd810dd8b23");

/// `EFI_VARIABLE_NON_VOLATILE`.
pub const NON_VOLATILE: u32 = 0x01;
/// `EFI_VARIABLE_BOOTSERVICE_ACCESS`.
pub const BOOTSERVICE_ACCESS: u32 = 0x02;
/// `EFI_VARIABLE_RUNTIME_ACCESS`.
pub const RUNTIME_ACCESS: u32 = 0x04;
/// `EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS`.
pub const TIME_BASED_AUTHENTICATED: u32 = 0x20;
/// `EFI_VARIABLE_APPEND_WRITE`.
pub const APPEND_WRITE: u32 = 0x40;
/// Of PK, KEK, db and dbx.
pub const AUTHENTICATED: u32 = NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS | TIME_BASED_AUTHENTICATED;

/// Name and vendor of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// The GUID of its vendor.
    pub vendor: Uuid,
}

/// Whether Secure Boot is on: one byte, made by the firmware.
pub const SECURE_BOOT: Variable<'_> = Variable { name: "SecureBoot", vendor: GLOBAL };
/// The platform key.
pub const PK: Variable<'_> = Variable { name: "PK", vendor: GLOBAL };
/// Key exchange keys: they may change db and dbx.
pub const KEK: Variable<'_> = Variable { name: "KEK", vendor: GLOBAL };
/// What may be started.
pub const DB: Variable<'_> = Variable { name: "db", vendor: SECURITY_DATABASE };
/// What may not.
pub const DBX: Variable<'_> = Variable { name: "dbx", vendor: SECURITY_DATABASE };

impl Variable<'_> {
    /// What is measured of this variable with these contents: its `UEFI_VARIABLE_DATA`.
    #[must_use]
    pub fn data(&self, contents: &[u8]) -> Vec<u8> {
        VariableData { vendor: &self.vendor.to_bytes_le(), name: self.name.to_owned(), contents }.to_bytes()
    }
}

/// A GUID that is known when the program is compiled.
pub(crate) const fn guid(text: &'static str) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(guid) => guid,
        Err(_) => Uuid::nil(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{hash, hex};

    #[test]
    fn guid_constants_are_valid() {
        for guid in [GLOBAL, SECURITY_DATABASE, SHIM_LOCK] {
            assert_ne!(guid, Uuid::nil());
        }
    }

    #[test]
    fn secure_boot_on_is_encoded_as_machines_log_it() {
        let digest = hex(&hash(&[&SECURE_BOOT.data(&[1])]));
        assert_eq!(digest, "ccfc4bb32888a345bc8aeadaba552b627d99348c767681ab3141f5b01e40a40e");
    }
}
