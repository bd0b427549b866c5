//! The one token that a URI names.

use super::{complaint, module, pin};
use crate::{
    error::{Error, Kind, Result},
    host::pki::pkcs11_uri::Uri,
};
use cryptoki::{
    context::Pkcs11,
    error::{Error as Cryptoki, RvError},
    session::{Session, SessionState, UserType},
    slot::{Slot, SlotInfo, TokenInfo},
};
use std::sync::{Mutex, PoisonError};

/// A token in its slot.
pub struct TokenPlace {
    pub module: Pkcs11,
    pub slot: Slot,
    info: TokenInfo,
}

/// Sessions that keep us logged in until the program ends: a PIN is not asked for twice.
static LOGGED_IN: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// Finds the one token that matches. A PIN must never go to the wrong token: two matches are an error.
pub fn find(uri: &Uri) -> Result<TokenPlace> {
    let module = module::load(uri)?;
    check_library(&module, uri)?;
    let failed = |e: Cryptoki| complaint("look for the token", &e);
    let (mut matching, mut others) = (Vec::new(), Vec::new());
    for slot in module.get_slots_with_initialized_token().map_err(failed)? {
        // Removed since.
        let (Ok(about), Ok(info)) = (module.get_slot_info(slot), module.get_token_info(slot)) else { continue };
        if is_slot(uri, slot, &about) && is_token(uri, &info) {
            matching.push((slot, info));
        } else {
            others.push(info);
        }
    }
    match (matching.len(), matching.pop()) {
        (1, Some((slot, info))) => Ok(TokenPlace { module, slot, info }),
        (_, None) => Err(Error::new(Kind::Usage, "find the token", format!("there is {}", these(&others)))
            .remedy("plug it in, or check token, serial and the module")),
        (_, Some((_, last))) => {
            let infos: Vec<_> = matching.into_iter().map(|(_, info)| info).chain([last]).collect();
            Err(Error::new(Kind::Usage, "find the token", format!("several match: {}", these(&infos)))
                .remedy("add token=LABEL or serial=NUMBER to the URI"))
        }
    }
}

impl TokenPlace {
    /// A session, logged in with the PIN if the token requires one.
    pub fn session(&self, uri: &Uri) -> Result<Session> {
        let failed = |e: Cryptoki| complaint("log in to the token", &e);
        let open = || self.module.open_ro_session(self.slot).map_err(failed);
        let session = open()?;
        if !self.info.login_required() {
            return Ok(session);
        }
        let state = session.get_session_info().map_err(failed)?.session_state();
        if matches!(state, SessionState::RoUser | SessionState::RwUser) {
            return Ok(session);
        }
        if self.info.user_pin_locked() {
            return Err(failed(Cryptoki::Pkcs11(RvError::PinLocked, cryptoki::context::Function::Login)));
        }
        // Its own keypad prompts.
        let pin = if self.info.protected_authentication_path() { None } else { Some(pin::of(uri, self.info.label())?) };
        match session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(e) => return Err(failed(e)),
        }
        LOGGED_IN.lock().unwrap_or_else(PoisonError::into_inner).push(open()?);
        Ok(session)
    }
}

fn check_library(module: &Pkcs11, uri: &Uri) -> Result<()> {
    let wanted = &uri.library;
    if wanted.description.is_none() && wanted.manufacturer.is_none() && wanted.version.is_none() {
        return Ok(());
    }
    let info = module.get_library_info().map_err(|e| complaint("ask the PKCS#11 module", &e))?;
    let version = (info.library_version().major(), info.library_version().minor());
    if is(&wanted.description, info.library_description())
        && is(&wanted.manufacturer, info.manufacturer_id())
        && wanted.version.is_none_or(|wanted| wanted == version)
    {
        return Ok(());
    }
    let why =
        format!("it is {:?} of {:?}, {}.{}", info.library_description(), info.manufacturer_id(), version.0, version.1);
    Err(Error::new(Kind::Usage, "use the PKCS#11 module", why).remedy("check the library-… attributes"))
}

fn is_slot(uri: &Uri, slot: Slot, info: &SlotInfo) -> bool {
    let wanted = &uri.slot;
    wanted.id.is_none_or(|id| id == slot.id())
        && is(&wanted.description, info.slot_description())
        && is(&wanted.manufacturer, info.manufacturer_id())
}

fn is_token(uri: &Uri, info: &TokenInfo) -> bool {
    let wanted = &uri.token;
    is(&wanted.label, info.label())
        && is(&wanted.manufacturer, info.manufacturer_id())
        && is(&wanted.serial, info.serial_number())
        && is(&wanted.model, info.model())
}

/// Whether a field padded with blanks has this value.
fn is(wanted: &Option<String>, field: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted.trim_end_matches(' ') == field.trim_end_matches(' '))
}

/// Tokens, for a message.
fn these(infos: &[TokenInfo]) -> String {
    let name = |info: &TokenInfo| format!("token {:?} serial {:?}", info.label(), info.serial_number());
    let mut names: Vec<_> = infos.iter().map(name).collect();
    names.sort();
    if names.is_empty() { "no token".into() } else { names.join(", ") }
}
