show "TPM=$TPM"
show 'trust provision --tcti $TPM $CERT $KEY'
