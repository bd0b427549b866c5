# A volume that takes the new passphrase, a seal on its header, and a system on it that says how it was started.
export PATH=/usr/bin:/bin:/usr/sbin:/sbin
keyctl pipe "$(keyctl search @u user machine:luks)" >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid "$UUID" /dev/vdb /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdb
"$HOST" luks seal /dev/vdb
"$HOST" luks open /dev/vdb root
mkfs.ext4 -q -L root /dev/mapper/root
mount /dev/mapper/root /root
cd /root
mkdir bin sbin etc dev proc sys run tmp usr root
cp /bin/busybox bin/busybox
ln -s busybox bin/sh
echo ID=test >etc/os-release
cat >sbin/init <<'END'
#!/bin/sh
/bin/busybox --install -s /run 2>/dev/null
PATH=/run
stty -F /dev/ttyS1 raw -echo
{
    printf '\nhere is the guest\n'
    echo "root $(awk '$2 == "/" && $1 != "rootfs" { print $1 }' /proc/mounts)"
    echo "keys $(grep -c ' machine:luks: \| cryptsetup: ' /proc/keys)"
    echo "mounts $(grep -c /priv/factory /proc/mounts)"
    echo "files $(ls /priv/factory/secure 2>/dev/null)"
    echo "pcr7 $(cat /sys/class/tpm/tpm0/pcr-sha256/7)"
    echo "log $(base64 -w 0 /run/log/systemd/tpm2-measure.log)"
    echo announced
} >/dev/ttyS1
poweroff -f
END
chmod 755 sbin/init
cd /
umount /root
cryptsetup close root
stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\nannounced\n' >/dev/ttyS1
