//! Seals the header of a LUKS2 volume; its purpose is in [`crate::luks`].

mod metadata;

use crate::{
    digest,
    error::{Error, Kind, Result},
    luks::{
        device,
        find::{DeviceName, find},
        header::{Header, ROOM},
        seal::SealKey,
    },
};
use hmac::Mac;
use metadata::{HeaderFacts, Metadata};
use rustix::fs::MemfdFlags;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt::{self, Display, Formatter},
    fs::File,
    io::Write,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// Binds the header of `device`, as it is now, to the passphrase in the keyring, and returns what has been sealed.
///
/// # Errors
/// [`Kind::Refused`]: there is no passphrase, no keyslot opens with it, or the volume does not protect its data;
/// [`Kind::Usage`]: it is not a LUKS2 volume; [`Kind::System`]: cryptsetup fails.
/// Nothing has been written then, unless the last check fails.
pub fn seal_header(device: &Path, cryptsetup: &Path) -> Result<Sealed> {
    let cannot_copy = |e| Error::system("copy the LUKS2 header", e);
    let (file, header) = header_of(device)?;
    let metadata = Metadata::parse(header.json())?;
    let facts = metadata.check(2 * header.size() as u64)?;
    let token = token_of(&metadata, device)?;
    let key = SealKey::from_keyring()?;
    // cryptsetup rewrites the header with every token. This is tried on a copy first, so
    // that the volume itself is written once: a power cut leaves it sealed as before, or sealed anew.
    let copy = copy_of(&header).map_err(cannot_copy)?;
    let place = format!("/proc/self/fd/{}", copy.as_raw_fd());
    import(&token, [0; 32], Path::new(&place), cryptsetup)?;
    let next = device::read(&copy, 0).map_err(|e| Error::system("read the LUKS2 header", e))?;
    let next = next.ok_or_else(|| Error::new(Kind::System, "seal the header", "cryptsetup made none"))?;
    let keyslots = next.keyslots().ok_or_else(|| {
        Error::new(Kind::Refused, format!("seal {}", device.display()), "its keyslots are in an invalid place")
            .remedy("format the volume with cryptsetup's defaults")
    })?;
    device::copy_keyslots(&file, &keyslots, &copy).map_err(cannot_copy)?;
    let keyslots = opening(&facts, Path::new(&place), cryptsetup)?;
    let mac = key.mac(&next)?.finalize().into_bytes();
    import(&token, mac.into(), device, cryptsetup)?;
    find(DeviceName::path(device), Duration::ZERO, &|header| key.has_sealed(header))?;
    Ok(Sealed { uuid: String::from_utf8_lossy(next.uuid()).into_owned(), keyslots, facts })
}

/// What has been sealed.
pub struct Sealed {
    uuid: String,
    /// The keyslots of a token for this machine's passphrase, which opens one of them.
    keyslots: BTreeSet<String>,
    facts: HeaderFacts,
}

impl Display for Sealed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { uuid, keyslots, facts: HeaderFacts { cipher, integrity, key_bits, keyslots: all, .. } } = self;
        let list = |slots: &mut dyn Iterator<Item = &String>| slots.map(String::as_str).collect::<Vec<_>>().join(", ");
        write!(f, "UUID {uuid}, {cipher}")?;
        if let Some(integrity) = integrity {
            write!(f, " with {integrity}")?;
        }
        write!(f, ", a key of {key_bits} bits; keyslots for machine:luks: {}", list(&mut keyslots.iter()))?;
        match list(&mut all.difference(keyslots)) {
            others if others.is_empty() => Ok(()),
            others => write!(f, "; for others: {others}"),
        }
    }
}

/// The keyslots of the first token that opens the volume with the passphrase in the keyring.
fn opening(facts: &HeaderFacts, header: &Path, cryptsetup: &Path) -> Result<BTreeSet<String>> {
    let mut failure = None;
    for (id, keyslots) in &facts.tokens {
        let args = ["open", "--test-passphrase", "--type", "luks2", "--token-only", "--token-id", id];
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).chain([header.as_os_str()]).collect();
        match run(cryptsetup, &args, b"") {
            Ok(_) => return Ok(keyslots.clone()),
            Err(e) => failure = Some(e.why().to_owned()),
        }
    }
    let why = "no keyslot that a token leads to opens with the passphrase in the keyring";
    let error = Error::new(Kind::Refused, "seal the header", why).remedy(
        "format the volume with the passphrase of `trust preinit`, or add a keyslot with it, and add the token for that",
    );
    Err(error.because(&failure.unwrap_or_default()))
}

