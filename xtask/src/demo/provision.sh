show "TPM=$TPM"
cp "$CERT" /run/cert.pem
cp "$KEY" /run/privkey.pem
cd /run
show 'trust provision --tcti $TPM cert.pem privkey.pem'
