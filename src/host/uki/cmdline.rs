//! What a command line lets others do. Signed with an image, it is all that keeps an initrd from asking whoever is there.

/// Beginnings of `root=` that whoever writes to a disk can give another file system.
const FOUND_ON_DISKS: [&str; 6] = ["UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/", "gpt-auto"];
/// Volumes that somebody opened on purpose.
const OPENED: &str = "/dev/mapper/";
/// Words that end in a shell, alone or with a value that does not say no.
const SHELLS: [&str; 7] =
    ["rd.shell", "rd.break", "systemd.debug_shell", "systemd.debug-shell", "rd.systemd.debug_shell", "single", "break"];
/// Programs that are one.
const SHELL_PROGRAMS: [&str; 4] = ["sh", "bash", "dash", "busybox"];
/// What forbids systemd to take credentials from the firmware's strings (SMBIOS) and from files beside the image.
const NO_CREDENTIALS: &str = "systemd.import_credentials=no";

/// What an owner would hardly want of an image that may read the secrets, a sentence each.
///
/// `systemd` says whether the initrd has it.
#[must_use]
pub fn doubts(cmdline: &str, systemd: bool) -> Vec<String> {
    let mut doubts = Vec::new();
    for word in cmdline.split_ascii_whitespace() {
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let program = value.and_then(|value| value.rsplit('/').next());
        if name == "root"
            && let Some(root) = value
            && !root.starts_with(OPENED)
            && FOUND_ON_DISKS.iter().any(|kind| root.starts_with(kind))
        {
            doubts.push(format!(
                "{word} mounts whatever file system of that name lies on a disk: name the volume that trust opens, root=/dev/mapper/NAME"
            ));
        } else if SHELLS.contains(&name) && !matches!(value, Some("0" | "no" | "off" | "false"))
            || matches!(name, "init" | "rdinit") && program.is_some_and(|program| SHELL_PROGRAMS.contains(&program))
        {
            doubts.push(format!("{word} gives a shell to whoever is there"));
        }
    }
    if systemd && !cmdline.split_ascii_whitespace().any(|word| word == NO_CREDENTIALS) {
        doubts.push(format!(
            "without {NO_CREDENTIALS} systemd takes unsigned credentials from the firmware's strings and from files beside the image"
        ));
    }
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_is_beyond_doubt() {
        let line = "root=/dev/mapper/root ro quiet rd.shell=0 rd.emergency=reboot systemd.import_credentials=no";
        assert_eq!(doubts(line, true), [""; 0]);
        assert_eq!(doubts("rdinit=/usr/bin/trust panic=30 -- setup --exec /init", false), [""; 0]);
        assert_eq!(doubts("root=/dev/vda2", false).len(), 1);
        assert_eq!(doubts("", false), [""; 0]);
    }

    #[test]
    fn each_doubt_is_told() {
        for line in [
            "root=LABEL=root",
            "root=UUID=4d8a7a3e-3c0b-4a3e-9d0e-1d3b4ce2ae10 ro",
            "root=/dev/sda2",
            "rd.shell",
            "rd.shell=1",
            "rd.break=pre-mount",
            "systemd.debug_shell",
            "init=/bin/sh",
            "rdinit=/bin/busybox",
        ] {
            let found = doubts(line, false);
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].contains(line.split(' ').next().unwrap()), "{found:?}");
        }
        assert_eq!(doubts("root=/dev/mapper/root", true).len(), 1);
    }
}
