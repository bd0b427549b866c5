show 'trust preinit --tcti $TPM'
show 'truncate --size 32M /cell/disk'
show 'keyctl pipe $(keyctl search @u user machine:luks) >/run/passphrase'
show 'cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /cell/disk /run/passphrase'
show 'cryptsetup token add --key-description machine:luks /cell/disk'
show 'cryptsetup luksDump /cell/disk | grep -A 1 luks2'
result "the disk asks the keyring for a passphrase that nobody has seen"
