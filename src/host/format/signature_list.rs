//! `EFI_SIGNATURE_LIST` (UEFI Specification 2.10, section 32.4.1): PK, KEK, db and dbx.
