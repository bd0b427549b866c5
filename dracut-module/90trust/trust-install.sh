#!/bin/sh
# `trust preinit` has run, or `trust setup` in a maintenance image: runs the program of the image, which then ends.
. /lib/trust-lib.sh

mkdir -p -m 0700 /run/cryptsetup
/usr/lib/trust/install || trust_fail "/usr/lib/trust/install has failed."
# shellcheck disable=SC2086 # these are options
trust finish $TRUST_FINISH || trust_fail "The secrets cannot be withdrawn."
trust_power_off
