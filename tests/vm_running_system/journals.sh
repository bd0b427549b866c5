# The newest journald and journalctl, in a root directory of their own, with the journal on the second disk.
machine=0123456789abcdef0123456789abcdef
journals=/var/log/journal/$machine
deb() { chroot /deb /usr/bin/env LC_ALL=C "$@"; }
journal_begins() {
    mkdir -p /var/log /run/systemd/journal /sys/fs/cgroup
    mount -t ext4 /dev/vdb /var/log
    mkdir -p "$journals"
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    for name in dev proc sys run var; do
        mkdir -p /deb/$name
        mount -o rbind /$name /deb/$name
    done
    : >/run/systemd/journal/flushed
}
journald_begins() {
    SYSTEMD_LOG_TARGET=null chroot /deb /usr/lib/systemd/systemd-journald &
    journald=$!
    until [ -S /run/systemd/journal/socket ] && logged waiting; do sleep 0.2; done
}
journald_ends() { kill $journald; wait $journald || true; rm -f /run/systemd/journal/socket; }
# What is asked of journalctl goes to the one of that system, as `trust fss setup` asks it.
has() { journalctl --quiet --directory "$journals" --output cat "MESSAGE=$1" 2>/dev/null | grep -q .; }
# An entry, once it is there.
logged() {
    deb systemd-cat --identifier=test echo "$1"
    for n in 1 2 3 4 5 6 7 8 9 10; do
        has "$1" && return
        sleep 0.2
    done
    return 1
}
# Puts the file aside, and begins another.
rotate() {
    before=$(ls "$journals")
    kill -USR2 $journald
    while [ "$(ls "$journals")" = "$before" ]; do sleep 0.2; done
    sleep 1
}
