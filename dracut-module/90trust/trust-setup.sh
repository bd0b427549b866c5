#!/bin/sh
# Before udev probes disks and networks: reads the secrets from the TPM, and locks it.
. /lib/trust-lib.sh

# The firmware's event log, which explains a refusal.
mount -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security 2> /dev/null
# The TPM's driver may be a module. These are the buses of TPMs, without disks and networks.
udevadm trigger --action=add --subsystem-match=acpi --subsystem-match=pnp --subsystem-match=platform \
    --subsystem-match=spi --subsystem-match=i2c --subsystem-match=amba --subsystem-match=vio

/usr/lib/trust/cmdline.sh || trust_fail "The command line lets others take part."
# The directory of the log of the lock, for a system that measures more.
mkdir -p /run/log/systemd

trust_command=setup
[ "$TRUST_IMAGE" = installer ] && trust_command=preinit
# shellcheck disable=SC2086 # these are options
if ! trust $trust_command $TRUST_SETUP; then
    # A user may know a passphrase.
    [ "$TRUST_PROMPT" = yes ] || trust_fail "The TPM gives this boot no secrets."
fi
unset trust_command
