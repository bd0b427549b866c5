show 'trust preinit --tcti $TPM'
show 'truncate --size 32M /sandbox/disk'
show 'keyctl pipe $(keyctl search @u user machine:luks) >/run/passphrase'
show 'cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /sandbox/disk /run/passphrase'
show 'cryptsetup token add --key-description machine:luks /sandbox/disk'
show 'cryptsetup luksDump /sandbox/disk | grep -A 1 luks2'
result "the disk asks the keyring for a passphrase that was never shown"
