//! Keys that processes ask the kernel for: what their description and callout information say.
//!
//! ```text
//! description  trust:MODE:BASIS:NAME   path:/usr/bin/foo, csum:HEX, verity:HEX or label:LABEL; NAME is the application's
//! callout      SIZE MODE [version=N] [system]   as in `32 path`; MODE is path, csum, csum=verity or label=LABEL
//! ```
//!
//! The kernel gives a key that is in a keyring to whoever finds it there, without asking anyone: what a description is for
//! must therefore be part of it, or one program would find another's key by accident.

pub use crate::keyring::request_key::KeyUnderConstruction;

use super::{ForeignNamespace, KeyContext, KeyRequest, KeySize, Mode, Requester};
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    foreign::printable,
};
use std::{fs::OpenOptions, io::Write, num::NonZeroU32, os::unix::net::UnixDatagram};

/// What descriptions begin with.
const PREFIX: &str = "trust";
const WHAT: &str = "derive a key";
/// `LOG_AUTHPRIV | LOG_ERR`.
const PRIORITY: u32 = (10 << 3) | 3;

/// A key that a process wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWish {
    request: KeyRequest,
    /// What the description says that it is for.
    basis: Vec<u8>,
}

impl KeyWish {
    /// From the description and the callout information.
    ///
    /// # Errors
    /// [`Kind::Usage`]: they are not of this form, or differ.
    pub fn parse(description: &[u8], callout: &str) -> Result<Self> {
        let bad = |why: String| {
            Error::new(Kind::Usage, WHAT, why)
                .remedy("ask as in: keyctl request2 user trust:path:/usr/bin/foo:NAME '32 path' @p")
        };
        let shown = || printable(&String::from_utf8_lossy(description));
        let (mode, basis) = split(description)
            .ok_or_else(|| bad(format!("the description {} is not of the form trust:MODE:BASIS:NAME", shown())))?;
        let request =
            request(callout).map_err(|why| bad(format!("the callout information {}: {why}", printable(callout))))?;
        if request.mode.name().as_bytes() != mode {
            return Err(bad(format!(
                "the callout information {} is not of the mode of {}",
                printable(callout),
                shown()
            )));
        }
        Ok(Self { request, basis: basis.to_vec() })
    }

    /// The key that is asked for.
    #[must_use]
    pub const fn request(&self) -> &KeyRequest {
        &self.request
    }

    /// What the key of this requester is derived from, where the description says the same.
    ///
    /// # Errors
    /// [`Kind::Refused`]: it says something else; those of looking at the requester.
    pub fn context(&self, requester: &Requester) -> Result<KeyContext> {
        self.demand(self.request.context_of(requester, ForeignNamespace::Refused)?)
    }

    fn demand(&self, context: KeyContext) -> Result<KeyContext> {
        let real = match self.request.mode {
            Mode::Csum | Mode::Verity => hex(context.bytes()).into_bytes(),
            Mode::Path | Mode::Label(_) => context.bytes().to_vec(),
        };
        if real == self.basis {
            return Ok(context);
        }
        let (mode, wanted) = (self.request.mode.name(), printable(&String::from_utf8_lossy(&self.basis)));
        let real = printable(&String::from_utf8_lossy(&real));
        Err(Error::new(
            Kind::Refused,
            WHAT,
            format!("the description says {mode} {wanted}, and it is {real} that asks"),
        )
        .remedy(format!("ask for trust:{mode}:{real}:NAME")))
    }
}

/// Mode and basis of a description; only the basis may have colons.
fn split(description: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = description.strip_prefix(PREFIX.as_bytes())?.strip_prefix(b":")?;
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let (mode, rest) = (rest.get(..colon)?, rest.get(colon + 1..)?);
    let colon = rest.iter().rposition(|byte| *byte == b':')?;
    let (basis, name) = (rest.get(..colon)?, rest.get(colon + 1..)?);
    (!basis.is_empty() && !name.is_empty()).then_some((mode, basis))
}

