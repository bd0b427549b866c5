//! Authenticode: PE images signed and verified (Windows Authenticode Portable Executable Signature Format; UEFI Specification 2.10, section 32.5).
