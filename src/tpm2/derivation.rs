//! The key that keys of applications are derived from: the public area of a `KEYEDHASH` object that computes HMACs (part 2,
//! section 12.2; part 1, section 25.5). Pure.

use super::{
    constants::alg,
    public::attribute::{FIXED_PARENT, FIXED_TPM, NO_DA, SENSITIVE_DATA_ORIGIN, SIGN, USER_WITH_AUTH},
};
use crate::bytes::{Buffer, bounded};

/// What the key is, beside its template: part of what the TPM makes it from.
const UNIQUE: &[u8] = b"trust";
/// Bytes of the largest template.
const MAX_TEMPLATE: usize = 64;

/// `TPMT_PUBLIC` of the template, a primary key of the owner's hierarchy: HMAC-SHA-256, with an empty password; where there
/// is a policy, by that alone. Exempt from the protection of passwords, of which it has none: each use would have the next
/// power cut count as an attack.
#[must_use]
pub fn template(policy: Option<&[u8; 32]>) -> Option<Buffer<MAX_TEMPLATE>> {
    let by = if policy.is_some() { 0 } else { USER_WITH_AUTH };
    let attributes = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | NO_DA | SIGN | by;
    bounded(|writer| {
        let writer = writer.be16(alg::KEYEDHASH).be16(alg::SHA256).be32(attributes);
        let writer = writer.tpm2b(policy.map_or(&[][..], |policy| policy));
        writer.be16(alg::HMAC).be16(alg::SHA256).tpm2b(UNIQUE)
    })
}

/// Whether `area` is what a TPM makes of `template`: the same but for what it is unique by.
#[must_use]
pub fn is_made_of(template: &[u8], area: &[u8]) -> bool {
    let fixed = template.len().saturating_sub(2 + UNIQUE.len());
    template.get(..fixed).is_some_and(|fixed| area.starts_with(fixed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::hex;

    #[test]
    fn templates_are_what_the_documentation_says() {
        let free = "0008 000b 00040472 0000 0005 000b 0005 7472757374".replace(' ', "");
        assert_eq!(hex(&template(None).unwrap()), free);
        let bound = format!("0008 000b 00040432 0020 {} 0005 000b 0005 7472757374", "07".repeat(32)).replace(' ', "");
        assert_eq!(hex(&template(Some(&[7; 32])).unwrap()), bound);
    }

    #[test]
    fn another_key_is_not_taken_for_it() {
        let (free, bound) = (template(None).unwrap(), template(Some(&[7; 32])).unwrap());
        assert!(is_made_of(&free, &free) && is_made_of(&bound, &bound));
        assert!(!is_made_of(&free, &bound) && !is_made_of(&bound, &free) && !is_made_of(&free, &[]));
    }
}
