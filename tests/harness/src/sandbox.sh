# Builds a root file system in which /dev, /run, /priv, /proc and /mnt are new and
# the rest is the real machine's, steps into it, and becomes the machine's own uid.
# Runs as PID 1 of new mount, PID and IPC namespaces. $1: the sandbox's directory.
set -eu
sandbox=$1
root=/mnt
table=$sandbox/fstab
# What is mounted, in this order, by as few processes as can be: each test boots many machines.
bind() { echo "${1// /\\040} $root/${2// /\\040} none rbind"; }
new() { echo "$1 $root/$1 tmpfs mode=$2"; }
mount -t tmpfs -o mode=0755 machine "$root"
cd /
directories=() links=()
for name in * .[!.]*; do
    case $name in dev|run|priv|proc|mnt|sandbox) continue ;; esac
    if [ -L "$name" ]; then links+=("$name")
    elif [ -d "$name" ]; then directories+=("$name"); bind "/$name" "$name"
    elif [ -f "$name" ]; then : >"$root/$name"; bind "/$name" "$name"
    fi
done >"$table"
(cd "$root" && mkdir "${directories[@]}" dev run priv proc mnt sandbox)
[ -z "${links[*]}" ] || cp -P "${links[@]}" "$root"
{
    bind "$sandbox/sandbox" sandbox
    echo "proc $root/proc proc"
    for name in dev run priv; do
        new "$name" 0755
    done
} >>"$table"
mount --all --fstab "$table"
mkdir -m 1777 "$root/run/lock"
mkdir "$root"/dev/{pts,shm}
for name in null zero full random urandom tty; do
    : >"$root/dev/$name"
    bind "/dev/$name" "dev/$name"
done >"$table"
for name in console kmsg; do
    : >"$root/dev/$name"
    bind "$sandbox/$name" "dev/$name"
done >>"$table"
bind /dev/pts dev/pts >>"$table"
new dev/shm 1777 >>"$table"
# Disks are what a script puts there.
new sys/class/block 0755 >>"$table"
mount --all --fstab "$table"
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
capabilities=$SANDBOX_CAPABILITIES uid=${SANDBOX_UID:-}
unset SANDBOX_CAPABILITIES SANDBOX_UID
if [ -n "$uid" ]; then
    chmod 0666 "$sandbox/console" "$sandbox/kmsg"
    exec chroot "$root" setpriv --reuid "$uid" --regid "$uid" --clear-groups \
        --inh-caps="$capabilities" --ambient-caps="$capabilities" bash /sandbox/script
fi
exec chroot "$root" bash /sandbox/script
