//! The interface of the service, and its messages: JSON, each behind which a NUL stands (varlink.org). Pure.

use super::{
    Mode,
    context::KeySize,
    request::{DerivedKey, KeyOrigin, KeyRequest},
};
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Its name.
pub const INTERFACE: &str = "trust.derive";
/// Bytes of a message at most, either way.
pub const MAX_CALL: usize = 16 * 1024;
/// What fails, in messages.
const WHAT: &str = "derive a key";

/// Its description, which every service of this kind gives away.
pub const DESCRIPTION: &str = "\
# Keys derived from this machine's TPM for whoever asks: the same whenever they ask, and stored nowhere
interface trust.derive

# What a key comes from: Name of the TPM's key, the user, and the path, digest or label
type Origin (primary: string, uid: int, basis: string)

# A key of whoever has connected. mode: path, csum, csum=verity or label=NAME; size: 16 to 1024 bytes, 32 if it is not
# said; version: another key for each number, 1 if it is not said; bound: only in a running system that is signed for;
# parent: not for whoever has connected, but for its parent.
# deliver: where it goes. key: into the answer, base64 (if it is not said); memfd: into a sealed file, sent along, whose
# place among the descriptors is fd; keyring: into the caller's user keyring as a key of the type user, whose number is
# serial.
method Key(mode: string, size: ?int, version: ?int, bound: ?bool, parent: ?bool, deliver: ?(key, memfd, keyring)) ->
  (key: ?string, fd: ?int, serial: ?int, origin: Origin)

# The caller may not have it, as status 12; what to do about it
error Refused (reason: string, remedy: string, status: int)
# There is none now; status as the exit status of trust
error Unavailable (reason: string, remedy: string, status: int)
";

/// Where a key goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Into the answer.
    #[default]
    Key,
    /// Into a sealed file in memory, sent along.
    Memfd,
    /// Into the caller's user keyring.
    Keyring,
}

/// A call that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceCall {
    /// For a key.
    Key(KeyCall),
    /// For what has this answer already.
    Answered(Vec<u8>),
}

/// A key that a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCall {
    /// Which.
    pub request: KeyRequest,
    /// Whether for the caller's parent.
    pub parent: bool,
    /// Where it goes.
    pub deliver: Delivery,
}

/// A call as it is sent.
#[derive(Deserialize)]
struct SentCall {
    method: String,
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    oneway: bool,
    #[serde(default)]
    upgrade: bool,
}

/// Its parameters.
#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver: Option<Delivery>,
}

impl ServiceCall {
    /// From a message without its NUL. `None`: it is not a call of this protocol, and whoever sent it cannot be answered.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let SentCall { method, parameters, oneway, upgrade } = serde_json::from_slice(message).ok()?;
        if oneway || upgrade {
            return None;
        }
        let (interface, name) = method.rsplit_once('.')?;
        Some(match (interface, name) {
            (INTERFACE, "Key") => match key_call(parameters) {
                Ok(call) => Self::Key(call),
                Err(parameter) => Self::Answered(service_error("InvalidParameter", &json!({ "parameter": parameter }))),
            },
            ("org.varlink.service", "GetInfo") => Self::Answered(reply(&json!({
                "vendor": "", "product": "Trust", "version": env!("CARGO_PKG_VERSION"), "url": "",
                "interfaces": ["org.varlink.service", INTERFACE],
            }))),
            ("org.varlink.service", "GetInterfaceDescription") => {
                Self::Answered(match parameters.get("interface").and_then(Value::as_str) {
                    Some(INTERFACE) => reply(&json!({ "description": DESCRIPTION })),
                    other => service_error("InterfaceNotFound", &json!({ "interface": other.unwrap_or_default() })),
                })
            }
            (INTERFACE | "org.varlink.service", _) => {
                Self::Answered(service_error("MethodNotFound", &json!({ "method": method })))
            }
            _ => Self::Answered(service_error("InterfaceNotFound", &json!({ "interface": interface }))),
        })
    }
}

