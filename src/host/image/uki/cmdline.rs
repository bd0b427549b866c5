//! What a command line lets others do. Signed with an image, it is all that keeps an initrd from asking whoever is there.

/// Options that an owner would hardly sign, for one reason.
struct Odd {
    /// Without `rd.`, and with `_` for `-`: kernel and systemd take both. One that ends with `*` is a beginning.
    names: &'static [&'static str],
    when: When,
    why: &'static str,
    instead: &'static str,
}

/// With which values.
enum When {
    /// With any, or without.
    Given,
    /// With none, or one that does not say no.
    On,
    /// Without a value.
    Bare,
    /// With any but these; those that end with `*` are beginnings.
    Unless(&'static [&'static str]),
}
use When::{Bare, Given, On, Unless};

/// Options that should be there.
struct Missing {
    /// As in [`Odd`].
    name: &'static str,
    /// Whether it is for systemd alone.
    systemd: bool,
    spelling: &'static str,
    why: &'static str,
}

const NO: [&str; 6] = ["0", "no", "n", "off", "false", "f"];
const LEAVE_IT_OUT: &str = "leave it out";
const NAME_IT: &str = "name the volume that trust opens, root=/dev/mapper/NAME";
const IN_THE_INITRD: &str = "say so in the initrd or the system, where it can be read what runs";
const BUILD_IT_IN: &str = "build it into the initrd, or have it on the volume that trust opens";

