//! Updates of PK, KEK, db and dbx in files, and what `predict` makes of them; the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::{
        eventlog::read::FirmwareLog,
        predict::{
            next_boot::{self, MachineState},
            update::Update,
            update_file,
        },
        uefi::{
            signature_list::X509,
            variable::{DB, DBX, KEK, PK},
        },
    },
    tpm2::constants::alg,
};

/// Of a machine with Secure Boot and shim.
const LOG: &[u8] = include_bytes!("../../tests/data/event-logs/shim.bin");

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let variable = [PK, KEK, DB, DBX][usize::from(which % 4)];
    let Ok(lists) = update_file::parse(bytes, variable) else { return };
    let count = lists.iter().map(|list| list.signatures.len()).sum::<usize>();
    assert!(if variable == PK { count <= 1 } else { count >= 1 });
    assert!(![PK, KEK].contains(&variable) || lists.iter().all(|list| list.kind == X509));
    let log = FirmwareLog::read(LOG);
    let before = MachineState { log: &log, variables: None };
    for update in [Update::Append { variable, lists: lists.clone() }, Update::Replace { variable, lists }] {
        let next = next_boot::predict(before, &[update], alg::SHA256);
        let pcr7 = next.of(7).expect("it is measured into");
        for value in &pcr7.values {
            assert_eq!(value.value.len(), 32);
        }
        assert!(!pcr7.values.is_empty() || pcr7.unknown.is_some());
    }
});
