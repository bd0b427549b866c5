#!/bin/sh
# The file systems are mounted: nothing stays published that TRUST_FINISH= does not keep.
. /lib/trust-lib.sh

# shellcheck disable=SC2086 # these are options
trust finish ${TRUST_ROOT---root $NEWROOT} $TRUST_FINISH || trust_fail "The secrets cannot be withdrawn."
