say machine "$(uname -m)"
say secure-boot "$(tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1 | tr -d " ")"
traced provision trust provision /cert.pem /key.pem
