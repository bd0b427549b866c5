say pcr7 "$(pcr7)"
traced preinit trust preinit
passphrase >/run/passphrase
cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --uuid "$UUID" /dev/vdb /run/passphrase
cryptsetup token add --key-description machine:luks /dev/vdb
attempt seal $host luks seal /dev/vdb
say key "$(cat /priv/factory/secure/server.key 2>&1 | sha256sum)"
traced finish trust finish
