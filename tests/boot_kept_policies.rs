//! `--keep-policies`: the running system finds what is signed for it, and nothing else, whichever command leaves it.

use harness::{Boot, Machine, running_system};
use std::fs;
use trust::policy::{
    approved::ApprovedPolicy,
    pcr7data::{Pcr7Data, path_of},
};

#[test]
fn the_running_system_is_left_its_policies() {
    let machine = Machine::provisioned();
    machine.keyset.sign_system("0001");
    let kept = |script: &str| {
        let run = machine.boot(
            Boot::Production,
            &format!(
                r#"
                umask 077
                {script}
                cp -r /run/trust/pcr7data /sandbox/kept
                find /run/trust -printf 'kept %y %m %P\n'
                published
                "#
            ),
        );
        let mut lines: Vec<_> =
            run.ok().stdout.lines().filter_map(|line| line.strip_prefix("kept ")).map(str::to_owned).collect();
        lines.sort();
        let copy = machine.sandbox.dir().join("kept");
        let data = Pcr7Data::open(&copy).unwrap();
        for pcr7 in running_system(&Boot::Production.pcr7()) {
            let approved = data.system(&pcr7).unwrap();
            let ours = Pcr7Data::open(&machine.keyset.pcr7data()).unwrap().system(&pcr7).unwrap();
            assert_eq!(ApprovedPolicy { source: ours.source.clone(), ..approved }, ours);
        }
        assert_eq!(data.values().len(), 2);
        fs::remove_dir_all(copy).unwrap();
        (lines, run.value("published").to_owned())
    };
    let entries = running_system(&Boot::Production.pcr7()).map(|pcr7| path_of(&pcr7));
    let mut expected: Vec<_> =
        ["", "pcr7data", "pcr7data/policy-2", "pcr7data/policy-2/pubkeys"].map(|dir| format!("d 755 {dir}")).to_vec();
    expected.push("f 644 pcr7data/policy-2/pubkeys/luks-snakeoil.pem".into());
    for entry in &entries {
        let (xx, _) = entry.split_once('/').unwrap();
        expected.extend([xx, entry].map(|dir| format!("d 755 pcr7data/policy-2/{dir}")));
        let files = ["info.json", "tpm_system.policy.signed"];
        expected.extend(files.map(|file| format!("f 644 pcr7data/policy-2/{entry}/{file}")));
    }
    expected.sort();
    let finish = r#"env -i "$TRUST" finish --keep-policies --pcr7data "$PCR7DATA""#;
    let (left, published) = kept("trust setup --keep-policies");
    assert_eq!((left, published == "no"), (expected.clone(), false));
    assert_eq!(kept(&format!("trust setup\n{finish}")), (expected.clone(), "no".into()));
    // Both, and what an earlier one has left is replaced.
    let twice = format!(
        "trust setup --keep-policies\necho x >/run/trust/pcr7data/policy-2/pubkeys/luks-snakeoil.pem\n{finish}"
    );
    assert_eq!(kept(&twice), (expected, "no".into()));
}

#[test]
fn without_the_option_and_without_policies_nothing_is_left() {
    let machine = Machine::provisioned();
    let finish = r#"env -i "$TRUST" finish --keep-policies --pcr7data "$PCR7DATA""#;
    for script in ["trust setup", &format!("trust setup --keep-policies\n{finish}")] {
        let run = machine.boot(
            Boot::Production,
            &format!("{script}\nif [ -e /run/trust ]; then echo kept yes; else echo kept no; fi"),
        );
        assert_eq!(run.ok().value("kept"), "no", "{run:#?}");
    }
}
