# What a Debian has with the packages that docs/images.md names, and a user: an ordinary user at
# home in /mnt/home. Then each command of /mnt/commands, as that user or, behind sudo, as root.
release=$1
ldconfig
depmod "$release"
cp /mnt/vmlinuz "/boot/vmlinuz-$release"
install -D /mnt/stub /usr/lib/systemd/boot/efi/linuxx64.efi.stub
chmod 1777 /tmp /var/tmp
as_user=
if chown -R 1000:1000 /mnt/home 2>/dev/null; then as_user='setpriv --reuid=1000 --regid=1000 --clear-groups'; fi
export HOME=/mnt/home PATH=/mnt/bin:/mnt/home/.local/bin:/usr/sbin:/usr/bin KERNEL="$release"
cd /mnt/home/work
for command in /mnt/commands/*; do
    # What is typed, so that it is seen where it ended.
    sed 's/^/+ /' "$command"
    case $(cat "$command") in
        sudo\ *) bash -euc 'sudo() { "$@"; }; . "$0"' "$command" ;;
        *) $as_user bash -eu "$command" ;;
    esac
done
chmod -R a+rX /mnt/home/work
