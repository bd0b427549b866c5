use super::*;
use crate::host::uefi::variable::{DB, DBX, GLOBAL, PK};

/// An image with room for `room` bytes of variables, and something behind them.
fn image(variables: &[u8], room: usize) -> Vec<u8> {
    const VOLUME_HEADER: usize = 72;
    let store = STORE_HEADER + room;
    let length = VOLUME_HEADER + store + 16;
    let mut image = vec![0; 16];
    image.extend(NV_DATA.to_bytes_le());
    image.extend((length as u64).to_le_bytes());
    image.extend(VOLUME_SIGNATURE);
    image.extend(0x0004_feff_u32.to_le_bytes());
    image.extend([72, 0, 0, 0, 0, 0, 0, 2]);
    image.resize(VOLUME_HEADER, 0);
    let sum = image.as_chunks().0.iter().fold(0_u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes(*pair)));
    image[50..52].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    image.extend(AUTHENTICATED.to_bytes_le());
    image.extend(u32::try_from(store).unwrap().to_le_bytes());
    image.extend(FORMATTED_AND_HEALTHY);
    image.extend([0; 6]);
    image.extend(variables);
    image.resize(VOLUME_HEADER + store, ERASED);
    image.extend(*b"something behind");
    image.extend(*b"another volume");
    image
}

fn stored(name: &[u8], contents: &[u8], state: u8) -> Vec<u8> {
    let variable = Stored {
        attributes: 7,
        count: 0x0102_0304,
        time: [9; 16],
        public_key: 3,
        vendor: GLOBAL,
        name: name.to_vec(),
        contents: contents.to_vec(),
    };
    let mut bytes = Vec::new();
    variable.write(&mut bytes);
    bytes[2] = state;
    bytes
}

#[test]
fn valid_variables_are_kept_byte_for_byte() {
    let lone_surrogate = [0x00, 0xd8, 0, 0];
    let long_name = [b'x', 0].repeat(0x4000);
    let all = [
        stored(&encode_name("kept"), b"contents", ADDED),
        stored(&encode_name("deleted"), b"old", 0x3d),
        stored(&encode_name("cut off"), b"half", 0x7f),
        stored(&encode_name("replaced"), b"old", BEING_REPLACED),
        stored(&lone_surrogate, b"odd", ADDED),
        stored(b"odd", b"", ADDED),
        stored(&long_name, b"long", ADDED),
        stored(&encode_name("replaced"), b"new", ADDED),
        stored(&encode_name("not yet replaced"), b"old", BEING_REPLACED),
    ];
    let image = image(&all.concat(), 0x10000);
    let store = VariableStore::parse(&image).unwrap();
    let contents: Vec<_> = store.variables().iter().map(|stored| stored.contents.as_slice()).collect();
    assert_eq!(contents, [&b"contents"[..], b"odd", b"", b"long", b"new", b"old"]);
    assert_eq!(store.variables()[0].name(), "kept");
    let written = store.to_image().unwrap();
    let again = VariableStore::parse(&written).unwrap();
    assert_eq!(again.variables(), store.variables());
    assert_eq!(again.to_image().unwrap(), written);
    assert_eq!(written.len(), image.len());
    let kept = [&all[0], &all[4], &all[5], &all[6], &all[7]].map(Vec::as_slice).concat();
    assert_eq!(written[100..100 + kept.len()], kept);
    assert!(written.ends_with(b"something behindanother volume"));
}

#[test]
fn variables_are_set_replaced_and_removed() {
    let image = image(&[], 0x400);
    let mut store = VariableStore::parse(&image).unwrap();
    assert_eq!(store.to_image().unwrap(), image);
    let time = Time::of("2026-11-22T10:11:12Z".parse().unwrap());
    store.set(DB, 0x27, Some(time), b"one".to_vec());
    store.set(DBX, 0x27, Some(time), b"two".to_vec());
    store.set(DB, 0x27, Some(time), b"three".to_vec());
    store.remove(PK);
    store.remove(DBX);
    assert_eq!((store.get(DB), store.get(DBX)), (Some(&b"three"[..]), None));
    let written = store.to_image().unwrap();
    assert_eq!(VariableStore::parse(&written).unwrap().variables(), store.variables());
    // db, GUID, a second later.
    assert_eq!(written[100..104], [0xaa, 0x55, 0x3f, 0]);
    assert_eq!(written[116..132], time.to_bytes());
}

#[test]
fn a_store_accepts_only_what_fits() {
    let header_and_name = HEADER + encode_name("db").len();
    let image = image(&[], 0x400);
    let mut store = VariableStore::parse(&image).unwrap();
    store.set(DB, 0x27, None, vec![0; 0x400 - header_and_name]);
    let full = store.to_image().unwrap();
    assert_eq!(VariableStore::parse(&full).unwrap().variables(), store.variables());
    store.set(DB, 0x27, None, vec![0; 0x401 - header_and_name]);
    assert!(store.to_image().is_err());
}

#[test]
fn changed_bytes_do_not_panic() {
    let variables = [stored(&encode_name("a"), b"contents", ADDED), stored(&encode_name("b"), b"more", ADDED)].concat();
    let sound = image(&variables, 0x200);
    for at in 0..sound.len() {
        for value in [0, 1, 0x7f, 0x80, 0xfe, 0xff] {
            let mut lying = sound.clone();
            lying[at] = value;
            if let Ok(store) = VariableStore::parse(&lying) {
                assert_eq!(store.to_image().unwrap().len(), sound.len());
            }
        }
        if let Ok(store) = VariableStore::parse(&sound[..at]) {
            assert!(store.to_image().is_ok());
        }
    }
}
