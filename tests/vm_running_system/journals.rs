//! journald and journalctl in a guest.

use harness::{
    assets, run,
    vm::{Initrd, Vm},
};
use std::{fs::File, path::Path};

/// Functions of the guest.
pub const FUNCTIONS: &str = include_str!("journals.sh");
const CONFIGURATION: &str = "[Journal]\nStorage=persistent\nSeal=yes\nSplitMode=none\nRateLimitBurst=0\n";
const MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
/// What they need; the last ones are loaded while they run: for sealing, and for compressing.
const PROGRAMS: [&str; 8] = [
    "usr/lib/systemd/systemd-journald",
    "usr/bin/journalctl",
    "usr/bin/systemd-cat",
    "usr/bin/env",
    "usr/bin/echo",
    "usr/bin/sed",
    "usr/lib/x86_64-linux-gnu/libcrypto.so.3",
    "usr/lib/x86_64-linux-gnu/libzstd.so.1",
];

/// Gives the machine a disk for its journal.
pub fn disk(vm: &Vm) {
    let disk = vm.data_disk();
    File::create(&disk).and_then(|file| file.set_len(64 << 20)).unwrap();
    run("mkfs.ext4", &["-q", disk.to_str().unwrap()]);
}

/// Puts the programs into the initrd, below `/deb`, and a `journalctl` that is found.
pub fn add(initrd: &mut Initrd) {
    let tree = assets::tree("forky");
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/systemd"].map(|dir| tree.join(dir));
    let libraries = libraries.map(|dir| dir.to_str().unwrap().to_owned()).join(":");
    let loader = tree.join("usr/lib64/ld-linux-x86-64.so.2");
    let mut copy = |path: &Path| {
        let name = path.strip_prefix(&tree).unwrap().to_str().unwrap();
        initrd.add(&format!("deb/{name}"), path, 0o755);
    };
    for program in PROGRAMS.map(|name| tree.join(name)) {
        copy(&program);
        let args = ["--library-path", &libraries, "--list", program.to_str().unwrap()];
        // `NAME => /PATH (ADDRESS)`.
        let listed = run(loader.to_str().unwrap(), &args);
        listed.split_whitespace().map(Path::new).filter(|path| path.starts_with(&tree)).for_each(&mut copy);
    }
    for link in ["lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{link}"), initrd.root().join("deb").join(link)).unwrap();
    }
    initrd.write("deb/etc/systemd/journald.conf", CONFIGURATION, 0o644);
    initrd.write("deb/etc/passwd", "root:x:0:0:root:/:/bin/sh\n", 0o644).write("deb/etc/group", "root:x:0:\n", 0o644);
    initrd.write("deb/etc/machine-id", MACHINE_ID, 0o644).write("etc/machine-id", MACHINE_ID, 0o644);
    initrd.write("bin/journalctl", "#!/bin/sh\nexec chroot /deb /usr/bin/journalctl \"$@\"\n", 0o755);
}
