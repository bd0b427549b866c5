#!/bin/sh
# cmdline.sh [FILE]: what the signed command line of an image that opens volumes must say, or it opens none: none of what it keeps out is
# signed. (Where something has been appended, the first process has refused it already.)
lacks() {
    echo "trust: the signed command line lacks $1: $2" >/dev/console
    exit 1
}

read -r line <"${1:-/proc/cmdline}"
case " $line " in *" noresume "*) ;; *) lacks noresume 'a hibernated system could take the place of this one' ;; esac
case $line in
    *' rdinit=/usr/bin/trust '*' --end') ;;
    *) lacks 'rdinit=/usr/bin/trust -- init --end at its end' 'the firmware could append to it' ;;
esac
[ -d /run/systemd/system ] || exit 0
case " $line " in
    *' systemd.import_credentials=no '*) ;;
    *) lacks systemd.import_credentials=no 'unsigned credentials could take part in this boot' ;;
esac
