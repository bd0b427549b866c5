//! Taking ownership of a TPM and writing layout 3 into it.
//!
//! It can be cut off after any command and run again. As long as the owner's
//! authorization is empty the run starts over: the admin password is read
//! back, with the owner's empty authorization, to undo what had been set with
//! it; every index is removed and written anew, so that nothing that somebody
//! left behind becomes one of our secrets. Setting the owner's authorization
//! is the last command and completes the whole. `TPM2_Clear` is not needed.

use super::{
    connection::{PT_NV_INDEX_MAX, PT_PERMANENT, Tpm},
    hierarchy,
    nv::{Access, By, Nv},
    response_code,
    session::Protect,
    store::TpmStore,
};
use crate::{
    error::{Error, Kind, Result},
    identity::Identity,
    layout::{Index, LAYOUT_VERSION, PASSPHRASE_LEN, POLICY_VERSION, Signer},
    policy::digest,
    secret::Secret,
    store::{Outcome, Provision},
};
use tss_esapi::{
    constants::SessionType,
    handles::{AuthHandle, ObjectHandle},
    interface_types::session_handles::AuthSession,
    structures::Auth,
};

/// `TPMA_PERMANENT` (part 2, section 8.6).
pub(super) const OWNER_AUTH_SET: u32 = 1 << 0;
const ENDORSEMENT_AUTH_SET: u32 = 1 << 1;
const LOCKOUT_AUTH_SET: u32 = 1 << 2;
const IN_LOCKOUT: u32 = 1 << 9;

/// Every index, the layout version first: without it, nobody takes the rest for complete.
const INDICES: [Index; 8] = [
    Index::LayoutVersion,
    Index::AdminPassword,
    Index::PolicyVersion,
    Index::Certificate,
    Index::PrivateKey,
    Index::CertificateDigest,
    Index::SbsPassphrase,
    Index::OsPassphrase,
];

/// How a run writes: the HMAC session, the bytes per command, the two policies.
struct Writer {
    session: AuthSession,
    chunk: u16,
    luks: digest::Digest,
    tpm_pass: digest::Digest,
}

impl Writer {
    const fn owner(&self) -> Access {
        Access { by: By::Owner, session: self.session }
    }

    fn policy(&self, index: Index) -> &[u8] {
        match index.signer() {
            Some(Signer::Luks) => &self.luks,
            Some(Signer::TpmPass) => &self.tpm_pass,
            None => &[],
        }
    }
}

impl Provision for TpmStore {
    fn provision(&mut self, identity: &Identity) -> Result<Outcome> {
        let entry = self.entry()?;
        let policy_of = |signer| entry.public_key(signer).map(|key| digest::authorize(&key.name()));
        let (luks, tpm_pass) = (policy_of(Signer::Luks)?, policy_of(Signer::TpmPass)?);

        self.tpm.check_hierarchies(hierarchy::STORAGE | hierarchy::ENDORSEMENT)?;
        let permanent = self.tpm.property("ask who owns the TPM", PT_PERMANENT)?.unwrap_or(0);
        if permanent & IN_LOCKOUT != 0 {
            return Err(Error::new(Kind::LockedOut, "take ownership of the TPM", "it is in lockout"));
        }
        if permanent & OWNER_AUTH_SET != 0 {
            return self.compare(identity);
        }
        self.check_sizes(identity)?;
        self.tpm.make_storage_root_key()?;
        let session = self.session(SessionType::Hmac)?;
        let chunk = self.tpm.nv_buffer_size()?;
        let writer = Writer { session, chunk, luks, tpm_pass };
        if permanent & (ENDORSEMENT_AUTH_SET | LOCKOUT_AUTH_SET) != 0 {
            self.undo_ownership(&writer, permanent)?;
        }
        for index in INDICES {
            if let Some(nv) = self.tpm.find_nv(index)? {
                self.tpm.undefine_nv(&nv, session)?;
            }
        }
        let password = self.write_layout(&writer, identity)?;
        self.tpm.forget_failures_quickly()?;
        for hierarchy in [AuthHandle::Endorsement, AuthHandle::Lockout, AuthHandle::Owner] {
            self.change_auth(hierarchy, session, password.expose())?;
        }
        Ok(Outcome::Provisioned)
    }
}

impl TpmStore {
    /// Writes every index; returns the admin password that one of them now holds.
    fn write_layout(&mut self, writer: &Writer, identity: &Identity) -> Result<Secret> {
        let password = self.tpm.make_admin_password(writer.session)?;
        self.write_index(writer, Index::AdminPassword, password.expose())?;
        self.write_index(writer, Index::PolicyVersion, &POLICY_VERSION)?;
        self.write_index(writer, Index::Certificate, identity.certificate())?;
        self.write_index(writer, Index::PrivateKey, identity.key().expose())?;
        self.write_index(writer, Index::CertificateDigest, &digest::hash(&[identity.certificate()]))?;
        for index in [Index::SbsPassphrase, Index::OsPassphrase] {
            let passphrase = self.tpm.make_passphrase(PASSPHRASE_LEN, writer.session)?;
            self.write_index(writer, index, passphrase.expose())?;
        }
        self.write_index(writer, Index::LayoutVersion, &LAYOUT_VERSION)?;
        Ok(password)
    }

