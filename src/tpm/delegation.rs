//! What the TPM's owner delegates to the running system: two commands, by what is signed for it, and nothing else.

use super::{
    assert::{Approval, Grounds},
    connection::Tpm,
    response_code,
    tickets::Tickets,
    unseal::Evidence,
};
use crate::{
    error::{Error, Kind, Result},
    policy::{approved::ApprovedPolicy, delegation, verdict::Judgement},
};
use tss_esapi::interface_types::session_handles::PolicySession;

/// What is signed for this running system, and where the TPM's word is kept that it is.
#[derive(Clone)]
pub struct Delegation {
    pub(super) signed: ApprovedPolicy,
    tickets: Tickets,
}

impl Delegation {
    /// By what is signed.
    #[must_use]
    pub const fn new(signed: ApprovedPolicy, tickets: Tickets) -> Self {
        Self { signed, tickets }
    }

    /// Has the TPM verify what is signed, three commands, and keeps its word.
    pub(super) fn verify(&self, tpm: &mut Tpm) -> Result<Approval> {
        let approval = tpm.approve(self.signed.clone())?;
        self.tickets.keep(&self.signed, &approval);
        Ok(approval)
    }
}

/// That the owner's password is needed for something that is delegated elsewhere: its policy is another one, or none.
pub(super) fn delegates_nothing(what: &'static str) -> Error {
    Error::new(Kind::Refused, what, "the TPM's owner has a password, and delegates nothing to this running system")
        .remedy(
            "have it delegate: `trust admin delegate` in an administration boot; or give the password: \
         --owner-password-file FILE",
        )
}

impl Tpm {
    /// Runs `command`, with this command code, by the owner's policy: in a session in which nothing has been asserted, and
    /// which goes on. `None` where the owner's policy is not the one that delegates it. A power cut counts as a failed attempt
    /// until the TPM is told to expect one.
    ///
    /// # Errors
    /// [`Kind::Refused`]: what is signed does not hold, and why; else the command's.
    pub(super) fn as_delegated<T>(
        &mut self,
        what: &'static str,
        session: PolicySession,
        delegation: &Delegation,
        code: u32,
        command: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<(Option<T>, Approval)> {
        let approval = self.assert_delegated(what, session, delegation, code)?;
        let done = match (command(self), self.last_code()) {
            (Err(_), response_code::POLICY_FAIL | response_code::AUTH_UNAVAILABLE) => None,
            (done, _) => Some(done?),
        };
        Ok((done, approval))
    }

    /// Asserts the owner's policy for this command.
    fn assert_delegated(
        &mut self,
        what: &'static str,
        session: PolicySession,
        delegation: &Delegation,
        code: u32,
    ) -> Result<Approval> {
        // What was kept may be another TPM's, or damaged: this one finds out.
        if let Some(kept) = delegation.tickets.find(&delegation.signed) {
            match self.assert_delegated_by(&kept, what, session, code) {
                Err(error) if error.kind() == Kind::Refused => self.restart_policy(session)?,
                asserted => return asserted.map(|()| kept),
            }
        }
        let approval = delegation.verify(self)?;
        self.assert_delegated_by(&approval, what, session, code).map(|()| approval)
    }

    fn assert_delegated_by(
        &mut self,
        approval: &Approval,
        what: &'static str,
        session: PolicySession,
        code: u32,
    ) -> Result<()> {
        let choice = delegation::COMMANDS.iter().position(|known| *known == code).unwrap_or_default();
        let grounds = Grounds { approvals: &[approval], choices: &[choice], evidence: None };
        let asserted = self.assert(session, &delegation::policy(approval.signer()), grounds);
        let Err(error) = asserted else { return Ok(()) };
        if error.kind() == Kind::Refused
            && let Judgement::Fails(why) = self.judge_policy(approval.policy(), &Evidence::default())?
        {
            let why = format!("what is signed for this running system does not hold: {why}");
            return Err(Error::new(Kind::Refused, what, why).remedy(
                "start an image that was built with the keyset's newest pcr7data, or give the owner's password: \
                 --owner-password-file FILE",
            ));
        }
        Err(error)
    }
}
