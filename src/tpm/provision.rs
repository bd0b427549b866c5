//! Taking ownership of a TPM and writing layout 3 into it.
//!
//! It can be cut off after any command and run again. As long as the owner's
//! authorization is empty the run starts over: the admin password is read
//! back, with the owner's empty authorization, to undo what had been set with
//! it; the hierarchies' policies, which a password does not replace, are taken
//! away; every index is removed and written anew, so that nothing that somebody
//! left behind becomes one of our secrets. Setting the owner's authorization
//! is the last command and completes the whole. `TPM2_Clear` is not needed.
//!
//! Where there is an owner already, success is said only of what is proven to
//! be our own work ([`super::proof`]).

use super::{
    connection::{PT_NV_INDEX_MAX, PT_PERMANENT, Tpm},
    esys_resource::{ALG_SHA256, NvPublic},
    hierarchy,
    nv::{Access, By, CLEAR, Nv},
    proof, response_code,
    root_key::RootKey,
    session::Protect,
    store::TpmStore,
};
use crate::{
    digest,
    error::{Error, Kind, Result},
    identity::Identity,
    layout::{ADMIN_PASSWORD_LEN, Index, LAYOUT_VERSION, PASSPHRASE_LEN, POLICY_VERSION, attribute},
    policy::{boot_kind::BootKind, pcr7data::Entry},
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

/// Every index, the layout version first: without it, nobody takes the rest for complete. So they are removed in this
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
    luks: digest::Digest,
    tpm_pass: digest::Digest,
    certificate: usize,
    key: usize,
}

impl Layout {
    fn new(entry: &Entry, identity: &Identity) -> Result<Self> {
        let policy_of = |kind| entry.public_key(kind).map(|key| digest::authorize(&key.name()));
        let (luks, tpm_pass) = (policy_of(BootKind::Production)?, policy_of(BootKind::Admin)?);
        Ok(Self { luks, tpm_pass, certificate: identity.certificate().len(), key: identity.key().len() })
    }

    fn policy(&self, index: Index) -> &[u8] {
        match index.read_by() {
            Some(BootKind::Production) => &self.luks,
            Some(BootKind::Admin) => &self.tpm_pass,
            Some(BootKind::Limited) | None => &[],
        }
    }

    fn public(&self, index: Index) -> NvPublic {
        let size = match index {
            Index::AdminPassword => ADMIN_PASSWORD_LEN,
            Index::LayoutVersion => LAYOUT_VERSION.len(),
            Index::PolicyVersion => POLICY_VERSION.len(),
            Index::Certificate => self.certificate,
            Index::PrivateKey => self.key,
            Index::Proof => proof::LEN,
            Index::SbsPassphrase | Index::OsPassphrase => PASSPHRASE_LEN,
        };
        NvPublic {
            name_algorithm: ALG_SHA256,
            attributes: index.attributes() | attribute::WRITTEN,
            policy: self.policy(index).to_vec(),
            // No file of an identity is larger than MAX_SECRET.
            size: u16::try_from(size).unwrap_or(u16::MAX),
        }
    }
}

/// How a run writes: the HMAC session, the bytes per command.
#[derive(Clone, Copy)]
struct Writer {
    session: AuthSession,
    chunk: u16,
}

impl Writer {
    const fn owner(self) -> Access {
        Access { by: By::Owner, session: self.session }
    }
}

