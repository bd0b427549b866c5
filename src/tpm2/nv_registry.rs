//! Whose an NV index is, by its number: TCG's Registry of Reserved TPM 2.0 Handles and Localities, section 2.2, and who has
//! been given a range by those who have one. By convention only: a TPM enforces none of it.

/// The first of the indices that are the owner's, and the last.
pub const OWNER: (u32, u32) = (0x0180_0000, 0x01bf_ffff);
/// Where we look for a free index, upwards: behind the owner's first ones, which tpm2-tss' FAPI and systemd take.
pub const FIRST_FREE: u32 = 0x0181_0000;

/// Ours, for the verification keys of sealed journals: the counter, then the keys, then what is said of each.
pub const SEALED_JOURNALS: (u32, u32) = (0x0150_0050, 0x0150_0090);

/// By its first and last index, the narrower before the wider.
const RANGES: [(u32, u32, Authority, &str); 21] = [
    (0x0180_0400, 0x0180_05ff, Authority::Owner, "systemd"),
    (0x01d1_0200, 0x01d1_0224, Authority::Tcg, "systemd"),
    (0x01d1_0200, 0x01d1_05ff, Authority::Tcg, "Linux"),
    (0x01c0_0002, 0x01c0_0002, Authority::Tcg, "endorsement key certificate, RSA 2048"),
    (0x01c0_000a, 0x01c0_000a, Authority::Tcg, "endorsement key certificate, ECC P-256"),
    (0x01c0_0100, 0x01c0_01ff, Authority::Tcg, "endorsement key certificates, their chain"),
    (0x01c0_0000, 0x01c0_7fff, Authority::Tcg, "endorsement key: certificate, nonce or template"),
    (0x01c0_8000, 0x01c0_ffff, Authority::Tcg, "platform certificate"),
    (0x01c1_0000, 0x01c1_ffff, Authority::Tcg, "maker of a component"),
    (0x01c2_0000, 0x01c2_ffff, Authority::Tcg, "maker of the TPM"),
    (0x01c3_0000, 0x01c3_ffff, Authority::Tcg, "maker of the platform"),
    (0x01c4_0000, 0x01c4_ffff, Authority::Tcg, "PC client"),
    (0x01c5_0000, 0x01c5_ffff, Authority::Tcg, "server"),
    (0x01c6_0000, 0x01c6_ffff, Authority::Tcg, "virtualized platform"),
    (0x01c7_0000, 0x01c7_ffff, Authority::Tcg, "mobile platform"),
    (0x01c8_0000, 0x01c8_ffff, Authority::Tcg, "embedded platform"),
    (0x0100_0000, 0x013f_ffff, Authority::Maker, "maker of the TPM"),
    (SEALED_JOURNALS.0, SEALED_JOURNALS.1, Authority::Maker, "Trust, for sealed journals"),
    (0x0140_0000, 0x017f_ffff, Authority::Maker, "maker of the platform"),
    (OWNER.0, OWNER.1, Authority::Owner, "owner"),
    (0x01c0_0000, 0x01ff_ffff, Authority::Tcg, "reserved"),
];

/// Who decides what an index is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// TCG, by its specifications.
    Tcg,
    /// The maker of the TPM or of the platform.
    Maker,
    /// The TPM's owner.
    Owner,
}

/// Who decides what this index is for, and what that is.
#[must_use]
pub fn of(index: u32) -> Option<(Authority, &'static str)> {
    let range = RANGES.into_iter().find(|(first, last, ..)| (*first..=*last).contains(&index));
    range.map(|(_, _, authority, purpose)| (authority, purpose))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_somebodys() {
        for (index, expected) in [
            (0x01c0_0002, (Authority::Tcg, "endorsement key certificate, RSA 2048")),
            (0x01c0_0003, (Authority::Tcg, "endorsement key: certificate, nonce or template")),
            (0x0180_0401, (Authority::Owner, "systemd")),
            (0x0180_0600, (Authority::Owner, "owner")),
            (0x0150_0001, (Authority::Maker, "maker of the platform")),
            (0x01ff_ffff, (Authority::Tcg, "reserved")),
            (FIRST_FREE, (Authority::Owner, "owner")),
        ] {
            assert_eq!(of(index), Some(expected), "{index:#x}");
        }
        assert_eq!((of(0x00ff_ffff), of(0x0200_0000)), (None, None));
    }
}
