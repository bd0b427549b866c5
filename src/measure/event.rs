//! One measurement: which PCR was extended, with which digests, and what the measured bytes are about.

use super::variable::{MAX_NAME, VariableData};
use crate::{digest::Digest, foreign, x509};

/// The type of an event (TCG PC Client Platform Firmware Profile 1.06, section 10.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType(pub u32);

/// Constants without `EV_`, and the names with it.
macro_rules! event_types {
    ($($name:ident = $value:literal,)*) => {
        impl EventType {
            $(#[doc = concat!("`EV_", stringify!($name), "`")] pub const $name: Self = Self($value);)*
        }

        #[cfg(feature = "host")]
        const NAMES: &[(EventType, &str)] = &[$((EventType::$name, concat!("EV_", stringify!($name))),)*];
    };
}

event_types! {
    PREBOOT_CERT = 0x0000_0000,
    POST_CODE = 0x0000_0001,
    NO_ACTION = 0x0000_0003,
    SEPARATOR = 0x0000_0004,
    ACTION = 0x0000_0005,
    EVENT_TAG = 0x0000_0006,
    S_CRTM_CONTENTS = 0x0000_0007,
    S_CRTM_VERSION = 0x0000_0008,
    CPU_MICROCODE = 0x0000_0009,
    PLATFORM_CONFIG_FLAGS = 0x0000_000a,
    TABLE_OF_DEVICES = 0x0000_000b,
    COMPACT_HASH = 0x0000_000c,
    IPL = 0x0000_000d,
    IPL_PARTITION_DATA = 0x0000_000e,
    NONHOST_CODE = 0x0000_000f,
    NONHOST_CONFIG = 0x0000_0010,
    NONHOST_INFO = 0x0000_0011,
    OMIT_BOOT_DEVICE_EVENTS = 0x0000_0012,
    POST_CODE2 = 0x0000_0013,
    EFI_VARIABLE_DRIVER_CONFIG = 0x8000_0001,
    EFI_VARIABLE_BOOT = 0x8000_0002,
    EFI_BOOT_SERVICES_APPLICATION = 0x8000_0003,
    EFI_BOOT_SERVICES_DRIVER = 0x8000_0004,
    EFI_RUNTIME_SERVICES_DRIVER = 0x8000_0005,
    EFI_GPT_EVENT = 0x8000_0006,
    EFI_ACTION = 0x8000_0007,
    EFI_PLATFORM_FIRMWARE_BLOB = 0x8000_0008,
    EFI_HANDOFF_TABLES = 0x8000_0009,
    EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000_000a,
    EFI_HANDOFF_TABLES2 = 0x8000_000b,
    EFI_VARIABLE_BOOT2 = 0x8000_000c,
    EFI_GPT_EVENT2 = 0x8000_000d,
    EFI_HCRTM_EVENT = 0x8000_0010,
    EFI_VARIABLE_AUTHORITY = 0x8000_00e0,
    EFI_SPDM_FIRMWARE_BLOB = 0x8000_00e1,
    EFI_SPDM_FIRMWARE_CONFIG = 0x8000_00e2,
    EFI_SPDM_DEVICE_POLICY = 0x8000_00e3,
    EFI_SPDM_DEVICE_AUTHORITY = 0x8000_00e4,
}

#[cfg(feature = "host")]
impl std::fmt::Display for EventType {
    /// Its name, `EV_…`, or the number of one that has none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match NAMES.iter().find(|(known, _)| known == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

/// One event: out of a log, whose bytes it borrows, or predicted, where it owns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<D = Vec<u8>> {
    /// The PCR that was extended.
    pub pcr: u32,
    /// Its type.
    pub kind: EventType,
    /// What the sha256 bank was extended with; in a log that has no such digests, that of the data, as all events of PCR 7
    /// have it.
    pub digest: Digest,
    /// What each bank was extended with: `TPM_ALG_ID`, and a digest of the algorithm's size.
    #[cfg(feature = "host")]
    pub digests: Vec<(u16, Vec<u8>)>,
    /// What was measured, or a description.
    pub data: D,
}

impl<D: AsRef<[u8]>> Event<D> {
    /// Whether it was extended into its PCR.
    #[must_use]
    pub fn extends(&self) -> bool {
        self.kind != EventType::NO_ACTION
    }

    /// What it is about, printable: a variable's name, what was done, `separator`.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.kind, VariableData::parse(self.data.as_ref())) {
            (EventType::SEPARATOR, _) => "separator".to_owned(),
            (EventType::EFI_ACTION, _) => {
                self.data.as_ref().iter().take(MAX_NAME).map(|byte| foreign::shown(char::from(*byte))).collect()
            }
            (_, Some(VariableData { name, .. })) if !name.is_empty() => name,
            (EventType(kind), _) => format!("an event of type {kind:#x}"),
        }
    }

    /// Who signed what an `EV_EFI_VARIABLE_AUTHORITY` event has let through, if it was a certificate that did: its common
    /// name, out of an `EFI_SIGNATURE_DATA` (UEFI Specification 2.10, section 32.4.1).
    #[must_use]
    pub fn signer(&self) -> Option<String> {
        let entry = VariableData::parse(self.data.as_ref())
            .filter(|_| self.kind == EventType::EFI_VARIABLE_AUTHORITY)?
            .contents;
        x509::common_name(entry.get(16..)?)
    }
}

#[cfg(feature = "host")]
impl Event {
    /// The event of measuring these bytes, in the sha256 bank.
    #[must_use]
    pub fn measured(pcr: u32, kind: EventType, data: Vec<u8>) -> Self {
        let digest = crate::digest::hash(&[&data]);
        Self { pcr, kind, digest, digests: vec![(crate::tpm2::constants::alg::SHA256, digest.to_vec())], data }
    }
}

#[cfg(feature = "host")]
impl Event<&[u8]> {
    /// The same event, without need of its log.
    #[must_use]
    pub fn into_owned(self) -> Event {
        let Self { pcr, kind, digest, digests, data } = self;
        Event { pcr, kind, digest, digests, data: data.to_vec() }
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn event_types_have_the_names_of_the_profile() {
        assert_eq!(EventType(4).to_string(), "EV_SEPARATOR");
        assert_eq!(EventType(0x8000_00e0).to_string(), "EV_EFI_VARIABLE_AUTHORITY");
        assert_eq!(EventType(0x8000_1234).to_string(), "0x80001234");
        let values: std::collections::BTreeSet<_> = NAMES.iter().map(|(kind, _)| kind.0).collect();
        assert_eq!(values.len(), NAMES.len());
    }
}
