//! Policy digests and Names, as a TPM computed them (tpm2-tools trial sessions on swtpm 0.7.1, libtpms 0.9.2), and as
//! other projects have published them.

use trust::{
    digest::{self, Digest},
    measure::pcr,
    policy::{
        Assertion, Policy,
        assertion::{Comparison, Operand},
        boot_kind::BootKind,
        public_key::PolicyKey,
        version,
    },
    tpm2::{
        NvPublic, Public, Selection,
        constants::{alg, curve, rh},
        name,
        public::{AsymmetricKey, attribute},
    },
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

fn of_boots(kind: BootKind, pcr7: &Digest, version: &[u8; 4]) -> Digest {
    kind.policy(pcr7, *version).unwrap().digest()
}

#[test]
fn the_policy_of_admin_boots_is_policy_pcr() {
    let of = |pcr7| of_boots(BootKind::Admin, &pcr7, &version::FIRST);
    assert_eq!(of([0; 32]), bytes("8b5682d81b29435d08d79278150611dc7e5923b2fefcce684a09577b40130a8b"));
    assert_eq!(of(bytes(PROD)), bytes("531a89ad9a76680b771b1e8d03bb287f9f121127209eca850114fdacdd225c26"));
}

#[test]
fn the_policy_of_production_boots_is_policy_pcr_then_policy_nv() {
    let vectors: [(Digest, &[u8; 4], &str); 4] = [
        ([0; 32], b"0001", "fa44e27cc4950c2f83bec1de2f92941c080d6715db9b4795d2c9ab6614cc0baf"),
        ([0; 32], b"0002", "e0549ddc21dbcc7d5ff80c3553a77c2fc73eaf066ae15b0a767fe7eecb52a6a9"),
        (bytes(PROD), b"0001", "579ee0637968daa9ab0570a4fbda00ecd911e4ffc16bcd9bb3e0e12c55c648b1"),
        (bytes(PROD), b"0002", "84d0f3ca81c9d194232f2717b1f107a4e442138204b75293b22a27fa888116df"),
    ];
    for (pcr7, version, expected) in vectors {
        assert_eq!(of_boots(BootKind::Production, &pcr7, version), bytes(expected), "{version:?}");
    }
    assert_eq!(&version::FIRST, b"0001");
}

#[test]
fn the_policy_of_an_index_is_policy_authorize() {
    let expected = bytes("585f7b8bb2eb945807e8502754eaa3861d1af5e12e556657031b9955ce62a825");
    assert_eq!(Policy::authorized_by(bytes(NAME), Operand::new()).digest(), expected);
}

#[test]
fn the_name_of_a_key_includes_its_default_exponent() {
    let key = PolicyKey::from_pem(PEM.as_bytes()).unwrap();
    assert_eq!(key.name(), bytes(NAME));
}

/// `tpm2_nvreadpublic` after `tpm2_nvdefine -s 4 -a 'ownerwrite|ownerread|authread'` and `tpm2_nvwrite`.
#[test]
fn the_name_of_the_policy_version_index_equals_the_vector() {
    assert_eq!(version::index().area(), bytes::<14>("01500020000b2006000200000004"));
    let name = "000b9a2a448f2272a89720c1f37eef785dea317a40ef975bb78de155234f60c66a1a";
    assert_eq!(version::index().name(), bytes(name));
}

/// Of systemd's src/test/test-tpm2.c (version 258).
mod systemd {
    use super::*;

    /// The modulus of its RSA key.
    const MODULUS: &str = concat!(
        "9ec7341c52093ac40a1965a5df10432513c539adcf905e30577ab6ebc88ffe53cd08cef12ed9bec6125432f4fada3629",
        "b8b96d31b8f507aa35029188fe396da823fcb236027f7fbb01b0da3d87be7f999390449ced604bdf7e26c48657cc0671",
        "000f1147da195c3861c96642e54427cb7a11572e07567ec3fd6316978abc4bd92b27bb0a0e4958e599804eeb41d682b3",
        "b7fc1f960209f80a4fb8a1b64abfd96bf5d554e73cdd6ad1c8becb4fcf5e8f0c3e621d210e5e2f308f6520ad9a966779",
        "231b99f06c5989e5a23a9415c8808ab89ce81117632e2f8461cd4428bded40979236aeadafe8de3f51660a45e1dbc876",
        "94e6a36360201cca3ff9e7263e712727",
    );

    /// Its keys are storage keys that nobody has made.
    fn name_of(key: AsymmetricKey<'_>) -> [u8; 34] {
        let attributes = attribute::USER_WITH_AUTH | attribute::DECRYPT | attribute::RESTRICTED | 0x32;
        let public = Public { attributes, policy: &[], encrypts_children: true, key };
        name::of(&public.area().unwrap())
    }

    #[test]
    fn policies_with_passwords_equal_systemds() {
        let one = "8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e";
        let two = "759ebd5ed65100e0b4aa2d04b4b789c2672d92ecc9cdda4b5fa16a303132e008";
        assert_eq!(Policy::of([Assertion::AuthValue]).digest(), bytes(one));
        assert_eq!(Policy::of([Assertion::AuthValue, Assertion::AuthValue]).digest(), bytes(two));
    }

    #[test]
    fn key_names_and_policies_equal_systemds() {
        let rsa = name_of(AsymmetricKey::Rsa { modulus: &bytes::<256>(MODULUS), exponent: 0 });
        assert_eq!(digest::hex(&rsa), "000be78f74a470dd92e979ca067cdb2293a35f075e8560b436bd2ccea5da21486a07");
        let expected = "95213a3784eaab04f427bc7e8851c2f1df0903be8e42428ec25dcefd907baff1";
        assert_eq!(Policy::authorized_by(rsa, Operand::new()).digest(), bytes(expected));
        let x = bytes::<32>("238e02ee4fd5598add6b502429f1815418515e4b0d6551c8e816b38cb15451d1");
        let y = bytes::<32>("70c2d491769775ec43ccd5a571c429233e9d30cf0f486c2e01acd6cb32ba93b6");
        let ecc = name_of(AsymmetricKey::Ecc { curve: curve::NIST_P256, x: &x, y: &y });
        assert_eq!(digest::hex(&ecc), "000b302787187ba19c82011c987bd2dcdbb652b3a543ccc5cb0b49c33d4caae604a6");
    }

    #[test]
    fn pcr_policies_equal_systemds() {
        let values = [
            "368f85b3013041dfe203faaa364f00b07c5da7b1e5f1dbf2efb06fa6b9bd92de",
            "aa1154c9e0a774854ccbed4c8ce7e9b906b3d700a1a8db1772d0341a62dbe51b",
            "cfde439a2c06af3479ca6bdc60429b90553d65300c5cfcc40004a08c6b5ad81a",
        ];
        let values: Vec<_> = values.iter().flat_map(|value| bytes::<32>(value)).collect();
        let selections = [Selection { bank: alg::SHA256, pcrs: 1 << 4 | 1 << 7 | 1 << 8 }].into_iter().collect();
        let pcrs = Assertion::Pcr { selections, values: digest::hash(&[&values]) };
        let one = "76532a0e16f7e6bf6b02918c11f75d99d729fab0cc81d0df2c4284a2c4fe6e05";
        let two = "97e64bcabb64c1fa4b726528644926c8029f5b4458b0575c98c04fe225629a0b";
        assert_eq!(Policy::of([pcrs.clone()]).digest(), bytes(one));
        assert_eq!(Policy::of([pcrs.clone(), pcrs]).digest(), bytes(two));
    }
}

/// Of go-tpm2's policyutil/builder_test.go.
mod go_tpm2 {
    use super::*;

    #[test]
    fn nv_comparisons_equal_go_tpm2s() {
        // Ordinary, authwrite, authread, written.
        let index = NvPublic::new(0x0181_f000, 1 << 2 | 1 << 18 | 1 << 29, None, 8);
        let sixteen = [0, 0, 0, 0, 0, 0, 0, 0x10];
        let vectors: [(&[u8], u16, Comparison, &str); 3] = [
            (&sixteen, 0, Comparison::Below, "aca835ee02ef5c2060c5b833ccee0ae9117321b162b10a9dd69b0cbc5b4b90d1"),
            (&sixteen[6..], 6, Comparison::Below, "718deb133fdb34530a37cfcc0c26f9552c5703bf56520e129aa73f5cd8621343"),
            (&sixteen, 0, Comparison::AtLeast, "f50564e250f80476c988180e87202c01fd52129abfea4f26eae04ac99641f735"),
        ];
        for (operand, offset, comparison, expected) in vectors {
            let operand = Operand::from_slice(operand).unwrap();
            let nv = Assertion::Nv { index: index.clone(), operand, offset, comparison };
            assert_eq!(Policy::of([nv]).digest(), bytes(expected), "{offset} {comparison:?}");
        }
    }

    #[test]
    fn secret_policies_equal_go_tpm2s() {
        for (reference, expected) in [
            ("foo", "62fd94980db2a746545cab626e9df21a1d0f00472f637d4bf567026e40a6ebed"),
            ("", "0d84f55daf6e43ac97966e62c9bb989d3397777d25c5f749868055d65394f952"),
        ] {
            let policy_ref = Operand::from_slice(reference.as_bytes()).unwrap();
            let secret = Assertion::Secret { hierarchy: rh::OWNER, policy_ref };
            assert_eq!(Policy::of([secret]).digest(), bytes(expected), "{reference}");
        }
    }

    #[test]
    fn command_code_policies_equal_go_tpm2s() {
        for (code, expected) in [
            (0x13b, "445ed953601a045504550999bf2cbb2992cba2dbb5121bcf03869f65b50c26e5"),
            (0x14b, "bef56b8c1cc84e11edd717528d2cd99356bd2bbf8f015209c3f84aeeaba8e8a2"),
        ] {
            assert_eq!(Policy::of([Assertion::CommandCode(code)]).digest(), bytes(expected), "{code:#x}");
        }
    }
}

/// Of tpm2-tss' test/data/test-fapi-policies.h (version 4.1), for the policies in test/data/fapi/policy.
mod fapi {
    use super::*;

    /// A PCR that has this value.
    fn of(pcr: u8, value: Digest) -> Policy {
        let selections = [Selection { bank: alg::SHA256, pcrs: 1 << pcr }].into_iter().collect();
        Policy::of([Assertion::Pcr { selections, values: digest::hash(&[&value]) }])
    }

    #[test]
    fn pcrs_and_commands_come_to_its_digests() {
        assert_eq!(of(8, [0; 32]).digest(), bytes("2a90ac03196573f129e70a9e04485bff581d2890fe5882d3c2667290d84b497b"));
        assert_eq!(of(16, [0; 32]).digest(), bytes("bff2d58e9813f97cefc14f72ad8133bc7092d652b7c877959254af140c841f36"));
        let sign = Policy::of([Assertion::CommandCode(0x15d)]);
        assert_eq!(sign.digest(), bytes("cc6918b226273b08f5bd406d7f10cf160f0a7d13dfd83b7770ccbcd1aa80d811"));
    }
}

/// The policies of endorsement keys (TCG EK Credential Profile 2.5, annexes B.3 and B.6; the policy index of SHA-256),
/// which FAPI's table has as well.
#[test]
fn policy_or_and_authorize_nv_equal_those_of_endorsement_keys() {
    let a = Policy::of([Assertion::Secret { hierarchy: rh::ENDORSEMENT, policy_ref: Operand::new() }]);
    assert_eq!(a.digest(), bytes("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"));
    let index = NvPublic::new(0x01c0_7f01, 0x220f_1008, Some(&a.digest()), 34);
    let name = "000b0c9d717e9c3fe69fda41769450bb145957f8b3610e084dbf65591a5d11ecd83f";
    assert_eq!(digest::hex(&index.name()), name);
    let c = Policy::of([Assertion::AuthorizeNv { index }]);
    assert_eq!(c.digest(), bytes("3767e2edd43ff45a3a7e1eaefcef78643dca964632e7aad82c673a30d8633fde"));
    let b = Policy::of([Assertion::Or(vec![a, c])]);
    assert_eq!(b.digest(), bytes("ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0"));
}

/// `tpm2_pcrevent 7` with `atomix` and a newline, on a PCR that was zero.
#[test]
fn the_lock_extends_with_the_hash_of_an_event() {
    assert_eq!(pcr::locked(&[0; 32]), bytes("77f1ede87eed8ecf410c3690530f14ebb60a6337c32ff9305268cab6b114d1db"));
    let event = bytes("b7135cbb321a66fa848b07288bd008b89bd5b7496c4569c5e1a4efd5f7c8e0a7");
    assert_eq!(pcr::locked(&bytes(PROD)), pcr::extend(&bytes(PROD), &event));
}
