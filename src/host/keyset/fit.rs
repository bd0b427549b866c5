//! Which keys fit which role: that depends on the verifier of their signatures.

use super::Role;
use crate::{
    console,
    error::{Error, Kind, Result},
    host::pki::key::{Family, KeyType, PublicKey},
};

/// The verifier of a role's signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verifier {
    /// OpenSSL and similar: supports every kind.
    Any,
    /// A firmware or a shim: EDK II verifies only RSA.
    Firmware,
    /// A TPM 2.0: need not support more than RSA with 2048 bits.
    Tpm,
}

impl Verifier {
    const fn of(role: Role) -> Self {
        match role {
            Role::ManifestCa | Role::SudiCa => Self::Any,
            Role::UefiPk | Role::UefiKek | Role::UefiDb | Role::UkiProduction | Role::UkiLimited | Role::UkiTpm => {
                Self::Firmware
            }
            Role::TpmpolAdmin | Role::TpmpolLuks => Self::Tpm,
        }
    }
}

/// The kind of key that a role gets if `asked` is requested.
pub(super) const fn kind_for(role: Role, asked: KeyType) -> KeyType {
    match (Verifier::of(role), asked) {
        (Verifier::Tpm, _) | (Verifier::Firmware, KeyType::EcP256) => KeyType::Rsa2048,
        (Verifier::Any | Verifier::Firmware, asked) => asked,
    }
}

/// Prints for which roles it will be another kind than `asked`, and why.
pub(super) fn explain(roles: &[Role], asked: KeyType) {
    for (verifier, why) in [
        (Verifier::Firmware, "a firmware verifies RSA signatures alone"),
        (Verifier::Tpm, "a TPM 2.0 need not know any other"),
    ] {
        let others: Vec<_> = roles
            .iter()
            .filter(|role| Verifier::of(**role) == verifier && kind_for(**role, asked) != asked)
            .map(|role| role.dir())
            .collect();
        if !others.is_empty() {
            console::note(&format!("{} for {}: {why}", KeyType::Rsa2048.as_str(), others.join(", ")));
        }
    }
}

/// Refuses a key that a role cannot sign with.
///
/// # Errors
/// [`Kind::Usage`].
pub fn check(role: Role, key: &PublicKey) -> Result<()> {
    let (fits, remedy) = match (Verifier::of(role), key.family()) {
        (Verifier::Any, _) | (Verifier::Firmware, Family::Rsa) => (true, ""),
        (Verifier::Firmware, Family::Ec) => (false, "use an RSA key: that is what a firmware verifies"),
        (Verifier::Tpm, family) => {
            (family == Family::Rsa && key.bits() == 2048, "use an RSA key with 2048 bits: that is what every TPM knows")
        }
    };
    if fits {
        return Ok(());
    }
    let why = format!("the key is {} with {} bits", key.family(), key.bits());
    Err(Error::new(Kind::Usage, format!("sign with {}", role.dir()), why).remedy(remedy))
}
