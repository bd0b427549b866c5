#!/bin/sh
# The file systems are mounted: nothing stays published but what TRUST_FINISH= keeps.
. /lib/trust-lib.sh

# shellcheck disable=SC2086 # these are options
trust finish ${TRUST_ROOT---root $NEWROOT} $TRUST_FINISH || trust_fail "The secrets cannot be withdrawn."
