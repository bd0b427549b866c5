# Functions of the scripts that run on a test machine.

# The program under test: argv and nothing else.
trust() {
    local command=$1
    shift
    # A command of two words.
    case $command in admin) command="admin $1"; shift ;; esac
    # shellcheck disable=SC2086
    env -i "$TRUST" $command --tcti "$TCTI" --pcr7data "$PCR7DATA" --on-lock-failure=exit "$@"
}

# try NAME COMMAND…: prints NAME and the command's exit status.
try() {
    local name=$1 status=0
    shift
    "$@" || status=$?
    echo "$name $status"
}

# secret DESCRIPTION: the contents of a key of the user keyring.
secret() {
    keyctl pipe "$(keyctl search @u user "$1")"
}

# Where something is published, or "no".
published() {
    local where=
    [ -z "$(keyctl rlist @u)" ] || where="$where keyring"
    [ "$(keyctl rlist @s)" = "$(keyctl show @u | awk 'NR == 2 { print $1 }')" ] || where="$where session"
    if grep -q /secure /proc/self/mountinfo; then where="$where mount"; fi
    if [ -n "$(find /priv -type f)" ]; then where="$where file"; fi
    echo "published ${where:-no}"
}
