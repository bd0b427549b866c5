//! Disk images.

use crate::{identity::Identity, tools::run};
use std::{fs, path::Path, process::Command};

/// Makes the image of a medium that `trust provision` is given: the volume `trust-data`.
pub fn trust_data(image: &Path, identity: &Identity) {
    vfat(image, "trust-data", &[("cert.pem", &identity.cert()), ("privkey.pem", &identity.key())]);
}

/// A file in the root of such an image, or of any with a vfat file system.
#[must_use]
pub fn from_vfat(image: &Path, name: &str) -> Vec<u8> {
    let mut mcopy = Command::new("mcopy");
    let output = mcopy.arg("-i").arg(image).args([&format!("::{name}"), "-"]).output().expect("mtools");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes a file system image with this label and these files in it: path in the image, and file to copy.
pub(super) fn vfat(image: &Path, label: &str, files: &[(&str, &Path)]) {
    let text = |path: &Path| path.to_str().expect("temporary paths are text").to_owned();
    let content: u64 = files.iter().map(|(_, file)| fs::metadata(file).expect("a readable file").len()).sum();
    // FAT32 has at least 33 MB.
    let size = (content + content / 8).max(34 << 20) + (2 << 20);
    let _ = fs::remove_file(image);
    fs::File::create(image).and_then(|file| file.set_len(size)).expect("a writable directory");
    run("mkfs.fat", &["-F", "32", "-n", label, &text(image)]);
    let mut made = Vec::new();
    for (name, file) in files {
        let parents: Vec<&str> = name.match_indices('/').map(|(at, _)| &name[..at]).collect();
        for parent in parents {
            if !made.contains(&parent) {
                run("mmd", &["-i", &text(image), &format!("::{parent}")]);
                made.push(parent);
            }
        }
        run("mcopy", &["-i", &text(image), &text(file), &format!("::{name}")]);
    }
}
