# In a clean Debian, as root of it: /mnt has two versions of the packages, and what an image is made of.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
say() { printf '%s\n' "$*"; }

# Every file but what dpkg, apt and man-db keep for themselves; and what is in those that another package has, too.
tree() {
    find / -xdev \( -path /proc -o -path /dev -o -path /tmp -o -path /run -o -path /mnt -o -path /var/cache \
        -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/log -o -path /root \) -prune -o -printf '%M %u %p %l\n' | sort
    sha256sum /usr/bin/trust /usr/share/man/man1/trust.1.gz
}
apt_install() { apt-get install --quiet --yes --no-install-recommends "$@" </dev/null; }

# What the package systemd-boot-efi has, which they recommend.
install -D --mode=644 /mnt/stub /usr/lib/systemd/boot/efi/linuxx64.efi.stub
tree >/tmp/before
apt_install /mnt/old/trust_*.deb /mnt/old/trust-initrd_*.deb
test -e /usr/share/trust/only-in-the-old-one
# What is enabled, as systemctl does it, stays so.
mkdir -p /etc/systemd/system/sockets.target.wants
ln -s /lib/systemd/system/trust-derive.socket /etc/systemd/system/sockets.target.wants/
apt_install /mnt/new/trust_*.deb /mnt/new/trust-initrd_*.deb
test ! -e /usr/share/trust/only-in-the-old-one
test -L /etc/systemd/system/sockets.target.wants/trust-derive.socket
say installed "$(dpkg-query --show trust)" "$(dpkg --audit)"

say version "$(trust --version), $(/usr/lib/trust/trust-initrd --version)"
say manual "$(man trust | col -b | grep -c 'keyset')"
say other "$(trust-p11-kit --help 2>&1 | head -n 1)"
say same "$(cmp /usr/lib/trust/trust-initrd /usr/share/trust/trust-initrd && echo yes)"

cd /root
cp /mnt/vmlinuz /mnt/initrd.img .
echo console=ttyS0 >cmdline
. /mnt/readme
say image "$(trust uki inspect acme.efi | grep -c /usr/bin/trust)"

# A configuration that was changed is kept by removing, and not by purging.
echo '# mine' >>/etc/request-key.d/trust.conf
apt-get remove --quiet --yes trust trust-initrd
tail -n 1 /etc/request-key.d/trust.conf
apt-get purge --quiet --yes trust trust-initrd
tree >/tmp/after
diff /tmp/before /tmp/after
say purged