    fn write_index(&mut self, writer: &Writer, index: Index, data: &[u8]) -> Result<()> {
        let too_large =
            |_| Error::new(Kind::Usage, format!("store {}", index.title()), "it is too large for an NV index");
        let size = u16::try_from(data.len()).map_err(too_large)?;
        let nv = self.tpm.define_nv(index, writer.policy(index), size, writer.session)?;
        self.tpm.write_nv(&nv, data, writer.chunk, writer.owner(), &mut |_| Ok(()))
    }

    /// Whether what this TPM was provisioned with is what it is to be provisioned with.
    fn compare(&mut self, identity: &Identity) -> Result<Outcome> {
        const WHAT: &str = "provision the TPM";
        let owned = |why: &'static str| {
            Error::new(Kind::Refused, WHAT, why).remedy(
                "if it is to be provisioned anew, clear it in the firmware setup first: that destroys what it holds",
            )
        };
        let layout = self.tpm.find_nv(Index::LayoutVersion)?;
        let Some(nv) = self.tpm.find_nv(Index::CertificateDigest)?.filter(Nv::is_written) else {
            return Err(owned(match layout {
                Some(_) => "it has been provisioned by another program",
                None => "it has an owner already",
            }));
        };
        let session = self.session(SessionType::Hmac)?;
        let chunk = self.tpm.nv_buffer_size()?;
        let access = Access { by: By::Anyone, session };
        let known = self.tpm.read_nv(&nv, chunk, access, &mut |_| Ok(()))?;
        if *known.expose() == digest::hash(&[identity.certificate()]) {
            return Ok(Outcome::AlreadyProvisioned);
        }
        Err(owned("it has been provisioned with another certificate"))
    }

    /// Takes back what an earlier run set with the password that it had stored before.
    fn undo_ownership(&mut self, writer: &Writer, permanent: u32) -> Result<()> {
        let somebody = || {
            let why = "somebody has set a lockout or endorsement password";
            Error::new(Kind::Refused, "take ownership of the TPM", why)
                .remedy("clear the TPM in the firmware setup, which destroys what it holds, and run it again")
        };
        let Some(nv) = self.tpm.find_nv(Index::AdminPassword)?.filter(Nv::is_written) else {
            return Err(somebody());
        };
        let password = self.tpm.read_nv(&nv, writer.chunk, writer.owner(), &mut |_| Ok(()))?;
        let set = [
            (LOCKOUT_AUTH_SET, AuthHandle::Lockout, ObjectHandle::Lockout),
            (ENDORSEMENT_AUTH_SET, AuthHandle::Endorsement, ObjectHandle::Endorsement),
        ];
        for (flag, hierarchy, object) in set {
            if permanent & flag != 0 {
                self.tpm.use_password(object, &password)?;
                self.change_auth(hierarchy, writer.session, &[]).map_err(|error| match self.tpm.last_code() {
                    // The lockout password may be tried once, and then not for a day.
                    response_code::AUTH_FAIL | response_code::BAD_AUTH | response_code::LOCKOUT => somebody(),
                    _ => error,
                })?;
            }
        }
        Ok(())
    }

    fn change_auth(&mut self, hierarchy: AuthHandle, session: AuthSession, password: &[u8]) -> Result<()> {
        self.tpm.run("set the TPM admin password", |c| {
            Tpm::protect(c, session, Protect::Command)?;
            let auth = Auth::from_bytes(password)?;
            c.execute_with_session(Some(session), |c| c.hierarchy_change_auth(hierarchy, auth))
        })
    }

    /// Refuses what cannot fit before anything is touched.
    fn check_sizes(&mut self, identity: &Identity) -> Result<()> {
        let what = "ask how large an NV index may be";
        let Some(limit) = self.tpm.property(what, PT_NV_INDEX_MAX)? else { return Ok(()) };
        let sizes = [(Index::Certificate, identity.certificate().len()), (Index::PrivateKey, identity.key().len())];
        for (index, size) in sizes {
            if size > usize::try_from(limit).unwrap_or(usize::MAX) {
                let why = format!("it has {size} bytes, and an NV index of this TPM holds at most {limit}");
                return Err(Error::new(Kind::Usage, format!("store {}", index.title()), why)
                    .remedy("use a smaller key or certificate: RSA 2048 or 3072, or an elliptic curve"));
            }
        }
        Ok(())
    }
}
