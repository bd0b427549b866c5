# The directory of the log of the lock.
mkdir -p /run/log/systemd
say cmdline "$(cat /proc/cmdline)"
say unit-tests "$(/unit-tests seccomp:: --test-threads=1 2>&1 | tail -n 20 | tr '\n' ' ')"
traced setup trust setup --verbose --also-as cryptsetup
say pcr7 "$(pcr7)"
say passphrase "$(passphrase | wc -c)"
say tmpfs "$(grep ' /priv/factory/secure ' /proc/mounts | cut -d ' ' -f 3,4)"
say certificate "$(sha256sum </priv/factory/secure/server.crt)"
say key "$(sha256sum </priv/factory/secure/server.key)"

attempt second trust setup --on-lock-failure=exit
attempt open trust luks open UUID=$UUID root
attempt check trust luks check /dev/mapper/root
cryptsetup close root

traced finish trust finish --key-to-tpm
say withdrawn "$(passphrase 2>&1 | tail -n 1)"
say key-now "$(head -n 1 /priv/factory/secure/server.key)"
traced lock trust lock

attempt version $host --version
attempt log $host eventlog check
echo secret >/tmp/secret
attempt seal $host seal --pcr 7 --output /tmp/sealed /tmp/secret
attempt unseal $host unseal /tmp/sealed
