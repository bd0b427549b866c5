//! What a machine's next boot measures, by the library: from real logs and from logs that are made, behind every kind of update.

use harness::{Measured, extend, firmware_log, sha256, workspace};
use std::fs;
use trust::{
    host::{
        eventlog::read::FirmwareLog,
        image::authenticode::GoodSignature,
        predict::{
            live::LiveVariables,
            next_boot::{self, MachineState, NextBoot, PredictedPcr},
            shim::{Shim, Vendor},
            update::{StartedImage, Update},
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
    let mut data = events.iter().filter(|(kind, _)| *kind == CONFIG).filter_map(|(_, data)| VariableData::parse(data));
    data.find(|data| data.name == variable.name).unwrap().contents.to_vec()
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
fn secure_boot_off_leaves_shims_own_state_or_has_it_reset() {
    let log = log("shim");
    let events = measured(&log);
    let off = with(&events, SECURE_BOOT, &[0]);
    let authority = EventType::EFI_VARIABLE_AUTHORITY.0;
    let state = |(kind, data): &Measured| *kind != authority || VariableData::parse(data).unwrap().name == "SbatLevel";
    let expected: Vec<_> = off.into_iter().filter(state).collect();
    assert_eq!(expected.len(), events.len() - 2);
    let reset = |events: &[Measured]| {
        let vendor = trust::host::uefi::variable::SHIM_LOCK;
        let level = Variable { name: "SbatLevel", vendor }.data(b"sbat,1,2021030218\n");
        value(&[&events[..events.len() - 1], &[(authority, level)]].concat())
    };
    let predicted = pcr7(&log, &[Update::SecureBoot(false)]);
    assert_eq!(values(&predicted), [reset(&expected), value(&expected)]);
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
    assert_eq!(values(&removed), [reset(&without), value(&without)]);
}

/// The certificates of db in `direct.bin`: of shims, and of the three kinds of images.
fn certificates() -> Vec<(Uuid, Vec<u8>)> {
    let lists = signature_list::parse(&contents(&measured(&log("direct")), DB)).unwrap();
    lists.iter().flat_map(|list| &list.signatures).map(|entry| (entry.owner, entry.data.clone())).collect()
}

/// An image that the holders of these certificates have signed.
fn image(certificates: &[&[u8]]) -> StartedImage {
    let signatures = certificates.iter().map(|certificate| GoodSignature::by(certificate).unwrap()).collect();
    StartedImage { digests: vec![(SHA256, vec![5; 32])], signatures, ..StartedImage::default() }
}

fn authority(variable: Variable<'_>, (owner, certificate): &(Uuid, Vec<u8>)) -> Measured {
    let contents = [&owner.to_bytes_le()[..], certificate].concat();
    (EventType::EFI_VARIABLE_AUTHORITY.0, variable.data(&contents))
}

fn values(predicted: &PredictedPcr) -> Vec<Vec<u8>> {
    predicted.values.iter().map(|value| value.value.clone()).collect()
}

#[test]
fn a_firmware_without_dbx_may_measure_one_or_not() {
    let mut events = measured(&log("direct"));
    let at = events.iter().rposition(|(kind, _)| *kind == CONFIG).unwrap();
    events.remove(at);
    let log = firmware_log(&events);
    let predicted = pcr7(&log, &[append(DBX, hashes(&[1]))]);
    let mut with = events.clone();
    with.insert(at, (CONFIG, DBX.data(&bytes(&hashes(&[1])))));
    assert_eq!(values(&predicted), [value(&with), value(&events)]);
    assert!(predicted.values[0].why.contains(&"if the firmware measures dbx once there is one".to_owned()));
    assert_eq!(predicted.values[1].why, ["if the firmware does not measure dbx at all"]);
}

#[test]
fn another_signer_is_measured_as_often_as_the_first() {
    let events = measured(&log("direct"));
    let certificates = certificates();
    let last = events.len() - 1;
    let mut expected = events.clone();
    expected[last] = authority(DB, &certificates[2]);
    let update = || [Update::Image(image(&[&certificates[2].1]))];
    let predicted = pcr7(&log("direct"), &update());
    assert_eq!(values(&predicted), [value(&expected)]);
    // Firmware that measures it twice does so again.
    let twice = |events: &[Measured]| [events, &events[last..]].concat();
    let predicted = pcr7(&firmware_log(&twice(&events)), &update());
    assert_eq!(values(&predicted), [value(&twice(&expected))]);
    // Two entries fit.
    let predicted = pcr7(&log("direct"), &[Update::Image(image(&[&certificates[2].1, &certificates[1].1]))]);
    assert_eq!(values(&predicted), [value(&expected), value(&events)]);
    assert!(predicted.values[1].why[0].contains("another entry of db"), "{:?}", predicted.values[1].why);
    // Nothing does.
    let next = predict(&log("direct"), None, &[Update::Image(image(&[]))], SHA256);
    assert!(next.obstacles[0].contains("nothing in db has signed it"), "{:?}", next.obstacles);
}

/// An option ROM has come through by the same entry: EDK II measures that once.
#[test]
fn what_lets_two_things_through_may_be_measured_once() {
    let certificates = certificates();
    let mut events = measured(&log("direct"));
    let separator = (EventType::SEPARATOR.0, vec![0; 4]);
    events.insert(events.len() - 1, authority(DB, &certificates[2]));
    events.insert(events.len() - 1, separator);
    let log = firmware_log(&events);
    let predicted = pcr7(&log, &[Update::Image(image(&[&certificates[2].1]))]);
    let once = events[..events.len() - 1].to_vec();
    let each = [&once[..], &[authority(DB, &certificates[2])]].concat();
    assert_eq!(values(&predicted), [value(&once), value(&each)]);
}

#[test]
fn shim_takes_an_entry_of_db_before_its_own() {
    let log = log("shim");
    let events = measured(&log);
    let (owner, tpm) = &certificates()[3];
    let lists = vec![SignatureList::x509(*owner, tpm.clone())];
    let mut expected = with(&events, DB, &[contents(&events, DB), bytes(&lists)].concat());
    *expected.last_mut().unwrap() = authority(DB, &(*owner, tpm.clone()));
    assert_eq!(values(&pcr7(&log, &[append(DB, lists)])), [value(&expected)]);
}

#[test]
fn another_shim_measures_its_own_state() {
    let log = log("shim");
    let events = measured(&log);
    let certificates = certificates();
    let shim = |level: &str, latest: Option<&str>, trusted, vendor| Update::Shim {
        shim: Shim {
            sbat_level: level.into(),
            latest_sbat_level: latest.map(Into::into),
            measures_mok_list_trusted: trusted,
            vendor,
            denied: Vec::new(),
            has_own_certificate: false,
            signed: None,
        },
        image: image(&[&certificates[0].1]),
    };
    let lock = trust::host::uefi::variable::SHIM_LOCK;
    let state =
        |name, contents: &[u8]| (EventType::EFI_VARIABLE_AUTHORITY.0, Variable { name, vendor: lock }.data(contents));
    let old = contents_of_level(&events);
    let at = events.len() - 2;
    // The same keys, with the older level that is kept, and what 15.7 measures beside it.
    let vendor = || Vendor::Db(vec![SignatureList::x509(Uuid::nil(), certificates[3].1.clone())]);
    let mut expected = events.clone();
    expected.insert(at + 1, state("MokListTrusted", &[1]));
    let update = [shim("sbat,1,2021030218\n", None, true, vendor())];
    assert_eq!(values(&pcr7(&log, &update)), [value(&expected)]);
    // A newer level, or the latest where that was asked for.
    let levels = ["sbat,1,2025010100\n", "sbat,1,2026010100\n"];
    let with_level = |level: &str| {
        let mut all = events.clone();
        all[at] = state("SbatLevel", level.as_bytes());
        value(&all)
    };
    let update = [shim(levels[0], Some(levels[1]), false, vendor())];
    assert_eq!(values(&pcr7(&log, &update)), levels.map(with_level));
    assert_ne!(old, levels[0].as_bytes());
    // A certificate built in is found in MokListRT.
    let update = [shim("sbat,1,2021030218\n", None, false, Vendor::CertificateInMokList(certificates[3].1.clone()))];
    let mut expected = events.clone();
    let list = Variable { name: "MokListRT", vendor: lock };
    *expected.last_mut().unwrap() = authority(list, &(lock, certificates[3].1.clone()));
    assert_eq!(values(&pcr7(&log, &update)), [value(&expected)]);
    // One that does not know the image.
    let next = predict(&log, None, &[shim("sbat,1,2021030218\n", None, false, Vendor::Empty)], SHA256);
    assert!(next.obstacles[0].contains("the new shim would not start the image"), "{:?}", next.obstacles);
    // The owner's keys help.
    let owners = vec![SignatureList::x509(Uuid::from_u128(3), certificates[3].1.clone())];
    let update = [shim("sbat,1,2021030218\n", None, false, Vendor::Empty), Update::MokList(owners)];
    *expected.last_mut().unwrap() = authority(list, &(Uuid::from_u128(3), certificates[3].1.clone()));
    assert_eq!(values(&pcr7(&log, &update)), [value(&expected)]);
    // Where there was no shim, nobody knows what one would do.
    let predicted = pcr7(&self::log("direct"), &update);
    assert!(predicted.unknown.unwrap().contains("without shim"));
}

/// Programs of a generation that the SBAT level forbids: the image, behind a shim that raises the level or under today's; and
/// a shim itself.
#[test]
fn a_level_above_a_component_keeps_it_from_starting() {
    let log = log("shim");
    let certificates = certificates();
    let with_sbat = |signer: usize, sbat: &str| StartedImage {
        sbat: Some(sbat.as_bytes().to_vec()),
        ..image(&[&certificates[signer].1])
    };
    let [old, new] = ["sbat,1,2025010100\n", "sbat,1,2026010100\nshim,4\nsystemd-stub,2\n"];
    let shim = |level: &str, latest: Option<&str>, sbat: &str| Update::Shim {
        shim: Shim {
            sbat_level: level.into(),
            latest_sbat_level: latest.map(Into::into),
            measures_mok_list_trusted: false,
            vendor: Vendor::Db(vec![SignatureList::x509(Uuid::nil(), certificates[3].1.clone())]),
            denied: Vec::new(),
            has_own_certificate: false,
            signed: None,
        },
        image: with_sbat(0, sbat),
    };
    let uki = |sbat: &str| Update::Image(with_sbat(3, sbat));
    let obstacles = |updates: &[Update]| predict(&log, None, updates, SHA256).obstacles;
    let (good, low) = ("sbat,1,SBAT\nshim,4,UEFI shim\n", "sbat,1,SBAT\nsystemd-stub,1,x\n");
    assert_eq!(obstacles(&[shim(new, None, good), uki("sbat,1,SBAT\nsystemd-stub,2,x\n")]), [""; 0]);
    assert_eq!(obstacles(&[shim(old, None, good), uki(low)]), [""; 0]);
    let why = "shim would not start the new image: its systemd-stub is of generation 1, and the SBAT level asks for 2";
    assert_eq!(obstacles(&[shim(new, None, good), uki(low)]), [why]);
    let when = format!("if shim has been asked for the latest SBAT level (SbatPolicy), {why}");
    assert_eq!(obstacles(&[shim(old, Some(new), good), uki(low)]), [when]);
    let itself = obstacles(&[shim(new, None, "sbat,1,SBAT\nshim,3,UEFI shim\n")]);
    assert_eq!(itself, ["shim would not start itself: its shim is of generation 3, and the SBAT level asks for 4"]);
    assert_eq!(obstacles(&[uki("")]), ["shim would not start the new image: it has no section .sbat"]);
    // The firmware itself asks for nothing of that kind; nor does shim without Secure Boot.
    let direct = predict(&self::log("direct"), None, &[Update::Image(with_sbat(2, ""))], SHA256);
    assert_eq!(direct.obstacles, [""; 0]);
    assert_eq!(obstacles(&[uki(""), Update::SecureBoot(false)]), [""; 0]);
}

/// What shim brings is measured before what its owner has given it, and a placeholder where there is nothing.
#[test]
fn the_owners_keys_are_measured_behind_those_that_shim_brings() {
    let lock = trust::host::uefi::variable::SHIM_LOCK;
    let certificates = certificates();
    let list = |at: usize| vec![SignatureList::x509(Uuid::nil(), certificates[at].1.clone())];
    let nothing = bytes(&[SignatureList::sha256(lock, &[[0; 32]])]);
    let log = |list: &[u8], denied: &[u8]| {
        let field = |value: usize| u32::try_from(value).unwrap().to_le_bytes();
        let one = |name: &str, measured: &[u8]| {
            let data = [name.as_bytes(), b"\0"].concat();
            let head = [&field(14)[..], &EventType::IPL.0.to_le_bytes(), &field(1), &[0x0b, 0], &sha256(&[measured])];
            [&head.concat()[..], &field(data.len()), &data].concat()
        };
        let events = [one("MokList", list), one("MokListX", denied), one("MokListTrusted", &[1])];
        [firmware_log(&measured(&self::log("shim"))), events.concat()].concat()
    };
    let pcr14 = |list: &[u8], denied: &[u8]| {
        [list, denied, &[1]].iter().fold([0; 32], |pcr, measured| extend(&pcr, &sha256(&[measured]))).to_vec()
    };
    let predicted = |log: &[u8], live: Option<&[u8]>, updates: &[Update]| {
        let live = live.map(|list| LiveVariables::new(vec![("MokListRT".into(), lock, list.to_vec())]));
        predict(log, live.as_ref(), updates, SHA256).of(14).unwrap().clone()
    };
    let given = |at: usize| Update::MokList(list(at));
    let shim = |vendor, denied: Vec<u8>, has_own_certificate| Update::Shim {
        shim: Shim {
            sbat_level: b"sbat,1,2021030218\n".to_vec(),
            latest_sbat_level: None,
            measures_mok_list_trusted: false,
            vendor,
            denied,
            has_own_certificate,
            signed: None,
        },
        image: image(&[&certificates[0].1]),
    };
    // Nothing is brought: the owner's keys are all there is, or nothing.
    let empty = log(&nothing, &nothing);
    assert_eq!(values(&predicted(&empty, None, &[given(1)])), [pcr14(&bytes(&list(1)), &nothing)]);
    assert!(predicted(&empty, None, &[Update::MokList(Vec::new())]).is_unchanged());
    // Of two lists, the log does not tell whose they are; the variables tell which they are.
    let both = bytes(&[list(1), list(2)].concat());
    let full = log(&both, &nothing);
    assert!(predicted(&full, None, &[given(3)]).unknown.unwrap().contains("give the variables of now"));
    let behind = |own: &[usize]| {
        let lists = own.iter().chain(&[3]).flat_map(|at| list(*at)).collect::<Vec<_>>();
        pcr14(&bytes(&lists), &nothing)
    };
    assert_eq!(values(&predicted(&full, Some(&both), &[given(3)])), [behind(&[]), behind(&[1]), behind(&[1, 2])]);
    assert!(predicted(&full, Some(&nothing), &[given(3)]).unknown.is_some(), "they have changed since");
    // Another shim with the same keys, with others, and one that forbids something.
    let vendor = |at: usize| Vendor::Db(list(at));
    let same = log(&bytes(&list(1)), &nothing);
    assert!(predicted(&same, None, &[shim(vendor(1), Vec::new(), false)]).is_unchanged());
    assert!(predicted(&same, None, &[shim(vendor(2), Vec::new(), false)]).unknown.unwrap().contains("--mok-list"));
    let denied = bytes(&hashes(&[4]));
    let update = [shim(vendor(2), denied.clone(), false), given(3)];
    assert_eq!(values(&predicted(&same, None, &update)), [pcr14(&bytes(&[list(2), list(3)].concat()), &denied)]);
    let built_in = bytes(&[SignatureList::x509(lock, certificates[2].1.clone())]);
    let update = [shim(Vendor::CertificateInMokList(certificates[2].1.clone()), Vec::new(), false)];
    assert_eq!(values(&predicted(&empty, None, &update)), [pcr14(&built_in, &nothing)]);
    // What its owner forbids, and what it has for its own programs, is not known.
    let forbids = log(&nothing, &denied);
    assert!(predicted(&forbids, None, &update).unknown.unwrap().contains("what shim's owner forbids"));
    assert!(
        predicted(&empty, None, &[shim(vendor(1), Vec::new(), true)]).unknown.unwrap().contains("its own programs")
    );
}

fn contents_of_level(events: &[Measured]) -> Vec<u8> {
    let mut data = events.iter().filter_map(|(_, data)| VariableData::parse(data));
    data.find(|data| data.name == "SbatLevel").unwrap().contents.to_vec()
}

#[test]
fn variables_that_have_changed_since_count() {
    let log = log("direct");
    let events = measured(&log);
    let live = |dbx: &[u8]| {
        let one = |variable: Variable<'_>, contents: Vec<u8>| (variable.name.to_owned(), variable.vendor, contents);
        let mut all: Vec<_> = [PK, KEK, DB].map(|variable| one(variable, contents(&events, variable))).to_vec();
        all.push(one(DBX, dbx.to_vec()));
        LiveVariables::new(all)
    };
    let same = live(&contents(&events, DBX));
    let next = predict(&log, Some(&same), &[], SHA256);
    assert!(next.of(7).unwrap().is_unchanged());
    let changed = live(&bytes(&hashes(&[8])));
    let next = predict(&log, Some(&changed), &[append(DBX, hashes(&[8, 9]))], SHA256);
    let expected = with(&events, DBX, &[bytes(&hashes(&[8])), bytes(&hashes(&[9]))].concat());
    assert_eq!(values(next.of(7).unwrap()), [value(&expected)]);
    // Without what had let the image through, nobody knows what will.
    let without = LiveVariables::new(vec![("PK".into(), PK.vendor, contents(&events, PK))]);
    let next = predict(&log, Some(&without), &[], SHA256);
    assert!(next.of(7).unwrap().unknown.as_ref().unwrap().contains("db has lost"));
    // The firmware's mode follows from its PK.
    let mut modes = events.clone();
    modes.insert(1, (CONFIG, Variable { name: "DeployedMode", vendor: PK.vendor }.data(&[1])));
    let predicted = pcr7(&firmware_log(&modes), &[Update::Replace { variable: PK, lists: Vec::new() }]);
    assert!(predicted.unknown.unwrap().contains("measures its mode"));
    let predicted = pcr7(&firmware_log(&modes), &[append(DBX, hashes(&[1]))]);
    assert_eq!((predicted.values.len(), predicted.unknown), (1, None));
}
