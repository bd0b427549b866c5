#!/bin/sh
# Before the prompt of dracut's crypt module: first the key in the keyring is tried, by the volume's token; then everything
# is withdrawn, so that the user at the prompt cannot get the secrets.
. /lib/trust-lib.sh

ask_for_password() {
    trust_before='' trust_cryptsetup=''
    for trust_word; do
        case $trust_before in --cmd | --tty-cmd) trust_cryptsetup=$trust_word ;; esac
        trust_before=$trust_word
    done
    case $trust_cryptsetup in
        */cryptsetup\ *) eval "$trust_cryptsetup --token-only" && return ;;
    esac
    [ "$TRUST_PROMPT" = yes ] || trust_fail "No volume opens without a passphrase, and there is nobody to ask."
    trust_withdraw
    trust_ask_for_password "$@"
}
