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

# Nothing stays published, and the TPM is locked, which a setup that was killed or never ran has not done.
trust_withdraw() {
    # shellcheck disable=SC2086 # these are options
    trust finish $TRUST_WITHDRAW && trust lock || trust_reboot
}

# A boot that came to nothing.
trust_fail() {
    trust_withdraw
    [ "$TRUST_SHELL" = yes ] || trust_reboot
    emergency_shell -n trust "$1"
}
