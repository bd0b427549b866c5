//! All that is in a state, found out one by one: what fails leaves a reason in its place.

use super::{State, journal};
use crate::{
    digest::{self, hex},
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        eventlog::{read::FirmwareLog, values},
        keyset::signed_policy,
        state::{
            record::{FORMAT, LogCopy, MachineModel, PolicyKeyUse, RecordCount, SignedValue, StateRecord, TpmMaker},
            reduced_log::reduced,
        },
    },
    measure::user_space,
    policy::{
        Policy,
        assertion::Operand,
        boot_kind::BootKind,
        entry_kind::EntryKind,
        pcr_values::PcrName,
        pcr7data::{Entry, Pcr7Data},
    },
    tpm::{
        Tpm,
        describe::Description,
        layout::{self, Index},
    },
    tpm2::constants::alg,
};
use base64ct::{Base64, Encoding};
use std::{collections::BTreeMap, fs, time::SystemTime};

/// A log that is larger than this, in bytes, stays on the machine.
const MAX_LOG: usize = 1024 * 1024;
/// Entries of policies that are listed.
const MOST_POLICIES: usize = 1024;
/// Where os-release is (os-release(5)), and which of its fields are taken over.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];
const OS_FIELDS: [&str; 5] = ["ID", "VERSION_ID", "IMAGE_ID", "IMAGE_VERSION", "PRETTY_NAME"];
/// Characters of a text of the system that are kept.
const MOST_CHARACTERS: usize = 200;
/// What only a TPM tells.
const OF_THE_TPM: [&str; 7] =
    ["tpm", "provisioning", "layout_version", "policy_version", "storage_root_key", "policy_keys", "pcrs"];

impl State {
    /// The state of this machine.
    pub(super) fn gather(&self) -> StateRecord<'static> {
        let mut gathered = Gathered(StateRecord {
            format: FORMAT,
            trust: env!("CARGO_PKG_VERSION").to_owned(),
            taken: der::DateTime::from_system_time(SystemTime::now()).map(|now| now.to_string()).unwrap_or_default(),
            host: Some(text(&rustix::system::uname().nodename().to_string_lossy())),
            hardware: hardware(),
            os: os_release(),
            ..StateRecord::default()
        });
        let data = gathered.or_why("policies", self.system.data());
        match self.tpm.connect() {
            Ok(mut tpm) => gathered.of_tpm(&mut tpm, data.as_ref()),
            Err(error) => OF_THE_TPM.iter().for_each(|member| gathered.missing(member, &error)),
        }
        gathered.0.policies = data.as_ref().map(|data| gathered.signed(data));
        let log = self.logs.firmware(&self.tpm).and_then(|log| copy(&log, self.whole_log));
        gathered.0.event_log = gathered.or_why("event_log", log);
        let records = self.logs.user_space(&self.tpm).map(|log| count(&log));
        gathered.0.measure_log = gathered.or_why("measure_log", records);
        // The journal of this machine tells nothing of a TPM that is somewhere else.
        let boots = if self.tpm.is_a_device() { journal::boots() } else { Err(elsewhere("ask the journal")) };
        gathered.0.boots = gathered.or_why("boots", boots);
        gathered.0
    }
}

/// That something of this machine has nothing to do with a TPM that is not a device of it.
fn elsewhere(what: &'static str) -> Error {
    Error::new(Kind::Usage, what, "the TPM is not this machine's")
}

