//! A TPM that answers: every command goes through [`Tpm::run`].

use super::{
    response_code,
    transport::{Address, Fault, LEAST_PATIENCE, Link, TPM12_REMEDY, Wire, hand_over},
};
use crate::error::{Error, Kind, Result};
use std::{
    rc::Rc,
    thread::sleep,
    time::{Duration, Instant},
};
use tss_esapi::{
    Context, WrapperErrorKind,
    constants::CapabilityType,
    handles::{KeyHandle, ObjectHandle},
    structures::CapabilityData,
    tcti_ldr::{DeviceConfig, TctiNameConf},
};

/// Between two attempts of a command that the TPM asks to repeat.
const PAUSE: Duration = Duration::from_millis(20);
/// An open TPM.
pub struct Tpm {
    context: Context,
    wire: Rc<Wire>,
    address: Address,
    patience: Duration,
    opened: Instant,
    verbose: bool,
    /// What one command moves of an index at most, in bytes, once the TPM has been asked.
    pub(super) nv_buffer: Option<u16>,
}

impl Tpm {
    /// Opens the TPM, waiting for it at most `patience`; no response may take longer either.
    ///
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`Kind::NoTpm`] when it does not appear.
    pub fn connect(address: &Address, patience: Duration, verbose: bool) -> Result<Self> {
        let wire = Rc::new(Wire::new(Link::open(address, patience)?));
        let (opened, patience) = (Instant::now(), patience.max(LEAST_PATIENCE));
        Ok(Self {
            context: context(&wire)?,
            wire,
            address: address.clone(),
            patience,
            opened,
            verbose,
            nv_buffer: None,
        })
    }

    /// Opens the TPM again, with a new ESYS that knows no session and no object of the old one: after a response that is
    /// malformed or not authentic, neither the link nor ESYS takes another command. Whether that could be done.
    ///
    /// A TPM that is silent is given up. The kernel still waits for its response: it would have the closing of the old
    /// link, and every command on the new one, wait as well.
    pub(super) fn reopen(&mut self) -> bool {
        if self.wire.fault() == Some(Fault::Silent) {
            return false;
        }
        let opened = self.wire.mend(|| Link::open(&self.address, self.patience)).and_then(|()| context(&self.wire));
        opened.map(|context| self.context = context).is_ok()
    }

    /// Whether it has ever done, since it was opened first, what it was told.
    pub(super) fn has_worked(&self) -> bool {
        self.wire.has_worked()
    }

    /// Whether it has answered the last command, with whatever code: the link is sound.
    #[cfg(feature = "host")]
    pub(super) fn has_answered(&self) -> bool {
        self.wire.fault().is_none()
    }

    /// How long the TPM is waited for.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// Runs one TPM command, again while the TPM asks for it and time is left.
    ///
    /// `what` continues "cannot …".
    pub(super) fn run<T>(
        &mut self,
        what: &'static str,
        mut command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + self.patience;
        loop {
            self.wire.clear();
            let error = match command(&mut self.context) {
                Ok(value) => {
                    self.trace(what);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if response_code::is_transient(self.wire.code()) && Instant::now() < deadline {
                sleep(PAUSE);
                continue;
            }
            self.trace(what);
            return Err(self.error(what, error));
        }
    }

    /// Sends a command that ESYS has no use for; its response is not authenticated.
    pub(super) fn run_raw(&mut self, what: &'static str, command: &[u8]) -> Result<Vec<u8>> {
        let wire = Rc::clone(&self.wire);
        self.run(what, |_| match wire.exchange(command) {
            Ok(response) if wire.code() == 0 => Ok(response),
            _ => Err(tss_esapi::Error::WrapperError(WrapperErrorKind::WrongValueFromTpm)),
        })
    }

    /// The response code of the last command, stripped of numbers; 0 after success.
    pub(super) fn last_code(&self) -> u32 {
        response_code::base(self.wire.code())
    }

    /// The most telling of the three layers that may have failed: the link, the TPM, tpm2-tss.
    fn error(&self, what: &'static str, error: tss_esapi::Error) -> Error {
        if let Some(fault) = self.wire.fault() {
            let error = Error::new(fault.kind(), what, fault.describe());
            return match fault.kind() {
                Kind::NoTpm => error.remedy(TPM12_REMEDY),
                _ => error.remedy("restart the machine; if this happens again, suspect the TPM or its bus"),
            };
        }
        match self.wire.code() {
            0 => Error::new(
                Kind::Corrupt,
                what,
                format!("the TPM's response is not authentic, or not understood ({})", short(error)),
            )
            .remedy("restart the machine; if this happens again, suspect the TPM or its bus"),
            code => response_code::error(what, code),
        }
    }

    fn trace(&self, what: &str) {
        if self.verbose {
            let elapsed = self.opened.elapsed().as_micros();
            let count = self.wire.commands();
            crate::console::note(&format!("{elapsed:8} us {count:3} commands: {what}"));
        }
    }

    /// A property of the TPM (part 2, section 6.13), `None` where it has no such.
    pub(super) fn property(&mut self, what: &'static str, property: u32) -> Result<Option<u32>> {
        let (data, _) = self.run(what, |c| {
            c.execute_without_session(|c| c.get_capability(CapabilityType::TpmProperties, property, 1))
        })?;
        let CapabilityData::TpmProperties(list) = data else { return Ok(None) };
        Ok(list.into_iter().find(|p| u32::from(p.property()) == property).map(|p| p.value()))
    }

    /// Removes a loaded key from the TPM's memory.
    pub(super) fn flush(&mut self, key: KeyHandle) -> Result<()> {
        self.run("flush a key", |c| c.flush_context(ObjectHandle::from(key)))
    }
}

/// An ESYS that uses `wire`.
fn context(wire: &Rc<Wire>) -> Result<Context> {
    hand_over(wire);
    Context::new(TctiNameConf::Device(DeviceConfig::default()))
        .map_err(|e| Error::new(Kind::System, "start tpm2-tss", e.to_string()))
}

/// tpm2-tss' code, in place of its prose.
fn short(error: tss_esapi::Error) -> String {
    match error {
        tss_esapi::Error::TssError(code) => format!("tpm2-tss code {:#x}", tss_esapi::tss2_esys::TSS2_RC::from(code)),
        tss_esapi::Error::WrapperError(kind) => format!("{kind:?}"),
    }
}
