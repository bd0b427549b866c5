# What an attacker with tpm2-tools, root's rights, and the signed policies of the initrd can do.
policies=/pcr7data/policy-2
index=0x1500040
printf 0001 >version

# say NAME yes, or no, whether a command succeeds.
can() {
    name=$1
    shift
    if "$@"; then say "$name" yes; else say "$name" no; fi
}

# Speaks to the TPM by this device.
by() { export TPM2TOOLS_TCTI="device:$1"; }

# The key that has signed the policy in the file policy, and the TPM's ticket for that: KEY.pem SIGNATURE
ticket() {
    tpm2 loadexternal -Q -C o -G rsa -u "$policies/pubkeys/$1" -c key.ctx -n key.name &&
        tpm2 verifysignature -Q -c key.ctx -g sha256 -m policy -s "$2" -f rsassa -t ticket
    status=$?
    tpm2 flushcontext -Q -t
    return $status
}

# Where the policy of this boot is.
entry() {
    tpm2 pcrread -Q sha256:7 -o pcr7
    swapped=$(xxd -p -c 64 pcr7 | sed 's/\(..\)\(..\)/\2\1/g')
    echo "$policies/$(echo "$swapped" | cut -c 1-2)/$(echo "$swapped" | cut -c 3-)"
}

# Prepares for all that follows.
learn() {
    by /dev/tpm0
    directory=$(entry)
    tpm2 startauthsession -Q -S trial
    tpm2 policypcr -Q -S trial -l sha256:7
    tpm2 policynv -Q -S trial -C 0x1500020 -i version 0x1500020 eq -L policy
    tpm2 flushcontext -Q trial
    ticket luks-k.pem "$directory/tpm_luks.policy.signed"
}

# A session in which the policy that is signed for this boot is satisfied: FILE PCRS [FURTHER OPTIONS]
satisfy() {
    file=$1
    pcrs=$2
    shift 2
    tpm2 startauthsession -Q -S "$file" --policy-session &&
        tpm2 policypcr -Q -S "$file" -l "$pcrs" "$@" &&
        tpm2 policynv -Q -S "$file" -C 0x1500020 -i version 0x1500020 eq -L found &&
        tpm2 policyauthorize -Q -S "$file" -i policy -n key.name -t ticket
}

# Reads the passphrase in a session: FILE
read_in() { tpm2 nvread -Q $index -C $index -P "session:$1" -o passphrase; }

# Both, by a device.
ask() {
    by "$1"
    shift
    satisfy session "$@" && read_in session
    status=$?
    tpm2 flushcontext -Q session
    return $status
}
