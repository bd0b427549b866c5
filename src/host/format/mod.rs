//! Formats, each in one place: bytes in, value or error out, and no I/O. Whatever comes from outside may be hostile.

pub mod authentication;
pub mod blank_store;
pub mod bytes;
pub mod cms;
pub mod cpio;
pub mod pe;
pub mod pkcs11_uri;
pub mod provider_uri;
pub mod signature_list;
pub mod variable;
pub mod variable_store;
