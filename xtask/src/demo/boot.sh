# What every boot of the demonstration starts with: what is in the initrd, and functions that show what is done.
mkdir -p /run/bin /run/cryptsetup
ln -s "$TRUST" /run/bin/trust
ln -s "$TPM" /run/tpm
cp -r "$PCR7DATA" /pcr7data
export PATH=/run/bin:$PATH TPM=swtpm:path=/run/tpm

# show COMMAND: shows a shell command and what it says, and ends with its status.
show() {
    local status=0
    echo "   \$ $1"
    eval "$1" >/run/said 2>&1 || status=$?
    # Root of these namespaces is a user without a name outside of them.
    sed "s/\\<$(id -u)\\>/root/g; s/^/     /" /run/said
    return "$status"
}

result() { echo "   => $*"; }
