//! The TPM as a [`Truststore`]: from the layout version to the lock.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    layout::{Index, LAYOUT_VERSION},
    nv::{Access, Nv},
    session::{Salted, Session},
};
use crate::{
    authority,
    digest::Digest,
    error::{Error, Kind, Result},
    measure_log::MeasureLog,
    policy::{
        Policy,
        boot_kind::BootKind,
        pcr7data::{Entry, Pcr7Data},
    },
    secret::Secret,
    store::{SecretItem, Truststore},
    tpm2::{StorageKey, constants::startup_clear},
};
use std::{path::PathBuf, rc::Rc};
use tss_esapi::interface_types::session_handles::{AuthSession, HmacSession, PolicySession};

/// A provisioned TPM, and the signed policies of its machine's boots.
pub struct TpmStore {
    pub(super) tpm: Tpm,
    pub(super) pcr7data: PathBuf,
    voucher: PathBuf,
    pub(super) pcr7: Option<Digest>,
    pub(super) session: Option<AuthSession>,
    pub(super) salted_to: Option<StorageKey>,
    pub(super) open: Option<Admission>,
    pub(super) log: MeasureLog,
    pub(super) must_be_certifiable: bool,
}

/// What is known once this boot has been found to be allowed what it asks for.
#[derive(Clone)]
pub(super) struct Admission {
    approval: Rc<Approval>,
    /// The policy of the indices that it opens.
    pub(super) opens: Policy,
}

impl Admission {
    /// Asserts in `session` what the next access needs.
    pub(super) fn assert(&self, tpm: &mut Tpm, session: PolicySession) -> Result<()> {
        tpm.assert(session, &self.opens, Grounds::signed(&[&self.approval]))
    }
}

impl TpmStore {
    /// A store on `tpm`; the policies are looked up in `pcr7data` when they are needed, and the signature that vouches
    /// for the storage root key, if they ask for one, in `voucher`. Sends nothing.
    #[must_use]
    pub fn new(tpm: Tpm, pcr7data: PathBuf, voucher: PathBuf) -> Self {
        let log = MeasureLog::default();
        let (session, must_be_certifiable) = (None, false);
        Self { tpm, pcr7data, voucher, pcr7: None, session, salted_to: None, open: None, log, must_be_certifiable }
    }

    /// Has `provision` refuse a TPM whose storage root key no authority could vouch for, before it writes anything.
    #[must_use]
    pub fn with_certifiable_root(self, must_be: bool) -> Self {
        Self { must_be_certifiable: must_be, ..self }
    }

    /// Has the lock recorded in this log.
    #[must_use]
    pub fn recording_in(self, log: PathBuf) -> Self {
        Self { log: MeasureLog::at(log), ..self }
    }

    /// The storage root key, once there is a session; `None` where the TPM has none that an authority could vouch for.
    #[must_use]
    pub fn storage_root_key(&self) -> Option<StorageKey> {
        self.salted_to.clone()
    }

    /// Whether the TPM works at all.
    ///
    /// # Errors
    /// [`Kind::NoTpm`], or what else keeps PCR 7 from being read.
    pub fn probe(&mut self) -> Result<()> {
        self.pcr7().map(|_| ())
    }

    /// The one session of this run, for what policies open.
    pub(super) fn policy_session(&mut self) -> Result<PolicySession> {
        self.session()
    }

    /// The same, for what passwords open.
    pub(super) fn hmac_session(&mut self) -> Result<HmacSession> {
        self.session()
    }

    /// The session that there is, of whichever kind; else one for what policies open.
    pub(super) fn any_session(&mut self) -> Result<AuthSession> {
        self.session.map_or_else(|| self.policy_session().map(Into::into), Ok)
    }

    /// The session of this run: the one that there is, where it is of this kind, else a new one in its place.
    fn session<S: Session>(&mut self) -> Result<S> {
        if let Some(session) = self.session {
            if let Ok(session) = S::try_from(session) {
                return Ok(session);
            }
            self.tpm.end_session(session)?;
            self.session = None;
        }
        let Salted { session, to } = self.tpm.start_session::<S>()?;
        (self.session, self.salted_to) = (Some(session.into()), to);
        Ok(session)
    }

