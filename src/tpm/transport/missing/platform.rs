//! What this machine runs in: a container, a virtual machine, or nothing.

use super::Surroundings;

impl Surroundings<'_> {
    /// What kind of container this is, if it says so.
    pub(super) fn container(&self) -> Option<String> {
        let told = self.text("run/systemd/container");
        let is_plain = !told.is_empty() && told.len() < 32 && told.bytes().all(|byte| byte.is_ascii_graphic());
        match () {
            () if is_plain => Some(told),
            () if self.exists(".dockerenv") => Some("docker".into()),
            () if self.exists("run/.containerenv") => Some("podman".into()),
            () => None,
        }
    }

    /// What virtual machine this is, and how it gets a TPM.
    pub(super) fn virtual_machine(&self) -> Option<(&'static str, &'static str)> {
        const MACHINES: [(&str, &str, &str); 9] = [
            (
                "Amazon EC2",
                "EC2",
                "start it from an image with TPM support v2.0 (register-image --tpm-support v2.0 --boot-mode uefi)",
            ),
            ("Google", "Google Compute Engine", "make it a Shielded VM with a vTPM (--shielded-vtpm)"),
            (
                "Microsoft Corporation",
                "Hyper-V or Azure",
                "use generation 2 with a TPM (Azure: Trusted Launch; Hyper-V: Enable-VMTPM)",
            ),
            ("VMware", "VMware", "add a Trusted Platform Module to it, which requires EFI and encryption"),
            ("innotek", "VirtualBox", "set TPM version 2.0 in its settings (VirtualBox 7 and later)"),
            ("Xen", "Xen", "give it a vTPM"),
            ("Parallels", "Parallels", "add a TPM chip to it"),
            ("QEMU", "QEMU", QEMU),
            ("KVM", "KVM", QEMU),
        ];
        const QEMU: &str = "give it one by swtpm (libvirt: <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>); \
                            `trust launch` does";
        let flags = self.text("proc/cpuinfo");
        let is_virtual = flags
            .lines()
            .any(|line| line.starts_with("flags") && line.ends_with(" hypervisor") || line.contains(" hypervisor "))
            || self.exists("sys/hypervisor/type");
        let dmi =
            ["sys_vendor", "product_name", "board_vendor"].map(|name| self.text(&format!("sys/class/dmi/id/{name}")));
        let known = MACHINES.into_iter().find(|(name, ..)| dmi.iter().any(|text| text.contains(name)));
        match known {
            // Real machines have the same vendor.
            Some(("Microsoft Corporation" | "Google", ..)) if !is_virtual => None,
            Some((_, kind, remedy)) => Some((kind, remedy)),
            None if is_virtual => Some(("of an unknown kind", QEMU)),
            None => None,
        }
    }
}
