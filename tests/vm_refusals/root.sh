# A process before `trust setup` may read: this shows how, so that the failure below is not a mistake of the test.
learn
cp pcr7 before
can before ask /dev/tpm0 sha256:7
can before-managed ask /dev/tpmrm0 sha256:7
say length $(wc -c <passphrase)
by /dev/tpm0
satisfy old sha256:7
tpm2 pcrread -Q sha1:7 -o sha1; tpm2 pcrread -Q sha384:7 -o sha384

try() { status=0; trust "$@" --on-lock-failure=exit || status=$?; say "$1" $status; }
try setup

can session ask /dev/tpm0 sha256:7
can session-managed ask /dev/tpmrm0 sha256:7
can session-old-value ask /dev/tpm0 sha256:7 -f before
can bank-sha1 ask /dev/tpm0 sha1:7
can bank-sha384 ask /dev/tpm0 sha384:7
can other-pcr ask /dev/tpm0 sha256:23
by /dev/tpm0
can session-from-before read_in old
can no-password tpm2 nvread -Q $index -C $index
can owner tpm2 nvread -Q $index -C o
can replace tpm2 nvwrite -Q $index -C $index -i version
can remove tpm2 nvundefine -Q $index -C o
can clear tpm2 clear -Q
can reset tpm2 pcrreset -Q 7
tpm2 shutdown -Q -c; tpm2 startup -Q -c
cp before sha256
for bank in sha1 sha256 sha384; do
    tpm2 pcrread -Q $bank:7 -o now
    can same-$bank cmp -s $bank now
done
try preinit
