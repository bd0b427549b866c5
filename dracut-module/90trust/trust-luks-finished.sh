#!/bin/sh
# Whether all volumes are there.
for trust_volume in /etc/trust/luks/*.conf; do
    [ -e "$trust_volume" ] || break
    trust_volume=${trust_volume##*/}
    [ -b "/dev/mapper/${trust_volume%.conf}" ] || return 1
done
true
