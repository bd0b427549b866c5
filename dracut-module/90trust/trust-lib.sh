#!/bin/sh
# For hooks of dracut: what is to be done before anybody is asked anything, and when nothing comes of a boot.

. /etc/trust/options

# For good, whatever of it is there.
trust_reboot() {
    echo "trust: restarting in ${TRUST_PAUSE:-30} seconds" > /dev/console
    sleep "${TRUST_PAUSE:-30}"
    reboot -f -f
    echo b > /proc/sysrq-trigger
    while :; do sleep 60; done
}

# The end of an image that starts no system.
trust_power_off() {
    sync
    poweroff -f -f
    echo o > /proc/sysrq-trigger
    while :; do sleep 60; done
}

# Nothing stays published, and the TPM is locked, which a setup that was killed or never ran has not done.
trust_withdraw() {
    # shellcheck disable=SC2086 # these are options
    trust finish $TRUST_WITHDRAW && trust lock || trust_reboot
}

# Before a shell nothing stays open: who spoils a few blocks of the disk can bring a boot here when its volumes are.
trust_close() {
    umount -R "${NEWROOT:-/sysroot}" 2> /dev/null
    ! command -v lvm > /dev/null || lvm vgchange --sysinit --activate n
    for trust_dm in /sys/block/dm-*/dm; do
        [ -e "$trust_dm" ] || break
        read -r trust_uuid < "$trust_dm/uuid"
        read -r trust_name < "$trust_dm/name"
        case $trust_uuid in CRYPT-*) cryptsetup close "$trust_name" || trust_reboot ;; esac
    done
}

# A boot that came to nothing.
trust_fail() {
    trust_withdraw
    [ "$TRUST_SHELL" = yes ] || trust_reboot
    trust_close
    emergency_shell -n trust "$1"
}
