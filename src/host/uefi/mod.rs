//! UEFI's formats: bytes in, value or error out, and no I/O. Whatever comes from outside may be hostile.
//!
//! - [`variable`], [`authentication`]: variables, and the signatures that allow writing them;
//! - [`signature_list`]: what PK, KEK, db and dbx hold;
//! - [`variable_store`], [`blank_store`]: the flash image that a virtual machine's firmware keeps them in.

pub mod authentication;
pub mod blank_store;
pub mod signature_list;
pub mod variable;
pub mod variable_store;
