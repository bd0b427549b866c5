//! The banks of PCRs that there are: the hash algorithms of the TCG Algorithm Registry, as TPM software spells them.

/// A hash algorithm, and so the bank of PCRs that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankAlgorithm {
    /// `TPM_ALG_ID`.
    pub id: u16,
    /// As tpm2-tools and systemd spell it.
    pub name: &'static str,
    /// Bytes of a digest.
    pub size: usize,
}

/// All of them.
pub const ALL: [BankAlgorithm; 8] = [
    of(0x0004, "sha1", 20),
    of(0x000b, "sha256", 32),
    of(0x000c, "sha384", 48),
    of(0x000d, "sha512", 64),
    of(0x0012, "sm3_256", 32),
    of(0x0027, "sha3_256", 32),
    of(0x0028, "sha3_384", 48),
    of(0x0029, "sha3_512", 64),
];

const fn of(id: u16, name: &'static str, size: usize) -> BankAlgorithm {
    BankAlgorithm { id, name, size }
}

/// That of this `TPM_ALG_ID`.
#[must_use]
pub fn by_id(id: u16) -> Option<BankAlgorithm> {
    ALL.into_iter().find(|bank| bank.id == id)
}

/// That of this name, in letters of either case.
#[must_use]
pub fn by_name(name: &str) -> Option<BankAlgorithm> {
    ALL.into_iter().find(|bank| bank.name.eq_ignore_ascii_case(name))
}

/// Its name; of one that is not known, its number.
#[must_use]
pub fn name(id: u16) -> String {
    by_id(id).map_or_else(|| format!("{id:#06x}"), |bank| bank.name.to_owned())
}
