#!/bin/sh
# Reports what is published when there is a shell, or a prompt for a passphrase.
stty -F /dev/ttyS1 raw -echo
{
    printf '\nhere is the guest\n'
    echo "keys $(grep -c ' machine:luks: \| cryptsetup: ' /proc/keys)"
    echo "mounts $(grep -c /priv/factory /proc/mounts)"
    echo "files $(ls /priv/factory/secure 2>/dev/null)"
    echo "open $(ls /dev/mapper | grep -v control)"
    echo "pcr7 $(cat /sys/class/tpm/tpm0/pcr-sha256/7)"
    echo "log $(base64 -w 0 /run/log/systemd/tpm2-measure.log)"
    trust setup --on-lock-failure=exit
    echo "setup $?"
    echo announced
} >/dev/ttyS1
sync
echo o >/proc/sysrq-trigger
sleep 60
