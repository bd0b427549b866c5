//! The TPM as a [`Truststore`]: from the layout version to the lock.

use super::{
    StorageKey,
    connection::Tpm,
    hierarchy,
    nv::{Access, By, Nv},
    unlock::Approved,
};
use crate::{
    authority,
    digest::{self, Digest},
    error::{Error, Kind, Result},
    layout::{Index, LAYOUT_VERSION},
    measure_log::MeasureLog,
    policy::{
        boot_kind::BootKind,
        pcr7data::{Entry, Pcr7Data},
    },
    secret::Secret,
    store::{Item, Truststore},
};
use std::{path::PathBuf, rc::Rc};
use tss_esapi::{constants::SessionType, interface_types::session_handles::AuthSession};

/// A provisioned TPM, and the signed policies of its machine's boots.
pub struct TpmStore {
    pub(super) tpm: Tpm,
    pub(super) pcr7data: PathBuf,
    voucher: PathBuf,
    pub(super) pcr7: Option<Digest>,
    session: Option<AuthSession>,
    salted_to: Option<StorageKey>,
    open: Option<Open>,
    log: MeasureLog,
    pub(super) must_be_certifiable: bool,
}

/// What is known once this boot has been found to be allowed what it asks for.
#[derive(Clone)]
pub(super) struct Open {
    pub(super) approved: Rc<Approved>,
    pub(super) chunk: u16,
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

    /// The session of this run, which is either a policy or an HMAC session throughout.
    pub(super) fn session(&mut self, kind: SessionType) -> Result<AuthSession> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        let (session, key) = self.tpm.start_session(kind)?;
        (self.session, self.salted_to) = (Some(session), key);
        Ok(session)
    }

    /// Ends it, so that the next may be of the other kind.
    pub(super) fn end_session(&mut self) -> Result<()> {
        self.session.take().map_or(Ok(()), |session| self.tpm.end_session(session))
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
    pub(super) fn index(&mut self, index: Index, policy: &[u8]) -> Result<Nv> {
        match self.tpm.find_nv(index)? {
            Some(nv) if nv.is_written() => nv.check(policy).map(|()| nv),
            _ => {
                self.tpm.check_hierarchies(hierarchy::STORAGE)?;
                Err(Error::new(Kind::Unprovisioned, format!("read {}", index.title()), "the TPM does not hold it"))
            }
        }
    }

    /// Finds out, once, whether this boot may read the machine's secrets.
    fn open(&mut self) -> Result<Open> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let open = self.admit(BootKind::Production)?;
        self.open = Some(open.clone());
        Ok(open)
    }

    /// Finds out whether this boot is of the kind `needed`, and may read what its policy opens: layout, PCR 7, policy.
    pub(super) fn admit(&mut self, needed: BootKind) -> Result<Open> {
        let (what, remedy) = match needed {
            BootKind::Admin => ("read the TPM admin password", "boot an image that is signed with the key uki-tpm"),
            _ => ("read the secrets", "boot the image that is signed for production"),
        };
        let pcr7 = self.pcr7()?;
        let session = self.session(SessionType::Policy)?;
        let chunk = self.tpm.nv_buffer_size()?;
        self.check_layout(chunk, session)?;
        let entry = self.entry()?;
        if entry.info.kind != needed {
            let why = format!("this is a {} boot of the keyset {}", entry.info.kind.as_str(), entry.info.keyset);
            return Err(Error::new(Kind::Refused, what, why).remedy(remedy));
        }
        // The lock asks nobody: it must work with whatever TPM there is.
        authority::vouches_for(entry.srk_authority()?.as_slice(), &self.voucher, self.salted_to.as_ref())?;
        let approved = self.tpm.approve(&entry, &pcr7)?;
        Ok(Open { approved: Rc::new(approved), chunk })
    }

    fn check_layout(&mut self, chunk: u16, session: AuthSession) -> Result<()> {
        let nv = self.index(Index::LayoutVersion, &[])?;
        let access = Access { by: By::Anyone, session };
        let version = self.tpm.read_nv(&nv, chunk, access, &mut |_| Ok(()))?;
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
    fn read(&mut self, item: Item) -> Result<Secret> {
        let open = self.open()?;
        let session = self.session(SessionType::Policy)?;
        let nv = self.index(item.index(), &open.approved.opens)?;
        let access = Access { by: By::Policy, session };
        self.tpm.read_nv(&nv, open.chunk, access, &mut |tpm| tpm.assert(session, &open.approved))
    }

    fn renew_os_passphrase(&mut self) -> Result<Secret> {
        let open = self.open()?;
        let session = self.session(SessionType::Policy)?;
        let Some(nv) = self.tpm.find_nv(Index::OsPassphrase)? else {
            return Err(Error::new(Kind::Unprovisioned, "write the passphrase", "the TPM has no index for it"));
        };
        nv.check(&open.approved.opens)?;
        let passphrase = self.tpm.make_passphrase(usize::from(nv.public.size), session)?;
        let access = Access { by: By::Policy, session };
        let assert = &mut |tpm: &mut Tpm| tpm.assert(session, &open.approved);
        self.tpm.write_nv(&nv, passphrase.expose(), open.chunk, access, assert)?;
        Ok(passphrase)
    }

    /// Locks, and where that fails tries once more on a new link: one bad answer spoils the link, not the TPM.
    ///
    /// The second attempt takes nothing over from the first, whose command may have been carried out though its answer
    /// was lost: PCR 7 is read again and extended again, even where it seems to be locked by now. Nobody vouches for what
    /// is read, so that whoever sits on the bus could show us the locked value of a PCR that is not locked. The answer
    /// to the extension proves it, since the nonces of a new session enter it, and no answer of an earlier one fits.
    fn lock(&mut self) -> Result<()> {
        let opened = self.open.take().is_some();
        let locked = self.try_to_lock().or_else(|error| {
            if !self.tpm.reopen() {
                return Err(error);
            }
            (self.session, self.pcr7) = (None, None);
            self.try_to_lock()
        });
        match locked {
            // What has worked in this boot is no TPM 1.2, and has been started. Failure mode it may have fallen into; but
            // so says, too, whoever wants PCR 7 to stay as it is.
            Err(error) if error.kind() == Kind::NoTpm && self.tpm.has_worked() => {
                let why = format!("{}, though it has worked before", error.cause());
                Err(Error::new(Kind::LockNotProven, "believe the TPM", why))
            }
            Ok(()) if opened => {
                self.tpm.expect_power_cut();
                Ok(())
            }
            other => other,
        }
    }
}

impl TpmStore {
    /// Extends PCR 7, has the TPM vouch for it, and sees that it has changed as computed.
    fn try_to_lock(&mut self) -> Result<()> {
        self.log.hold();
        // Whatever cannot be read: it is extended first.
        let before = self.pcr7.map_or_else(|| self.tpm.read_pcr7(), |value| Ok(Some(value)));
        let session = match self.session(SessionType::Policy) {
            Ok(session) => session,
            Err(error) => {
                self.tpm.extend_pcr7_unauthenticated(&mut self.log)?;
                return Err(error);
            }
        };
        self.session = None;
        self.pcr7 = None;
        self.tpm.extend_pcr7(session, &mut self.log)?;
        // Without a SHA-256 bank no policy of ours can be satisfied: then the TPM's word is all there is to have.
        if let Some(before) = before?
            && self.tpm.read_pcr7()? != Some(digest::locked(&before))
        {
            return Err(Error::new(Kind::LockNotProven, "see PCR 7 change", "it is not what extending it must give"));
        }
        Ok(())
    }
}
