//! An attacker on the wire who wants the session to be salted to a key of their own.

use harness::{Action, Boot, Machine, Response, cc, extend, hex, sha256};

const SRK: u32 = 0x8100_0001;
/// fixedTPM fixedParent sensitiveDataOrigin userWithAuth noDA restricted decrypt.
const STORAGE_KEY: u32 = 0x0003_0472;
/// userWithAuth noDA decrypt: a key that an attacker may have loaded, and whose private part they may have.
const LOADED_KEY: u32 = 0x0002_0440;

/// A point of P-256 whose private key is not in the TPM: x and y.
fn foreign_point() -> Vec<u8> {
    let key = harness::run("sh", &["-c", "openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -text"]);
    let digits: String =
        key.split("pub:").nth(1).expect("openssl prints it").split("ASN1").next().expect("some").into();
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).expect("digits"), 16).expect("hex");
    let point: Vec<u8> = digits.chunks(2).map(byte).collect();
    assert_eq!((point[0], point.len()), (4, 65), "an uncompressed point");
    point[1..].to_vec()
}

/// The answer to TPM2_ReadPublic with another point and other attributes, and the Name that goes with them.
fn substituted(answer: &Response, attributes: u32, point: &[u8]) -> Vec<u8> {
    let body = &answer.0[10..];
    let size = usize::from(u16::from_be_bytes([body[0], body[1]]));
    let mut public = body[2..2 + size].to_vec();
    assert_eq!(public[4..8], STORAGE_KEY.to_be_bytes(), "the genuine key is a storage key");
    public[4..8].copy_from_slice(&attributes.to_be_bytes());
    // Both coordinates are at the end, each behind its size.
    let x = public.len() - 66;
    public[x..x + 32].copy_from_slice(&point[..32]);
    public[x + 34..].copy_from_slice(&point[32..]);
    let name = [&[0x00, 0x0b][..], &sha256(&[&public])].concat();
    let qualified = &body[2 + size + 2 + name.len()..];
    let [size, name_size] = [public.len(), name.len()].map(|size| u16::try_from(size).expect("small").to_be_bytes());
    Response::with(0x8001, 0, &[&size[..], &public, &name_size, &name, qualified].concat()).0
}

/// A machine on whose wire an attacker presents another key as the TPM's storage root key.
fn attacked(attributes: u32) -> Machine {
    let machine = Machine::provisioned();
    let point = foreign_point();
    machine.wire.on_response(move |command, response| {
        if command.code() == cc::READ_PUBLIC && command.word(0) == SRK && response.ok() {
            return Action::Reply(substituted(&response, attributes, &point));
        }
        Action::Forward
    });
    machine.wire.take();
    machine
}

/// The keys that sessions were salted to, since the record was last taken.
fn salted_to(machine: &Machine) -> Vec<u32> {
    let record = machine.wire.take();
    assert!(record.iter().any(|exchange| exchange.command.code() == cc::READ_PUBLIC), "the key was not asked for");
    let starts = record.iter().filter(|exchange| exchange.command.code() == cc::START_AUTH_SESSION);
    starts.map(|exchange| exchange.command.word(0)).collect()
}

/// A key whose private part may be anywhere is not salted to. A key that the TPM makes takes its place.
#[test]
fn a_salt_key_that_may_exist_outside_the_tpm_is_refused() {
    let machine = attacked(LOADED_KEY);
    for command in ["setup", "preinit"] {
        let run = machine.boot(Boot::Production, &format!("trust {command}\nsecret machine:luks >/dev/null"));
        let keys = salted_to(&machine);
        let own = !keys.is_empty() && keys.iter().all(|key| key >> 24 == 0x80);
        assert!(own, "{command} is salted to a key that others may have: {keys:x?}, {run:#?}");
        run.ok();
    }
}

/// A key with the right attributes that is not the TPM's: the TPM does not arrive at the same secret, and all ends.
#[test]
fn a_foreign_key_with_the_right_attributes_is_refused() {
    let machine = attacked(STORAGE_KEY);
    for command in ["setup", "preinit", "lock"] {
        let run = machine.boot(Boot::Production, &format!("try status trust {command}\npublished"));
        assert_eq!(salted_to(&machine).first(), Some(&SRK), "{command}: the attack did not take place");
        assert_ne!(run.status(), 0, "{command}: {run:#?}");
        run.refused(run.status());
        // Locked, or said not to be.
        let locked = hex(&extend(&Boot::Production.pcr7(), &sha256(&[b"atomix\n"])));
        assert!(machine.tpm.pcr("sha256", 7) == locked || run.status() == 16, "{command}: {run:#?}");
    }
}

/// The private key is not wrapped for a key that the TPM does not have, whatever that looks like.
#[test]
fn finish_is_not_given_a_foreign_key() {
    for (attributes, status) in [(LOADED_KEY, 11), (STORAGE_KEY, 12)] {
        let machine = attacked(attributes);
        // `setup` has a wire of its own, without an attacker.
        let honest = machine.tpm.tools().tcti();
        let script = format!(
            r#"
            TCTI={honest} trust setup
            try status env -i "$TRUST" finish --tcti "$TCTI" --key-to-tpm
            published
            "#
        );
        machine.boot(Boot::Production, &script).refused(status);
        let codes: Vec<u32> = machine.wire.take().iter().map(|exchange| exchange.command.code()).collect();
        assert!(codes.contains(&cc::READ_PUBLIC), "the attack did not take place: {codes:x?}");
        assert!(!codes.contains(&cc::IMPORT), "the key left, wrapped for another key: {codes:x?}");
    }
}
