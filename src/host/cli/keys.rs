//! Which keys a keyset has: `--key-type`, `--key`, `trust keyset use-key`.

use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::{self, Keyset, Role, RoleKeys},
        pki::{
            key::{KeyType, PrivateKey},
            pkcs11_uri::Uri,
        },
        say::output,
    },
};
use clap::Args;

/// Keys of a new keyset.
#[derive(Args)]
pub struct NewKeys {
    /// Kind of the keys that are made. Those that a firmware verifies are RSA in any case, those that a TPM verifies RSA 2048
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    key_type: KeyType,
    /// Use this key and make none: a PKCS#11 URI of a key in a token, or a file; ROLE such as uefi-db. May be repeated
    // A plain string: clap would show what it cannot parse, and there may be a PIN in it.
    #[arg(long, value_name = "ROLE=KEY")]
    key: Vec<String>,
}

impl NewKeys {
    /// Opens those that exist; a PIN is asked for now if at all.
    pub(super) fn open(self) -> Result<RoleKeys> {
        let mut given: Vec<(Role, PrivateKey)> = Vec::new();
        for choice in &self.key {
            let (role, place) = choice.split_once('=').ok_or_else(|| {
                Error::new(Kind::Usage, "understand --key", "it has no `=`")
                    .remedy("give a role and a key, such as --key uefi-db=pkcs11:token=Fleet;object=db")
            })?;
            let role = Role::named(role)?;
            if given.iter().any(|(other, _)| *other == role) {
                let why = format!("{} stands there twice", role.dir());
                return Err(Error::new(Kind::Usage, "understand --key", why).remedy("give one key for each role"));
            }
            given.push((role, PrivateKey::open(place)?));
        }
        Ok(RoleKeys { kind: self.key_type, given })
    }
}

/// `trust keyset use-key`
#[derive(Args)]
#[command(after_help = "Example:\n  \
    trust keyset use-key acme uefi-db \\\n    'pkcs11:token=Fleet;object=uefi-db?pin-source=/run/pin'\n\n\
    The key in the token must be the one of the role's certificate. The file with the private key is\n\
    overwritten, which does not reach copies that a file system, a disk or a backup keeps.")]
pub struct UseKey {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// Role of the key, such as uefi-db
    role: String,
    /// PKCS#11 URI of the same key in a token (RFC 7512)
    uri: String,
}

impl UseKey {
    pub(super) fn run(self) -> Result<()> {
        let role = Role::named(&self.role)?;
        output::line(keyset::use_key(&Keyset::open(&self.keyset)?, role, Uri::parse(&self.uri)?)?.display())
    }
}
