#!/bin/sh
# Once the volume with the label trust-data is there, stores its certificate and key in the TPM.
. /lib/trust-lib.sh

if [ -e /dev/disk/by-label/trust-data ]; then
    mkdir -p /run/trust-data
    # shellcheck disable=SC2086 # these are options
    if mount -t vfat -o ro,nosuid,nodev,noexec,umask=077 /dev/disk/by-label/trust-data /run/trust-data \
        && trust provision $TRUST_SETUP -- /run/trust-data/cert.pem /run/trust-data/privkey.pem; then
        trust_power_off
    fi
    trust_fail "The TPM is not provisioned."
fi