    /// PCR 7 as it is before the lock.
    pub(super) fn pcr7(&mut self) -> Result<Digest> {
        if self.pcr7.is_none() {
            // Until it is locked, it is to stay as it is.
            self.log.hold();
            self.pcr7 = self.tpm.read_pcr7()?;
        }
        self.pcr7.ok_or_else(|| {
            Error::new(Kind::NoTpm, "read PCR 7", "the TPM has no active SHA-256 bank of PCRs")
                .remedy("switch the SHA-256 bank on in the firmware setup")
        })
    }

    /// What the signed policies say of this boot.
    pub(super) fn entry(&mut self) -> Result<Entry> {
        let pcr7 = self.pcr7()?;
        Pcr7Data::open(&self.pcr7data)?.find(&pcr7)
    }

    /// An index that a provisioned TPM has, laid out as it must be, with this policy.
    pub(super) fn index(&mut self, index: Index, policy: Option<&Digest>) -> Result<Nv> {
        match self.tpm.find_nv(index)? {
            Some(nv) if nv.is_written() => nv.check(policy).map(|()| nv),
            _ => {
                self.tpm.check_hierarchies(startup_clear::STORAGE_ENABLED)?;
                Err(Error::new(Kind::Unprovisioned, format!("read {}", index.title()), "the TPM does not hold it"))
            }
        }
    }

    /// Finds out, once, whether this boot may read the machine's secrets.
    fn open(&mut self) -> Result<Admission> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let open = self.admit(BootKind::Production)?;
        self.open = Some(open.clone());
        Ok(open)
    }

    /// Finds out whether this boot is of the kind `needed`, and may read what its policy opens: layout, PCR 7, policy.
    pub(super) fn admit(&mut self, needed: BootKind) -> Result<Admission> {
        let (what, remedy) = match needed {
            BootKind::Admin => ("read the TPM admin password", "boot an image that is signed with the key uki-tpm"),
            _ => ("read the secrets", "boot the image that is signed for production"),
        };
        self.pcr7()?;
        self.check_layout()?;
        let entry = self.entry()?;
        if entry.info.kind != needed.into() {
            let why = format!("this is a {} boot of the keyset {}", entry.info.kind.as_str(), entry.info.keyset);
            return Err(Error::new(Kind::Refused, what, why).remedy(remedy));
        }
        // The lock asks no authority: it must work with whatever TPM there is.
        authority::vouches_for(entry.srk_authority()?.as_slice(), &self.voucher, self.salted_to.as_ref())?;
        let approval = self.tpm.approve(entry.approved()?)?;
        Ok(Admission { opens: approval.opens(), approval: Rc::new(approval) })
    }

    fn check_layout(&mut self) -> Result<()> {
        let session = self.policy_session()?;
        let nv = self.index(Index::LayoutVersion, None)?;
        let version = self.tpm.read_nv(&nv, Access::Anyone(session.into()), &mut |_| Ok(()))?;
        if *version.expose() == LAYOUT_VERSION {
            return Ok(());
        }
        let version = String::from_utf8_lossy(version.expose()).into_owned();
        Err(Error::new(
            Kind::Unprovisioned,
            "understand what the TPM holds",
            format!("its layout is version {version:?}, not 3"),
        )
        .remedy("boot an image that knows this layout"))
    }
}

impl Truststore for TpmStore {
    fn read(&mut self, item: SecretItem) -> Result<Secret> {
        let open = self.open()?;
        let session = self.policy_session()?;
        let nv = self.index(index_of(item), Some(&open.opens.digest()))?;
        self.tpm.read_nv(&nv, Access::Policy(session), &mut |tpm| open.assert(tpm, session))
    }

    fn renew_os_passphrase(&mut self) -> Result<Secret> {
        let open = self.open()?;
        let session = self.policy_session()?;
        let Some(nv) = self.tpm.find_nv(Index::OsPassphrase)? else {
            return Err(Error::new(Kind::Unprovisioned, "write the passphrase", "the TPM has no index for it"));
        };
        nv.check(Some(&open.opens.digest()))?;
        let passphrase = self.tpm.make_passphrase(usize::from(nv.public.size), session.into())?;
        let assert = &mut |tpm: &mut Tpm| open.assert(tpm, session);
        self.tpm.write_nv(&nv, passphrase.expose(), Access::Policy(session), assert)?;
        Ok(passphrase)
    }
}

/// Where layout 3 keeps it.
const fn index_of(item: SecretItem) -> Index {
    match item {
        SecretItem::Certificate => Index::Certificate,
        SecretItem::PrivateKey => Index::PrivateKey,
        SecretItem::OsPassphrase => Index::OsPassphrase,
    }
}
