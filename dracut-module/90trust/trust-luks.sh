#!/bin/sh
# The volumes whose headers are sealed, one after the other, and then the volume groups on them.
. /lib/trust-lib.sh

trust_devices=''
for trust_volume in /etc/trust/luks/*.conf; do
    [ -e "$trust_volume" ] || break
    trust_name=${trust_volume##*/}
    trust_name=${trust_name%.conf}
    trust_devices="$trust_devices --devices /dev/mapper/$trust_name"
    # A marker of ours: a name in /dev/mapper proves nothing.
    [ -e "/run/trust-opened/$trust_name" ] && continue
    mkdir -p -m 0700 /run/cryptsetup /run/trust-opened
    WAIT=60 OPEN_OPTIONS=''
    # shellcheck disable=SC1090
    . "$trust_volume"
    # shellcheck disable=SC2086 # these are options
    trust luks open --wait "$WAIT" $OPEN_OPTIONS "$DEVICE" "$trust_name" -- $OPTIONS \
        && trust luks check "/dev/mapper/$trust_name" || trust_fail "The volume $trust_name is not opened."
    : > "/run/trust-opened/$trust_name"
done
if [ -n "$trust_devices" ] && ! [ -e /run/trust-opened/.lvm ] && command -v lvm > /dev/null; then
    # shellcheck disable=SC2086 # these are options
    lvm vgchange --sysinit --activate y $trust_devices || trust_fail "The volume groups are not activated."
    : > /run/trust-opened/.lvm
fi
unset trust_volume trust_name trust_devices DEVICE OPTIONS OPEN_OPTIONS WAIT
