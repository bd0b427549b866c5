//! What the documentation says about changing sealed volumes, followed.

use super::Sealed;
use harness::workspace;
use std::fs;

/// The commands of `docs/sealed-volumes.md`, as they stand there but for the names of devices and files, and for the time that
/// cryptsetup spends on passphrases.
fn commands_of_the_page() -> [String; 7] {
    let document = fs::read_to_string(workspace().join("docs/sealed-volumes.md")).unwrap();
    let blocks: Vec<_> = document.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    let cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    let here = |block: &&str| {
        block
            .replace("/dev/vda2", "/sandbox/disk")
            .replace("/mnt/", "/sandbox/")
            .replace("/recovery-cert.pem", "/sandbox/recovery-cert.pem")
            .replace("trust luks", "\"$HOST\" luks")
            .replace("luksAddKey", &format!("luksAddKey {cheap}"))
            .replace("cryptsetup reencrypt", &format!("cryptsetup reencrypt {cheap} --force-offline-reencrypt"))
    };
    let blocks: Vec<_> = blocks.iter().map(here).collect();
    blocks.try_into().unwrap_or_else(|blocks| panic!("other blocks than known here: {blocks:?}"))
}

#[test]
fn the_commands_of_the_document_re_encrypt_a_sealed_volume() {
    let machine = Sealed::new();
    let [backup, whole, resumed, ..] = commands_of_the_page();
    let started =
        whole.replace("--batch-mode", "--batch-mode --init-only").replace("\"$HOST\" luks seal /sandbox/disk", "");
    let key = "cryptsetup luksDump /sandbox/disk | grep -A1 'Digest:' | tail -2 | md5sum | cut -d' ' -f1";
    let run = machine.run(&format!(
        r#"
        {backup}
        [ -s /sandbox/header ]
        echo "old $({key})"
        {whole}
        opens whole /sandbox/disk
        echo "new $({key})"
        {started}
        opens half /sandbox/disk
        {resumed}
        opens resumed /sandbox/disk
        "#
    ));
    run.ok();
    assert_eq!((run.value("whole"), run.value("half"), run.value("resumed")), ("0", "12", "0"), "{run:#?}");
    assert_ne!(run.value("old"), run.value("new"), "{run:#?}");
    assert!(run.stderr.contains("a re-encryption is under way"), "{run:#?}");
}

/// A recovery key is made, and the TPM loses its passphrase: the next one opens the same volume.
#[test]
fn a_recovery_key_brings_a_volume_back() {
    let machine = Sealed::new();
    let [_, _, _, authority, made, read, used] = commands_of_the_page();
    // Where a person is asked.
    let authority = authority.replace("openssl req", "openssl req -noenc");
    let run = machine.run(&format!(
        r#"
        cd /sandbox
        {authority}
        {made}
        opens made /sandbox/disk
        [ ! -e /run/recovery ]
        {read}
        stat --format 'size %s' recovery
        cryptsetup luksUUID disk | sed 's/^/before /'
        "#
    ));
    assert_eq!((run.ok().value("made"), run.value("size")), ("0", "32"), "{run:#?}");
    assert!(run.stdout.contains("keyslots for machine:luks: 0; for others: 1\n"), "{run:#?}");
    let uuid = run.value("before").to_owned();
    let with_another = used.replace("/sandbox/recovery", "/sandbox/another");
    let run = machine.run_with(
        "the next one",
        &format!(
            r#"
            cd /sandbox
            head --bytes=32 /dev/urandom >another
            bare() {{
                keyctl purge user machine:luks >/dev/null
                try "$1" cryptsetup open --test-passphrase --key-file "$2" /sandbox/disk
                passphrase "the next one"
            }}
            printf %s "the owner's" >lost
            opens without /sandbox/disk
            try another bash -ec '{with_another}'
            bare untouched lost
            {used}
            opens recovered /sandbox/disk
            bare gone lost
            bare still recovery
            cryptsetup luksDump disk | grep -c trust-seal | sed 's/^/seals /'
            cryptsetup luksUUID disk | sed 's/^/after /'
            "#
        ),
    );
    run.ok();
    for (name, status) in [("without", "12"), ("untouched", "0"), ("recovered", "0"), ("still", "0"), ("seals", "1")] {
        assert_eq!(run.value(name), status, "{name}: {run:#?}");
    }
    assert_ne!(run.value("another"), "0", "{run:#?}");
    assert_eq!((run.value("gone"), run.value("after")), ("2", &*uuid), "no key is what cryptsetup says: {run:#?}");
    // The power failed: before the seal, and after the first command.
    let killed = "cryptsetup luksKillSlot --batch-mode /sandbox/disk 0";
    let run = machine.run_with("one more", &format!("cd /sandbox\n{killed}\n{used}\nopens again /sandbox/disk"));
    assert_eq!(run.ok().value("again"), "0", "{run:#?}");
    let run = machine.run_with("the last one", &format!("cd /sandbox\n{used}\nopens last /sandbox/disk"));
    assert_eq!(run.ok().value("last"), "0", "{run:#?}");
}