/// Which token is, or becomes, the seal.
struct SealToken {
    id: u8,
    exists: bool,
    /// Further seals, which make all of them invalid.
    others: Vec<u8>,
}

fn token_of(metadata: &Metadata, device: &Path) -> Result<SealToken> {
    if let [id, others @ ..] = &*metadata.seals() {
        return Ok(SealToken { id: *id, exists: true, others: others.into() });
    }
    let id = metadata.free_token().ok_or_else(|| {
        Error::new(Kind::Usage, format!("seal {}", device.display()), "its header has no room for another token")
            .remedy("remove one: cryptsetup token remove --token-id N DEVICE; cryptsetup luksDump shows them")
    })?;
    Ok(SealToken { id, exists: false, others: Vec::new() })
}

/// The device, and its header as it is now.
fn header_of(device: &Path) -> Result<(File, Header)> {
    let what = || format!("read the LUKS2 header of {}", device.display());
    let file = File::open(device).map_err(|e| Error::system(what(), e))?;
    let header = device::read(&file, 0).map_err(|e| Error::system(what(), e))?;
    let header = header.ok_or_else(|| match device::uuid_of_luks1(&file) {
        Some(_) => Error::new(Kind::Usage, what(), "it is a LUKS1 volume").remedy(format!(
            "convert it while it is closed, and add the token: cryptsetup convert --type luks2 {0}; cryptsetup token add \
             --key-description machine:luks {0}",
            device.display()
        )),
        None => Error::new(Kind::Usage, what(), "it has none, or a broken one")
            .remedy("name a LUKS2 volume; `cryptsetup repair` mends a header of which one copy is left"),
    })?;
    Ok((file, header))
}

/// A header in memory, which cryptsetup takes for a whole volume.
fn copy_of(header: &Header) -> std::io::Result<File> {
    let unusual = || std::io::Error::other("its checksum is not SHA-256");
    let pair = header.pair(|bytes| digest::hash(&[bytes])).ok_or_else(unusual)?;
    // Without CLOEXEC: cryptsetup opens it by its number.
    let copy = File::from(rustix::fs::memfd_create("luks2-header", MemfdFlags::empty())?);
    copy.set_len(ROOM)?;
    copy.write_all_at(&pair, 0)?;
    Ok(copy)
}

/// Makes cryptsetup remove the other seals and write the token: a header with two seals is as closed as one with none.
fn import(token: &SealToken, mac: [u8; 32], device: &Path, cryptsetup: &Path) -> Result<()> {
    for id in &token.others {
        let id = id.to_string();
        let args = ["token", "remove", "--token-id", &id].map(OsStr::new);
        run(cryptsetup, &[&args[..], &[device.as_os_str()]].concat(), b"")?;
    }
    let digits = digest::hex(&mac);
    // In exactly this order and form, for which `luks::header` searches.
    let json = format!(r#"{{"type":"trust-seal","keyslots":[],"mac":"{digits}"}}"#);
    let id = token.id.to_string();
    let mut args: Vec<&OsStr> = ["token", "import", "--json-file", "-", "--token-id", &id].map(AsRef::as_ref).into();
    if token.exists {
        args.push("--token-replace".as_ref());
    }
    args.push(device.as_ref());
    run(cryptsetup, &args, json.as_bytes()).map(|_| ())
}

/// Runs cryptsetup and returns what it prints.
fn run(cryptsetup: &Path, args: &[&OsStr], input: &[u8]) -> Result<Vec<u8>> {
    let failed = |why: std::io::Error| {
        Error::system(format!("run {}", cryptsetup.display()), why)
            .remedy("install cryptsetup, or give its path with --cryptsetup")
    };
    let mut command = Command::new(cryptsetup);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // It fits into a pipe; a cryptsetup that does not read it says why.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let why = match String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ") {
        silent if silent.is_empty() => format!("cryptsetup ended with {}", output.status),
        said => format!("cryptsetup says: {said}"),
    };
    Err(Error::new(Kind::System, "seal the header", why).remedy("check the device"))
}
