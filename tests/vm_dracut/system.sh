#!/bin/sh
/bin/busybox --install -s /run 2>/dev/null
PATH=/run
stty -F /dev/ttyS1 raw -echo
{
    printf '\nhere is the guest\n'
    echo "whose $(cat /whose)"
    echo "root $(awk '$2 == "/" && $1 != "rootfs" { print $1 }' /proc/mounts)"
    echo "keys $(grep -c ' machine:luks: \| cryptsetup: ' /proc/keys)"
    echo "mounts $(grep -c /priv/factory /proc/mounts)"
    echo "files $(ls /priv/factory/secure 2>/dev/null)"
    echo "pcr7 $(cat /sys/class/tpm/tpm0/pcr-sha256/7)"
    echo "log $(base64 -w 0 /run/log/systemd/tpm2-measure.log)"
    echo announced
} >/dev/ttyS1
poweroff -f
