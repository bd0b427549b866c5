//! Secure Boot keys for a firmware: a variable store for OVMF, signed updates for others.
