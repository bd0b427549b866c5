//! Variables that decide about Secure Boot, and what in them has let something through; shim's own.

use super::text;
use crate::{
    foreign::printable,
    host::uefi::{
        signature_list::{self, SHA256, SignatureList, X509},
        variable::SHIM_LOCK,
    },
    measure::variable::VariableData,
    x509,
};

/// Certificates of a database that are named.
const MAX_NAMED: usize = 12;
/// Bytes of an owner before a signature.
const OWNER: usize = 16;
/// Variables of one byte that say yes or no: name, what that is, what no and yes are.
const SWITCHES: [(&str, &str, &str, &str); 8] = [
    ("SecureBoot", "Secure Boot", "off", "on"),
    ("SetupMode", "setup mode", "off", "on: anyone may enrol keys"),
    ("AuditMode", "audit mode", "off", "on: any program is started"),
    ("DeployedMode", "deployed mode", "off", "on"),
    ("MokListTrusted", "shim trusts its owner's keys (MokListTrusted)", "no", "yes"),
    ("MokSBState", "shim's verification", "on", "off (MokSBState)"),
    ("MokIgnoreDB", "shim ignores the firmware's db", "no", "yes (MokIgnoreDB)"),
    ("VendorKeys", "vendor keys", "changed", "as delivered"),
];
/// Databases of signatures.
const DATABASES: [&str; 14] = [
    "PK",
    "KEK",
    "db",
    "dbx",
    "dbt",
    "dbr",
    "PKDefault",
    "KEKDefault",
    "dbDefault",
    "dbxDefault",
    "MokList",
    "MokListX",
    "vendor_db",
    "vendor_dbx",
];

/// What a variable was when the firmware decided.
pub fn config(data: &[u8]) -> Option<String> {
    let VariableData { name, contents, .. } = VariableData::parse(data)?;
    Some(value(&name, contents))
}

/// Whether the variable is one that lets programs through, and not a setting of shim's.
pub fn is_authority(data: &[u8]) -> bool {
    VariableData::parse(data).is_some_and(|VariableData { name, .. }| !is_setting(&name))
}

fn is_setting(name: &str) -> bool {
    SWITCHES.iter().any(|(switch, ..)| *switch == name) || name == "SbatLevel"
}

/// What has let a program through, or what shim decides by.
pub fn authority(data: &[u8]) -> Option<String> {
    let VariableData { name, contents, vendor } = VariableData::parse(data)?;
    if is_setting(&name) {
        return Some(value(&name, contents));
    }
    let what = match (name.as_str(), uuid::Uuid::from_bytes_le(*vendor)) {
        // All of them are in the same place of a different structure.
        ("db", _) => "verified with db".to_owned(),
        ("Shim", SHIM_LOCK) => "verified with shim's built-in certificate".to_owned(),
        ("MokList" | "MokListRT", _) => "verified with a key that the owner has given to shim (MokList)".to_owned(),
        ("vendor_db", _) => "verified with shim's vendor database".to_owned(),
        ("", _) => "verified".to_owned(),
        (name, _) => format!("verified with {name}"),
    };
    Some(format!("{what}: {}", signature(contents)))
}

fn value(name: &str, contents: &[u8]) -> String {
    if let Some((_, what, no, yes)) = SWITCHES.iter().find(|(switch, ..)| *switch == name) {
        return match contents {
            [] => format!("{what}: {no} (no such variable)"),
            [0] => format!("{what}: {no}"),
            [1] => format!("{what}: {yes}"),
            _ => format!("{what}: {}", text::of_any(contents)),
        };
    }
    if DATABASES.contains(&name) {
        return format!("{name}: {}", database(contents));
    }
    match (name, text::utf8(contents)) {
        ("SbatLevel", Some(level)) => format!("shim's SBAT level: {}", level.trim_end().replace('\n', "; ")),
        (_, _) if contents.is_empty() => format!("{name}: empty"),
        _ => format!("{name}: {}", text::of_any(contents)),
    }
}

/// `2 certificates: "One", "Two"; 3 hashes`.
fn database(contents: &[u8]) -> String {
    let Ok(lists) = signature_list::parse(contents) else {
        return format!("not a signature database, {}", text::size(contents.len() as u64));
    };
    if lists.is_empty() {
        return "empty".into();
    }
    let of =
        |kind| lists.iter().filter(move |list: &&SignatureList| list.kind == kind).flat_map(|list| &list.signatures);
    let certificates: Vec<String> = of(X509).map(|signature| certificate(&signature.data)).collect();
    let (hashes, all) = (of(SHA256).count(), lists.iter().flat_map(|list| &list.signatures).count());
    let others = all - hashes - certificates.len();
    let mut parts = Vec::new();
    if !certificates.is_empty() {
        let mut named: Vec<_> = certificates.iter().take(MAX_NAMED).cloned().collect();
        if certificates.len() > MAX_NAMED {
            named.push("…".into());
        }
        let number = text::count(certificates.len(), "one certificate", "certificates");
        parts.push(format!("{number}: {}", named.join(", ")));
    }
    if hashes > 0 {
        parts.push(text::count(hashes, "one hash", "hashes"));
    }
    if others > 0 {
        parts.push(text::count(others, "one entry of another kind", "entries of other kinds"));
    }
    parts.join("; ")
}

/// `EFI_SIGNATURE_DATA`, or a certificate alone, as older shims have it.
fn signature(contents: &[u8]) -> String {
    let entry = contents.get(OWNER..).unwrap_or_default();
    match (x509::common_name(entry), x509::common_name(contents), entry) {
        (Some(name), ..) | (None, Some(name), _) => printable(&name),
        (None, None, hash) if hash.len() == 32 => format!("hash {}", crate::digest::hex(hash)),
        _ => text::of_any(contents),
    }
}

fn certificate(der: &[u8]) -> String {
    x509::common_name(der).unwrap_or_else(|| "one without a common name".into())
}
