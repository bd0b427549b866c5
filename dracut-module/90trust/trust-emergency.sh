#!/bin/sh
# Before a shell: whoever types into it may have brought the disk.
. /lib/trust-lib.sh

trust_withdraw
[ "$TRUST_SHELL" = yes ] || trust_reboot
trust_close
