# What tests/boot_key_to_tpm.rs does inside a machine.

SECURE=/priv/factory/secure

finish() {
    env -i "$TRUST" finish --tcti "$TCTI" --key-to-tpm "$@"
}

# Which key is published.
kind() {
    case $(head -n 1 $SECURE/server.key) in
    "-----BEGIN TSS2 PRIVATE KEY-----") echo bound ;;
    *) echo plain ;;
    esac
}

# openssl with keys in the TPM: what is not a signature it computes itself.
with_options() {
    local command=$1
    shift
    TPM2OPENSSL_TCTI=$TOOLS openssl "$command" -provider default -provider tpm2 -propquery '?tpm2.signature=yes' "$@"
}

# The same by its configuration, as any server would have it.
with_file() {
    cat >/run/openssl.cnf <<END
openssl_conf = openssl
[openssl]
providers = providers
alg_section = algorithms
[providers]
default = active
tpm2 = active
[active]
activate = 1
[algorithms]
default_properties = ?tpm2.signature=yes
END
    OPENSSL_CONF=/run/openssl.cnf TPM2OPENSSL_TCTI=$TOOLS openssl "$@"
}

# same FILE: this key signs, and the certificate's key verifies it.
same() {
    echo something >/run/text
    with_options dgst -sha256 -sign "$1" -out /run/signature /run/text
    openssl x509 -in "$CERT" -noout -pubkey >/run/public
    openssl dgst -sha256 -verify /run/public -signature /run/signature /run/text >&2
}

# tls VERSION options|file: one handshake, in which openssl's server has its key in the TPM and its client verifies the certificate.
tls() {
    local attempt server
    rm -f /run/tls
    "with_$2" s_server -unix /run/tls -naccept 1 -www -cert $SECURE/server.crt -key $SECURE/server.key "-tls$1" \
        >/run/server 2>&1 &
    server=$!
    for attempt in $(seq 600); do [ ! -S /run/tls ] || break; sleep 0.1; done
    openssl s_client -unix /run/tls -CAfile "$CERT" -verify_return_error "-tls$1" </dev/null >/run/client 2>&1 ||
        { cat /run/client /run/server >&2; return 1; }
    wait "$server" || true
    echo "tls-${1/_/.} $(sed -n 's/^New, \([^,]*\).*/\1/p' /run/client | head -n 1)" \
        "$(sed -n 's/^Peer signature type: //p' /run/client | head -n 1)" \
        "$(sed -n 's/.*Verify return code: //p' /run/client | head -n 1)"
    rm /run/client /run/server
}
