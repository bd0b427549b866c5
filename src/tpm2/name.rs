//! Names: what a TPM knows an entity by (part 1, section 16).

use super::constants::alg;
use crate::digest::hash;

/// A Name with name algorithm SHA-256: the algorithm, then the digest of the public area.
pub type Name = [u8; 34];

/// The Name of the entity with this public area.
#[must_use]
pub fn of(area: &[u8]) -> Name {
    with_digest(&hash(&[area]))
}

/// The Qualified Name of an object with this Name below a parent, or a hierarchy's handle, with that one.
#[must_use]
pub fn qualified(parent: &[u8], name: &Name) -> Name {
    with_digest(&hash(&[parent, name]))
}

fn with_digest(digest: &[u8; 32]) -> Name {
    let mut name = [0; 34];
    let (algorithm, rest) = name.split_at_mut(2);
    algorithm.copy_from_slice(&alg::SHA256.to_be_bytes());
    rest.copy_from_slice(digest);
    name
}
