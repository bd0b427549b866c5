show 'trust setup --tcti $TPM'
show 'keyctl list @u'
show 'ls -lA /priv/factory/secure'
show 'findmnt --noheadings --output FSTYPE,OPTIONS --mountpoint /priv/factory/secure'
cmp /priv/factory/secure/server.crt "$CERT"
cmp /priv/factory/secure/server.key "$KEY"
result "the passphrase is in root's keyring, the identity in a tmpfs of its own"
show 'cryptsetup open --test-passphrase --token-only --verbose /sandbox/disk'
result "the disk accepts it, without a prompt"

status=0
show 'trust setup --tcti $TPM --secrets-dir /priv/again' || status=$?
[ "$status" = 12 ]
[ ! -e /priv/again ] || [ -z "$(ls -A /priv/again)" ]
result "a second time in the same boot: refused, exit status $status"
