//! What is in a unified kernel image.

use super::{additions, initrd, measured, stub};
use crate::{
    digest::Digest,
    error::Result,
    host::{
        fs::data::Data,
        image::{
            cpio::{self, ArchiveEntry},
            pe::{self, Image},
        },
        pki::key::Hash,
    },
    policy::pcr7data,
};
use std::collections::BTreeMap;

/// Upper bound in bytes of a decompressed initrd.
const MAX_INITRD: usize = 2 << 30;
/// Upper bound in bytes of a text that is shown.
const MAX_TEXT: usize = 64 * 1024;

/// What is in an image.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The version of its systemd-stub.
    pub stub: Option<String>,
    /// Its sections, in the order of their table.
    pub sections: Vec<SectionDigest>,
    /// How many profiles it has.
    pub profiles: usize,
    /// The command line of all profiles.
    pub cmdline: Option<String>,
    /// os-release(5).
    pub os_release: Option<String>,
    /// What `uname -r` will print.
    pub uname: Option<String>,
    /// What is in the initrd, or what is wrong with it; `None` without one.
    pub initrd: Option<std::result::Result<Initrd, String>>,
}

/// What a section holds.
#[derive(Clone, Debug)]
pub struct SectionDigest {
    /// As it stands in the table.
    pub name: String,
    /// How much of it is data, in bytes.
    pub size: usize,
    /// SHA-256 of these.
    pub digest: Vec<u8>,
}

impl SectionDigest {
    fn of(section: &pe::Section<'_>) -> Result<Self> {
        let data = section.contents();
        let mut digest = Hash::Sha256.begin();
        data.pieces(|_, bytes| {
            digest.update(bytes);
            Ok(())
        })?;
        Ok(Self { name: section.name().into_owned(), size: data.len(), digest: digest.finish().as_ref().to_vec() })
    }
}

/// What is in an initrd.
#[derive(Clone, Debug, Default)]
pub struct Initrd {
    /// Its archives.
    pub parts: Vec<initrd::WalkedPart>,
    /// What they hold: of entries of the same name the last one, which counts.
    pub files: BTreeMap<String, FileStatus>,
    /// The boots that its signed policies are for.
    pub policies: Vec<KnownBoot>,
    /// Whether it has the certificate of a manifest CA.
    pub manifest_ca: bool,
    /// Whether it has the program.
    pub program: bool,
}

/// A file in an initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Kind and permissions.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// In bytes.
    pub size: usize,
}

/// A boot that is known to a keyset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBoot {
    /// What it measures into PCR 7.
    pub pcr7: Digest,
    /// What it may do.
    pub info: pcr7data::Info,
}

/// Looks into an image.
///
/// # Errors
/// Those of reading.
pub fn inspect(image: &Image<'_>) -> Result<Inspection> {
    let stub = stub::version(image)?;
    let section = |name: &str| image.section(name).map(pe::Section::contents).filter(|data| !data.is_empty());
    let text = |name: &str| -> Result<Option<String>> {
        let Some(data) = section(name) else { return Ok(None) };
        let bytes = data.first(MAX_TEXT).read()?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n']).to_owned()))
    };
    Ok(Inspection {
        profiles: measured::profiles(image, stub.as_ref().map_or(measured::OLDEST, |(_, number)| *number)),
        stub: stub.map(|(version, _)| version),
        sections: image.sections().iter().map(SectionDigest::of).collect::<Result<_>>()?,
        cmdline: text(".cmdline")?,
        os_release: text(".osrel")?,
        uname: text(".uname")?,
        initrd: section(".initrd").map(|initrd| look_into(initrd).map_err(|e| e.cause())),
    })
}

/// Looks into an initrd.
///
/// # Errors
/// Those of [`initrd::walk`].
pub fn look_into<'a>(initrd: impl Into<Data<'a>>) -> Result<Initrd> {
    let mut found = Initrd::default();
    let mut infos = BTreeMap::new();
    let mut see = |entry: &ArchiveEntry<'_>| {
        let file = FileStatus { mode: entry.mode, owner: (entry.uid, entry.gid), size: entry.size };
        found.files.insert(entry.path.clone(), file);
        if let Some((version, pcr7)) = policy_of(&entry.path) {
            infos.insert((version, pcr7), pcr7data::parse_info(entry.data).ok());
        }
    };
    found.parts = initrd::walk(initrd, MAX_INITRD, &mut see)?;
    // Of several versions the highest counts.
    let version = infos.keys().map(|(version, _)| *version).max();
    let counting = infos.into_iter().filter(|((of, _), _)| Some(*of) == version);
    found.policies = counting.filter_map(|((_, pcr7), info)| Some(KnownBoot { pcr7, info: info? })).collect();
    let is_file = |path: &str| found.files.get(path).is_some_and(|file| file.mode & cpio::KIND == cpio::REGULAR);
    (found.manifest_ca, found.program) = (is_file(additions::MANIFEST_CA), is_file(additions::PROGRAM));
    Ok(found)
}

/// The version and the PCR 7 value of `pcr7data/policy-N/XX/Y…Y/info.json`.
fn policy_of(path: &str) -> Option<(u32, Digest)> {
    let path = path.strip_prefix(additions::PCR7DATA)?.strip_prefix("/policy-")?.strip_suffix("/info.json")?;
    let mut parts = path.split('/');
    let (version, xx, rest) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some((version, pcr7data::value_of(xx, rest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_found_by_their_paths() {
        let pcr7: Digest = std::array::from_fn(|i| i as u8);
        let path = format!("pcr7data/policy-2/{}/info.json", pcr7data::path_of(&pcr7));
        assert_eq!(policy_of(&path), Some((2, pcr7)));
        for other in ["pcr7data/policy-2/pubkeys/luks-a.pem", "pcr7data", "pcr7data/policy-x/00/11/info.json"] {
            assert_eq!(policy_of(other), None, "{other}");
        }

        let mut archive = cpio::Archive::new();
        let info = br#"{"key": "acme", "key_type": "limited"}"#;
        archive.file(&path, 0o644, info.to_vec()).unwrap();
        archive.file(&path.replace("policy-2", "policy-1"), 0o644, info.to_vec()).unwrap();
        archive.directory("usr/bin/trust").unwrap();
        let found = look_into(&archive.to_bytes().unwrap()).unwrap();
        assert_eq!(found.policies.len(), 1);
        assert_eq!((found.policies[0].pcr7, found.policies[0].info.keyset.as_str()), (pcr7, "acme"));
        assert!(!found.program && !found.manifest_ca);
        assert!(look_into(b"nothing").is_err());
    }
}
