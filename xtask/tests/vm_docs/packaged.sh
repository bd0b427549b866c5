# In a clean Debian, as root of it: a kernel, and an ordinary user who may use sudo and has the two packages at home. Then what
# is to be typed.
set -eu
exec 2>&1
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
release=$(cat /mnt/release)
cp /mnt/vmlinuz "/boot/vmlinuz-$release"
mkdir -p "/usr/lib/modules/$release"
mount --bind /mnt/modules "/usr/lib/modules/$release"
depmod "$release"
cp /mnt/bin/* /usr/local/bin/
useradd --create-home --shell /bin/bash me
echo 'me ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/me
echo "127.0.0.1 localhost $(cat /proc/sys/kernel/hostname)" >/etc/hosts
# A person answers its question.
echo 'APT::Get::Assume-Yes "yes";' >/etc/apt/apt.conf.d/yes
if [ -e /dev/kvm ]; then
    group=$(stat --format=%g /dev/kvm)
    getent group "$group" >/dev/null || groupadd --gid "$group" of-kvm
    usermod --append --groups "$group" me
fi
cp /mnt/packages/*.deb /home/me
# Of what is typed nothing has a limit of its own.
exec timeout 3000 su --login me --command 'bash /mnt/typed'
