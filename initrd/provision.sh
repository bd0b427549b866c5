#!/bin/sh
# provision.sh [OPTION...]: `trust provision`, with these options, of cert.pem and privkey.pem of the volume with the label
# trust-data (vfat). Where the keyset pins TPMs, what its authority signs goes back to that volume, as srk.pub.
set -eu
medium=/run/trust-data key=/run/srk.pub is_pinned=
mkdir -p "$medium"
mount -t vfat -o ro,nosuid,nodev,noexec,umask=077 /dev/disk/by-label/trust-data "$medium"
for authority in /pcr7data/policy-*/authorities/*.pem; do
    ! [ -e "$authority" ] || is_pinned=yes
done
trust provision ${is_pinned:+--srk-public "$key"} "$@" -- "$medium/cert.pem" "$medium/privkey.pem"
if [ -e "$key" ]; then
    if mount -o remount,rw "$medium" && cp "$key" "$medium/srk.pub"; then
        echo 'trust: that key is in srk.pub on the medium, for trust sudi certify-tpm'
    else
        echo 'trust: the medium cannot be written: give that name to trust sudi certify-tpm'
    fi
fi
# The TPM has everything: whatever becomes of the medium, the machine is provisioned.
umount "$medium" || sync
