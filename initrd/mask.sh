#!/bin/sh
# mask.sh ROOT KIND: masks everything in an initrd under construction that acts on unsigned input: variables of the firmware,
# and metadata of disks. /etc/trust/luks/*.conf of ROOT are the volumes that it opens.
#
# KIND is production, installer, maintenance or provisioning; or crypt, where other programs open the volumes.
set -eu
root=$1 kind=$2

# mask DIRECTORY NAME...: a link in the administrator's directory, which takes precedence over the distribution's.
mask() {
    directory=$root/etc/$1
    shift
    mkdir -p "$directory"
    for name; do
        ln -sf /dev/null "$directory/$name"
    done
}

# HibernateLocation, a variable of the firmware, names a disk whose memory image would replace this boot;
# FactoryResetRequest has disks erased and the TPM cleared; partitions are selected as root by their type; a socket of the
# virtual machine's host leads to a shell; credentials name images to be downloaded; requests for a boot that updates.
mask systemd/system-generators systemd-hibernate-resume-generator systemd-factory-reset-generator systemd-gpt-auto-generator \
    systemd-ssh-generator systemd-import-generator systemd-system-update-generator
mask systemd/system systemd-hibernate-resume.service systemd-hibernate-resume@.service \
    systemd-factory-reset-request.service systemd-factory-reset-reboot.service systemd-factory-reset-complete.service \
    systemd-tpm2-clear.service
# At a first boot, systemd 262 prompts for a further passphrase for the open volume.
mask systemd/system systemd-cryptenroll-firstboot.service
# Extensions beside the image.
mask systemd/system systemd-sysext.service systemd-sysext.socket systemd-confext.service \
    systemd-sysext-initrd.service systemd-confext-initrd.service \
    systemd-sysext-sysroot.service systemd-confext-sysroot.service

# Where other programs open volumes, they may consist of anything.
[ "$kind" != crypt ] || exit 0

# A disk that claims to be part of something is not assembled: volume groups, arrays, mirrors, paths, caches,
# pools. `trust-lvm.service` activates the volume groups on the volumes of this boot, and no others.
mask udev/rules.d 64-lvm.rules 69-lvm.rules 69-dm-lvm.rules 69-lvm-metad.rules 69-dm-lvm-metad.rules \
    61-dmraid-imsm.rules 64-md-raid.rules 64-md-raid-assembly.rules 65-md-incremental.rules 65-md-incremental-imsm.rules \
    11-dm-mpath.rules 40-multipath.rules 56-multipath.rules 60-multipath.rules 62-multipath.rules \
    60-kpartx.rules 61-stratisd.rules 69-bcache.rules 90-zfs.rules 90-image-dissect.rules
mask systemd/system multipathd.service multipathd.socket mdmonitor.service lvm2-monitor.service lvm2-lvmpolld.service \
    lvm2-lvmpolld.socket dm-event.service dm-event.socket stratisd.service

# Disks are not probed for file systems: Trust finds its volumes by itself, and the root is in one.
[ "$kind" != production ] || mask udev/rules.d 59-persistent-storage.rules 60-persistent-storage.rules 61-persistent-storage.rules

volumes=
for conf in "$root"/etc/trust/luks/*.conf; do
    [ -e "$conf" ] || continue
    name=${conf##*/}
    volumes="$volumes\"a|^/dev/mapper/${name%.conf}\$|\", "
done
mkdir -p "$root/etc/lvm"
printf 'devices {\n\tuse_devicesfile=0\n\tglobal_filter=[ %s"r|.*|" ]\n}\nactivation {\n\tauto_activation_volume_list=[]\n}\n' "$volumes" \
    >"$root/etc/lvm/lvmlocal.conf"