/// What is asked for; or which parameter is wrong.
fn key_call(parameters: Value) -> std::result::Result<KeyCall, &'static str> {
    let Parameters { mode, size, version, bound, parent, deliver } =
        serde_json::from_value(parameters).map_err(|_| "parameters")?;
    let mode: Mode = mode.parse().map_err(|_| "mode")?;
    let size = size.map_or(Some(KeySize::USUAL), KeySize::new).ok_or("size")?;
    let version = version.unwrap_or(NonZeroU32::MIN);
    let request = KeyRequest { mode, size, version, bound: bound.unwrap_or_default() };
    Ok(KeyCall { request, parent: parent.unwrap_or_default(), deliver: deliver.unwrap_or_default() })
}

impl KeyCall {
    /// As it is sent, with its NUL.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let KeyRequest { mode, size, version, bound } = &self.request;
        let parameters = Parameters {
            mode: mode.to_string(),
            size: Some(size.bytes() as u64),
            version: Some(*version),
            bound: Some(*bound),
            parent: Some(self.parent),
            deliver: Some(self.deliver),
        };
        message(&json!({ "method": format!("{INTERFACE}.Key"), "parameters": parameters }))
    }
}

fn message(value: &Value) -> Vec<u8> {
    let mut message = value.to_string().into_bytes();
    message.push(0);
    message
}

fn reply(parameters: &Value) -> Vec<u8> {
    message(&json!({ "parameters": parameters }))
}

fn service_error(name: &str, parameters: &Value) -> Vec<u8> {
    message(&json!({ "error": format!("org.varlink.service.{name}"), "parameters": parameters }))
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// It is in the answer.
    Key,
    /// It is in the first descriptor that is sent along.
    Memfd,
    /// It is in the caller's keyring, by this serial.
    Keyring(i32),
}

/// The answer that has, or tells of, a key.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "to hand it over is what it is made for")]
pub fn key_reply(derived: &DerivedKey, delivered: Delivered) -> Zeroizing<Vec<u8>> {
    let KeyOrigin { primary, uid, basis } = &derived.origin;
    let origin = json!({ "primary": primary, "uid": uid, "basis": basis }).to_string();
    let where_ = match delivered {
        Delivered::Key => {
            let key = derived.key.expose();
            let mut text = Zeroizing::new(vec![0; Base64::encoded_len(key)]);
            let encoded = Base64::encode(key, &mut text).unwrap_or_default();
            Zeroizing::new(format!("\"key\":\"{encoded}\""))
        }
        Delivered::Memfd => Zeroizing::new("\"fd\":0".into()),
        Delivered::Keyring(serial) => Zeroizing::new(format!("\"serial\":{serial}")),
    };
    Zeroizing::new(format!("{{\"parameters\":{{{},\"origin\":{origin}}}}}\0", *where_).into_bytes())
}

/// The answer that there is none.
#[must_use]
pub fn error_reply(error: &Error) -> Vec<u8> {
    let name = if error.kind() == Kind::Refused { "Refused" } else { "Unavailable" };
    message(&json!({
        "error": format!("{INTERFACE}.{name}"),
        "parameters": { "reason": error.cause(), "remedy": error.advice(), "status": error.kind().exit_status() },
    }))
}

/// An answer as it comes.
#[derive(Deserialize)]
struct Reply<'a> {
    error: Option<String>,
    #[serde(borrow, default)]
    parameters: ReplyParameters<'a>,
}

/// All that answers have.
#[derive(Default, Deserialize)]
struct ReplyParameters<'a> {
    /// Not a copy.
    key: Option<&'a str>,
    origin: Option<ReplyOrigin>,
    reason: Option<String>,
    remedy: Option<String>,
    status: Option<u8>,
}

#[derive(Deserialize)]
struct ReplyOrigin {
    primary: String,
    uid: u32,
    basis: String,
}

/// The key in an answer without its NUL.
///
/// # Errors
/// What the service says; [`Kind::System`]: it is not an answer of its.
pub fn key_in(reply: &[u8], size: KeySize) -> Result<DerivedKey> {
    let strange = || Error::new(Kind::System, WHAT, "the service does not answer as it should").remedy("restart it");
    let Reply { error, parameters } = serde_json::from_slice(reply).map_err(|_| strange())?;
    if let Some(name) = error {
        let kind = Kind::ALL.iter().find(|kind| Some(kind.exit_status()) == parameters.status);
        let (kind, reason) = (kind.copied().unwrap_or(Kind::System), parameters.reason.unwrap_or(name));
        let error = Error::new(kind, "derive a key", format!("the service says: {reason}"));
        return Err(match parameters.remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        });
    }
    let (key, origin) = parameters.key.zip(parameters.origin).ok_or_else(strange)?;
    let key = Secret::filled(size.bytes(), |buffer| {
        let decoded = Base64::decode(key.as_bytes(), buffer).map_err(|_| strange())?;
        if decoded.len() == size.bytes() { Ok(()) } else { Err(strange()) }
    })?;
    let ReplyOrigin { primary, uid, basis } = origin;
    Ok(DerivedKey { key, origin: KeyOrigin { primary, uid, basis } })
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "keys are compared")]
mod tests {
    use super::*;

