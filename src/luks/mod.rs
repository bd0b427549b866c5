//! The disk is ours: a LUKS2 header is sealed with the passphrase that only the TPM holds.
//!
//! LUKS2 authenticates the volume key and nothing else of the header: an attacker who can write to the disk can name a null
//! cipher there, or a keyslot of their own. The seal is a MAC over the header; the key is derived from the passphrase, so that
//! no one without it can make a seal. Contents of the keyslots are not covered: what they yield is checked against a digest in
//! the header. Neither is the data: dm-crypt does not authenticate it.

pub mod backing;
pub mod device;
pub mod find;
pub mod handover;
pub mod header;
pub mod opened;
pub mod seal;
