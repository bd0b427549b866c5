#!/bin/sh
# Makes those seeds anew that are no text: seeds.sh TRUST (the host program).
set -eu
trust=$1
corpus=$(dirname "$(realpath "$0")")/corpus
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cd "$work"
for target in private_key signature_list variables signed_data luks_header initrd update_file; do
    mkdir -p "$corpus/$target"
done

export XDG_DATA_HOME="$work"
"$trust" keyset add seeds --org Seeds >/dev/null
keys=$work/machine/trust/keys/seeds
cp "$keys/uefi-db/cert.pem" "$corpus/private_key/certificate"
cp "$keys/uefi-db/privkey.pem" "$corpus/private_key/rsa"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$corpus/private_key/ec" 2>/dev/null
openssl ec -in "$corpus/private_key/ec" -out "$corpus/private_key/sec1" 2>/dev/null

"$trust" enroll auth seeds -o enrolled >/dev/null
for file in enrolled/*.esl; do cp "$file" "$corpus/signature_list/"; done
for file in enrolled/*.auth; do cp "$file" "$corpus/variables/"; done
number=0
for name in PK KEK db dbx; do
    for kind in auth esl; do
        { printf "\\$number"; cat "enrolled/$name.$kind"; } >"$corpus/update_file/$name.$kind"
    done
    number=$((number + 1))
done

"$trust" sign efi --key "$keys/uefi-db/privkey.pem" --cert "$keys/uefi-db/cert.pem" \
    --output "$corpus/pe/signed" "$corpus/pe/tiny" >/dev/null
# Behind what was signed: a header of 8 bytes, and the signature.
tail -c +2057 "$corpus/pe/signed" >"$corpus/signed_data/of-a-program"

truncate -s 16M volume
printf seeds | cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
    --luks2-metadata-size 16k --luks2-keyslots-size 256k --key-file - volume
head -c 32768 volume >"$corpus/luks_header/unsealed"
# The JSON area of one that is sealed.
mac=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
tail -c +4097 volume | head -c 12288 | tr -d '\0' |
    sed "s/\"tokens\":{}/\"tokens\":{\"0\":{\"type\":\"trust-seal\",\"keyslots\":[],\"mac\":\"$mac\"}}/" >"$corpus/luks_header/sealed"

mkdir root
echo seeds >root/file
(cd root && find . | cpio --quiet -o -H newc) >archive
cp archive "$corpus/initrd/plain"
gzip -9n <archive >"$corpus/initrd/gzip"
zstd -q -19 <archive >"$corpus/initrd/zstd"
cat archive "$corpus/initrd/gzip" >"$corpus/initrd/both"
