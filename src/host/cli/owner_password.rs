//! The password of the TPM's owner, which many TPMs have none of. Never from argv, never from the environment.

use crate::{error::Result, host::pki::key::ask, secret::Secret};
use clap::{Args, ValueHint};
use std::path::PathBuf;

/// Where the password is.
#[derive(Args)]
pub struct OwnerPasswordOptions {
    /// Read the password of the TPM's owner, or of another hierarchy that a parent is made in, from the first line of a
    /// file; `trust nv` asks for it otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 790)]
    owner_password_file: Option<PathBuf>,
}

impl OwnerPasswordOptions {
    /// Whether it is said where it is.
    pub const fn is_given(&self) -> bool {
        self.owner_password_file.is_some()
    }

    /// The password.
    ///
    /// # Errors
    /// Those of reading; [`crate::error::Kind::Usage`]: there is no terminal.
    pub fn get(&self) -> Result<Secret> {
        const WHAT: &str = "the password of the TPM's owner";
        let password = match &self.owner_password_file {
            Some(file) => ask::first_line(file, WHAT),
            None => ask::terminal("Password of the TPM's owner: ", WHAT)
                .map_err(|e| e.remedy("give it, or a file with it: --owner-password-file FILE")),
        };
        let password = password?;
        let copy = |buffer: &mut [u8]| {
            buffer.copy_from_slice(password.as_bytes());
            Ok(())
        };
        Secret::filled(password.len(), copy)
    }
}
