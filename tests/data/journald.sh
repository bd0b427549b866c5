# A machine of namespaces in which the real systemd-journald runs and seals. Runs as PID 1 of new mount and PID namespaces.
# $1: a system's /usr; $2: a directory, seen as /out, whose `script` is run; it has the functions below. Libraries that the
# system lacks are in its `libraries`.
set -eu
root=/mnt
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
cd "$root"
mkdir usr dev proc run etc out tmp var var/log var/tmp run/systemd run/systemd/journal run/log sys sys/fs sys/fs/cgroup
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
mount --bind -o ro "$1" usr
mount --bind "$2" out
mount -t proc proc proc
# journald asks what the root of its clients' control groups is.
mount -t cgroup2 cgroup2 sys/fs/cgroup
for name in null zero full random urandom; do
    : >"dev/$name"
    mount --bind "/dev/$name" "dev/$name"
done
echo root:x:0:0:root:/:/bin/sh >etc/passwd
echo root:x:0: >etc/group
echo 0123456789abcdef0123456789abcdef >etc/machine-id
: >run/systemd/journal/flushed
cat >functions <<'END'
set -eu
export LC_ALL=C PATH=/usr/bin:/usr/sbin LD_LIBRARY_PATH=/out/libraries JOURNALS=/var/log/journal/0123456789abcdef0123456789abcdef
journald=
# A new, empty journal, sealed with a new key, which is in the file KEY: new KEY INTERVAL
new() {
    rm -rf /var/log/journal /run/systemd/journal/*seqnum
    mkdir -p "$JOURNALS" /etc/systemd
    printf '[Journal]\nStorage=persistent\nSeal=yes\nSplitMode=none\nRateLimitBurst=0\nSystemMaxFileSize=512K\nCompress=yes\n' \
        >/etc/systemd/journald.conf
    journalctl --setup-keys --interval="$2" >"$1" 2>/dev/null
}
# Starts journald, with variables: start [NAME=VALUE]...
start() {
    env SYSTEMD_LOG_TARGET=null "$@" /usr/lib/systemd/systemd-journald 2>/dev/null &
    journald=$!
    until [ -S /run/systemd/journal/socket ] && say waiting 2>/dev/null && has waiting; do sleep 0.1; done
}
# Ends it.
stop() { kill "$journald"; wait "$journald" || true; rm -f /run/systemd/journal/socket; }
# Whether there is an entry.
has() { journalctl --quiet --directory "$JOURNALS" --output cat "MESSAGE=$1" 2>/dev/null | grep -q .; }
# One entry, and a large one.
say() { printf 'MESSAGE=%s\nPRIORITY=6\nUNIT=some.service\n' "$1" | logger --journald; }
large() { { printf 'MESSAGE='; head -c 3000 /dev/zero | tr '\0' "$1"; echo; } | logger --journald; }
# Until there is an entry.
await() { until has "$1"; do sleep 0.1; done; }
# Until an interval of two seconds begins.
tick() { local now; now=$(($(date +%s) / 2)); while [ "$(($(date +%s) / 2))" = "$now" ]; do sleep 0.02; done; }
# Has journald put the file aside, and begin another.
rotate() {
    local before
    before=$(ls "$JOURNALS")
    kill -USR2 "$journald"
    while [ "$(ls "$JOURNALS")" = "$before" ]; do sleep 0.1; done
    sleep 0.3
}
# Keeps the files: keep DIRECTORY
keep() { mkdir -p "/out/$1"; cp --sparse=always "$JOURNALS"/*.journal* "/out/$1"; }
. /out/script
echo done >/out/announced
END
exec chroot "$root" bash /functions
