//! Moves a key from its file to a token.

use super::{Keyset, Role};
use crate::{
    console,
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        pki::{
            credentials,
            key::{Hash, PrivateKey, PublicKey},
            pkcs11_uri::Uri,
        },
    },
};
use rustix::{
    fs::{Mode, OFlags, open},
    io::Errno,
};
use std::{
    fs::File,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Makes a role use a key in a token in place of the one in its file, and returns that file, which then names the token.
///
/// # Errors
/// [`Kind::Usage`]: the key in the token is not the one of the role's certificate; those of
/// [`PrivateKey::in_token`], of reading and writing. The file is then unchanged.
pub fn use_key(keyset: &Keyset, role: Role, uri: Uri) -> Result<PathBuf> {
    let dir = keyset.dir.join(role.dir());
    let certificate = credentials::load_certificate(&dir)?;
    let public = PublicKey::from_info(certificate.tbs_certificate().subject_public_key_info())?;
    let key = PrivateKey::in_token(uri, Some(&public))?;
    if *key.public() != public {
        return Err(Error::new(
            Kind::Usage,
            format!("use this key as {}", role.dir()),
            "it does not match the certificate",
        )
        .remedy("import the key of the keyset into the token first, or check object and id of the URI"));
    }
    prove(&key)?;
    let pem = key.to_pem()?;
    let path = dir.join(credentials::KEY);
    let old = Old::open(&path)?;
    atomic::replace(&path, atomic::PRIVATE, pem.as_bytes())?;
    old.map_or(Ok(()), |old| old.overwrite(&path))?;
    Ok(path)
}

/// The token may hold no public key: one signature shows whether the private one is ours.
fn prove(key: &PrivateKey) -> Result<()> {
    let mut nonce = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| Error::new(Kind::System, "draw random bytes", "there are none"))?;
    let message = [b"trust keyset use-key: a proof of possession, and nothing else: ", &nonce[..]].concat();
    key.sign(Hash::Sha256, &message).map(|_| ())
}

/// The file that held the key.
struct Old {
    file: File,
    size: u64,
    links: u64,
}

impl Old {
    /// Opens it before anything is changed; `None` if it does not exist.
    fn open(path: &Path) -> Result<Option<Self>> {
        let failed = |e| atomic::cannot("replace", path, &e);
        // The target of a link must not be overwritten.
        let file = match open(path, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(failed(e.into())),
        };
        let metadata = file.metadata().map_err(failed)?;
        Ok(Some(Self { file, size: metadata.len(), links: metadata.nlink() }))
    }

    /// Overwrites it with zeros; its name belongs to the new file by now.
    fn overwrite(mut self, path: &Path) -> Result<()> {
        if self.links > 1 {
            console::warn(&format!("the old key of {} has another name, under which it stays", path.display()));
            return Ok(());
        }
        let zeros = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let written = self.file.write_all(&zeros).and_then(|()| self.file.sync_all());
        written.map_err(|e| {
            Error::system(format!("overwrite the old key of {}", path.display()), e)
                .remedy("the token is in use; consider the old file's blocks as still on the disk")
        })
    }
}
