//! The options that matter, and why.

use When::{Bare, Given, On, Unless};

/// Options that an owner would hardly sign, for the same reason.
pub(super) struct Odd {
    /// Without `rd.`, and with `_` for `-`: kernel and systemd take both. One that ends with `*` is a prefix.
    pub(super) names: &'static [&'static str],
    pub(super) when: When,
    pub(super) why: &'static str,
    pub(super) instead: &'static str,
}

/// With which values.
pub(super) enum When {
    /// With any value, or without one.
    Given,
    /// Without a value, or with one that does not say no.
    On,
    /// Without a value.
    Bare,
    /// With any value but these; those that end with `*` are prefixes.
    Unless(&'static [&'static str]),
}

/// Options that should be there.
pub(super) struct Missing {
    /// As in [`Odd`].
    pub(super) name: &'static str,
    /// Whether only systemd knows it.
    pub(super) systemd: bool,
    pub(super) spelling: &'static str,
    pub(super) why: &'static str,
}

pub(super) const NO: [&str; 6] = ["0", "no", "n", "off", "false", "f"];
const LEAVE_IT_OUT: &str = "leave it out";
const NAME_IT: &str = "name the volume that trust opens, root=/dev/mapper/NAME";
const IN_THE_INITRD: &str = "configure it in the initrd or the system, where it can be seen";
const BUILD_IT_IN: &str = "build it into the initrd, or have it on the volume that trust opens";

pub(super) const ODD: [Odd; 18] = [
    Odd {
        names: &["root", "mount.usr"],
        when: Unless(&["/dev/mapper/*", "tmpfs", "/dev/ram*"]),
        why: "mounts any file system of that name on any disk",
        instead: NAME_IT,
    },
    Odd {
        names: &["systemd.mount_extra", "systemd.swap_extra"],
        when: Given,
        why: "mounts, or swaps to, anything of that name on any disk",
        instead: "name volumes in an fstab of the system",
    },
    Odd {
        names: &[
            "shell",
            "break",
            "systemd.debug_shell",
            "systemd.break",
            "systemd.crash_shell",
            "systemd.confirm_spawn",
            "cmdline",
        ],
        when: On,
        why: "gives a shell or a prompt to anyone at the machine",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["emergency", "rescue", "single", "s", "S", "1", "_b"],
        when: Bare,
        why: "gives a shell to anyone at the machine",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["init"],
        when: Unless(&["/sbin/init", "/usr/sbin/init", "/lib/systemd/systemd", "/usr/lib/systemd/systemd"]),
        why: "starts another program than the system's, which may be a shell",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["rdinit"],
        when: Unless(&[
            "/init",
            "/sbin/init",
            "/usr/bin/trust",
            "/usr/bin/trust-initrd",
            "/lib/systemd/systemd",
            "/usr/lib/systemd/systemd",
        ]),
        why: "starts another program than the initrd's, which may be a shell",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["kgdboc*", "kgdbdbgp", "kgdbwait", "kgdbcon", "ekgdboc", "sysrq_always_enabled"],
        when: Given,
        why: "gives control of the kernel to anyone at the machine",
        instead: LEAVE_IT_OUT,
    },
    Odd { names: &["systemd.ssh_listen"], when: Given, why: "opens another way to log in", instead: IN_THE_INITRD },
    Odd {
        names: &[
            "systemd.unit",
            "systemd.wants",
            "systemd.mask",
            "systemd.run",
            "systemd.run_success_action",
            "systemd.run_failure_action",
            "systemd.early_core_pattern",
            "systemd.factory_reset",
        ],
        when: Unless(&NO),
        why: "changes what runs, including the units that lock, withdraw and restart",
        instead: IN_THE_INITRD,
    },
    Odd {
        names: &["systemd.setenv", "systemd.set_credential", "systemd.set_credential_binary", "sysctl.*"],
        when: Given,
        why: "changes what programs do and which ones are started, and every process can read it",
        instead: IN_THE_INITRD,
    },
    Odd {
        names: &["systemd.random_seed"],
        when: Given,
        why: "reveals the seed of random numbers",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["resume", "resume_offset", "resumeflags", "resumewait", "hibernate"],
        when: Unless(&["no", "noresume", "nocompress", "protect_image"]),
        why: "puts an unsigned system, from an image on a disk, in the place of this one",
        instead: "leave it out, and write noresume",
    },
    Odd {
        names: &["luks", "luks.*", "cryptdevice", "cryptopts", "cryptkey"],
        when: On,
        why: "opens volumes with unverified headers, beside or instead of `trust luks open`",
        instead: "let that command open them",
    },
    Odd {
        names: &["auto", "dm_mod.create"],
        when: On,
        why: "assembles volumes as unsigned disks or names say",
        instead: "let `trust luks open` open them",
    },
    Odd {
        names: &["systemd.pull", "live.*", "netroot", "nfsroot", "iscsi*", "nbd*"],
        when: Unless(&NO),
        why: "takes an unsigned system, or parts of one",
        instead: BUILD_IT_IN,
    },
    Odd {
        names: &["initrd", "bootconfig", "acpi_rsdp", "dtb"],
        when: Given,
        why: "makes the kernel take unsigned files from beside the image",
        instead: BUILD_IT_IN,
    },
    Odd {
        names: &["systemd.import_credentials"],
        when: On,
        why: "takes unsigned credentials from the firmware's strings and from files beside the image",
        instead: "write systemd.import_credentials=no",
    },
    Odd {
        names: &["systemd.gpt_auto"],
        when: On,
        why: "opens and mounts what the partitions of a disk are marked as",
        instead: "write systemd.gpt_auto=0",
    },
];

pub(super) const MISSING: [Missing; 4] = [
    Missing {
        name: "console",
        systemd: false,
        spelling: "console=tty0 console=ttyS0 (arm64: ttyAMA0)",
        why: "a boot that fails shows nothing on a serial line",
    },
    Missing {
        name: "noresume",
        systemd: false,
        spelling: "noresume",
        why: "an unsigned system, from an image on a disk, may take the place of this one",
    },
    Missing {
        name: "systemd.import_credentials",
        systemd: true,
        spelling: "systemd.import_credentials=no",
        why: "systemd takes unsigned credentials from the firmware's strings and from files beside the image",
    },
    Missing {
        name: "systemd.gpt_auto",
        systemd: true,
        spelling: "systemd.gpt_auto=0",
        why: "systemd opens and mounts what the partitions of a disk are marked as",
    },
];
