//! Taking ownership of a TPM and writing layout 3 into it.
//!
//! It can be cut off after any command and run again. As long as the owner's
//! authorization is empty the run starts over: the admin password is read
//! back, with the owner's empty authorization, to undo what had been set with
//! it; the hierarchies' policies, which a password does not replace, are taken
//! away, and the owner's is set; every index is removed and written anew, so that nothing that an
//! attacker left behind becomes one of our secrets. Setting the owner's authorization
//! is the last command and completes the whole. `TPM2_Clear` is not needed.
//!
//! Where there is an owner already, success is said only of what is proven to
//! be our own work ([`super::proof`]).

use super::{
    hierarchy,
    layout::{ADMIN_PASSWORD_LEN, Index, LAYOUT_VERSION, PASSPHRASE_LEN},
    nv::{Access, CLEAR, Nv},
    proof, response_code,
    root_key::RootKey,
    session::Protect,
    store::TpmStore,
};
use crate::{
    digest::{self, Digest},
    error::{Error, Kind, Result},
    identity::Identity,
    policy::{Policy, assertion::Operand, boot_kind::BootKind, entry_kind::EntryKind, pcr7data::Entry, version},
    secret::Secret,
    tpm2::{
        NvPublic,
        constants::{permanent, pt, startup_clear},
        nv::attribute,
    },
};
use tss_esapi::{
    handles::{AuthHandle, ObjectHandle},
    interface_types::session_handles::HmacSession,
    structures::Auth,
};

/// How a provisioning run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The TPM now holds the machine's identity and new passphrases.
    Provisioned,
    /// It had been provisioned with the same certificate before; nothing was changed.
    AlreadyProvisioned,
}

/// Every index, the layout version first: without it, the rest does not count as complete. So they are removed in this
/// order, and written in the reverse one.
const INDICES: [Index; 8] = [
    Index::LayoutVersion,
    Index::AdminPassword,
    Index::PolicyVersion,
    Index::Certificate,
    Index::PrivateKey,
    Index::Proof,
    Index::SbsPassphrase,
    Index::OsPassphrase,
];

/// How the indices are to be laid out: for one identity, and with the policies of one keyset.
struct Layout {
    luks: Digest,
    tpm_pass: Digest,
    /// What the owner delegates.
    owners: Policy,
    certificate: usize,
    key: usize,
}

impl Layout {
    fn new(entry: &Entry, identity: &Identity) -> Result<Self> {
        let policy_of = |kind| {
            entry
                .public_key(EntryKind::Boot(kind))
                .map(|key| Policy::authorized_by(key.name(), Operand::new()).digest())
        };
        let (luks, tpm_pass) = (policy_of(BootKind::Production)?, policy_of(BootKind::Admin)?);
        let owners = hierarchy::owners_policy(entry)?;
        Ok(Self { luks, tpm_pass, owners, certificate: identity.certificate().len(), key: identity.key().len() })
    }

    fn policy(&self, index: Index) -> Option<&Digest> {
        match index.read_by() {
            Some(BootKind::Production) => Some(&self.luks),
            Some(BootKind::Admin) => Some(&self.tpm_pass),
            Some(BootKind::Limited) | None => None,
        }
    }

    fn public(&self, index: Index) -> NvPublic {
        let size = match index {
            Index::AdminPassword => ADMIN_PASSWORD_LEN,
            Index::LayoutVersion => LAYOUT_VERSION.len(),
            Index::PolicyVersion => version::FIRST.len(),
            Index::Certificate => self.certificate,
            Index::PrivateKey => self.key,
            Index::Proof => proof::LEN,
            Index::SbsPassphrase | Index::OsPassphrase => PASSPHRASE_LEN,
        };
        // No file of an identity is larger than MAX_SECRET.
        let size = u16::try_from(size).unwrap_or(u16::MAX);
        NvPublic::new(index.handle(), index.attributes() | attribute::WRITTEN, self.policy(index), size)
    }
}

impl TpmStore {
    /// Takes ownership, makes the passphrases, and stores the machine's identity.
    ///
    /// It can be cut off at any instant and run again.
    ///
    /// # Errors
    /// By remedy: [`Kind::Usage`] when the identity does not fit, [`Kind::Refused`] when the TPM has another owner.
    pub fn provision(&mut self, identity: &Identity) -> Result<Outcome> {
        let layout = Layout::new(&self.entry()?, identity)?;
        self.tpm.check_hierarchies(startup_clear::STORAGE_ENABLED | startup_clear::ENDORSEMENT_ENABLED)?;
        let attributes = self.tpm.property("ask who owns the TPM", pt::PERMANENT)?.unwrap_or(0);
        if attributes & permanent::IN_LOCKOUT != 0 {
            return Err(Error::new(Kind::LockedOut, "take ownership of the TPM", "it is in lockout"));
        }
        if attributes & permanent::OWNER_AUTH_SET != 0 {
            return self.compare(identity, &layout).map(|()| Outcome::AlreadyProvisioned);
        }
        self.check_sizes(identity)?;
        self.tpm.make_storage_root_key()?;
        let session = self.hmac_session()?;
        let root = self.root_key()?;
        if attributes & (permanent::ENDORSEMENT_AUTH_SET | permanent::LOCKOUT_AUTH_SET) != 0 {
            self.undo_ownership(session, attributes)?;
        }
        // Passwords are no use while an attacker's policy gives the same rights.
        self.tpm.set_policies(&layout.owners, session)?;
        for index in INDICES {
            if let Some(nv) = self.tpm.find_nv(index)? {
                self.tpm.undefine_nv(&nv, session)?;
            }
        }
        let password = self.write_layout(session, identity, &root, &layout)?;
        self.tpm.forget_failures_quickly()?;
        for hierarchy in [AuthHandle::Endorsement, AuthHandle::Lockout, AuthHandle::Owner] {
            self.change_auth(hierarchy, session, password.expose())?;
        }
        Ok(Outcome::Provisioned)
    }