const ODD: [Odd; 18] = [
    Odd {
        names: &["root", "mount.usr"],
        when: Unless(&["/dev/mapper/*", "tmpfs", "/dev/ram*"]),
        why: "mounts whatever file system of that name lies on a disk",
        instead: NAME_IT,
    },
    Odd {
        names: &["systemd.mount_extra", "systemd.swap_extra"],
        when: Given,
        why: "mounts or swaps to what lies on a disk under that name",
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
        why: "gives a shell or a prompt to anybody at the machine",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["emergency", "rescue", "single", "s", "S", "1", "_b"],
        when: Bare,
        why: "gives a shell to anybody at the machine",
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
        why: "gives the kernel itself into the hands of anybody at the machine",
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
        why: "changes what runs, those units among it that lock, withdraw and restart",
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
        why: "lets everybody know what random numbers begin with",
        instead: LEAVE_IT_OUT,
    },
    Odd {
        names: &["resume", "resume_offset", "resumeflags", "resumewait", "hibernate"],
        when: Unless(&["no", "noresume", "nocompress", "protect_image"]),
        why: "puts a system that nobody signed, out of an image on a disk, in the place of this one",
        instead: "leave it out, and write noresume",
    },
    Odd {
        names: &["luks", "luks.*", "cryptdevice", "cryptopts", "cryptkey"],
        when: On,
        why: "opens volumes whose headers nobody has verified, beside or instead of `trust luks open`",
        instead: "let that open them",
    },
    Odd {
        names: &["auto", "dm_mod.create"],
        when: On,
        why: "puts volumes together as disks or names say, which nobody has signed",
        instead: "let `trust luks open` open them",
    },
    Odd {
        names: &["systemd.pull", "live.*", "netroot", "nfsroot", "iscsi*", "nbd*"],
        when: Unless(&NO),
        why: "takes a system, or parts of one, that nobody has signed",
        instead: BUILD_IT_IN,
    },
    Odd {
        names: &["initrd", "bootconfig", "acpi_rsdp", "dtb"],
        when: Given,
        why: "has the kernel take what lies beside the image and is not signed with it",
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

const MISSING: [Missing; 4] = [
    Missing {
        name: "console",
        systemd: false,
        spelling: "console=tty0 console=ttyS0 (arm64: ttyAMA0)",
        why: "nothing of a boot that fails is seen at a serial line",
    },
    Missing {
        name: "noresume",
        systemd: false,
        spelling: "noresume",
        why: "a system that nobody signed, out of an image on a disk, may take the place of this one",
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

/// Behind which the first process, Trust, takes nothing: systemd's stub appends what strings of the firmware say.
const END: &str = "--end";
/// That it is the first process.
const FIRST: &str = "rdinit=/usr/bin/trust";

/// What is said of an image that may read nothing, too: whoever looks for a fault in it sees nothing.
#[must_use]
pub fn is_mute(cmdline: &str) -> Option<String> {
    doubts(cmdline, false).into_iter().find(|doubt| doubt.starts_with("without console="))
}

/// What an owner would hardly want of an image that may read the secrets, a sentence each.
///
/// `systemd` says whether the initrd has it.
#[must_use]
pub fn doubts(cmdline: &str, systemd: bool) -> Vec<String> {
    // Quotation marks, which kernel and systemd know, hide nothing.
    let plain = cmdline.replace(['"', '\''], "");
    let words: Vec<&str> = plain.split_ascii_whitespace().collect();
    // `init` alone is what Trust is to do as the first process.
    let odd = words.iter().filter(|word| **word != "init").filter_map(|word| {
        let (name, value) = parts(word);
        let odd = ODD.iter().find(|odd| odd.names.iter().any(|known| is(known, &name)) && odd.when.holds(value))?;
        Some(format!("{word} {}: {}", odd.why, odd.instead))
    });
    // What comes behind `--` is for the first program.
    let options: Vec<_> = words.iter().take_while(|word| **word != "--").map(|word| parts(word).0).collect();
    // Where it is there and says otherwise, it has been called odd.
    let missing = MISSING.iter().filter(|missing| systemd || !missing.systemd);
    let missing = missing.filter(|missing| !options.iter().any(|name| name == missing.name));
    let missing = missing.map(|missing| format!("without {} {}: write it", missing.spelling, missing.why));
    let open = words.last() != Some(&END) || !words.contains(&FIRST);
    let open = open.then(|| {
        format!("without {FIRST} -- init {END} at its end strings of the firmware are appended to it: write it there")
    });
    odd.chain(missing).chain(open).collect()
}

/// Name and value of an option, the name as in [`Odd`].
fn parts(word: &str) -> (String, Option<&str>) {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let name = name.replace('-', "_");
    (name.strip_prefix("rd.").map(str::to_owned).unwrap_or(name), value)
}

/// Whether it is what is known: that word, or one that begins so.
fn is(known: &str, word: &str) -> bool {
    known.strip_suffix('*').map_or(known == word, |beginning| word.starts_with(beginning))
}

impl When {
    fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Given => true,
            Bare => value.is_none(),
            On => !value.is_some_and(|value| NO.contains(&value)),
            Unless(fine) => !value.is_some_and(|value| fine.iter().any(|fine| is(fine, value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of a line that ends as it should.
    fn doubts(line: &str, systemd: bool) -> Vec<String> {
        let separator = if line.contains("-- ") { "" } else { "-- init" };
        super::doubts(&format!("{FIRST} {line} {separator} {END}"), systemd)
    }

    #[test]
    fn an_appliance_is_beyond_doubt() {
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
    fn each_doubt_is_told() {
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
    fn a_line_that_can_be_appended_to_is_told() {
        for line in ["noresume", "noresume rdinit=/usr/bin/trust -- init", "noresume -- init --end"] {
            let found = super::doubts(&format!("console=ttyS0 {line}"), false);
            assert!(found.len() == 1 && found[0].contains("are appended to it"), "{line}: {found:?}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let says = |line: &str, systemd: bool| doubts(line, systemd);
        assert_eq!(says("root=/dev/mapper/root", true).len(), 4);
        assert_eq!(says("", false).len(), 2);
        assert!(says("console=ttyS0 -- noresume", false)[0].starts_with("without noresume "));
        assert!(says("noresume -- console=ttyS0", false)[0].starts_with("without console=tty0 console=ttyS0 "));
        // One that says otherwise is not missing besides.
        let usual = "console=ttyS0 noresume systemd.gpt_auto=0 systemd.import_credentials=no";
        for more in ["systemd.import_credentials=yes", "rd.systemd.import-credentials", "systemd.gpt_auto=1"] {
            let found = says(&format!("{usual} {more}"), true);
            assert!(found.len() == 1 && found[0].starts_with(more), "{found:?}");
        }
    }
}
