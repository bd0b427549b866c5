//! The systems that lead back to a production boot of a keyset: the one that it starts, and those that follow by kexec.

use super::{Keyset, Role};
use crate::{
    digest::{Digest, hash},
    error::Result,
    host::fs::atomic,
    measure::{kexec, pcr},
    policy::{
        boot_kind::BootKind,
        pcr7data::{self, Pcr7Data},
    },
};

/// How many of them there are, and whose.
#[derive(Clone, Copy, Debug)]
pub struct RunningSystems {
    /// SHA-256 of the certificate for production images.
    signer: Digest,
    /// How many follow in a row.
    pub successors: u8,
}

impl RunningSystems {
    /// Those that the keyset has policies for: the entry that is of the most successors counts. Another certificate for
    /// production images, as a renewed one, does not change the number.
    ///
    /// # Errors
    /// Those of reading the certificate.
    pub fn of(keyset: &Keyset, data: &Pcr7Data) -> Result<Self> {
        let signer = hash(&[&keyset.certificate_der(Role::of_images(BootKind::Production))?]);
        let numbers = data.values().into_iter().filter_map(|pcr7| number(keyset, data, &pcr7));
        Ok(Self { signer, successors: numbers.max().unwrap_or(0).min(kexec::MOST_SUCCESSORS) })
    }

    /// What PCR 7 is in them, after a production boot with this value, and which successor in a row that is.
    #[must_use]
    pub fn values(&self, pcr7: &Digest) -> Vec<(Digest, Option<u8>)> {
        let of = |number| kexec::of_successor(pcr7, &self.signer, number).into_iter().map(move |it| (it, Some(number)));
        let first = pcr::of_running_system(pcr7).map(|it| (it, None));
        first.into_iter().chain((1..=self.successors).flat_map(of)).collect()
    }
}

/// Which successor in a row this value is of, by info.json.
fn number(keyset: &Keyset, data: &Pcr7Data, pcr7: &Digest) -> Option<u8> {
    #[derive(serde::Deserialize)]
    struct Successor {
        key: String,
        successor: u8,
    }
    let json = atomic::read(&data.dir().join(pcr7data::path_of(pcr7)).join("info.json")).ok()?;
    let Successor { key, successor } = serde_json::from_slice(&json).ok()?;
    (key == keyset.name()).then_some(successor)
}
