#!/bin/sh
# In the place of mmdebstrap, whose mirror is far away: a system that says that it is up. It has what is asked for in fstab.
set -eu
for output; do :; done
root=$(mktemp -d)
for name in bin sbin etc dev proc sys run tmp usr root; do mkdir "$root/$name"; done
for option; do
    case $option in --customize-hook=*) sh -c "${option#*=}" sh "$root" ;; esac
done
cp /mnt/busybox "$root/bin/busybox"
echo ID=test >"$root/etc/os-release"
cat >"$root/sbin/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo "it is up: $(/bin/busybox awk '$2 == "/" { print $1 }' /proc/mounts), $(/bin/busybox cat /etc/fstab)," \
    "$(/bin/busybox grep -c machine:luks /proc/keys) keys" >/dev/console
/bin/busybox poweroff -f
END
chmod 755 "$root/sbin/init"
tar -C "$root" -cf "$output" .
