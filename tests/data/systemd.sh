# A machine of namespaces whose first process is the real systemd. $1 is its directory, seen as /sandbox:
# `units` has its units, among them test.target; what it prints is in `console`.
set -e
mount --make-rprivate /
# systemd makes credentials in a mount namespace of their own, from which they come back.
mount --make-rshared /
mount -t tmpfs tmpfs /run
mkdir /run/units /run/lock /run/sandbox
mount --bind "$1" /run/sandbox
cp --recursive "$1"/units/. /run/units
mkdir /run/tpm; mount --bind "$3" /run/tpm
mount -t proc proc /proc
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /usr/local/bin
cp "$2" /usr/local/bin/trust
touch /dev/console
mount --bind "$1/console" /dev/console
exec env -i SYSTEMD_UNIT_PATH=/run/units container=sandbox SYSTEMD_LOG_TARGET=console /usr/lib/systemd/systemd --system \
    --unit=test.target --show-status=no --crash-reboot=no
