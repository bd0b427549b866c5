//! Unified kernel images, as systemd's ukify makes them.

use crate::assets::{self, Kernel};
use std::{path::Path, process::Command};

/// Makes an unsigned image of the kernel, an initrd and a command line, on systemd's stub.
pub fn ukify(initrd: &Path, cmdline: &str, output: &Path) {
    let kernel = Kernel::new();
    let mut command = assets::program("ukify");
    command.args(["build", "--cmdline", cmdline, "--os-release", "ID=test\n", "--uname", &kernel.release]);
    command.arg("--linux").arg(&kernel.image).arg("--initrd").arg(initrd).arg("--output").arg(output);
    command.arg("--stub").arg(assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"));
    run(command);
}

/// Makes an unsigned addon (systemd-stub(7)), which brings more of a command line to an image beside it.
pub fn addon(cmdline: &str, output: &Path) {
    let mut command = assets::program("ukify");
    command.args(["build", "--cmdline", cmdline]).arg("--output").arg(output);
    command.arg("--stub").arg(assets::path("usr/lib/systemd/boot/efi/addonx64.efi.stub"));
    run(command);
}

fn run(mut command: Command) {
    let output = command.output().expect("ukify runs");
    assert!(output.status.success(), "ukify: {}", String::from_utf8_lossy(&output.stderr));
}
