//! Secrets as systemd's credentials: which one a unit asks for on a socket (`LoadCredential=NAME:SOCKET`).
//!
//! systemd connects from an abstract address that names the unit and the credential: NUL, `RANDOM/unit/UNIT/CREDENTIAL`
//! (systemd.exec(5)). It reads until the end, and takes whatever has come by then for the secret.

use crate::{
    error::{Error, Kind, Result},
    host::say::output,
};
use rustix::net::{SocketAddrUnix, getpeername, sockopt::socket_peercred};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What systemd takes of a credential at most (`CREDENTIAL_SIZE_MAX`), in bytes.
const LARGEST: usize = 1024 * 1024;
/// Bytes of a file name at most.
const LONGEST_NAME: usize = 255;

/// What systemd has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    unit: String,
    credential: String,
}

/// Answers the connection that is standard input and output with what `unseal` writes for the file that it is given: that of
/// the credential, in `dir`.
///
/// # Errors
/// [`Kind::Refused`] where whoever asks is not systemd; those of `unseal`. A connection then gets more than systemd takes, so
/// that the unit does not start: nothing, or less than all, would do for a secret.
pub fn answer(dir: &Path, unseal: impl FnOnce(PathBuf) -> Result<()>) -> Result<()> {
    let answered = peer().and_then(|wanted| {
        let answered = wanted.file(dir).and_then(unseal);
        answered.map_err(|e| e.within(format!("give {} to {}", wanted.credential, wanted.unit)))
    });
    if answered.is_err() && getpeername(io::stdin()).is_ok() {
        // Whoever asks may have gone.
        let _ = output::bytes(&vec![0; LARGEST + 1]);
    }
    answered
}

/// Who is at the other end of standard input.
fn peer() -> Result<Wanted> {
    const WHAT: &str = "answer for a credential";
    let refused = |why: &str| {
        Error::new(Kind::Refused, WHAT, why.to_owned())
            .remedy("have a unit ask for it: LoadCredential=NAME:/run/trust/credentials.sock")
    };
    let stdin = io::stdin();
    let not_a_socket = |_| refused("standard input is not a connection of systemd's");
    let address = getpeername(&stdin).map_err(not_a_socket)?.ok_or_else(|| refused("whoever asks has no address"))?;
    let address = SocketAddrUnix::try_from(address).map_err(not_a_socket)?;
    let who = socket_peercred(&stdin).map_err(not_a_socket)?;
    if !who.uid.is_root() {
        return Err(refused("whoever asks is not root"));
    }
    let name = address.abstract_name().ok_or_else(|| refused("whoever asks is not systemd"))?;
    parse(name).ok_or_else(|| refused("whoever asks does not name a unit and a credential as systemd does"))
}

/// Unit and credential in the address, without the NUL that it begins with.
fn parse(address: &[u8]) -> Option<Wanted> {
    let text = str::from_utf8(address).ok()?;
    let mut parts = text.split('/');
    let (random, kind) = (parts.next()?, parts.next()?);
    let (unit, credential) = (parts.next()?, parts.next()?);
    let is_systemds = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_hexdigit()) && kind == "unit";
    let fits = is_systemds && parts.next().is_none() && is_name(unit) && is_name(credential);
    fits.then(|| Wanted { unit: unit.to_owned(), credential: credential.to_owned() })
}

/// Whether it is the name of a file that leads nowhere else: of a unit (systemd.unit(5)), or of a credential.
fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ":-_.@\\".contains(c);
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.starts_with('.') && name.chars().all(is_plain)
}

impl Wanted {
    /// The sealed secret: `UNIT/CREDENTIAL.pem`, for this unit alone, or `CREDENTIAL.pem`.
    fn file(&self, dir: &Path) -> Result<PathBuf> {
        let name = format!("{}.pem", self.credential);
        let candidates = [dir.join(&self.unit).join(&name), dir.join(&name)];
        let found = candidates.iter().find(|path| path.is_file()).cloned();
        found.ok_or_else(|| {
            let [own, _] = &candidates;
            Error::new(Kind::Usage, "find it", format!("there is no {}, nor one for all units", own.display())).remedy(
                format!("seal it: mkdir -p {} && trust seal -o {} IN", dir.join(&self.unit).display(), own.display()),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_systemd_names_unit_and_credential() {
        let wanted = parse(b"adf9d86b6eda275e/unit/foobar.service/credx").unwrap();
        assert_eq!((wanted.unit.as_str(), wanted.credential.as_str()), ("foobar.service", "credx"));
        let wanted = parse(b"1/unit/getty@tty1\\x2da.service/tls.key").unwrap();
        assert_eq!((wanted.unit.as_str(), wanted.credential.as_str()), ("getty@tty1\\x2da.service", "tls.key"));
    }

    #[test]
    fn other_addresses_are_refused() {
        let long = format!("1/unit/a/{}", "x".repeat(256));
        for address in [
            &b""[..],
            b"/unit/a/b",
            b"xyz/unit/a/b",
            b"1/user/a/b",
            b"1/unit/a",
            b"1/unit/a/",
            b"1/unit//b",
            b"1/unit/a/b/c",
            b"1/unit/../b",
            b"1/unit/a/..",
            b"1/unit/./b",
            b"1/unit/a/.b",
            b"1/unit/a/b\0",
            b"1/unit/a/b\n",
            b"1/unit/a b/c",
            b"1/unit/a/\xff",
            long.as_bytes(),
        ] {
            assert_eq!(parse(address), None, "{address:?}");
        }
    }

    #[test]
    fn a_file_of_the_unit_precedes_one_for_all() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = parse(b"1/unit/a.service/b").unwrap();
        let error = wanted.file(dir.path()).unwrap_err().to_string();
        assert!(error.contains("a.service/b.pem IN"), "{error}");
        std::fs::write(dir.path().join("b.pem"), "").unwrap();
        assert_eq!(wanted.file(dir.path()).unwrap(), dir.path().join("b.pem"));
        std::fs::create_dir(dir.path().join("a.service")).unwrap();
        std::fs::write(dir.path().join("a.service/b.pem"), "").unwrap();
        assert_eq!(wanted.file(dir.path()).unwrap(), dir.path().join("a.service/b.pem"));
    }
}
