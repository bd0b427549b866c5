//! What an owner accepts of a boot for which policies are signed from its log, though it is not as it should be.

use super::{WHAT_LOG, logged_boot};
use crate::{
    error::{Error, Kind, Result},
    host::eventlog::measured::{self, DigestOf},
    measure::{
        event::{Event, EventType},
        explain,
        variable::VariableData,
    },
};
use clap::ValueEnum;

/// Bytes of an owner before a certificate.
pub(super) const OWNER: usize = 16;

/// What a firmware says of itself that is wrong by itself, and may be as its owner wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FirmwareFault {
    /// Its protection against DMA is switched off
    Dma,
    /// Its debugger is switched on
    Debugger,
    /// It is in audit mode, and starts any program
    Audit,
}

impl FirmwareFault {
    /// Which of them an event tells.
    fn of(event: &Event<&[u8]>) -> Option<Self> {
        let name = event.name();
        match event.kind {
            EventType::EFI_ACTION if name.starts_with("DMA") => Some(Self::Dma),
            EventType::EFI_ACTION => Some(Self::Debugger),
            _ => (name == "AuditMode").then_some(Self::Audit),
        }
    }

    /// As the command line has it.
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// What is accepted.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    /// Certificates in DER that may have let something through, beside the keyset's.
    pub certificates: Vec<Vec<u8>>,
    /// What the firmware may say of itself.
    pub faults: Vec<FirmwareFault>,
}

impl Accepted {
    /// That an event is of the data that it shows, and says nothing that is not as it should be.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it is not.
    pub(super) fn sound(&self, event: &Event) -> Result<()> {
        let (digests, data) = (event.digests.clone(), event.data.as_slice());
        let event = Event { pcr: event.pcr, kind: event.kind, digest: event.digest, digests, data };
        if let Some(why) = explain::fault(&event) {
            match FirmwareFault::of(&event) {
                Some(fault) if self.faults.contains(&fault) => {}
                Some(fault) => {
                    return Err(Error::new(Kind::Refused, WHAT_LOG, why).remedy(format!(
                        "then give the log of a boot after that; or accept it as it is: --accept {}",
                        fault.name()
                    )));
                }
                None => return Err(refused(why)),
            }
        }
        if measured::of(&event) != Some(DigestOf::Data) {
            return Err(refused(format!("{} has measured something else than the log shows", event.name())));
        }
        Ok(())
    }

    /// That nothing was let through but by these certificates and those that are accepted.
    ///
    /// # Errors
    /// [`Kind::Refused`]: something else was.
    pub(super) fn only_by(&self, own: &[Vec<u8>], event: &Event) -> Result<()> {
        if event.kind != EventType::EFI_VARIABLE_AUTHORITY || logged_boot::is_state_of_shim(event) {
            return Ok(());
        }
        let contents = VariableData::parse(&event.data).map(|data| data.contents).unwrap_or_default();
        // With an owner, or without.
        let forms = [contents, contents.get(OWNER..).unwrap_or_default()];
        if own.iter().chain(&self.certificates).any(|known| forms.contains(&known.as_slice())) {
            return Ok(());
        }
        let who = event.signer().unwrap_or_else(|| "somebody unknown".to_owned());
        let why = format!("something was let through that {who} has signed, who is not of the keyset");
        Err(Error::new(Kind::Refused, WHAT_LOG, why)
            .remedy("if that is as it should be, accept the certificate of the signer: --accept FILE"))
    }
}

/// That nothing should be signed for such a boot.
pub(super) fn refused(why: String) -> Error {
    Error::new(Kind::Refused, WHAT_LOG, why).remedy("boot the machine as it is to run, and give the log of that boot")
}
