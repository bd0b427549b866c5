# Builds a root file system in which /dev, /run, /priv, /proc and /mnt are new and
# the rest is the real machine's, steps into it, and becomes the machine's own uid.
# Runs as PID 1 of new mount, PID and IPC namespaces. $1: the cell's directory.
set -eu
cell=$1
root=/mnt
mount -t tmpfs -o mode=0755 machine "$root"
cd /
for name in * .[!.]*; do
    case $name in dev|run|priv|proc|mnt|cell) continue ;; esac
    if [ -L "$name" ]; then cp -P "$name" "$root/$name"
    elif [ -d "$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"
    elif [ -f "$name" ]; then : >"$root/$name"; mount --bind "/$name" "$root/$name"
    fi
done
mkdir "$root"/{dev,run,priv,proc,mnt,cell}
mount --bind "$cell/cell" "$root/cell"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 run "$root/run"
mkdir -m 1777 "$root/run/lock"
mount -t tmpfs -o mode=0755 priv "$root/priv"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root"/dev/{pts,shm}
mount --rbind /dev/pts "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
for name in console kmsg; do
    : >"$root/dev/$name"
    mount --bind "$cell/$name" "$root/dev/$name"
done
# Disks are what a script puts there.
mount -t tmpfs -o mode=0755 block "$root/sys/class/block"
capabilities=$CELL_CAPABILITIES uid=${CELL_UID:-}
unset CELL_CAPABILITIES CELL_UID
if [ -n "$uid" ]; then
    chmod 0666 "$cell/console" "$cell/kmsg"
    exec chroot "$root" setpriv --reuid "$uid" --regid "$uid" --clear-groups \
        --inh-caps="$capabilities" --ambient-caps="$capabilities" bash /cell/script
fi
exec chroot "$root" bash /cell/script
