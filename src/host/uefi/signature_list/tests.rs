use super::*;

const OWNER_GUID: Uuid = guid("a0baa8a3-041d-48a8-bc87-c36d121b5e3d");

#[test]
fn lists_are_written_as_specified() {
    let written = to_bytes(&[SignatureList::x509(OWNER_GUID, vec![1, 2, 3])]).unwrap();
    let expected: &[&[u8]] = &[
        &[0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72],
        &[47, 0, 0, 0, 0, 0, 0, 0, 19, 0, 0, 0],
        &[0xa3, 0xa8, 0xba, 0xa0, 0x1d, 0x04, 0xa8, 0x48, 0xbc, 0x87, 0xc3, 0x6d, 0x12, 0x1b, 0x5e, 0x3d],
        &[1, 2, 3],
    ];
    assert_eq!(written, expected.concat());
}

#[test]
fn lists_read_are_written_unchanged() {
    let other = SignatureList {
        kind: OWNER_GUID,
        header: vec![7; 5],
        size: 2,
        signatures: vec![SignatureData { owner: X509, data: vec![8, 9] }],
    };
    let empty = SignatureList { signatures: Vec::new(), ..SignatureList::sha256(OWNER_GUID, &[]) };
    let lists = [
        SignatureList::sha256(OWNER_GUID, &[[1; 32], [2; 32]]),
        other,
        empty,
        SignatureList::x509(OWNER_GUID, vec![1; 1000]),
    ];
    let bytes = to_bytes(&lists).unwrap();
    assert_eq!(parse(&bytes).unwrap(), lists);
    assert_eq!(parse(&[]).unwrap(), []);
    // Cut anywhere but between two lists, it is refused.
    let mut whole: Vec<_> = (1..=lists.len()).map(|n| to_bytes(&lists[..n]).unwrap().len()).collect();
    whole.insert(0, 0);
    for len in 0..bytes.len() {
        assert_eq!(parse(&bytes[..len]).is_ok(), whole.contains(&len), "{len}");
    }
}

#[test]
fn files_are_read_in_three_forms() {
    let lists = [SignatureList::sha256(OWNER_GUID, &[[1; 32], [2; 32]])];
    let bare = to_bytes(&lists).unwrap();
    let time = authentication::Time::of("2026-11-22T10:11:12Z".parse().unwrap());
    let signed = [authentication::header(time, b"signature").unwrap(), bare.clone()].concat();
    let variable = [&[0x27, 0, 0, 0], &bare[..]].concat();
    for file in [bare, signed, variable] {
        assert_eq!(parse_file(&file).unwrap(), lists);
        assert!(parse_file(&file[..file.len() - 1]).is_err());
    }
}

#[test]
fn only_missing_entries_are_appended() {
    let old = [SignatureList::sha256(OWNER_GUID, &[[1; 32], [2; 32]]), SignatureList::x509(X509, vec![1; 32])];
    let more = [
        SignatureList::sha256(OWNER_GUID, &[[2; 32], [3; 32]]),
        SignatureList::sha256(OWNER_GUID, &[[1; 32]]),
        // The same bytes by another owner, or of another type, are something else.
        SignatureList::sha256(X509, &[[1; 32]]),
        SignatureList::x509(OWNER_GUID, vec![1; 32]),
    ];
    let all = append(&old, &more);
    assert_eq!(all[..2], old);
    assert_eq!(all[2..], [SignatureList::sha256(OWNER_GUID, &[[3; 32]]), more[2].clone(), more[3].clone()]);
    assert_eq!(append(&old, &old), old);
}

#[test]
fn false_sizes_are_refused() {
    let sound = to_bytes(&[SignatureList::sha256(OWNER_GUID, &[[1; 32], [2; 32]])]).unwrap();
    let with = |at: usize, value: u32| {
        let mut bytes = sound.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    assert_eq!(with(16, 124), sound);
    for list_size in [0, 1, 27, 28 + 1, 75, 123, 125, 0x7fff_ffff, u32::MAX] {
        assert!(parse(&with(16, list_size)).is_err(), "{list_size}");
    }
    for header_size in [1, 16, 48, 96, 97, u32::MAX] {
        assert!(parse(&with(20, header_size)).is_err(), "{header_size}");
    }
    for signature_size in [0, 1, 15, 16, 17, 24, 47, 49, 96, u32::MAX] {
        assert!(parse(&with(24, signature_size)).is_err(), "{signature_size}");
    }
}

#[test]
fn changed_bytes_do_not_panic() {
    let lists = [SignatureList::sha256(OWNER_GUID, &[[1; 32], [2; 32]]), SignatureList::x509(OWNER_GUID, vec![3; 5])];
    let sound = to_bytes(&lists).unwrap();
    for at in 0..sound.len() {
        for value in 0..=u8::MAX {
            let mut damaged = sound.clone();
            damaged[at] = value;
            for lists in [parse(&damaged), parse_file(&damaged)].into_iter().flatten() {
                assert_eq!(parse(&to_bytes(&lists).unwrap()).unwrap(), lists);
            }
        }
    }
}

#[test]
fn signatures_of_a_wrong_size_are_not_written() {
    let mut list = SignatureList::sha256(OWNER_GUID, &[[1; 32]]);
    list.size = 31;
    assert!(to_bytes(&[list]).is_err());
}
