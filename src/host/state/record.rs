//! The form of a machine's state: JSON, `"format": 1`. A member that could not be found out is missing, and `unknown` says
//! why; a member that a reader does not know is passed over.

use super::boots::BootOutcome;
use crate::foreign::printable;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{borrow::Cow, collections::BTreeMap};

/// The form's number.
pub const FORMAT: u32 = 1;
/// A state is not larger, in bytes.
pub const MAX_STATE: u64 = 4 * 1024 * 1024;
/// Characters of a text that are shown to people.
const MAX_TEXT: usize = 1000;

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StateRecord<'a> {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of Trust that has written it.
    pub trust: String,
    /// When, in UTC (RFC 3339).
    pub taken: String,
    /// Its host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What it is, as its firmware says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<MachineModel>,
    /// Of os-release, by the names of its fields in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<BTreeMap<String, String>>,
    /// Whose TPM it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tpm: Option<TpmMaker>,
    /// How far `trust provision` has been through with it: `none`, `begun`, `complete`, `other`, `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<String>,
    /// `00000003`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout_version: Option<String>,
    /// `0001`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_version: Option<String>,
    /// The Name of the storage root key, in hex: no other TPM has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_root_key: Option<String>,
    /// The keys whose signatures open the indices of the layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_keys: Option<Vec<PolicyKeyUse>>,
    /// All PCRs, by bank and number, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcrs: Option<Value>,
    /// The firmware's log.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event_log: Option<LogCopy<'a>>,
    /// What the system has measured since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure_log: Option<RecordCount>,
    /// What is signed for this machine, where it has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<SignedValue>>,
    /// How the last boots went, the latest last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boots: Option<Vec<BootOutcome>>,
    /// By its name, why a member is missing.
    #[serde(default)]
    pub unknown: BTreeMap<String, String>,
}

/// A machine as its firmware describes it (SMBIOS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineModel {
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub firmware_vendor: Option<String>,
    pub firmware_version: Option<String>,
    pub firmware_date: Option<String>,
}

/// Who has made a TPM, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TpmMaker {
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    pub firmware: Option<String>,
    pub revision: Option<String>,
}

/// A key that signs policies, and what its signatures open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyKeyUse {
    /// `tpmpol-luks` or `tpmpol-admin`; of one that is not known here, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyset: Option<String>,
    /// Its Name in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The digest of the indices' policy in hex.
    pub policy: String,
    /// Which indices those are: `0x1500022`.
    pub opens: Vec<String>,
}

/// A log, or as much of it as leaves the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCopy<'a> {
    /// Bytes of the whole log.
    pub size: u64,
    /// Of the whole log, in hex.
    pub sha256: String,
    /// How many events it has.
    pub events: u64,
    /// Whether `data` is all of it: else the data of events outside of PCRs 7 and 14 are left out.
    #[serde(default)]
    pub whole: bool,
    /// Where the log cannot be understood, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The log in base64, in the form that the firmware gave it.
    #[serde(borrow, default)]
    pub data: Cow<'a, str>,
}

/// The system's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCount {
    pub size: u64,
    pub sha256: String,
    pub records: u64,
}

/// A value of PCR 7 that something is signed for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedValue {
    pub keyset: String,
    /// `production`, `limited`, `tpm` or `system`.
    pub kind: String,
    pub pcr7: String,
    pub policy_version: String,
    /// Whether the signature is that of the key beside it; of limited boots nothing is signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_fits: Option<bool>,
    /// Whether PCR 7 and policy version are these now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
}

impl<'a> StateRecord<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(json: &'a [u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(json).map_err(|why| match why.classify() {
            serde_json::error::Category::Eof => "it ends too early".to_owned(),
            _ => format!("it is not the state of a machine: {}", printable(&why.to_string())),
        })?;
        if state.format == FORMAT {
            Ok(state)
        } else {
            Err(format!("it has format {}, and {FORMAT} is the one that is known here", state.format))
        }
    }
}

/// The same record with texts that are fit to be shown: printable, and not longer than people read. The log stays as it is.
///
/// # Errors
/// As [`StateRecord::parse`].
pub fn for_people(json: &[u8]) -> Result<Vec<u8>, String> {
    StateRecord::parse(json)?;
    let mut state: Value = serde_json::from_slice(json).map_err(|why| why.to_string())?;
    let log = state.pointer_mut("/event_log/data").map(Value::take);
    shown(&mut state);
    if let (Some(place), Some(log)) = (state.pointer_mut("/event_log/data"), log) {
        *place = log;
    }
    serde_json::to_vec(&state).map_err(|why| why.to_string())
}

/// Makes all texts of a value fit to be shown, the names of members as well.
fn shown(value: &mut Value) {
    let text = |text: &str| -> String { printable(text).chars().take(MAX_TEXT).collect() };
    match value {
        Value::String(string) => *string = text(string),
        Value::Array(values) => values.iter_mut().for_each(shown),
        Value::Object(members) => {
            let all = std::mem::take(members).into_iter();
            *members = all
                .map(|(name, mut value)| {
                    shown(&mut value);
                    (text(&name), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let log = LogCopy { size: 3, sha256: "00".into(), events: 0, data: "AAAA".into(), ..LogCopy::default() };
        let unknown = BTreeMap::from([("pcrs".to_owned(), "no TPM".to_owned())]);
        let state =
            StateRecord { format: 1, trust: "0".into(), event_log: Some(log), unknown, ..StateRecord::default() };
        let json = serde_json::to_vec(&state).unwrap();
        assert_eq!(StateRecord::parse(&json).unwrap(), state);
        // It is borrowed: thousands are read.
        let parsed = StateRecord::parse(&json).unwrap();
        assert!(matches!(parsed.event_log.unwrap().data, Cow::Borrowed("AAAA")));
        let more = br#"{"format":1,"trust":"9","taken":"","new":[{}]}"#;
        assert!(StateRecord::parse(more).is_ok());
        for (json, why) in [
            (&b""[..], "ends too early"),
            (b"{\"format\":1", "ends too early"),
            (b"[]", "is not the state"),
            (b"{}", "missing field `format`"),
            (br#"{"format":2,"trust":"9","taken":""}"#, "has format 2, and 1 is"),
            (b"{\"format\":1,\"trust\":\"\\u001b[2J\",\"taken\":3}", "is not the state"),
            (br#"{"format":1,"trust":"9","taken":""} x"#, "trailing characters"),
        ] {
            let error = StateRecord::parse(json).unwrap_err();
            assert!(error.contains(why) && !error.chars().any(char::is_control), "{error}");
        }
        let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
        let deep = [br#"{"format":1,"trust":"","taken":"","pcrs":"#, &deep[..], b"}"].concat();
        assert!(StateRecord::parse(&deep).unwrap_err().contains("recursion limit"));
    }
}