impl Provision for TpmStore {
    fn provision(&mut self, identity: &Identity) -> Result<Outcome> {
        let layout = Layout::new(&self.entry()?, identity)?;
        self.tpm.check_hierarchies(hierarchy::STORAGE | hierarchy::ENDORSEMENT)?;
        let permanent = self.tpm.property("ask who owns the TPM", PT_PERMANENT)?.unwrap_or(0);
        if permanent & IN_LOCKOUT != 0 {
            return Err(Error::new(Kind::LockedOut, "take ownership of the TPM", "it is in lockout"));
        }
        if permanent & OWNER_AUTH_SET != 0 {
            return self.compare(identity, &layout).map(|()| Outcome::AlreadyProvisioned);
        }
        self.check_sizes(identity)?;
        self.tpm.make_storage_root_key()?;
        let session = self.session(SessionType::Hmac)?;
        let root = self.root_key()?;
        let writer = Writer { session, chunk: self.tpm.nv_buffer_size()? };
        if permanent & (ENDORSEMENT_AUTH_SET | LOCKOUT_AUTH_SET) != 0 {
            self.undo_ownership(writer, permanent)?;
        }
        // Passwords are no use while somebody else's policy gives the same rights.
        self.tpm.take_policies_away()?;
        for index in INDICES {
            if let Some(nv) = self.tpm.find_nv(index)? {
                self.tpm.undefine_nv(&nv, session)?;
            }
        }
        let password = self.write_layout(writer, identity, &root, &layout)?;
        self.tpm.forget_failures_quickly()?;
        for hierarchy in [AuthHandle::Endorsement, AuthHandle::Lockout, AuthHandle::Owner] {
            self.change_auth(hierarchy, session, password.expose())?;
        }
        Ok(Outcome::Provisioned)
    }
}

impl TpmStore {
    /// Writes every index; returns the admin password that one of them now holds.
    fn write_layout(&mut self, writer: Writer, identity: &Identity, root: &RootKey, layout: &Layout) -> Result<Secret> {
        let password = self.tpm.make_admin_password(writer.session)?;
        let mut areas = Vec::new();
        for index in INDICES {
            areas.extend(layout.public(index).area(index));
        }
        let proof = proof::of(identity, root, &areas)?;
        for index in INDICES.into_iter().rev() {
            let passphrase;
            let data = match index {
                Index::AdminPassword => password.expose(),
                Index::LayoutVersion => &LAYOUT_VERSION,
                Index::PolicyVersion => &POLICY_VERSION,
                Index::Certificate => identity.certificate(),
                Index::PrivateKey => identity.key().expose(),
                Index::Proof => &proof,
                Index::SbsPassphrase | Index::OsPassphrase => {
                    passphrase = self.tpm.make_passphrase(PASSPHRASE_LEN, writer.session)?;
                    passphrase.expose()
                }
            };
            let nv = self.tpm.define_nv(index, layout.public(index), writer.session)?;
            self.tpm.write_nv(&nv, data, writer.chunk, writer.owner(), &mut |_| Ok(()))?;
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
        nv.check(&[])?;
        let session = self.session(SessionType::Hmac)?;
        let chunk = self.tpm.nv_buffer_size()?;
        let found = self.tpm.read_nv(&nv, chunk, Access { by: By::Anyone, session }, &mut |_| Ok(()))?;
        let found = found.expose();
        if !found.starts_with(&digest::hash(&[identity.certificate()])) {
            return Err(owned("it has been provisioned with another certificate"));
        }
        if found.len() == proof::DIGEST_LEN {
            let why = "it holds the certificate's digest, but no proof of who has written it";
            return Err(owned(why).remedy(format!(
                "a machine that an older version of Trust has provisioned, in a trusted place, goes on working; otherwise {CLEAR}"
            )));
        }
        let mut areas = Vec::new();
        for index in INDICES {
            areas.extend(self.index(index, layout.policy(index))?.public.area(index));
        }
        let root = self.root_key()?;
        proof::is(found, &proof::of(identity, &root, &areas)?).then_some(()).ok_or_else(|| {
            owned("it has another owner: nobody with the machine's private key has provisioned it as it is now")
        })
    }

    /// Takes back what an earlier run set with the password that it had stored before.
    fn undo_ownership(&mut self, writer: Writer, permanent: u32) -> Result<()> {
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
                    .remedy("use a certificate without its chain, for a smaller key: RSA 2048, or an elliptic curve"));
            }
        }
        Ok(())
    }
}
