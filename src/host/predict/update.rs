//! The language of updates: what is going to change on a machine. Pure; images are read by whoever makes these values.

use super::shim::Shim;
use crate::{
    error::Result,
    host::{
        image::{
            authenticode::{self, GoodSignature, SignedImage},
            pe::Image,
        },
        pki::key::Hash,
        uefi::{signature_list::SignatureList, variable::Variable},
    },
    measure::bank::Bank,
    policy::pcr_values::PcrName,
    tpm2::constants::alg,
};
use std::fmt;

/// Bytes of a section `.sbat` that are looked at.
const MAX_SBAT: usize = 1 << 16;

/// One change.
#[derive(Clone, Debug)]
pub enum Update {
    /// db, dbx or KEK are appended to, as `EFI_VARIABLE_APPEND_WRITE` does it: what is there already is left out.
    Append {
        /// Which of them.
        variable: Variable<'static>,
        /// What is appended.
        lists: Vec<SignatureList>,
    },
    /// A variable has other contents from now on: PK, or any of the others. Without a PK, Secure Boot is off.
    Replace {
        /// Which.
        variable: Variable<'static>,
        /// What it will hold.
        lists: Vec<SignatureList>,
    },
    /// Another image is started in the end: a unified kernel image.
    Image(StartedImage),
    /// Another shim is started.
    Shim {
        /// What it measures.
        shim: Shim,
        /// Its file as the firmware sees it.
        image: StartedImage,
    },
    /// The owner's keys in shim (`MokList`), all of them.
    MokList(Vec<SignatureList>),
    /// Secure Boot is switched on, or off.
    SecureBoot(bool),
    /// systemd 261 or later extends PCRs with the word `os-separator`, in the initrd.
    OsSeparator,
    /// What a vendor has published as the value that a PCR will have: nothing is known of the events.
    Published {
        /// Of which PCR.
        pcr: PcrName,
        /// The value.
        value: Vec<u8>,
    },
}

/// For people who read a list of policies.
impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { variable, .. } => write!(f, "{} appended to", variable.name),
            Self::Replace { variable, .. } => write!(f, "another {}", variable.name),
            Self::Image(_) => f.write_str("another image"),
            Self::Shim { .. } => f.write_str("another shim"),
            Self::MokList(_) => f.write_str("other keys of shim's owner"),
            Self::SecureBoot(on) => write!(f, "Secure Boot {}", if *on { "on" } else { "off" }),
            Self::OsSeparator => f.write_str("systemd 261 in the initrd (os-separator)"),
            Self::Published { pcr, .. } => write!(f, "{pcr} as published"),
        }
    }
}

/// An EFI program, as far as it is measured and verified.
#[derive(Clone, Debug, Default)]
pub struct StartedImage {
    /// Its Authenticode digests: `TPM_ALG_ID`, digest.
    pub digests: Vec<(u16, Vec<u8>)>,
    /// Its signatures that are good for it, in their order.
    pub signatures: Vec<GoodSignature>,
    /// What a unified kernel image measures into PCR 11, for each of its profiles.
    pub profiles: Vec<Vec<MeasuredSection>>,
    /// Its section `.sbat`, empty where it has none; `None` where it is not known.
    pub sbat: Option<Vec<u8>>,
}

/// A section that systemd-stub measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasuredSection {
    /// Its name, with the dot.
    pub name: String,
    /// The digests of what it holds: `TPM_ALG_ID`, digest.
    pub digests: Vec<(u16, Vec<u8>)>,
}

impl StartedImage {
    /// What is to be known of a file, all of which is read once.
    ///
    /// # Errors
    /// Those of [`authenticode::good_signatures`].
    pub fn read(image: &Image<'_>, profiles: Vec<Vec<MeasuredSection>>) -> Result<Self> {
        let others = [Bank::Sha1, Bank::Sha512];
        let begun = others.iter().map(|bank| bank.begin()).collect();
        let SignedImage { signatures, digests, more } = authenticode::good_signatures(image, begun)?;
        let bank = |hash: Hash| match hash {
            Hash::Sha256 => Bank::Sha256.id(),
            Hash::Sha384 => Bank::Sha384.id(),
        };
        let digests = digests.into_iter().map(|(hash, digest)| (bank(hash), digest));
        let digests = digests.chain(others.map(Bank::id).into_iter().zip(more)).collect();
        let sbat = image.section(".sbat").map(|section| section.contents().first(MAX_SBAT).read());
        let sbat = Some(sbat.transpose()?.unwrap_or_default().into_owned());
        Ok(Self { digests, signatures, profiles, sbat })
    }

    /// Its digest in the sha256 bank, by which db and dbx know images.
    #[must_use]
    pub fn sha256(&self) -> Option<&[u8]> {
        self.digests.iter().find(|(bank, _)| *bank == alg::SHA256).map(|(_, digest)| digest.as_slice())
    }
}