fn request(callout: &str) -> std::result::Result<KeyRequest, String> {
    let mut words = callout.split(' ').filter(|word| !word.is_empty());
    let size: KeySize = words.next().ok_or("it is empty")?.parse()?;
    let mode: Mode = words.next().ok_or("it has no mode")?.parse()?;
    let mut request = KeyRequest { mode, size, version: NonZeroU32::MIN, bound: false };
    for word in words {
        match word.strip_prefix("version=").map(str::parse) {
            Some(Ok(version)) => request.version = version,
            None if word == "system" => request.bound = true,
            _ => return Err(format!("{word:?} is neither version=N nor system")),
        }
    }
    Ok(request)
}

/// Says what went wrong to the system's log: what request-key(8) starts has nobody else to tell it.
pub fn log(error: &Error) {
    let line = format!("trust[{}]: {}", std::process::id(), printable(&error.to_string()));
    let sent =
        UnixDatagram::unbound().and_then(|socket| socket.send_to(format!("<{PRIORITY}>{line}").as_bytes(), "/dev/log"));
    if sent.is_err()
        && let Ok(mut kernel) = OpenOptions::new().write(true).open("/dev/kmsg")
    {
        // One write is one record.
        let _ = kernel.write_all(format!("<3>{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(description: &str, callout: &str) -> std::result::Result<KeyWish, String> {
        KeyWish::parse(description.as_bytes(), callout).map_err(|e| e.to_string())
    }

    fn context(wish: &KeyWish, bytes: &[u8]) -> std::result::Result<KeyContext, String> {
        wish.demand(wish.request.context(1000, bytes).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn descriptions_say_what_a_key_is_for() {
        let path = wish("trust:path:/usr/bin/a:b:test", "32 path").unwrap();
        assert_eq!(context(&path, b"/usr/bin/a:b").unwrap().uid(), 1000);
        for other in ["/usr/bin/a", "/usr/bin/a:b:test", "/usr/bin/a:B", "/usr/bin/a:b "] {
            let refused = context(&path, other.as_bytes()).unwrap_err();
            assert!(refused.contains(&format!("ask for trust:path:{other}:NAME")), "{refused}");
        }
        // Two paths that are shown alike.
        let deceptive = KeyWish::parse(b"trust:path:/a\xff:x", "32 path").unwrap();
        assert!(context(&deceptive, b"/a\xfe").is_err() && context(&deceptive, b"/a\xff").is_ok());
        let digest = [0xab; 32];
        for (mode, callout) in [("csum", "16 csum"), ("verity", "1024 csum=verity version=7")] {
            let csum = wish(&format!("trust:{mode}:{}:x", hex(&digest)), callout).unwrap();
            assert!(context(&csum, &digest).is_ok() && context(&csum, &[0xac; 32]).is_err());
            assert!(context(&csum, hex(&digest).as_bytes()).is_err());
        }
        let label = wish("trust:label:back:up:x", "32 label=back:up system").unwrap();
        assert!(label.request().bound && context(&label, b"back:up").is_ok());
        // The callout information says what it is derived from.
        let other = wish("trust:label:backup:x", "32 label=other").unwrap();
        assert!(context(&other, b"other").unwrap_err().contains("says label backup, and it is other"));
    }

    #[test]
    fn other_forms_are_refused() {
        let description = "trust:path:/usr/bin/foo:test";
        for (description, callout, why) in [
            ("", "32 path", "trust:MODE:BASIS:NAME"),
            ("trust:", "32 path", "trust:MODE:BASIS:NAME"),
            ("trust:path:/usr/bin/foo", "32 path", "trust:MODE:BASIS:NAME"),
            ("trust:path::test", "32 path", "trust:MODE:BASIS:NAME"),
            ("trust:path:/usr/bin/foo:", "32 path", "trust:MODE:BASIS:NAME"),
            ("trusty:path:/usr/bin/foo:test", "32 path", "trust:MODE:BASIS:NAME"),
            (description, "32 csum", "not of the mode"),
            ("trust:csum:00:test", "32 csum=verity", "not of the mode"),
            (description, "", "it is empty"),
            (description, "32", "no mode"),
            (description, "15 path", "16 to 1024"),
            (description, "path 32", "16 to 1024"),
            (description, "32 paht", "not path, csum"),
            (description, "32 path version=0", "neither version=N"),
            (description, "32 path now", "neither version=N"),
            ("trust:path:\u{1b}:", "32 path", "\u{fffd}"),
        ] {
            let refused = wish(description, callout).unwrap_err();
            assert!(refused.contains(why) && refused.contains("keyctl request2"), "{refused}");
        }
    }
}
