# Runs dracut, or whatever /mnt/build does, in a system of its own: a tree of packages below, and what is written above it, in memory.
# $1: the tree; $2: the kernel's modules; $3: its release; $4: a directory that is /mnt there; then arguments.
set -eu
tree=$1 modules=$2 release=$3 shared=$4
shift 4
mount -t tmpfs tmpfs "$shared/system"
mkdir "$shared/system/upper" "$shared/system/work" "$shared/system/root"
root=$shared/system/root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$shared/system/upper,workdir=$shared/system/work" "$root"
mkdir -p "$root/usr/lib/modules" "$root/mnt"
cp -r "$modules" "$root/usr/lib/modules/$release"
for name in dev proc sys; do
    mount --rbind "/$name" "$root/$name"
done
mount --bind "$shared" "$root/mnt"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C /bin/bash -eu /mnt/build "$release" "$@"
