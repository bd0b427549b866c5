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
cp /system sbin/init
printf 'the owner' >whose
chmod 755 sbin/init
cd /
umount /root
cryptsetup close root

# The same system on a logical volume in another one.
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid "$GROUP_UUID" /dev/vdc /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdc
"$HOST" luks seal /dev/vdc
"$HOST" luks open /dev/vdc group
dd if=/volume of=/dev/mapper/group bs=1M
cryptsetup close group
stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\nannounced\n' >/dev/ttyS1
