//! What a successor is handed over so that it starts without the TPM: the open volumes, and the machine's identity where its
//! key is one that only the TPM can use.

use super::{successor::WHAT, volume_key};
use crate::{
    error::{Error, Kind, Result},
    files,
    luks::{handover, header::Header, opened},
    tpm2::key_file,
};
use std::{fs, io::ErrorKind, path::Path};
use zeroize::Zeroizing;

/// Upper bound in bytes of a file.
const MAX_FILE: usize = 8 << 20;
/// The key of an identity, without which there is none.
const KEY: &str = "server.key";
/// Its files.
const IDENTITY: [&str; 3] = [KEY, "server.crt", "manifestCA.pem"];

/// Files in the successor's initrd: absolute path, contents.
pub type Handover = Vec<(String, Zeroizing<Vec<u8>>)>;

/// All volumes that the boot has opened for that.
///
/// # Errors
/// [`Kind::Refused`]: there is none, or its key cannot be had; [`Kind::Corrupt`]: its header is none; [`Kind::System`].
pub fn volumes() -> Result<Handover> {
    let mut volumes = Handover::new();
    for entry in fs::read_dir(handover::KEPT).into_iter().flatten().flatten() {
        let failed = |why| Error::system(format!("read {}", entry.path().display()), why);
        let (name, kept) = (entry.file_name(), files::read(&entry.path(), MAX_FILE).map_err(failed)?);
        let header = Header::parse(&kept, 0).filter(|header| header.size() == kept.len());
        let (Some(header), Some(name)) = (header, name.to_str()) else {
            let why = format!("{} is not a LUKS2 header", entry.path().display());
            return Err(Error::new(Kind::Corrupt, WHAT, why).remedy("restart the machine"));
        };
        let uuid = opened::dm_uuid(str::from_utf8(header.uuid()).unwrap_or_default(), name);
        let mut contents = Zeroizing::new(kept);
        contents.extend_from_slice(&volume_key::read(name, &uuid)?);
        volumes.push((format!("{}/{name}", handover::HANDED_OVER), contents));
    }
    if volumes.is_empty() {
        return Err(Error::new(Kind::Refused, WHAT, "no volume was opened in a way that it can be handed over")
            .remedy("leave --with-disk out; or restart with an image whose initrd opens it by `trust luks open --for-kexec`"));
    }
    Ok(volumes)
}

/// The machine's identity in this directory, if its key is one of the TPM's: a key in the clear stays behind.
///
/// # Errors
/// [`Kind::System`].
pub fn identity(directory: &Path) -> Result<Handover> {
    let mut identity = Handover::new();
    for name in IDENTITY {
        let path = directory.join(name);
        match files::read(&path, MAX_FILE).map(Zeroizing::new) {
            Ok(key) if name == KEY && !key_file::is_one(&key) => break,
            Ok(contents) => identity.push((format!("{}/{name}", handover::IDENTITY), contents)),
            Err(why) if why.kind() != ErrorKind::NotFound => {
                return Err(Error::system(format!("read {}", path.display()), why));
            }
            Err(_) if name == KEY => break,
            Err(_) => {}
        }
    }
    Ok(identity)
}
