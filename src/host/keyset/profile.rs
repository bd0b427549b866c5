//! The contents of a keyset's certificates.

use crate::{
    error::{Error, Kind, Result},
    host::pki::{certificate::Template, key::Family},
};
use der::{
    Any, DateTime, Decode, Encode,
    asn1::{GeneralizedTime, ObjectIdentifier, PrintableStringRef, SetOfVec, Utf8StringRef},
    oid::db::{
        rfc4519::{CN, O, OU, SERIAL_NUMBER},
        rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_CODE_SIGNING, ID_KP_SERVER_AUTH},
    },
};
use std::time::SystemTime;
use uuid::Uuid;
use x509_cert::{
    attr::AttributeTypeAndValue,
    ext::pkix::{KeyUsage, KeyUsages},
    name::{Name, RdnSequence, RelativeDistinguishedName},
    time::Time,
};

/// The owner of a keyset: part of the names of its certificates.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    /// Name of the keyset.
    pub keyset: String,
    /// Organizations, in the order given.
    pub organizations: Vec<String>,
}

/// A root: the manifest and SUDI authorities, and the UEFI PK, which issues the KEK and signs its updates.
///
/// # Errors
/// [`Kind::Usage`]: a name that X.509 cannot hold; the same for all of these.
pub fn root(common_name: &str, owner: &Owner, valid: Valid) -> Result<Template> {
    Ok(Template {
        subject: owned(common_name, owner)?,
        not_after: valid.until()?,
        ca: true,
        key_usage: KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature),
        extended_key_usage: Vec::new(),
    })
}

/// The UEFI KEK: signs updates of db and dbx.
///
/// # Errors
/// As [`root`].
pub fn update_signer(common_name: &str, owner: &Owner, valid: Valid) -> Result<Template> {
    Ok(Template {
        subject: owned(common_name, owner)?,
        not_after: valid.until()?,
        ca: false,
        key_usage: KeyUsage(KeyUsages::DigitalSignature.into()),
        extended_key_usage: Vec::new(),
    })
}

/// A key that signs code: images, and policies.
///
/// # Errors
/// As [`root`].
pub fn code_signer(common_name: &str, owner: &Owner, valid: Valid) -> Result<Template> {
    Ok(Template { extended_key_usage: vec![ID_KP_CODE_SIGNING], ..update_signer(common_name, owner, valid)? })
}

/// The key that signs a product's manifests.
///
/// # Errors
/// As [`root`].
pub fn manifest(product: &Uuid) -> Result<Template> {
    Ok(Template {
        subject: name(&[(CN, &format!("manifest PRODUCT:{product}"))])?,
        not_after: Valid::Years(20).until()?,
        ca: false,
        key_usage: KeyUsage(KeyUsages::DigitalSignature.into()),
        extended_key_usage: vec![ID_KP_CODE_SIGNING],
    })
}

/// A machine's identity (SUDI): its product and its serial number, by default a UUID.
///
/// TLS before 1.3 encrypts to an RSA key, never to one on a curve.
///
/// # Errors
/// As [`root`].
pub fn sudi(product: &Uuid, serial: &str, key: Family) -> Result<Template> {
    let usage = match key {
        Family::Rsa => KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment,
        Family::Ec => KeyUsages::DigitalSignature.into(),
    };
    Ok(Template {
        subject: name(&[(SERIAL_NUMBER, &format!("PID:{product} SN:{serial}")), (CN, serial)])?,
        not_after: Valid::Until2099.until()?,
        ca: false,
        key_usage: KeyUsage(usage),
        extended_key_usage: vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH],
    })
}

/// How long a certificate is valid.
#[derive(Clone, Copy, Debug)]
pub enum Valid {
    /// Calendar years from now.
    Years(u16),
    /// As long as machines may live: until 2099-12-31T23:00:00Z.
    Until2099,
}

impl Valid {
    fn until(self) -> Result<Time> {
        let end = match self {
            Self::Until2099 => DateTime::new(2099, 12, 31, 23, 0, 0),
            Self::Years(years) => DateTime::from_system_time(SystemTime::now()).and_then(|now| years_after(now, years)),
        };
        let end = end.map_err(|e| Error::new(Kind::System, "tell the time", e.to_string()).remedy("set the clock"))?;
        Ok(Time::GeneralTime(GeneralizedTime::from_date_time(end)))
    }
}

/// The same date and time so many years later; 28 February in place of a missing 29 February.
fn years_after(start: DateTime, years: u16) -> der::Result<DateTime> {
    let on =
        |day| DateTime::new(start.year() + years, start.month(), day, start.hour(), start.minutes(), start.seconds());
    on(start.day()).or_else(|_| on(28))
}

/// The name of something that belongs to a keyset.
fn owned(common_name: &str, owner: &Owner) -> Result<Name> {
    let unit = format!("Trust keyset {}", owner.keyset);
    let mut parts: Vec<_> = owner.organizations.iter().map(|org| (O, org.as_str())).collect();
    parts.extend([(OU, unit.as_str()), (CN, common_name)]);
    name(&parts)
}

/// A distinguished name of these attributes.
fn name(parts: &[(ObjectIdentifier, &str)]) -> Result<Name> {
    encode_name(parts).map_err(|e| {
        Error::new(Kind::Usage, "name a certificate", e.to_string()).remedy("give a name of at most a few words")
    })
}

fn encode_name(parts: &[(ObjectIdentifier, &str)]) -> der::Result<Name> {
    let mut sequence = RdnSequence::default();
    for (oid, text) in parts {
        // PrintableString where it suffices, as X.520 asks for serialNumber and others do.
        let value = match PrintableStringRef::new(text) {
            Ok(printable) => Any::encode_from(&printable)?,
            Err(_) => Any::encode_from(&Utf8StringRef::new(text)?)?,
        };
        let attribute = AttributeTypeAndValue { oid: *oid, value };
        sequence.push(RelativeDistinguishedName::from(SetOfVec::try_from(vec![attribute])?));
    }
    Name::from_der(&sequence.to_der()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> DateTime {
        text.parse().unwrap()
    }

    #[test]
    fn validity_in_years_ends_on_the_same_date() {
        assert_eq!(years_after(date("2026-11-22T10:11:12Z"), 25).unwrap(), date("2051-11-22T10:11:12Z"));
        assert_eq!(years_after(date("2028-02-29T23:59:59Z"), 20).unwrap(), date("2048-02-29T23:59:59Z"));
        assert_eq!(years_after(date("2028-02-29T23:59:59Z"), 25).unwrap(), date("2053-02-28T23:59:59Z"));
        assert_eq!(years_after(date("2050-02-28T00:00:00Z"), 50).unwrap(), date("2100-02-28T00:00:00Z"));
    }

    #[test]
    fn text_is_printable_where_it_can_be() {
        let name = name(&[(CN, "a'b (c)"), (O, "Söhne"), (SERIAL_NUMBER, "SN_1")]).unwrap();
        let tags: Vec<_> = name.iter().map(|part| der::Tagged::tag(&part.value)).collect();
        assert_eq!(tags, [der::Tag::PrintableString, der::Tag::Utf8String, der::Tag::Utf8String]);
    }
}
