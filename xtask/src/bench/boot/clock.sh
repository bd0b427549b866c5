# Says what three clocks show in one moment: the host's, by when it hears the mark, the kernel's log and the uptime, which
# is read when it changes, since it has hundredths of a second. Then when the kernel was done, and how many processes
# there have been.
while read -r name value; do
    [ "$name" != processes ] || echo "processes $value"
done </proc/stat
read -r before rest </proc/uptime
while read -r uptime rest </proc/uptime && [ "$uptime" = "$before" ]; do :; done
echo "bench: now" >/dev/kmsg
echo "mark now"
echo "uptime $uptime"
dmesg | while read -r line; do
    case $line in
        *' as init process' | *' bench: now') echo "kernel $line" ;;
    esac
done
