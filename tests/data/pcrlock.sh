# A root of namespaces in which the real systemd-pcrlock runs, and reaches a TPM over the network of the host's loopback.
# $1: a system's /usr; $2: a directory, seen as /out, whose `script` is run; it has the function below.
set -eu
root=/mnt
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
cd "$root"
mkdir usr dev proc run etc out tmp var
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
mount --bind -o ro "$1" usr
mount --bind "$2" out
mount -t proc proc proc
for name in null zero full random urandom; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
echo root:x:0:0:root:/:/bin/sh >etc/passwd
echo 0123456789abcdef0123456789abcdef >etc/machine-id
cat >functions <<'END'
set -eu
export LC_ALL=C PATH=/usr/bin:/usr/sbin SYSTEMD_LOG_LEVEL=err SYSTEMD_PAGER=
export SYSTEMD_MEASURE_LOG_FIRMWARE=/out/firmware SYSTEMD_MEASURE_LOG_USERSPACE=/out/records
# With the components of /out/components alone.
pcrlock() { /usr/lib/systemd/systemd-pcrlock --components=/out/components --location=950- "$@"; }
END
exec chroot . /usr/bin/env -i SYSTEMD_TPM2_DEVICE="$3" sh -c '. /functions; . /out/script; : >/out/announced'
