#!/bin/sh
# Before anything in the root is read: it stands on volumes of this boot.
. /lib/trust-lib.sh

trust luks check "$NEWROOT" || trust_fail "The root is not this machine's."
