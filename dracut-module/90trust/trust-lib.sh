#!/bin/sh
# For hooks of dracut: what must happen before a prompt or a shell, and when a boot fails.

. /etc/trust/options

# Restarts, by whichever means is available.
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

# Withdraws everything, and locks the TPM, which a setup that was killed or never ran has not done; and once more, since one
# lock alone leaves PCR 7 as the running system has it, which may use what the TPM keeps for that.
trust_withdraw() {
    # shellcheck disable=SC2086 # these are options
    trust finish $TRUST_WITHDRAW && trust lock && trust lock || trust_reboot
}

# Before a shell the volumes are closed: by spoiling a few blocks of the disk, an attacker can bring a boot here with them open.
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

# The end of a boot that has failed.
trust_fail() {
    trust_withdraw
    [ "$TRUST_SHELL" = yes ] || trust_reboot
    trust_close
    emergency_shell -n trust "$1"
}
