#!/bin/sh
# The volumes whose headers are sealed, one after the other.
. /lib/trust-lib.sh

for trust_volume in /etc/trust/luks/*.conf; do
    [ -e "$trust_volume" ] || break
    trust_name=${trust_volume##*/}
    trust_name=${trust_name%.conf}
    [ -b "/dev/mapper/$trust_name" ] && continue
    mkdir -p -m 0700 /run/cryptsetup
    WAIT=60
    # shellcheck disable=SC1090
    . "$trust_volume"
    # shellcheck disable=SC2086 # these are options
    trust luks open --wait "$WAIT" "$DEVICE" "$trust_name" -- $OPTIONS || trust_fail "The volume $trust_name is not opened."
done
unset trust_volume trust_name DEVICE OPTIONS WAIT