    fn call(mode: &str) -> KeyCall {
        let request =
            KeyRequest { mode: mode.parse().unwrap(), size: KeySize::USUAL, version: NonZeroU32::MIN, bound: false };
        KeyCall { request, parent: false, deliver: Delivery::Key }
    }

    fn parse(text: &str) -> Option<ServiceCall> {
        ServiceCall::parse(text.as_bytes())
    }

    #[test]
    fn calls_are_read_as_they_are_written() {
        for mode in ["path", "csum", "csum=verity", "label=a \"b\"\\"] {
            let call = KeyCall { parent: true, deliver: Delivery::Memfd, ..call(mode) };
            let message = call.message();
            let (nul, message) = message.split_last().unwrap();
            assert_eq!((*nul, ServiceCall::parse(message)), (0, Some(ServiceCall::Key(call))));
        }
        let short = parse(r#"{"method":"trust.derive.Key","parameters":{"mode":"path"}}"#);
        assert_eq!(short, Some(ServiceCall::Key(call("path"))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let method = r#"{"method":"trust.derive.Key","parameters":"#;
        for (text, answer) in [
            (format!("{method}{{\"mode\":\"x\"}}}}"), "InvalidParameter\",\"parameters\":{\"parameter\":\"mode"),
            (format!("{method}{{\"mode\":\"path\",\"size\":15}}}}"), "\"size\""),
            (format!("{method}{{\"mode\":\"path\",\"version\":0}}}}"), "\"parameters\""),
            (format!("{method}{{\"mode\":\"path\",\"uid\":0}}}}"), "InvalidParameter"),
            (format!("{method}[]}}"), "InvalidParameter"),
            (r#"{"method":"trust.derive.Keys"}"#.into(), "MethodNotFound"),
            (r#"{"method":"a.b.C"}"#.into(), "InterfaceNotFound"),
            (r#"{"method":"org.varlink.service.GetInfo"}"#.into(), "\"product\":\"Trust\""),
            (
                r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"trust.derive"}}"#
                    .into(),
                "interface trust.derive",
            ),
        ] {
            let Some(ServiceCall::Answered(said)) = parse(&text) else { panic!("{text}") };
            let said = String::from_utf8(said).unwrap();
            assert!(said.contains(answer) && said.ends_with('\0'), "{text}: {said}");
        }
        for text in ["", "x", "[]", "{}", r#"{"method":1}"#, r#"{"method":"x"}"#, r#"{"method":"a.B","oneway":true}"#] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn keys_and_errors_arrive() {
        let key = Secret::filled(32, |buffer| {
            buffer.fill(7);
            Ok(())
        });
        let origin = KeyOrigin { primary: "00".into(), uid: 5, basis: "/a\"b".into() };
        let derived = DerivedKey { key: key.unwrap(), origin: origin.clone() };
        let reply = key_reply(&derived, Delivered::Key);
        let got = key_in(&reply[..reply.len() - 1], KeySize::USUAL).unwrap();
        assert_eq!((got.key.expose(), got.origin), (&[7; 32][..], origin));
        let bad = Error::new(Kind::LockedOut, "use the TPM", "it is").remedy("try again later");
        let reply = error_reply(&bad);
        let error = key_in(&reply[..reply.len() - 1], KeySize::USUAL).err().unwrap();
        let said = "cannot derive a key: the service says: cannot use the TPM: it is; try again later";
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::LockedOut, said));
        for reply in ["", "{}", r#"{"parameters":{"key":"AA=="}}"#, r#"{"parameters":{"key":1}}"#] {
            assert!(key_in(reply.as_bytes(), KeySize::USUAL).is_err(), "{reply}");
        }
    }
}
