#!/bin/busybox sh
# Process 1 of a guest.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/null >/dev/console 2>&1
stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\n' >/dev/ttyS1
say() { echo "$*" >/dev/ttyS1; }
for module in /modules/*.ko; do
    insmod "$module" || echo "cannot load $module"
done
mount -t securityfs security /sys/kernel/security
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
( set -eu; . /script )
status=$?
if [ "$status" = 0 ]; then say announced; else echo "the script failed: $status"; fi
sync
poweroff -f
