# `trust setup` is killed: it has the passphrase and the certificate, and waits for the key.
learn
trust setup --on-lock-failure=exit --wait 100 --verbose 2>log &
setup=$!
until grep -q 'read the certificate' log; do sleep 0.1; done
kill -9 $setup
say killed
status=0
wait $setup || status=$?
say status $status
say passphrases $(grep -c ' machine:luks' /proc/keys)
say files $(ls /priv/factory/secure 2>/dev/null)
# PCR 7 is not locked.
can open ask /dev/tpmrm0 sha256:7
# What the caller must do.
status=0
trust lock --on-lock-failure=exit || status=$?
say lock $status
can locked ask /dev/tpmrm0 sha256:7
