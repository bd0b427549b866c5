use super::*;

/// The doubts about a line that ends as it should.
fn doubts(line: &str, systemd: bool) -> Vec<String> {
    let separator = if line.contains("-- ") { "" } else { "-- init" };
    super::doubts(&format!("{FIRST} {line} {separator} {END}"), systemd)
}

#[test]
fn the_documented_command_line_raises_no_doubt() {
    for line in [
        "console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30 noresume systemd.import_credentials=no \
         systemd.gpt_auto=0",
        "console=ttyAMA0 panic=30 noresume systemd.import_credentials=no systemd.gpt_auto=0",
        "root=/dev/mapper/root ro quiet rd.shell=0 rd.emergency=reboot noresume rd.luks=0 luks.crypttab=no \
         rd.systemd.gpt_auto=no systemd.import-credentials=false console=ttyS0 init=/sbin/init rd.timeout=600",
        // What mkosi is configured with.
        "console=tty0 console=ttyS0 root=/dev/mapper/root systemd.gpt_auto=0 noresume systemd.import_credentials=no \
         panic=30 systemd.crash_shell=no systemd.crash_action=reboot systemd.debug_shell=no",
    ] {
        assert_eq!(doubts(line, true), [""; 0], "{line}");
    }
    assert_eq!(doubts("console=ttyS0 panic=30 noresume -- setup --exec /init", false), [""; 0]);
}

#[test]
fn every_doubtful_parameter_is_reported() {
    for line in [
        "root=LABEL=root",
        "root=UUID=4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10 ro",
        "root=/dev/sda2",
        "root=/dev/vg/root",
        "root=dissect",
        "root=live:CDLABEL=x",
        "mount.usr=PARTLABEL=usr",
        "systemd.mount-extra=LABEL=x:/x",
        "rd.shell",
        "rd.shell=1",
        "rd.break=pre-mount",
        "rd.cmdline=ask",
        "systemd.debug_shell",
        "systemd.debug-shell=yes",
        "rd.systemd.debug_shell=true",
        "rd.systemd.debug-shell=on",
        "systemd.debug_shell=ttyS0",
        "\"systemd.debug_shell\"",
        "rd.systemd.break=pre-mount",
        "systemd.crash_shell",
        "systemd.confirm_spawn=/dev/console",
        "emergency",
        "rd.rescue",
        "single",
        "s",
        "1",
        "-b",
        "init=/bin/sh",
        "init=/other/init",
        "rdinit=/bin/busybox",
        "kgdboc=ttyS0",
        "systemd.ssh_listen=vsock::22",
        "systemd.unit=rescue.target",
        "rd.systemd.unit=emergency.target",
        "systemd.wants=debug-shell.service",
        "rd.systemd.wants=x.service",
        "systemd.mask=trust-finish.service",
        "systemd.run=/bin/sh",
        "systemd.setenv=LD_PRELOAD=/x",
        "systemd.set_credential=a:b",
        "systemd.set-credential-binary=a:Yg==",
        "sysctl.kernel.core_pattern=|/x",
        "systemd.random_seed=AAAA",
        "resume=/dev/sda3",
        "resume_offset=3",
        "rd.luks.name=4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10=root",
        "luks.uuid=4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10",
        "rd.luks=1",
        "cryptdevice=/dev/sda2:root",
        "rd.auto",
        "rd.systemd.pull=raw,machine,verify=no,blockdev:root:https://x/y.raw",
        "rd.live.image",
        "nfsroot=10.0.0.1:/",
        "initrd=\\initrd.img",
        "bootconfig",
        "panic=30 -- systemd.debug_shell",
    ] {
        let found = doubts(&format!("console=ttyS0 noresume {line}"), false);
        let word = line.replace('"', "");
        let word = if word.contains("-- ") { word.rsplit(' ').next() } else { word.split(' ').next() };
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].starts_with(word.unwrap()) && found[0].contains(": "), "{found:?}");
    }
}

#[test]
fn a_line_that_can_be_appended_to_is_reported() {
    for line in ["noresume", "noresume rdinit=/usr/bin/trust -- init", "noresume -- init --end"] {
        let found = super::doubts(&format!("console=ttyS0 {line}"), false);
        assert!(found.len() == 1 && found[0].contains("are appended to it"), "{line}: {found:?}");
    }
}

#[test]
fn missing_parameters_are_reported() {
    let says = |line: &str, systemd: bool| doubts(line, systemd);
    assert_eq!(says("root=/dev/mapper/root", true).len(), 4);
    assert_eq!(says("", false).len(), 2);
    assert!(says("console=ttyS0 -- noresume", false)[0].starts_with("without noresume "));
    assert!(says("noresume -- console=ttyS0", false)[0].starts_with("without console=tty0 console=ttyS0 "));
    // One that says otherwise is not called missing as well.
    let usual = "console=ttyS0 noresume systemd.gpt_auto=0 systemd.import_credentials=no";
    for more in ["systemd.import_credentials=yes", "rd.systemd.import-credentials", "systemd.gpt_auto=1"] {
        let found = says(&format!("{usual} {more}"), true);
        assert!(found.len() == 1 && found[0].starts_with(more), "{found:?}");
    }
}
