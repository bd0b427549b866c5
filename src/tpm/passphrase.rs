//! New passwords and passphrases: random bytes of the kernel and of the TPM, mixed.

use super::{
    connection::Tpm,
    layout::{ADMIN_PASSWORD_LEN, PASSPHRASE_PREFIX},
    session::Protect,
};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};
use sha2::{Digest as _, Sha256};
use tss_esapi::{handles::ObjectHandle, interface_types::session_handles::AuthSession, structures::Auth};
use zeroize::{Zeroize, Zeroizing};

/// Fewer hex digits than this (128 bits) make no passphrase.
const FEWEST_DIGITS: usize = 32;

impl Tpm {
    /// A LUKS passphrase of `size` characters: `trust-` and hex digits.
    ///
    /// # Errors
    /// [`Kind::Corrupt`] when `size` is too small to be safe.
    pub(super) fn make_passphrase(&mut self, size: usize, session: AuthSession) -> Result<Secret> {
        let digits = size.checked_sub(PASSPHRASE_PREFIX.len()).filter(|digits| *digits >= FEWEST_DIGITS);
        if digits.is_none() {
            return Err(Error::new(
                Kind::Corrupt,
                "make a passphrase",
                format!("its index has room for {size} characters only"),
            ));
        }
        Secret::filled(size, |buffer| {
            let (prefix, digits) = buffer.split_at_mut(PASSPHRASE_PREFIX.len());
            prefix.copy_from_slice(PASSPHRASE_PREFIX);
            self.fill_hex(digits, session)
        })
    }

    /// Has ESYS prove the knowledge of this password where `hierarchy` must authorize. Nothing is sent.
    pub(super) fn use_password(&mut self, hierarchy: ObjectHandle, password: &Secret) -> Result<()> {
        self.run("use the TPM admin password", |c| c.tr_set_auth(hierarchy, Auth::from_bytes(password.expose())?))
    }

    /// The TPM admin password: 32 hex digits.
    pub(super) fn make_admin_password(&mut self, session: AuthSession) -> Result<Secret> {
        Secret::filled(ADMIN_PASSWORD_LEN, |buffer| self.fill_hex(buffer, session))
    }

    /// Fills `digits` with hex digits; an attacker who knows only one of the two sources knows nothing.
    fn fill_hex(&mut self, digits: &mut [u8], session: AuthSession) -> Result<()> {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        for part in digits.chunks_mut(32) {
            let mut random = self.mixed_random(session)?;
            for (pair, byte) in part.chunks_mut(2).zip(random.iter()) {
                for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0xf]) {
                    *digit = HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                }
            }
            random.zeroize();
        }
        Ok(())
    }

    /// 32 bytes: SHA-256 over the kernel's and the TPM's.
    fn mixed_random(&mut self, session: AuthSession) -> Result<Zeroizing<[u8; 32]>> {
        const WHAT: &str = "get random bytes";
        let mut kernel = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut *kernel).map_err(|e| Error::new(Kind::System, WHAT, e.to_string()))?;
        let tpm = self.run_protected(WHAT, session, Protect::Response, |c| {
            c.execute_with_session(Some(session), |c| c.get_random(32))
        })?;
        let mut hash = Sha256::new();
        hash.update(*kernel);
        hash.update(&*tpm);
        Ok(Zeroizing::new(hash.finalize().into()))
    }
}