/// What is known so far.
struct Gathered(StateRecord<'static>);

impl Gathered {
    fn missing(&mut self, member: &str, why: &Error) {
        self.0.unknown.insert(member.to_owned(), printable(&why.to_string()));
    }

    /// The value, or else its reason in its place.
    fn or_why<T>(&mut self, member: &str, found: Result<T>) -> Option<T> {
        found.map_err(|why| self.missing(member, &why)).ok()
    }

    fn of_tpm(&mut self, tpm: &mut Tpm, data: Option<&Pcr7Data>) {
        let description = tpm.describe();
        if let Some(description) = self.or_why("tpm", description) {
            self.described(description);
        }
        let pcrs = tpm.active_banks().and_then(|banks| tpm.read_pcrs(&banks));
        self.0.pcrs = self.or_why("pcrs", pcrs).map(|reading| values::to_json(&reading.values));
        let key = tpm.storage_root_key().and_then(|key| {
            key.map(|key| key.name())
                .ok_or_else(|| Error::new(Kind::Unprovisioned, "look at the storage root key", "the TPM has none"))
        });
        self.0.storage_root_key = self.or_why("storage_root_key", key);
        let keys = tpm.nv_indices().map(|indices| {
            let policies = indices.into_iter().map(|index| (index.index, index.policy.to_vec()));
            policy_keys(&policies.collect(), data)
        });
        self.0.policy_keys = self.or_why("policy_keys", keys);
    }

    fn described(&mut self, tpm: Description) {
        let Description { manufacturer, firmware, specification, trust, .. } = tpm;
        let (manufacturer, model) = manufacturer.map(|maker| (maker.id, maker.model)).unzip();
        let model = model.filter(|model| !model.is_empty());
        self.0.tpm = Some(TpmMaker { manufacturer, model, firmware, revision: specification.revision });
        let word = serde_json::to_value(trust.provisioning).ok();
        self.0.provisioning = word.and_then(|word| word.as_str().map(str::to_owned));
        (self.0.layout_version, self.0.policy_version) = (trust.layout_version, trust.policy_version);
        let not_told = Error::new(Kind::Unprovisioned, "read the layout", "the TPM does not tell it, or has none");
        for (member, is_known) in
            [("layout_version", self.0.layout_version.is_some()), ("policy_version", self.0.policy_version.is_some())]
        {
            if !is_known {
                self.missing(member, &not_told);
            }
        }
    }

    /// What is signed, and whether it is for this very boot.
    fn signed(&self, data: &Pcr7Data) -> Vec<SignedValue> {
        let now = self.0.pcrs.as_ref().and_then(|pcrs| values::parse(&pcrs.to_string()).ok());
        let now = now.as_ref().and_then(|values| values.get(PcrName { bank: alg::SHA256, number: 7 }));
        let mut all = data.values();
        all.sort_unstable();
        let entries = all.iter().filter_map(|pcr7| Some((pcr7, data.entry(pcr7).ok()??)));
        let signed = entries.map(|(pcr7, entry)| {
            let (kind, version) = (entry.info.kind, String::from_utf8_lossy(&entry.info.policy_version).into_owned());
            let version_fits = !kind.asks_for_the_version() || self.0.policy_version.as_ref() == Some(&version);
            SignedValue {
                keyset: entry.info.keyset.clone(),
                kind: kind.as_str().to_owned(),
                pcr7: hex(pcr7),
                policy_version: version,
                signature_fits: kind.signed_policy().is_ok().then(|| signed_policy::is_signed(data, &entry)),
                holds: now.as_ref().map(|now| now[..] == pcr7[..] && version_fits),
            }
        });
        signed.take(MOST_POLICIES).collect()
    }
}

/// Whose signatures open the indices of the layout.
fn policy_keys(policies: &BTreeMap<u32, Vec<u8>>, data: Option<&Pcr7Data>) -> Vec<PolicyKeyUse> {
    let known = data.map(known_keys).unwrap_or_default();
    let mut uses: Vec<PolicyKeyUse> = Vec::new();
    for index in layout::ALL.into_iter().filter(|index| index.read_by().is_some()).map(Index::handle) {
        let Some(policy) = policies.get(&index).filter(|policy| !policy.is_empty()).map(|policy| hex(policy)) else {
            continue;
        };
        let handle = format!("{index:#x}");
        match uses.iter_mut().find(|known| known.policy == policy) {
            Some(same) => same.opens.push(handle),
            None => {
                let key = known.iter().find(|known| known.policy == policy).cloned();
                let nobody = PolicyKeyUse { key: None, keyset: None, name: None, policy, opens: Vec::new() };
                uses.push(PolicyKeyUse { opens: vec![handle], ..key.unwrap_or(nobody) });
            }
        }
    }
    uses
}

/// The keys beside the signed policies, each with the policy that it opens.
fn known_keys(data: &Pcr7Data) -> Vec<PolicyKeyUse> {
    let of = |entry: Entry| {
        // The key that signs for the running system is that of the machine's secrets.
        let role = match entry.info.kind {
            EntryKind::Boot(BootKind::Admin) => "tpmpol-admin",
            _ => "tpmpol-luks",
        };
        let key = entry.public_key(entry.info.kind).ok()?.name();
        Some(PolicyKeyUse {
            key: Some(role.to_owned()),
            keyset: Some(entry.info.keyset),
            name: Some(hex(&key)),
            policy: hex(&Policy::authorized_by(key, Operand::new()).digest()),
            opens: Vec::new(),
        })
    };
    data.values().iter().filter_map(|pcr7| data.entry(pcr7).ok()?).filter_map(of).collect()
}

/// As much of the firmware's log as leaves the machine.
fn copy(log: &[u8], whole: bool) -> Result<LogCopy<'static>> {
    let read = FirmwareLog::read(log);
    let kept = if whole { log.to_vec() } else { reduced(log, &read) };
    if kept.len() > MAX_LOG {
        let why = format!("it has {} bytes, and {MAX_LOG} are the most that is sent", kept.len());
        return Err(Error::new(Kind::Usage, "copy the event log", why));
    }
    Ok(LogCopy {
        size: log.len() as u64,
        sha256: hex(&digest::hash(&[log])),
        events: read.events.len() as u64,
        whole,
        fault: read.fault.map(|fault| format!("at byte {}: {}", fault.offset, fault.why)),
        data: Base64::encode_string(&kept).into(),
    })
}

fn count(log: &[u8]) -> RecordCount {
    let records = user_space::read(log).0.len() as u64;
    RecordCount { size: log.len() as u64, sha256: hex(&digest::hash(&[log])), records }
}

/// What the firmware says of the machine, as anybody may read it.
fn hardware() -> Option<MachineModel> {
    let field = |name: &str| {
        let said = fs::read_to_string(format!("/sys/class/dmi/id/{name}")).ok()?;
        Some(text(said.trim())).filter(|said| !said.is_empty())
    };
    let hardware = MachineModel {
        vendor: field("sys_vendor"),
        product: field("product_name"),
        firmware_vendor: field("bios_vendor"),
        firmware_version: field("bios_version"),
        firmware_date: field("bios_date"),
    };
    (hardware != MachineModel::default()).then_some(hardware)
}

fn os_release() -> Option<BTreeMap<String, String>> {
    let release = OS_RELEASE.iter().find_map(|path| fs::read_to_string(path).ok())?;
    let field = |line: &str| {
        let (name, value) = line.split_once('=').filter(|(name, _)| OS_FIELDS.contains(name))?;
        Some((name.to_lowercase(), text(value.trim().trim_matches(['"', '\'']))))
    };
    Some(release.lines().filter_map(field).collect())
}

/// A text of the system's, as it may be shown anywhere.
fn text(text: &str) -> String {
    printable(text).chars().take(MOST_CHARACTERS).collect()
}
