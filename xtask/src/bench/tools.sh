# What the tool before this one ran in a boot, with tpm2-tools: three secrets, in pieces of at most 1024 bytes.
set -e
cd "$(mktemp -d /run/tools.XXXXXX)"
keys=$PCR7DATA/policy-2/pubkeys

# Which policy: PCR 7, the bytes of every pair swapped.
tpm2_pcrread sha256:7 -o pcr >/dev/null
entry=
for byte in $(od -An -tx2 -v pcr); do entry=$entry$byte; done
entry=$PCR7DATA/policy-2/$(printf %.2s "$entry")/${entry#??}
layout=$(tpm2_nvread -s 8 0x1500002)
[ "$layout" = 00000003 ]

piece() { # INDEX OFFSET SIZE
    tpm2_createprimary --key-context=primary --hierarchy=n >/dev/null
    tpm2_startauthsession --session=session --key-context=primary --policy-session
    tpm2_policypcr --session=session --pcr-list=sha256:7 >/dev/null
    version=$(tpm2_nvread -s 4 0x1500020)
    printf %s "$version" | tpm2_policynv --session=session --input=- 0x1500020 eq --policy=policy >/dev/null
    tpm2_verifysignature -c key -f rsassa -g sha256 -m policy -s "$entry/tpm_luks.policy.signed" -t ticket >/dev/null
    tpm2_policyauthorize -S session -i policy -n name -t ticket >/dev/null
    tpm2_nvread --auth=session:session --size="$3" --offset="$2" "$1" >>"secret-$1"
    tpm2_flushcontext session
}

secret() { # INDEX OFFSET SIZE [OFFSET SIZE]
    tpm2_getcap properties-fixed >capabilities
    tpm2_nvreadpublic "$1" >public
    tpm2_loadexternal --hierarchy=o --key-algorithm=rsa --public="$keys/luks-snakeoil.pem" --key-context=key --name=name >/dev/null
    piece "$1" "$2" "$3"
    if [ $# -gt 3 ]; then piece "$1" "$4" "$5"; fi
}

secret 0x1500040 0 40
secret 0x1500021 0 1024 1024 276
secret 0x1500022 0 1024 1024 680
[ "$(cat secret-* | wc -c)" = 3044 ]
tpm2_pcrextend 7:sha256=b7135cbb321a66fa848b07288bd008b89bd5b7496c4569c5e1a4efd5f7c8e0a7
