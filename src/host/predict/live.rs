//! The UEFI variables of a machine as they are now: what its next boot measures, whatever the log of the last one says. Pure.

use crate::host::uefi::{
    variable::{DB, DBX, KEK, PK, Variable},
    variable_store::VariableStore,
};
use uuid::Uuid;

/// Bytes of a GUID as text.
const GUID: usize = 36;

/// Variables, with their contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveVariables(Vec<(String, Uuid, Vec<u8>)>);

impl LiveVariables {
    /// These: name, vendor, contents.
    #[must_use]
    pub fn new(variables: Vec<(String, Uuid, Vec<u8>)>) -> Self {
        Self(variables)
    }

    /// Those of a virtual machine's flash.
    #[must_use]
    pub fn of_store(store: &VariableStore<'_>) -> Self {
        let stored = store.variables().iter();
        Self(stored.map(|stored| (stored.name(), stored.vendor, stored.contents.clone())).collect())
    }

    /// The contents of a variable that is there.
    #[must_use]
    pub fn get(&self, variable: Variable<'_>) -> Option<&[u8]> {
        let found = self.0.iter().find(|(name, vendor, _)| name == variable.name && *vendor == variable.vendor);
        found.map(|(.., contents)| contents.as_slice())
    }

    /// Whether any of PK, KEK, db and dbx is among them: without, these are not the variables of a firmware with keys.
    #[must_use]
    pub fn has_databases(&self) -> bool {
        [PK, KEK, DB, DBX].into_iter().any(|variable| self.get(variable).is_some())
    }
}

/// Name and vendor out of the name of a file, as efivarfs has them: `db-d719b2cb-3d3a-4596-a3bc-dad00e67656f`.
#[must_use]
pub fn of_file_name(file: &str) -> Option<(&str, Uuid)> {
    let (name, vendor) = file.split_at_checked(file.len().checked_sub(GUID)?)?;
    Some((name.strip_suffix('-').filter(|name| !name.is_empty())?, Uuid::try_parse(vendor).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_names_and_vendors() {
        assert_eq!(of_file_name("db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"), Some(("db", DB.vendor)));
        assert_eq!(of_file_name("a-b-d719b2cb-3d3a-4596-a3bc-dad00e67656f").unwrap().0, "a-b");
        for other in ["", "db", "-d719b2cb-3d3a-4596-a3bc-dad00e67656f", "db-d719b2cb-3d3a-4596-a3bc-dad00e67656é"] {
            assert_eq!(of_file_name(other), None, "{other}");
        }
    }
}
