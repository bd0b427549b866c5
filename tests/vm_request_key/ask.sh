#!/bin/sh
# PROGRAM DESCRIPTION CALLOUT: has that program ask for a key, in a session in which none is yet, and shows the key.
keyctl session - sh -c 'if key=$("$0" request2 user "$1" "$2" @s 2>&1); then keyctl print $key; else echo "$key"; fi' "$@" 2>/dev/null
