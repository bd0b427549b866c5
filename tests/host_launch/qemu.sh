#!/bin/bash
# In the place of QEMU: a machine that does what $PLAY says, line by line. say TEXT: at its console; reset, off: events of
# its monitor; wait: until its button is pressed. What is told of it goes to $TOLD.
[ "$1" = --version ] && { echo 'QEMU emulator version 10.0.0'; exit; }
fd='' stays=yes restarts=0
for argument; do
    case $argument in
        socket,id=monitor,fd=*) fd=${argument##*=} ;;
        -no-reboot) stays=no ;;
        # Before it is played: is there a firmware that answers with KVM?
        file:probe.log) echo 'no such luck' >&2 && exit 1 ;;
    esac
done
event() { printf '{"event": "%s", "data": {"reason": "guest-%s"}}\n' "$1" "$2" >&"$fd"; }
while read -r verb text || [ "$verb" ]; do
    case $verb in
        say) printf '%s\r\n' "$text" >>console.log ;;
        reset)
            [ $stays = yes ] || { event SHUTDOWN reset; exit; }
            event RESET reset
            # It says nothing more before that is told.
            restarts=$((restarts + 1))
            until [ "$(grep -c -e 'restarts' -e '"restarted"' "$TOLD")" -ge $restarts ]; do sleep 0.05; done
            ;;
        off) event SHUTDOWN shutdown; exit ;;
        wait) while read -r line <&"$fd"; do case $line in *system_powerdown*) break ;; esac; done ;;
    esac
done <"$PLAY"
