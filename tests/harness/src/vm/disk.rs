//! Disk images.

use crate::tools::run;
use std::{fs, path::Path};

/// Makes a file system image with these files in it: path in the image, and file to copy.
pub(super) fn vfat(image: &Path, files: &[(&str, &Path)]) {
    let text = |path: &Path| path.to_str().expect("temporary paths are text").to_owned();
    let content: u64 = files.iter().map(|(_, file)| fs::metadata(file).expect("a readable file").len()).sum();
    // FAT32 has at least 33 MB.
    let size = (content + content / 8).max(34 << 20) + (2 << 20);
    let _ = fs::remove_file(image);
    fs::File::create(image).and_then(|file| file.set_len(size)).expect("a writable directory");
    run("mkfs.fat", &["-F", "32", &text(image)]);
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