    /// Writes every index; returns the admin password that one of them now holds.
    fn write_layout(
        &mut self,
        session: HmacSession,
        identity: &Identity,
        root: &RootKey,
        layout: &Layout,
    ) -> Result<Secret> {
        let password = self.tpm.make_admin_password(session.into())?;
        let mut areas = Vec::new();
        for index in INDICES {
            areas.extend(layout.public(index).area());
        }
        let proof = proof::of(identity, root, &areas)?;
        for index in INDICES.into_iter().rev() {
            let passphrase;
            let data = match index {
                Index::AdminPassword => password.expose(),
                Index::LayoutVersion => &LAYOUT_VERSION,
                Index::PolicyVersion => &version::FIRST,
                Index::Certificate => identity.certificate(),
                Index::PrivateKey => identity.key().expose(),
                Index::Proof => &proof,
                Index::SbsPassphrase | Index::OsPassphrase => {
                    passphrase = self.tpm.make_passphrase(PASSPHRASE_LEN, session.into())?;
                    passphrase.expose()
                }
            };
            let nv = self.tpm.define_nv(index, layout.public(index), session)?;
            self.tpm.write_nv(&nv, data, Access::Owner(session), &mut |_| Ok(()))?;
        }
        Ok(password)
    }

    /// Whether this TPM, which has an owner, is proven to have been provisioned as it is to be provisioned.
    fn compare(&mut self, identity: &Identity, layout: &Layout) -> Result<()> {
        let owned = |why: &'static str| Error::new(Kind::Refused, "provision the TPM", why).remedy(CLEAR);
        let is_laid_out = self.tpm.find_nv(Index::LayoutVersion)?.is_some();
        let Some(nv) = self.tpm.find_nv(Index::Proof)?.filter(Nv::is_written) else {
            return Err(owned(if is_laid_out {
                "it has been provisioned by another program"
            } else {
                "it has an owner already"
            }));
        };
        nv.check(None)?;
        let session = self.hmac_session()?;
        let found = self.tpm.read_nv(&nv, Access::Anyone(session.into()), &mut |_| Ok(()))?;
        let found = found.expose();
        if !found.starts_with(&digest::hash(&[identity.certificate()])) {
            return Err(owned("it has been provisioned with another certificate"));
        }
        if found.len() == proof::DIGEST_LEN {
            let why = "it holds the certificate's digest, but no proof of how it was written";
            return Err(owned(why).remedy(format!(
                "a machine that an older version of Trust has provisioned, in a trusted place, goes on working; otherwise {CLEAR}"
            )));
        }
        let mut areas = Vec::new();
        for index in INDICES {
            areas.extend(self.index(index, layout.policy(index))?.public.area());
        }
        let root = self.root_key()?;
        proof::is(found, &proof::of(identity, &root, &areas)?).then_some(()).ok_or_else(|| {
            owned("it has another owner: it was not provisioned as it is now with the machine's private key")
        })
    }

    /// Takes back what an earlier run set with the password that it had stored before.
    fn undo_ownership(&mut self, session: HmacSession, attributes: u32) -> Result<()> {
        let foreign = || {
            let why = "a lockout or endorsement password is set that is not ours";
            Error::new(Kind::Refused, "take ownership of the TPM", why)
                .remedy("clear the TPM in the firmware setup, which destroys what it holds, and run it again")
        };
        let Some(nv) = self.tpm.find_nv(Index::AdminPassword)?.filter(Nv::is_written) else {
            return Err(foreign());
        };
        let password = self.tpm.read_nv(&nv, Access::Owner(session), &mut |_| Ok(()))?;
        let set = [
            (permanent::LOCKOUT_AUTH_SET, AuthHandle::Lockout, ObjectHandle::Lockout),
            (permanent::ENDORSEMENT_AUTH_SET, AuthHandle::Endorsement, ObjectHandle::Endorsement),
        ];
        for (flag, hierarchy, object) in set {
            if attributes & flag != 0 {
                self.tpm.use_password(object, &password)?;
                self.change_auth(hierarchy, session, &[]).map_err(|error| match self.tpm.last_code() {
                    // The lockout password may be tried once, and then not for a day.
                    response_code::AUTH_FAIL | response_code::BAD_AUTH | response_code::LOCKOUT => foreign(),
                    _ => error,
                })?;
            }
        }
        Ok(())
    }

    fn change_auth(&mut self, hierarchy: AuthHandle, session: HmacSession, password: &[u8]) -> Result<()> {
        self.tpm.run_protected("set the TPM admin password", session, Protect::Command, |c| {
            let auth = Auth::from_bytes(password)?;
            c.execute_with_session(Some(session.into()), |c| c.hierarchy_change_auth(hierarchy, auth))
        })
    }

    /// Refuses what cannot fit before anything is touched.
    fn check_sizes(&mut self, identity: &Identity) -> Result<()> {
        let what = "ask how large an NV index may be";
        let Some(limit) = self.tpm.property(what, pt::NV_INDEX_MAX)? else { return Ok(()) };
        let sizes = [(Index::Certificate, identity.certificate().len()), (Index::PrivateKey, identity.key().len())];
        for (index, size) in sizes {
            if size > usize::try_from(limit).unwrap_or(usize::MAX) {
                let why = format!("it has {size} bytes, and an NV index of this TPM holds at most {limit}");
                return Err(Error::new(Kind::Usage, format!("store {}", index.title()), why)
                    .remedy("use a certificate without its chain, for a smaller key: RSA 2048, or an elliptic curve"));
            }
        }
        Ok(())
    }
}
