//! Primary keys, by what whoever makes them has: nothing, the hierarchy's password, or what the owner delegates.

use super::{
    assert::Approval,
    connection::Tpm,
    delegation::{Delegation, delegates_nothing},
    response_code,
};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tpm2::constants::{cc, rh},
};
use tss_esapi::{
    handles::ObjectHandle,
    interface_types::{
        reserved_handles::Hierarchy,
        session_handles::{AuthSession, HmacSession, PolicySession},
    },
    structures::{Auth, CreatePrimaryKeyResult, Public},
};

/// What primary keys are made with.
#[derive(Default)]
pub struct HierarchyAccess {
    /// The hierarchy's password, where it is given.
    pub password: Option<Secret>,
    /// What is signed for this running system, which the owner may have delegated this to.
    pub delegation: Option<Delegation>,
}

impl Tpm {
    /// Makes a primary key: by the password if there is one; else by what the owner delegates, if that is so; else without.
    pub(super) fn make_primary(
        &mut self,
        what: &'static str,
        hierarchy: u32,
        template: &Public,
        access: &HierarchyAccess,
    ) -> Result<CreatePrimaryKeyResult> {
        if let Some(password) = &access.password {
            return self.make_primary_by_password(what, hierarchy, template, password);
        }
        if let Some(delegation) = access.delegation.as_ref().filter(|_| hierarchy == rh::OWNER) {
            let session: PolicySession = self.start_session()?.session;
            let made = self.make_primary_as_delegated(what, template, session, delegation);
            let ended = self.end_session(session);
            // The index of the policy version has been compared.
            self.expect_power_cut();
            if let (Some(made), _) = made? {
                return ended.map(|()| made);
            }
        }
        self.make_primary_freely(what, hierarchy, template, access.delegation.is_some())
    }

    fn make_primary_by_password(
        &mut self,
        what: &'static str,
        hierarchy: u32,
        template: &Public,
        password: &Secret,
    ) -> Result<CreatePrimaryKeyResult> {
        let handle = match hierarchy {
            rh::OWNER => ObjectHandle::Owner,
            rh::ENDORSEMENT => ObjectHandle::Endorsement,
            _ => ObjectHandle::Null,
        };
        self.run(what, |c| c.tr_set_auth(handle, Auth::from_bytes(password.expose())?))?;
        // It proves itself in a session, and does not cross the bus.
        let session: HmacSession = self.start_session()?.session;
        let made = self.create(what, hierarchy, template, session.into());
        let code = self.last_code();
        let ended = self.end_session(session);
        let made = made.map_err(|error| explain(what, code, false, error))?;
        ended.map(|()| made)
    }

    /// With an empty password.
    pub(super) fn make_primary_freely(
        &mut self,
        what: &'static str,
        hierarchy: u32,
        template: &Public,
        has_delegation: bool,
    ) -> Result<CreatePrimaryKeyResult> {
        let made = self.create(what, hierarchy, template, AuthSession::Password);
        made.map_err(|error| explain(what, self.last_code(), has_delegation, error))
    }

    /// By the owner's policy: [`Tpm::as_delegated`].
    pub(super) fn make_primary_as_delegated(
        &mut self,
        what: &'static str,
        template: &Public,
        session: PolicySession,
        delegation: &Delegation,
    ) -> Result<(Option<CreatePrimaryKeyResult>, Approval)> {
        self.as_delegated(what, session, delegation, cc::CREATE_PRIMARY, |tpm| {
            tpm.create(what, rh::OWNER, template, session.into())
        })
    }

    fn create(
        &mut self,
        what: &'static str,
        hierarchy: u32,
        template: &Public,
        auth: AuthSession,
    ) -> Result<CreatePrimaryKeyResult> {
        let hierarchy = match hierarchy {
            rh::OWNER => Hierarchy::Owner,
            rh::ENDORSEMENT => Hierarchy::Endorsement,
            _ => Hierarchy::Null,
        };
        let mut make = |c: &mut tss_esapi::Context| {
            let template = template.clone();
            c.execute_with_session(Some(auth), |c| c.create_primary(hierarchy, template, None, None, None, None))
        };
        match PolicySession::try_from(auth) {
            Ok(_) => self.run_protected(what, auth, super::session::Protect::Nothing, make),
            Err(_) => self.run(what, &mut make),
        }
    }
}

fn explain(what: &'static str, code: u32, has_delegation: bool, error: Error) -> Error {
    match code {
        response_code::AUTH_FAIL | response_code::BAD_AUTH if has_delegation => delegates_nothing(what),
        response_code::AUTH_FAIL | response_code::BAD_AUTH => {
            let why = "the hierarchy has a password, and it is not the one that was given";
            Error::new(Kind::Refused, what, why)
                .remedy("give it with --owner-password-file FILE, or use a key that is there: --parent 0x81000001")
        }
        _ => error,
    }
}
