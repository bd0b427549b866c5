# Two volumes, one for systemd-cryptsetup and one for clevis, bound to this machine's PCR 7.
set -eu
trap 'echo o >/proc/sysrq-trigger; sleep 60' EXIT
while [ ! -b /dev/vdb ] || [ ! -b /dev/vdc ] || [ ! -c /dev/tpmrm0 ]; do sleep 0.1; done
mkdir -p /run/cryptsetup
printf passphrase >/run/passphrase
for device in /dev/vdb /dev/vdc; do
    cryptsetup luksFormat $FORMAT "$device" /run/passphrase
done
systemd-cryptenroll --unlock-key-file=/run/passphrase --tpm2-device=auto --tpm2-pcrs=7 /dev/vdb
clevis luks bind -y -k /run/passphrase -d /dev/vdc tpm2 '{"pcr_bank":"sha256","pcr_ids":"7"}'
sync
stty -F /dev/ttyS1 raw -echo
printf '\nhere is the guest\nannounced\n' >/dev/ttyS1
