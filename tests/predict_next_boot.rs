//! What a machine's next boot measures, by the library: from real logs and from logs that are made, behind every kind of update.

use harness::{Measured, extend, firmware_log, sha256, workspace};
use std::fs;
use trust::{
    host::{
        eventlog::read::FirmwareLog,
        predict::{
            live::LiveVariables,
            next_boot::{self, MachineState, NextBoot, PredictedPcr},
            update::Update,
        },
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, KEK, PK, SECURE_BOOT, Variable},
        },
    },
    measure::{event::EventType, log::events_of, variable::VariableData},
};
use uuid::Uuid;

const SHA256: u16 = 0x000b;
const CONFIG: u32 = EventType::EFI_VARIABLE_DRIVER_CONFIG.0;

fn log(name: &str) -> Vec<u8> {
    fs::read(workspace().join("tests/data/event-logs").join(format!("{name}.bin"))).unwrap()
}

fn predict(log: &[u8], variables: Option<&LiveVariables>, updates: &[Update], bank: u16) -> NextBoot {
    next_boot::predict(MachineState { log: &FirmwareLog::read(log), variables }, updates, bank)
}

/// The prediction for PCR 7 in the sha256 bank.
fn pcr7(log: &[u8], updates: &[Update]) -> PredictedPcr {
    let next = predict(log, None, updates, SHA256);
    assert_eq!(next.obstacles, Vec::<String>::new());
    next.of(7).unwrap().clone()
}

/// The events of PCR 7 of a log.
fn measured(log: &[u8]) -> Vec<Measured> {
    events_of(log, 7).into_iter().map(|event| (event.kind.0, event.data.to_vec())).collect()
}

/// What PCR 7 is behind these.
fn value(events: &[Measured]) -> Vec<u8> {
    events.iter().fold([0; 32], |pcr, (_, data)| extend(&pcr, &sha256(&[data]))).to_vec()
}

fn contents(events: &[Measured], variable: Variable<'_>) -> Vec<u8> {
    let data = events.iter().filter(|(kind, _)| *kind == CONFIG).filter_map(|(_, data)| VariableData::parse(data));
    data.filter(|data| data.name == variable.name).next().unwrap().contents.to_vec()
}

/// The events with other contents of a variable.
fn with(events: &[Measured], variable: Variable<'_>, contents: &[u8]) -> Vec<Measured> {
    let is = |data: &[u8]| VariableData::parse(data).is_some_and(|data| data.name == variable.name);
    let one = |(kind, data): &Measured| {
        let data = if *kind == CONFIG && is(data) { variable.data(contents) } else { data.clone() };
        (*kind, data)
    };
    events.iter().map(one).collect()
}

fn hashes(bytes: &[u8]) -> Vec<SignatureList> {
    let hashes: Vec<[u8; 32]> = bytes.iter().map(|byte| [*byte; 32]).collect();
    vec![SignatureList::sha256(Uuid::from_u128(7), &hashes)]
}

fn bytes(lists: &[SignatureList]) -> Vec<u8> {
    signature_list::to_bytes(lists).unwrap()
}

fn append(variable: Variable<'static>, lists: Vec<SignatureList>) -> Update {
    Update::Append { variable, lists }
}

#[test]
fn without_an_update_a_boot_is_the_last_one() {
    let mut compared = 0;
    for name in ["direct", "shim", "gce-windows", "gce-ubuntu", "gce-coreos", "gce-old-shim", "hp-windows", "hp-debian"]
    {
        for bank in [0x0004, 0x000b, 0x000c] {
            let next = predict(&log(name), None, &[], bank);
            assert_eq!(next.obstacles, Vec::<String>::new(), "{name}");
            for pcr in next.pcrs.iter().filter(|pcr| pcr.now.is_some()) {
                assert!(pcr.is_unchanged() && pcr.values.len() == 1, "{name}: {pcr:?}");
                assert_eq!(pcr.values[0].why, Vec::<String>::new(), "{name}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn databases_are_appended_to_as_firmware_does_it() {
    let log = log("shim");
    let events = measured(&log);
    for (variable, lists) in
        [(DBX, hashes(&[1, 2])), (DB, hashes(&[3])), (KEK, vec![SignatureList::x509(Uuid::nil(), vec![0x30; 99])])]
    {
        let expected = with(&events, variable, &[contents(&events, variable), bytes(&lists)].concat());
        let predicted = pcr7(&log, &[append(variable, lists.clone())]);
        assert_eq!(predicted.values.len(), 1);
        assert_eq!(predicted.values[0].value, value(&expected), "{}", variable.name);
        assert_eq!(predicted.values[0].why, [format!("{} is appended to", variable.name)]);
        let changed: Vec<_> = predicted.values[0].events.iter().filter(|event| event.change.is_some()).collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].event.name(), variable.name);
        // What is there already is not added again, and the rest keeps its order.
        let more = [lists.clone(), hashes(&[9])].concat();
        if variable != KEK {
            let twice = pcr7(&log, &[append(variable, lists), append(variable, more)]);
            let all = [contents(&expected, variable), bytes(&hashes(&[9]))].concat();
            assert_eq!(twice.values[0].value, value(&with(&events, variable, &all)));
        }
    }
    // Only PCR 7 moves.
    let next = predict(&log, None, &[append(DBX, hashes(&[1]))], SHA256);
    let moved: Vec<_> = next.pcrs.iter().filter(|pcr| !pcr.is_unchanged()).map(|pcr| pcr.pcr.number).collect();
    assert_eq!(moved, [7]);
}

#[test]
fn secure_boot_off_leaves_shims_own_state_alone() {
    let log = log("shim");
    let events = measured(&log);
    let off = with(&events, SECURE_BOOT, &[0]);
    let authority = EventType::EFI_VARIABLE_AUTHORITY.0;
    let state = |(kind, data): &Measured| *kind != authority || VariableData::parse(data).unwrap().name == "SbatLevel";
    let expected: Vec<_> = off.into_iter().filter(state).collect();
    assert_eq!(expected.len(), events.len() - 2);
    let predicted = pcr7(&log, &[Update::SecureBoot(false)]);
    assert_eq!((predicted.values.len(), &predicted.values[0].value), (1, &value(&expected)));
    // On again, nobody knows what will let the programs through.
    let off = firmware_log(&expected);
    let predicted = pcr7(&off, &[Update::SecureBoot(true)]);
    assert_eq!(predicted.values.len(), 0);
    assert!(predicted.unknown.unwrap().contains("does not say what is started"));
    let predicted = pcr7(&self::log("gce-coreos"), &[Update::SecureBoot(true)]);
    assert!(predicted.unknown.unwrap().contains("give its file"));
    // Without a PK it is off as well.
    let removed = pcr7(&log, &[Update::Replace { variable: PK, lists: Vec::new() }]);
    let without: Vec<_> = with(&expected, PK, &[]);
    assert_eq!(removed.values[0].value, value(&without));
}
