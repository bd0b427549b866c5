//! Secrets that are given: PINs and passwords, from a terminal, a file or a descriptor, and never from argv or environment.

use super::owner_password::OwnerPasswordOptions;
use crate::{
    error::{Error, Kind, Result},
    host::pki::key::ask,
    secret::Secret,
    tpm::{parent::ParentAccess, primary::HierarchyAccess},
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// What a TPM takes for a PIN or a password at most: its largest name algorithm's digest.
const MOST: usize = 32;

/// Where the PIN comes from.
#[derive(Args)]
pub struct PinOptions {
    /// Read the PIN from the first line of a file, and do not ask for it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pin_file: Option<PathBuf>,
    /// Read it from this descriptor
    #[arg(long, value_name = "NUMBER", conflicts_with = "pin_file")]
    pin_fd: Option<u32>,
}

impl PinOptions {
    /// The PIN: as it was sealed.
    pub fn get(&self) -> Result<Secret> {
        match self.file() {
            Some(file) => first_line(&file, "the PIN"),
            None => ask("PIN: ", "the PIN", "--pin-file FILE or --pin-fd NUMBER"),
        }
    }

    /// A new PIN, which is asked for twice.
    pub fn make(&self) -> Result<Secret> {
        if self.file().is_some() {
            return self.get();
        }
        let new = self.get()?;
        let again = ask("The same again: ", "the PIN", "--pin-file FILE or --pin-fd NUMBER")?;
        if same(&new, &again) {
            return Ok(new);
        }
        Err(Error::new(Kind::Usage, "get the PIN", "they were not the same").remedy("try again"))
    }

    /// Whether it is said where it comes from.
    pub const fn is_given(&self) -> bool {
        self.pin_file.is_some() || self.pin_fd.is_some()
    }

    fn file(&self) -> Option<PathBuf> {
        self.pin_file.clone().or_else(|| self.pin_fd.map(|number| format!("/proc/self/fd/{number}").into()))
    }
}

/// Where passwords of the TPM's come from.
#[derive(Args)]
pub struct PasswordOptions {
    #[command(flatten)]
    owner: OwnerPasswordOptions,
    /// The password of the parent that is named by its handle: the first line of a file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, display_order = 791)]
    parent_password_file: Option<PathBuf>,
}

impl PasswordOptions {
    /// Where the owner's is, for what asks for it where it is needed.
    pub fn owner(self) -> OwnerPasswordOptions {
        self.owner
    }

    /// The owner's, asked for where no file has it.
    pub fn ask_owner(&self) -> Result<Secret> {
        self.owner.get()
    }

    /// Those that are given.
    pub fn get(&self) -> Result<ParentAccess> {
        let parent = self.parent_password_file.as_deref();
        let parent = parent.map(|file| first_line(file, "the parent's password")).transpose()?;
        let password = if self.owner.is_given() { Some(self.owner.get()?) } else { None };
        Ok(ParentAccess { password: parent, hierarchy: HierarchyAccess { password, delegation: None } })
    }
}

fn first_line(file: &Path, what: &str) -> Result<Secret> {
    let line = ask::first_line(file, what)?;
    secret(line.as_bytes(), what)
}

fn ask(question: &str, what: &str, options: &str) -> Result<Secret> {
    let line =
        ask::terminal(question, what).map_err(|e| e.remedy(format!("give it at a terminal, or with {options}")))?;
    secret(line.as_bytes(), what)
}

fn secret(bytes: &[u8], what: &str) -> Result<Secret> {
    let bad = |why: &str| Error::new(Kind::Usage, format!("use {what}"), why.to_owned()).remedy("give 1 to 32 bytes");
    if bytes.is_empty() {
        return Err(bad("it is empty"));
    }
    // The TPM would drop zeros at its end.
    if bytes.len() > MOST || bytes.contains(&0) {
        return Err(bad("it is longer than 32 bytes, or has a zero byte"));
    }
    Secret::filled(bytes.len(), |buffer| {
        buffer.copy_from_slice(bytes);
        Ok(())
    })
}

#[allow(clippy::disallowed_methods, reason = "two PINs of the same person are compared")]
fn same(one: &Secret, other: &Secret) -> bool {
    one.expose() == other.expose()
}
