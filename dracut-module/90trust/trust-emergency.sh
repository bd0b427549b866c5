#!/bin/sh
# Before a shell: its user may be an attacker who has brought the disk.
. /lib/trust-lib.sh

trust_withdraw
[ "$TRUST_SHELL" = yes ] || trust_reboot
trust_close
