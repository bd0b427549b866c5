#!/bin/sh
# `trust preinit` has run: the installation, and that is all.
. /lib/trust-lib.sh

mkdir -p -m 0700 /run/cryptsetup
/usr/lib/trust/install || trust_fail "The machine is not installed."
# shellcheck disable=SC2086 # these are options
trust finish $TRUST_FINISH || trust_fail "The secrets cannot be withdrawn."
trust_power_off
