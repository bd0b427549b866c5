# The owner's way to the TPM admin password, in a boot that is signed for it: and there is no other way from here.
by /dev/tpm0
directory=$(entry)
tpm2 startauthsession -Q -S trial
tpm2 policypcr -Q -S trial -l sha256:7 -L policy
tpm2 flushcontext -Q trial
ticket tpmpass-k.pem "$directory/tpm_passwd.policy.signed"
for index in 0x1500001 0x1500021 0x1500022 0x1500030 0x1500040; do
    tpm2 startauthsession -Q -S session --policy-session
    tpm2 policypcr -Q -S session -l sha256:7
    tpm2 policyauthorize -Q -S session -i policy -n key.name -t ticket
    can $index tpm2 nvread -Q $index -C $index -P session:session -o $index
    tpm2 flushcontext -Q session || true
done
# What is signed for version 0001 is withdrawn.
can raise trust raise 0002 --on-lock-failure=exit
