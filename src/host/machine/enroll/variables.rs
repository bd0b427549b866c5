//! The variable store of a virtual machine that is off.

use crate::{
    error::Result,
    host::{
        keyset::{Keyset, Role},
        predict::databases::Databases,
        uefi::{
            authentication::Time,
            blank_store, signature_list,
            variable::{AUTHENTICATED, BOOTSERVICE_ACCESS, DB, DBX, KEK, NON_VOLATILE, PK, Variable, guid},
            variable_store::VariableStore,
        },
    },
};

/// Whether OVMF enforces Secure Boot: one byte.
const SECURE_BOOT_ENABLE: Variable<'_> =
    Variable { name: "SecureBootEnable", vendor: guid("f0a30bc7-af08-4556-99c4-001009c93a44") };
/// Whether a user at the console of OVMF may change the keys without a signature: one byte.
const CUSTOM_MODE: Variable<'_> = Variable { name: "CustomMode", vendor: guid("c076ec0c-7028-4399-a072-71ee5c448b9f") };

/// A flash image with these databases in it and Secure Boot on; other variables stay. `time` is when they were
/// signed, as far as the firmware is concerned: it accepts only later updates.
///
/// # Errors
/// Those of [`VariableStore::parse`], but that blank flash is formatted, and [`VariableStore::to_image`].
pub fn enroll(image: &[u8], databases: &Databases, time: Time) -> Result<Vec<u8>> {
    let formatted = blank_store::formatted(image);
    let mut store = VariableStore::parse(formatted.as_deref().unwrap_or(image))?;
    for (variable, lists) in [(PK, &databases.pk), (KEK, &databases.kek), (DB, &databases.db), (DBX, &databases.dbx)] {
        let contents = signature_list::to_bytes(lists)?;
        if contents.is_empty() {
            store.remove(variable);
        } else {
            store.set(variable, AUTHENTICATED, Some(time), contents);
        }
    }
    for (variable, on) in [(SECURE_BOOT_ENABLE, 1), (CUSTOM_MODE, 0)] {
        store.set(variable, NON_VOLATILE | BOOTSERVICE_ACCESS, None, vec![on]);
    }
    store.to_image()
}

/// When the databases of a keyset were signed, as far as a firmware is concerned: the same each time.
///
/// # Errors
/// Those of reading the keyset.
pub fn signed_at(keyset: &Keyset) -> Result<Time> {
    let since = keyset.certificate(Role::UefiPk)?.tbs_certificate().validity().not_before;
    Ok(Time::of(since.to_date_time()))
}
