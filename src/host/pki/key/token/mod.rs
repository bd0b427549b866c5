//! Keys in tokens (PKCS#11 3.1), which sign and never leave them.

mod complaint;
mod module;
mod pin;
mod public;
mod signing;
mod slot;

use super::{Hash, PublicKey};
use crate::{
    error::{Error, Kind, Result},
    host::pki::pkcs11_uri::Uri,
};
use complaint::complaint;
use cryptoki::{
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::Session,
};
pub use module::by_name;
use std::sync::{Mutex, PoisonError};

/// A private key in a token, ready to sign.
pub struct TokenKey {
    uri: Uri,
    /// One signature at a time: a session has one operation.
    session: Mutex<Session>,
    handle: ObjectHandle,
    mechanisms: signing::Mechanisms,
}

impl TokenKey {
    /// Finds the one key that a URI names, with its public half.
    ///
    /// A token may lack that; then it is `known` from a certificate. Every signature is verified with it.
    pub fn open(uri: Uri, known: Option<&PublicKey>) -> Result<(Self, PublicKey)> {
        let found = Self::find(&uri, known).map_err(|e| e.within(format!("use {uri}")));
        let (session, handle, mechanisms, public) = found?;
        Ok((Self { uri, session: Mutex::new(session), handle, mechanisms }, public))
    }

    fn find(uri: &Uri, known: Option<&PublicKey>) -> Result<(Session, ObjectHandle, signing::Mechanisms, PublicKey)> {
        let place = slot::find(uri)?;
        let session = place.session(uri)?;
        let handle = find_key(&session, uri)?;
        let public = public::of(&session, handle, known)?;
        let mechanisms = signing::Mechanisms::of(&place, &session, handle)?;
        Ok((session, handle, mechanisms, public))
    }

    /// Its URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Signs, and verifies the token's signature.
    pub fn sign(&self, public: &PublicKey, hash: Hash, message: &[u8]) -> Result<Vec<u8>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = self.mechanisms.sign(&session, self.handle, public.family(), hash, message);
        let signature = signature.map_err(|e| e.within(format!("use {}", self.uri)))?;
        if public.verify(hash, message, &signature) {
            return Ok(signature);
        }
        Err(Error::new(Kind::Corrupt, format!("use {}", self.uri), "its signature is not one of its public key")
            .remedy("check which key belongs to the public key or certificate beside it"))
    }
}

/// The one private key that the URI names.
fn find_key(session: &Session, uri: &Uri) -> Result<ObjectHandle> {
    if uri.kind.as_deref().is_some_and(|kind| kind != "private") {
        return Err(Error::new(Kind::Usage, "find the key", "its type is not private").remedy("write type=private"));
    }
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(uri.id.clone().map(Attribute::Id));
    let found = session.find_objects(&template).map_err(|e| complaint("find the key", &e))?;
    match *found.as_slice() {
        [key] => Ok(key),
        [] => {
            let all = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]).unwrap_or_default();
            Err(Error::new(Kind::Usage, "find the key", format!("the token has {}", these(session, &all)))
                .remedy("check object and id: pkcs11-tool --login --list-objects shows them"))
        }
        _ => Err(Error::new(Kind::Usage, "find the key", format!("several match: {}", these(session, &found)))
            .remedy("add object=LABEL or id=%XX to the URI")),
    }
}

/// The names of keys, for a message.
fn these(session: &Session, keys: &[ObjectHandle]) -> String {
    const ENOUGH: usize = 8;
    let name = |key: &ObjectHandle| {
        let attributes = session.get_attributes(*key, &[AttributeType::Label, AttributeType::Id]).unwrap_or_default();
        let mut words = Vec::new();
        for attribute in attributes {
            match attribute {
                Attribute::Label(label) => words.push(format!("object {:?}", String::from_utf8_lossy(&label))),
                Attribute::Id(id) => {
                    words.push(format!("id {}", id.iter().map(|b| format!("%{b:02x}")).collect::<String>()))
                }
                _ => {}
            }
        }
        words.join(" ")
    };
    let mut names: Vec<_> = keys.iter().take(ENOUGH).map(name).collect();
    names.sort();
    match (names.is_empty(), keys.len() > ENOUGH) {
        (true, _) => "no private key".into(),
        (false, true) => format!("{}, …", names.join(", ")),
        (false, false) => names.join(", "),
    }
}
