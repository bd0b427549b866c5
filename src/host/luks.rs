//! Seals the header of a LUKS2 volume: [`crate::luks`] says what for.

use crate::{
    error::{Error, Kind, Result},
    luks::{
        device,
        find::{Name, find},
        header::{Header, ROOM},
        seal::Key,
    },
    policy::digest,
};
use hmac::Mac;
use rustix::fs::MemfdFlags;
use serde_json::Value;
use std::{
    fs::File,
    io::Write,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// How many tokens a header has room for.
const TOKENS: u8 = 32;

/// Binds the header of `device`, as it is now, to the passphrase in the keyring.
///
/// # Errors
/// [`Kind::Refused`]: there is no passphrase; [`Kind::Usage`]: it is no LUKS2 volume; [`Kind::System`]: cryptsetup fails.
/// Nothing has been written then, unless the last check fails.
pub fn seal_header(device: &Path, cryptsetup: &Path) -> Result<()> {
    let token = token_of(device, cryptsetup)?;
    // cryptsetup writes the header down anew with every token. What that will look like is tried out on a copy, so
    // that the volume itself is written once: a power cut leaves it sealed as before, or as it shall be.
    let copy = copy_of(&header_of(device)?).map_err(|e| Error::system("copy the LUKS2 header", e))?;
    let place = format!("/proc/self/fd/{}", copy.as_raw_fd());
    import(&token, [0; 32], Path::new(&place), cryptsetup)?;
    let next = device::read(&copy, 0).map_err(|e| Error::system("read the LUKS2 header", e))?;
    let next = next.ok_or_else(|| Error::new(Kind::System, "seal the header", "cryptsetup made none"))?;
    let mac = Key::from_keyring()?.mac(&next)?.finalize().into_bytes();
    import(&token, mac.into(), device, cryptsetup)?;
    find(Name::path(device), Duration::ZERO).map(|_| ())
}

/// Which token is, or becomes, the seal.
struct Token {
    id: u8,
    exists: bool,
}

fn token_of(device: &Path, cryptsetup: &Path) -> Result<Token> {
    let dump = run(cryptsetup, &["luksDump".as_ref(), "--dump-json-metadata".as_ref(), device.as_ref()], b"")?;
    let metadata: Value = serde_json::from_slice(&dump).map_err(|e| Error::system("read what cryptsetup says", e))?;
    let of = |id: u8| metadata.pointer(&format!("/tokens/{id}"));
    let is_seal = |id: &u8| of(*id).is_some_and(|token| token.get("type") == Some(&Value::from("trust-seal")));
    if let Some(id) = (0..TOKENS).find(is_seal) {
        return Ok(Token { id, exists: true });
    }
    let free = (0..TOKENS).find(|id| of(*id).is_none());
    let id = free.ok_or_else(|| {
        Error::new(Kind::Usage, format!("seal {}", device.display()), "its header has no room for another token")
            .remedy("remove one with `cryptsetup token remove`")
    })?;
    Ok(Token { id, exists: false })
}

/// The header as it is now.
fn header_of(device: &Path) -> Result<Header> {
    let what = || format!("read the LUKS2 header of {}", device.display());
    let file = File::open(device).map_err(|e| Error::system(what(), e))?;
    let header = device::read(&file, 0).map_err(|e| Error::system(what(), e))?;
    header.ok_or_else(|| {
        Error::new(Kind::Usage, what(), "it has none, or a broken one")
            .remedy("name a LUKS2 volume; `cryptsetup repair` mends a header of which one copy is left")
    })
}

/// A header alone, in memory, where cryptsetup takes it for a whole volume.
fn copy_of(header: &Header) -> std::io::Result<File> {
    let unusual = || std::io::Error::other("its checksum is not SHA-256");
    let pair = header.pair(|bytes| digest::hash(&[bytes])).ok_or_else(unusual)?;
    // Without CLOEXEC: cryptsetup opens it by its number.
    let copy = File::from(rustix::fs::memfd_create("luks2-header", MemfdFlags::empty())?);
    copy.set_len(ROOM)?;
    copy.write_all_at(&pair, 0)?;
    Ok(copy)
}

/// Has cryptsetup write the token.
fn import(token: &Token, mac: [u8; 32], device: &Path, cryptsetup: &Path) -> Result<()> {
    let digits = digest::hex(&mac);
    // In this order and form: `luks::header` looks for just this.
    let json = format!(r#"{{"type":"trust-seal","keyslots":[],"mac":"{digits}"}}"#);
    let id = token.id.to_string();
    let mut args: Vec<&std::ffi::OsStr> =
        ["token", "import", "--json-file", "-", "--token-id", &id].map(AsRef::as_ref).into();
    if token.exists {
        args.push("--token-replace".as_ref());
    }
    args.push(device.as_ref());
    run(cryptsetup, &args, json.as_bytes()).map(|_| ())
}

/// Runs cryptsetup and returns what it prints.
fn run(cryptsetup: &Path, args: &[&std::ffi::OsStr], input: &[u8]) -> Result<Vec<u8>> {
    let failed = |why: std::io::Error| {
        Error::system(format!("run {}", cryptsetup.display()), why)
            .remedy("install cryptsetup, or say where it is with --cryptsetup")
    };
    let mut command = Command::new(cryptsetup);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // Less than a pipe holds; a cryptsetup that does not read it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::new(Kind::System, "seal the header", format!("cryptsetup says: {why}")).remedy("check the device"))
}