/// The commands of `docs/migration.md`, likewise, on a volume that somebody's passphrase opens, and one of systemd-cryptenroll's
/// kind: a keyslot with a token of another type.
#[test]
fn the_migration_page_is_followed() {
    let machine = Sealed::new();
    let document = fs::read_to_string(workspace().join("docs/migration.md")).unwrap();
    let blocks: Vec<_> = document.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    let [key, moved, removed, others, sealed] = &blocks[..] else { panic!("other blocks than known here: {blocks:?}") };
    let here = |block: &str| {
        let block = block.replace("/dev/vda2", "/sandbox/old").replace("/mnt/move.key", "/sandbox/move.key");
        let cheap = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000";
        block.replace("trust luks", "\"$HOST\" luks").replace("luksAddKey", &format!("luksAddKey {cheap}"))
    };
    // Where a person is asked.
    let key = here(key).replace("luksAddKey", "luksAddKey --key-file /sandbox/today");
    let moved = here(moved);
    let seal = "\"$HOST\" luks seal /sandbox/old\n";
    assert!(moved.contains(seal), "{moved}");
    let unsealed = moved.replace(seal, "");
    let run = machine.run(&format!(
        r#"
        cd /sandbox
        printf today >/sandbox/today
        old() {{
            rm -f /sandbox/old
            truncate --size 32M /sandbox/old
            format --key-file /sandbox/today /sandbox/old
        }}
        bare() {{
            keyctl purge user machine:luks >/dev/null
            try "$1" cryptsetup open --test-passphrase --key-file "$2" /sandbox/old
            passphrase "the owner's"
        }}
        old
        {key}
        opens before /sandbox/old
        {moved}
        opens moved /sandbox/old
        bare key /sandbox/move.key
        bare today /sandbox/today

        old
        {key}
        {unsealed}
        {removed}
        {seal}
        opens alone /sandbox/old
        bare gone /sandbox/today

        old
        printf sealed >/sandbox/sealed
        cryptsetup luksAddKey --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /sandbox/today /sandbox/old /sandbox/sealed
        echo '{{"type":"clevis","keyslots":["1"],"jwe":{{}}}}' | cryptsetup token import --json-file - /sandbox/old
        {key}
        {unsealed}
        {others}
        {seal}
        opens rival /sandbox/old
        bare wiped /sandbox/sealed
        cryptsetup luksDump /sandbox/old | grep -c clevis | sed 's/^/tokens /'
        "#,
        removed = here(removed),
        others = here(others),
    ));
    run.ok();
    assert!(run.stdout.contains("keyslots for machine:luks: 8\n"), "{run:#?}");
    for (name, status) in
        [("before", "12"), ("moved", "0"), ("today", "0"), ("alone", "0"), ("rival", "0"), ("tokens", "0")]
    {
        assert_eq!(run.value(name), status, "{name}: {run:#?}");
    }
    for name in ["key", "gone", "wiped"] {
        assert_eq!(run.value(name), "2", "{name}: no key is what cryptsetup says: {run:#?}");
    }
    // The Go tool's volume is one that the machine's passphrase opens, and nothing has sealed.
    let run = machine.run(&format!(
        r#"
        rm -f /sandbox/old
        truncate --size 32M /sandbox/old
        printf %s "the owner's" | format --key-file - /sandbox/old
        opens unsealed /sandbox/old
        {}
        opens sealed /sandbox/old
        "#,
        here(sealed),
    ));
    run.ok();
    assert_eq!((run.value("unsealed"), run.value("sealed")), ("12", "0"), "{run:#?}");
}
