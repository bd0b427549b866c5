//! A private key moved into the TPM: wrapped here for the storage root key, so
//! that it never crosses the bus in clear, and from then on of use to this TPM alone.
//!
//! The pieces: [`object`] says what the key is to the TPM, `tpm2::duplication` wraps
//! it, `tpm2::key_file` is what OpenSSL reads.

use super::{connection::Tpm, layout::SRK_HANDLE, response_code, session::Protect};
use crate::{
    error::{Error, Kind, Result},
    identity::Identity,
    tpm2::{StorageKey, duplication, key_file},
};
use object::Object;
use tss_esapi::{
    handles::KeyHandle,
    interface_types::session_handles::HmacSession,
    structures::{EncryptedSecret, Private, Public, SymmetricDefinitionObject},
    traits::UnMarshall,
};

mod object;

/// What fails, in messages.
const WHAT: &str = "move the private key into the TPM";

impl Tpm {
    /// Imports the private key of `identity` under the storage key at the persistent handle `parent`, and returns
    /// the file that makes it usable: `TSS2 PRIVATE KEY`. Nothing stays in the TPM.
    ///
    /// The wrapped key leaves only when the TPM has proven that it holds the storage key, and the file is returned
    /// only when the TPM has loaded it: then it has seen that private and public key belong together. `trusted` is shown
    /// the storage key before anything else.
    ///
    /// # Errors
    /// [`Kind::Usage`] when this TPM takes no such key, [`Kind::Unprovisioned`] when it has no storage root key.
    pub fn bind_key(
        &mut self,
        identity: &Identity,
        parent: u32,
        trusted: impl FnOnce(&StorageKey) -> Result<()>,
    ) -> Result<String> {
        let object = Object::of(identity)?;
        let system = |e: tss_esapi::Error| Error::new(Kind::System, WHAT, e.to_string());
        let public = Public::unmarshall(&object.public).map_err(system)?;
        let (handle, key) = self.parent(parent)?;
        trusted(&key)?;
        let session = self.start_session_salted_to(handle)?;
        self.prove(session)?;
        let private = self.import((handle, &key), session, &object, &public)?;
        self.try_out(handle, session, &private, &public)?;
        key_file::encode(parent, &object.public, private.as_bytes())
            .ok_or_else(|| Error::new(Kind::System, WHAT, "its file cannot be encoded"))
    }

    /// The storage key that shall hold it.
    fn parent(&mut self, handle: u32) -> Result<(KeyHandle, StorageKey)> {
        self.storage_key(handle)?.ok_or_else(|| {
            let why = format!("there is no ECC P-256 storage key at {handle:#010x}");
            let error = Error::new(Kind::Unprovisioned, WHAT, why);
            if handle != SRK_HANDLE {
                return error.remedy("name the handle of such a key with --parent, or leave the option out");
            }
            error.remedy(
                "`trust provision` makes one; in a TPM that another tool has provisioned, have its owner make it: \
                 tpm2_createprimary -C o -P PASSWORD -G ecc -c srk && tpm2_evictcontrol -C o -P PASSWORD -c srk 0x81000001",
            )
        })
    }

    /// Has the TPM prove that it knows what the session was salted with, and so holds the storage key.
    fn prove(&mut self, session: HmacSession) -> Result<()> {
        self.run_protected("see that the storage root key is the TPM's", session, Protect::Response, |c| {
            c.execute_with_session(Some(session.into()), |c| c.get_random(16)).map(|_| ())
        })
    }

    fn import(
        &mut self,
        (handle, key): (KeyHandle, &StorageKey),
        session: HmacSession,
        object: &Object,
        public: &Public,
    ) -> Result<Private> {
        let wrapped = duplication::wrap(key, &object.name(), &object.sensitive)
            .ok_or_else(|| Error::new(Kind::Corrupt, WHAT, "the storage root key is not a point of its curve"))?;
        let imported = self.run_protected(WHAT, session, Protect::Response, |c| {
            let private = Private::from_bytes(&wrapped.private)?;
            let seed = EncryptedSecret::from_bytes(&wrapped.seed)?;
            c.execute_with_session(Some(session.into()), |c| {
                c.import(handle.into(), None, public.clone(), private, seed, SymmetricDefinitionObject::Null)
            })
        });
        imported.map_err(|error| match self.last_code() {
            response_code::VALUE
            | response_code::SIZE
            | response_code::ASYMMETRIC
            | response_code::KEY_SIZE
            | response_code::CURVE => {
                let why = format!("this TPM takes no {} keys", object.kind);
                Error::new(Kind::Usage, WHAT, why)
                    .remedy("clear the TPM, and provision and install the machine anew with a key that it takes: RSA 2048 or P-256")
            }
            response_code::BINDING | response_code::KEY => {
                Error::new(Kind::Usage, WHAT, "it is not the private key of the certificate")
                    .remedy("clear the TPM, and provision and install the machine anew with a certificate and the key that belongs to it")
            }
            _ => error,
        })
    }

    /// Has the TPM load it once, as every later user of the key will. The session ends.
    fn try_out(&mut self, parent: KeyHandle, session: HmacSession, private: &Private, public: &Public) -> Result<()> {
        let key = self.run_protected(
            "load the key that has been moved into the TPM",
            session,
            Protect::CommandAndEnd,
            |c| c.execute_with_session(Some(session.into()), |c| c.load(parent, private.clone(), public.clone())),
        )?;
        self.flush(key)
    }
}
