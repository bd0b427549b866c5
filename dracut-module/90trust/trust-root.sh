#!/bin/sh
# Before anything in the root is read: verifies that it is on volumes of this boot.
. /lib/trust-lib.sh

trust luks check "$NEWROOT" || trust_fail "The root is not this machine's."
