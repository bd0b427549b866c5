//! Whether the key at the storage root key's place belongs to the TPM's owner, and goes when the TPM is cleared.
//!
//! What is known of a machine's TPM hangs on that key's Name: an authority vouches for it, the proof of provisioning names
//! it. Keys of the endorsement hierarchy outlive `TPM2_Clear`: an attacker who has left one there before provisioning could
//! clear the TPM afterwards, own it, and have the same key again.

use super::{layout::SRK_HANDLE, store::TpmStore};
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    tpm2::{Name, command, constants::rh, name},
};

/// The primary key of the owner hierarchy at 0x81000001.
pub struct RootKey {
    pub name: Name,
    /// Whether the session is salted to it: the TPM has then shown that it holds the private half.
    pub salted: bool,
}

impl TpmStore {
    /// Asks for it, once there is a session.
    ///
    /// # Errors
    /// [`Kind::Refused`] if it is another key.
    pub(super) fn root_key(&mut self) -> Result<RootKey> {
        const WHAT: &str = "look at the storage root key";
        let response = self.tpm.run_raw(WHAT, &command::read_public(SRK_HANDLE))?;
        let (name, qualified) = command::names(&response)
            .ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the TPM's response is malformed"))?;
        let salted = self.storage_root_key();
        let name = Name::try_from(name).ok().filter(|name| {
            // In place of the Qualified Name of a primary key's parent there is its hierarchy's handle.
            let is_the_owners = qualified == name::qualified(&rh::OWNER.to_be_bytes(), name);
            is_the_owners && salted.as_ref().is_none_or(|salted| salted.name() == hex(name))
        });
        let Some(name) = name else {
            let why = "what it has at 0x81000001 is not a primary key of its owner hierarchy with SHA-256";
            return Err(Error::new(Kind::Refused, "take ownership of the TPM", why)
                .remedy("clear the TPM in the firmware setup, which destroys what it holds, and run it again"));
        };
        if self.must_be_certifiable && salted.is_none() {
            let why = "its storage root key, at 0x81000001, is not ECC P-256, and no authority can vouch for it";
            return Err(Error::new(Kind::Refused, "show the storage root key", why).remedy(
                "clear the TPM in the firmware setup, which destroys what it holds, and provision it anew: it gets such \
                 a key then; where it has no owner yet, tpm2_evictcontrol -C o -c 0x81000001 will do",
            ));
        }
        Ok(RootKey { name, salted: salted.is_some() })
    }
}
