#!/bin/sh
# Once the volume with the label trust-data is there, stores its certificate and key in the TPM.
. /lib/trust-lib.sh

if [ -e /dev/disk/by-label/trust-data ]; then
    # shellcheck disable=SC2086 # these are options
    /usr/lib/trust/provision.sh $TRUST_SETUP > /dev/console || trust_fail "The TPM is not provisioned."
    trust_power_off
fi
