//! Policy digests and Names, as a TPM computed them: tpm2-tools trial sessions on swtpm 0.7.1 (libtpms 0.9.2).

use trust::{
    digest::{self, Digest},
    layout::{POLICY_VERSION, POLICY_VERSION_NAME},
    policy::public_key::PublicKey,
};

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let mut bytes = [0; N];
    assert_eq!(hex.len(), 2 * N);
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
    }
    bytes
}

/// `printf prod | sha256sum`.
const PROD: &str = "6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77";

/// Made with `tpm2_loadexternal -G rsa -a 'userwithauth|sign|decrypt'`; its Name is [`NAME`].
const PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA6X+G30SDm23DflTgZnKp
yzmH7uvKXTYwI1JjS+M4apPnbIYU5ChnhPnYchJPINp7vSxFqmIjo/n/YRZzHyFe
7ncI2/+btfSKsTGdNExmAS0Ss9Iuck3YvclF7iumI51gaeZOyMFRJqHI/cljwwd/
muSSQmL6hqq+xGDFI5YyOWF8CoanDMq9rVeLJK4G7EYfpJrcW1/p3bLCB6eEDnqx
KQm0qIi4f9Nc2S3Jl7CGmq7RNoquw2bS/vG98KyS3F+5FOwdZs7S8JwrKmzvFqRd
7E7Z3pkztZNi8+yn/3P0L1hFNflHTchEJDL2AK/Tg8SQEk0PLdlor0R5h5LE44Xt
+QIDAQAB
-----END PUBLIC KEY-----
";
const NAME: &str = "000b4e1b9fcba1662d9040c4c0bf58be051254cf69a383c3345eee31765e8102d182";

#[test]
fn policy_pcr() {
    let zero = [0; 32];
    assert_eq!(digest::passwd(&zero), bytes("8b5682d81b29435d08d79278150611dc7e5923b2fefcce684a09577b40130a8b"));
    assert_eq!(digest::passwd(&bytes(PROD)), bytes("531a89ad9a76680b771b1e8d03bb287f9f121127209eca850114fdacdd225c26"));
}

#[test]
fn policy_pcr_and_policy_nv() {
    let vectors: [(Digest, &[u8; 4], &str); 4] = [
        ([0; 32], b"0001", "fa44e27cc4950c2f83bec1de2f92941c080d6715db9b4795d2c9ab6614cc0baf"),
        ([0; 32], b"0002", "e0549ddc21dbcc7d5ff80c3553a77c2fc73eaf066ae15b0a767fe7eecb52a6a9"),
        (bytes(PROD), b"0001", "579ee0637968daa9ab0570a4fbda00ecd911e4ffc16bcd9bb3e0e12c55c648b1"),
        (bytes(PROD), b"0002", "84d0f3ca81c9d194232f2717b1f107a4e442138204b75293b22a27fa888116df"),
    ];
    for (pcr7, version, expected) in vectors {
        assert_eq!(digest::luks(&pcr7, version), bytes(expected), "{version:?}");
    }
    assert_eq!(&POLICY_VERSION, b"0001");
}

#[test]
fn policy_authorize() {
    let expected = bytes("585f7b8bb2eb945807e8502754eaa3861d1af5e12e556657031b9955ce62a825");
    assert_eq!(digest::authorize(&bytes(NAME)), expected);
}

#[test]
fn the_name_of_a_key_spells_its_exponent_out() {
    let key = PublicKey::from_pem(PEM.as_bytes()).unwrap();
    assert_eq!(key.name(), bytes(NAME));
    assert_eq!(key.bits(), 2048);
    assert_eq!(key.modulus().len(), 256);
}

/// `tpm2_nvreadpublic` after `tpm2_nvdefine -s 4 -a 'ownerwrite|ownerread|authread'` and `tpm2_nvwrite`.
#[test]
fn the_name_of_the_policy_version_is_that_of_its_public_area() {
    let public = bytes::<14>("01500020000b2006000200000004");
    assert_eq!(POLICY_VERSION_NAME[..2], [0x00, 0x0b]);
    assert_eq!(POLICY_VERSION_NAME[2..], digest::hash(&[&public]));
}

/// `tpm2_pcrevent 7` with `atomix` and a newline, on a PCR that was zero.
#[test]
fn the_lock_is_an_event() {
    assert_eq!(digest::locked(&[0; 32]), bytes("77f1ede87eed8ecf410c3690530f14ebb60a6337c32ff9305268cab6b114d1db"));
    let event = bytes("b7135cbb321a66fa848b07288bd008b89bd5b7496c4569c5e1a4efd5f7c8e0a7");
    assert_eq!(digest::locked(&bytes(PROD)), digest::extend(&bytes(PROD), &event));
}
