#!/bin/sh
# cmdline.sh [FILE]: checks that the signed command line of an image that opens volumes has the parameters that keep unsigned
# input out; without them no volume is opened. (Appended parameters have already been refused by the first process.)
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
