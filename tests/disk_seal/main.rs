//! A disk whose LUKS2 header no attacker can change: `luks seal`, `luks open`, and what an attacker with the disk can do.
//!
//! This host's kernel need not have dm-crypt: cryptsetup opens the volume with `--test-passphrase`, by way of the very
//! header that it would use.

mod pages;

use harness::{Run, Sandbox, hex, trust_host, trust_initrd, with_json, with_null_cipher};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
};
use trust::luks::header::Header;

/// Functions of the scripts.
const FUNCTIONS: &str = r#"
format() { cryptsetup luksFormat --batch-mode --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$@"; }
passphrase() { printf %s "$1" | keyctl padd user machine:luks @u >/dev/null; }
opens() { try "$1" env -i "$TRUST" luks open "${@:3}" "$2" name -- --test-passphrase; }
try() { local name=$1 status=0; shift; "$@" || status=$?; echo "$name $status"; }
seal() { "$HOST" luks seal "$1"; }
"#;

/// A machine with a passphrase in its keyring, and a sealed volume `/sandbox/disk`.
struct Sealed(Sandbox);

impl Sealed {
    fn new() -> Self {
        let mut sandbox = Sandbox::new();
        sandbox.set("TRUST", trust_initrd()).set("HOST", trust_host());
        let machine = Self(sandbox);
        machine
            .run(
                r#"
                truncate --size 32M /sandbox/disk
                printf %s "the owner's" | format --uuid 6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10 --key-file - /sandbox/disk
                cryptsetup token add --key-description machine:luks /sandbox/disk
                seal /sandbox/disk
                "#,
            )
            .ok();
        machine
    }

    /// Runs a script with the owner's passphrase in the keyring.
    fn run(&self, script: &str) -> Run {
        self.run_with("the owner's", script)
    }

    fn run_with(&self, passphrase: &str, script: &str) -> Run {
        self.0.run(&format!("{FUNCTIONS}\npassphrase \"{passphrase}\"\n{script}"))
    }

    fn disk(&self) -> PathBuf {
        self.0.dir().join("disk")
    }

    /// Changes the disk and puts it back; what `luks open` said meanwhile.
    fn with_disk(&self, change: impl FnOnce(&File)) -> Run {
        let saved = self.disk().with_file_name("saved");
        fs::copy(self.disk(), &saved).expect("writable");
        change(&File::options().read(true).write(true).open(self.disk()).expect("a disk"));
        let run = self.run("opens status /sandbox/disk");
        fs::rename(saved, self.disk()).expect("writable");
        run
    }
}

/// Asserts that it was refused, with one message, and that cryptsetup has not been run.
#[track_caller]
fn assert_refused(run: &Run) {
    assert_eq!(run.ok().value("status"), "12", "{run:#?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:#?}");
    assert!(run.stderr.starts_with("trust: cannot "), "{run:#?}");
}

#[test]
fn a_sealed_volume_opens_unattended_and_again() {
    let machine = Sealed::new();
    let run = machine.run("opens first /sandbox/disk\nopens second /sandbox/disk\ncryptsetup luksDump /sandbox/disk | grep -c trust-seal | sed 's/^/seals /'");
    assert_eq!((run.ok().value("first"), run.value("second"), run.value("seals")), ("0", "0", "1"));
}

#[test]
fn sealing_again_changes_nothing_that_matters_and_follows_wanted_changes() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        seal /sandbox/disk
        opens again /sandbox/disk
        cryptsetup config --label wanted /sandbox/disk
        opens changed /sandbox/disk
        cryptsetup token add --key-description another /sandbox/disk
        seal /sandbox/disk
        opens sealed /sandbox/disk
        cryptsetup luksDump /sandbox/disk | grep -c trust-seal | sed 's/^/seals /'
        "#,
    );
    run.ok();
    assert_eq!(
        (run.value("again"), run.value("changed"), run.value("sealed"), run.value("seals")),
        ("0", "12", "0", "1")
    );
}

#[test]
fn every_byte_of_the_header_is_covered() {
    let machine = Sealed::new();
    // Both copies alike, so that none is left to fall back to. What the seal leaves out is written anew by every
    // change, and cryptsetup gets it from us: sequence number, salt, checksum.
    let flips =
        [(0x18, "label"), (0x48, "checksum algorithm"), (0xa8, "uuid"), (0xd0, "subsystem"), (0x108, "padding")];
    let json = (0..12 * 1024).step_by(397).map(|at| (4096 + at, "JSON area"));
    for (at, what) in flips.into_iter().chain(json) {
        let run = machine.with_disk(|disk| {
            for copy in [0, 0x4000] {
                let mut byte = [0];
                disk.read_exact_at(&mut byte, copy + at).unwrap();
                disk.write_all_at(&[byte[0] ^ 1], copy + at).unwrap();
            }
        });
        assert_refused(&run);
        assert!(run.stderr.contains("seal"), "{what} at {at}: {run:#?}");
    }
}

#[test]
fn a_half_written_header_is_as_good_as_its_other_copy() {
    let machine = Sealed::new();
    for copy in [0, 0x4000] {
        let run = machine.with_disk(|disk| disk.write_all_at(&[0; 0x4000], copy).unwrap());
        assert_eq!(run.ok().value("status"), "0", "copy at {copy}: {run:#?}");
    }
    let run = machine.with_disk(|disk| disk.write_all_at(&[0; 0x8000], 0).unwrap());
    assert_refused(&run);
}

#[test]
fn a_swapped_volume_is_refused_whatever_its_header_says() {
    let machine = Sealed::new();
    let attacks = [
        ("another passphrase", "printf %s attacker | format --uuid $UUID --key-file - /sandbox/evil"),
        (
            "a keyslot of their own",
            "cp /sandbox/disk /sandbox/evil; printf %s attacker >/sandbox/new; printf %s \"the owner's\" | cryptsetup luksAddKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file - /sandbox/evil /sandbox/new",
        ),
        (
            "a copied seal",
            "printf %s attacker | format --uuid $UUID --key-file - /sandbox/evil; cryptsetup token export --token-id 1 /sandbox/disk | cryptsetup token import --json-file - --token-id 1 /sandbox/evil",
        ),
        (
            "two seals",
            "cp /sandbox/disk /sandbox/evil; cryptsetup token export --token-id 1 /sandbox/disk | cryptsetup token import --json-file - --token-id 7 /sandbox/evil",
        ),
        ("no seal", "cp /sandbox/disk /sandbox/evil; cryptsetup token remove --token-id 1 /sandbox/evil"),
        (
            "LUKS1",
            "printf %s \"the owner's\" | cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 --uuid $UUID --key-file - /sandbox/evil",
        ),
        ("a plain file system", "truncate --size 32M /sandbox/evil; mkfs.ext4 -q -U $UUID -L root /sandbox/evil"),
        ("nothing", "truncate --size 0 /sandbox/evil"),
    ];
    for (what, attack) in attacks {
        let run = machine.run(&format!(
            "export UUID=6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10\nrm -f /sandbox/evil\ntruncate --size 32M /sandbox/evil\n{{ {attack}; }} >/dev/null 2>&1\nopens status /sandbox/evil"
        ));
        println!("{what}: {}", run.stderr);
        assert_refused(&run);
    }
}

/// The volume that stays as it is but for the cipher of its data: everything that root writes would lie there in clear,
/// and everything that is read from it be the attacker's.
#[test]
fn a_null_cipher_is_refused() {
    let machine = Sealed::new();
    let mut header = vec![0; 0x8000];
    let run = machine.with_disk(|disk| {
        disk.read_exact_at(&mut header, 0).unwrap();
        with_null_cipher(&mut header);
        disk.write_all_at(&header, 0).unwrap();
    });
    assert_refused(&run);
    // cryptsetup itself has nothing against it.
    fs::write(machine.disk().with_file_name("null"), &header).unwrap();
    let dump = machine.run("truncate --size 32M /sandbox/null\ncryptsetup luksDump /sandbox/null");
    assert!(dump.ok().stdout.contains("cipher: cipher_null-ecb"), "{dump:#?}");
}

/// What an installer finds on its disk, or has made by mistake: a seal would make it true for good.
#[test]
fn a_volume_that_does_not_encrypt_is_not_sealed() {
    let machine = Sealed::new();
    for (behind, word, other, why) in [
        ("\"segments\":{", "aes-xts-plain64", "cipher_null-ecb", "of its data, \"cipher_null-ecb\""),
        ("\"segments\":{", "aes-xts-plain64", "aes-ecb-plain64", "of its data, \"aes-ecb-plain64\""),
        ("\"keyslots\":{", "aes-xts-plain64", "cipher_null-ecb", "of keyslot 0, \"cipher_null-ecb\""),
        ("\"keyslots\":{", "\"key_size\":64", "\"key_size\":16", "128 bits, too few"),
        ("\"segments\":{", "\"crypt\"", "\"clear\"", "of type \"clear\""),
        ("\"tokens\":{", "machine:luks", "machine:duck", "no token of its header leads from machine:luks"),
        ("\"tokens\":{", "[\"0\"]", "[   ]", "no token of its header leads from machine:luks"),
    ] {
        let mut header = vec![0; 0x8000];
        File::open(machine.disk()).unwrap().read_exact_at(&mut header, 0).unwrap();
        with_json(&mut header, behind, word, other);
        fs::write(machine.disk().with_file_name("header"), &header).unwrap();
        let run = machine.run(
            r#"
            cp /sandbox/disk /sandbox/odd
            dd if=/sandbox/header of=/sandbox/odd conv=notrunc status=none
            try status seal /sandbox/odd
            if cmp -s /sandbox/header <(head --bytes 32768 /sandbox/odd); then echo "untouched yes"; fi
            "#,
        );
        assert_eq!(run.ok().value("status"), "12", "{other}: {run:#?}");
        assert_eq!(run.value("untouched"), "yes", "{other}: {run:#?}");
        assert!(run.stderr.contains(why) && run.stderr.contains("; "), "{other}: {run:#?}");
    }
}

/// A volume that no boot could open, or that another passphrase than the TPM's is for.
#[test]
fn a_volume_that_the_passphrase_does_not_open_is_not_sealed() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        truncate --size 32M /sandbox/other
        printf %s another | format --key-file - /sandbox/other
        try tokenless seal /sandbox/other
        cryptsetup token add --key-description machine:luks /sandbox/other
        cp /sandbox/other /sandbox/before
        try foreign seal /sandbox/other
        if cmp -s /sandbox/before /sandbox/other; then echo "untouched yes"; fi
        # A keyslot for it, but no token that leads there.
        printf %s another >/sandbox/old; printf %s "the owner's" >/sandbox/new
        cryptsetup luksAddKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file /sandbox/old /sandbox/other /sandbox/new
        try elsewhere seal /sandbox/other
        cryptsetup token add --key-description machine:luks --key-slot 1 /sandbox/other
        seal /sandbox/other | sed 's/^/said /'
        opens good /sandbox/other
        "#,
    );
    run.ok();
    for name in ["tokenless", "foreign", "elsewhere"] {
        assert_eq!(run.value(name), "12", "{name}: {run:#?}");
    }
    assert_eq!((run.value("untouched"), run.value("good")), ("yes", "0"), "{run:#?}");
    let said = run.value("said");
    let facts = "aes-xts-plain64, a key of 512 bits; keyslots for machine:luks: 1; for others: 0";
    assert!(said.starts_with("/sandbox/other: UUID ") && said.ends_with(facts), "{run:#?}");
    assert!(run.stderr.contains("opens with the passphrase in the keyring"), "{run:#?}");
}

#[test]
fn another_passphrase_breaks_the_seal() {
    let machine = Sealed::new();
    // What `preinit` does: the same volume, but another passphrase in the TPM.
    let run = machine.run_with("of the next installation", "opens status /sandbox/disk");
    assert_refused(&run);
    // And not because cryptsetup has found no keyslot, with a header that was believed.
    assert!(run.stderr.contains("is not the one that this machine has sealed"), "the seal held: {run:#?}");
    let run = machine.0.run(&format!("{FUNCTIONS}\nopens status /sandbox/disk"));
    assert_refused(&run);
    assert!(run.stderr.contains("trust setup"), "{run:#?}");
}

/// Between the look and the opening: a program in the place of cryptsetup changes the disk first.
#[test]
fn the_verified_header_is_the_one_opened() {
    let machine = Sealed::new();
    let between = machine.0.dir().join("between");
    let swap =
        "#!/bin/bash\ndd if=/sandbox/evil of=/sandbox/disk bs=1M conv=notrunc status=none\nexec cryptsetup \"$@\"\n";
    fs::write(&between, swap).unwrap();
    fs::set_permissions(&between, fs::Permissions::from_mode(0o755)).unwrap();
    let run = machine.run(
        r#"
        truncate --size 32M /sandbox/evil
        printf %s attacker | format --uuid 6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10 --key-file - /sandbox/evil
        opens ours /sandbox/disk --cryptsetup /sandbox/between
        # The disk is the attacker's by now: asked itself, it does not open, or not with this passphrase.
        opens theirs /sandbox/disk
        try bare cryptsetup open --test-passphrase --token-only /sandbox/disk
        "#,
    );
    run.ok();
    assert_eq!((run.value("ours"), run.value("theirs")), ("0", "12"), "{run:#?}");
    assert_ne!(run.value("bare"), "0", "{run:#?}");
}

#[test]
fn the_header_in_memory_cannot_be_changed() {
    let machine = Sealed::new();
    let spoil = machine.0.dir().join("spoil");
    let script = "#!/bin/bash\nfor word in \"$@\"; do case $word in /proc/self/fd/*) header=$word ;; esac; done\n\
                  [ -r \"$header\" ] && echo \"readable yes\"\nif printf x 1<>\"$header\"; then echo spoilt; fi\nif : >\"$header\"; then echo emptied; fi\n";
    fs::write(&spoil, script).unwrap();
    fs::set_permissions(&spoil, fs::Permissions::from_mode(0o755)).unwrap();
    let run = machine.run("opens status /sandbox/disk --cryptsetup /sandbox/spoil");
    assert_eq!(run.ok().value("readable"), "yes");
    assert!(!run.stdout.contains("spoilt") && !run.stdout.contains("emptied"), "{run:#?}");
}

#[test]
fn seal_needs_a_passphrase_and_a_volume() {
    let machine = Sealed::new();
    let before = fs::read(machine.disk()).unwrap();
    let none = machine.0.run(&format!("{FUNCTIONS}\ntry status seal /sandbox/disk"));
    assert_eq!(none.ok().value("status"), "12");
    let run = machine.run(
        r#"
        try missing "$HOST" luks seal /sandbox/nothing
        try plain "$HOST" luks seal /sandbox/script
        try program "$HOST" luks seal --cryptsetup /nonsense /sandbox/disk
        "#,
    );
    run.ok();
    for name in ["missing", "plain", "program"] {
        assert_ne!(run.value(name), "0", "{name}: {run:#?}");
    }
    assert_eq!(run.stderr.lines().filter(|line| line.starts_with("trust: cannot ")).count(), 3, "{run:#?}");
    assert!(before == fs::read(machine.disk()).unwrap(), "the disk is as it was");
}

/// What `cryptsetup` said, and its numbers, are not ours.
#[test]
fn statuses_of_cryptsetup_are_not_passed_on() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        for status in 0 1 2 3 4 5 12; do
            printf '#!/bin/sh\nexit %s\n' "$status" >/sandbox/ends
            chmod +x /sandbox/ends
            opens "$status" /sandbox/disk --cryptsetup /sandbox/ends
        done
        printf '#!/bin/sh\nkill -KILL $$\n' >/sandbox/ends
        opens killed /sandbox/disk --cryptsetup /sandbox/ends
        opens missing /sandbox/disk --cryptsetup /nonsense
        "#,
    );
    let [statuses, ours] = [
        ["0", "1", "2", "3", "4", "5", "12", "killed", "missing"],
        ["0", "15", "12", "15", "15", "15", "15", "15", "15"],
    ];
    assert_eq!(statuses.map(|name| run.ok().value(name)), ours, "{run:#?}");
    let said: Vec<_> = run.stderr.lines().collect();
    assert_eq!(said.len(), 8, "{run:#?}");
    assert!(said.iter().all(|line| line.starts_with("trust: cannot ")), "{run:#?}");
    assert!(run.stderr.contains("cryptsetup ended with status 5; see what cryptsetup says above"), "{run:#?}");
    assert!(run.stderr.contains("cannot start /nonsense: "), "{run:#?}");
}

/// Each is named by `luks open`, or else by `luks seal`, and does what these say make the volume open again?
#[test]
fn the_reason_why_a_volume_stays_closed_is_named_and_the_remedy_works() {
    let machine = Sealed::new();
    for (what, damage, at_open, at_seal, remedy) in [
        (
            "token",
            "cryptsetup token remove --token-id 0 $D",
            "is not the one that this machine has sealed",
            "no token of its header leads from machine:luks to a keyslot; add one first: cryptsetup token add --key-description machine:luks",
            "cryptsetup token add --key-description machine:luks $D",
        ),
        (
            "ignored",
            "cryptsetup config --priority ignore --key-slot 0 $D",
            "is not the one that this machine has sealed",
            "has the priority `ignore`, and no boot would try it; give it another one first: cryptsetup config --priority normal --key-slot 0",
            "cryptsetup config --priority normal --key-slot 0 $D",
        ),
        (
            "killed",
            "cryptsetup luksKillSlot --batch-mode $D 0",
            "is not the one that this machine has sealed",
            "no keyslot has the key of its data; put a copy of the header back (cryptsetup luksHeaderRestore)",
            "cryptsetup luksHeaderRestore --batch-mode $D --header-backup-file /sandbox/copy",
        ),
        (
            "wiped",
            "dd if=/dev/zero of=$D bs=4096 seek=8 count=63 conv=notrunc status=none",
            "they are damaged; in a maintenance image, put a copy of header and keyslots back: cryptsetup luksHeaderRestore",
            "opens with the passphrase in the keyring",
            "cryptsetup luksHeaderRestore --batch-mode $D --header-backup-file /sandbox/copy",
        ),
        (
            "two",
            "cryptsetup token export --token-id 1 $D | cryptsetup token import --json-file - --token-id 7 $D",
            "bears several seals; remove foreign disks; if this machine's own was changed on purpose, seal it",
            "",
            "",
        ),
        (
            "none",
            "cryptsetup token remove --token-id 1 $D",
            "bears no seal; remove foreign disks; if this machine's own was changed on purpose, seal it",
            "",
            "",
        ),
        (
            "half",
            "cryptsetup reencrypt --init-only --force-offline-reencrypt --batch-mode --key-file /sandbox/passphrase $D",
            "a re-encryption is under way; remove foreign disks; if it is this machine's own, end that in a maintenance image: cryptsetup reencrypt --resume-only",
            "a re-encryption of it is under way (online-reencrypt-v2); end it first, with the passphrase: cryptsetup reencrypt --resume-only",
            "cryptsetup reencrypt --resume-only --force-offline-reencrypt --batch-mode --key-file /sandbox/passphrase $D",
        ),
        (
            "luks1",
            "rm $D; truncate --size 32M $D; cryptsetup luksFormat --batch-mode --type luks1 --pbkdf-force-iterations 1000 --key-file /sandbox/passphrase $D",
            "is a LUKS1 volume; remove foreign disks; if it is this machine's own, convert it in a maintenance image: cryptsetup convert --type luks2",
            "it is a LUKS1 volume; convert it while it is closed, and add the token: cryptsetup convert --type luks2",
            "cryptsetup convert --batch-mode --type luks2 $D; cryptsetup token add --key-description machine:luks $D",
        ),
        (
            "first",
            "dd if=/dev/zero of=$D bs=4096 count=4 conv=notrunc status=none",
            "",
            "it has none, or a broken one; name a LUKS2 volume; `cryptsetup repair` mends a header of which one copy is left",
            "cryptsetup repair --batch-mode $D",
        ),
        (
            "full",
            "cryptsetup token remove --token-id 1 $D; for id in {1..31}; do cryptsetup token add --key-description other $D; done",
            "bears no seal",
            "no room for another token; remove one: cryptsetup token remove --token-id N",
            "cryptsetup token remove --token-id 5 $D",
        ),
    ] {
        let run = machine.run(&format!(
            r#"
            D=/sandbox/odd
            rm -f $D /sandbox/copy
            cp /sandbox/disk $D
            printf %s "the owner's" >/sandbox/passphrase
            cryptsetup luksHeaderBackup $D --header-backup-file /sandbox/copy
            {damage}
            opens before $D 2>/sandbox/at-open
            try seal seal $D 2>/sandbox/at-seal
            {remedy}
            seal $D
            opens after $D
            "#
        ));
        let read = |name: &str| fs::read_to_string(machine.disk().with_file_name(name)).unwrap();
        let (opening, sealing) = (read("at-open"), read("at-seal"));
        println!("{what}: {opening}{sealing}");
        assert_eq!(run.ok().value("after"), "0", "{what}: {run:#?}");
        assert_eq!(run.value("before") == "12", !at_open.is_empty(), "{what}: {run:#?}");
        assert_eq!(run.value("seal") == "0", at_seal.is_empty(), "{what}: {run:#?}");
        assert!(opening.contains(at_open) && sealing.contains(at_seal), "{what}: {opening}{sealing}");
        assert!(opening.lines().count() <= 1 && !opening.contains("installer"), "{what}: {opening}");
    }
}

/// What stands in the way beside the volume: each is named, and what is said helps.
#[test]
fn obstacles_are_named_and_the_remedies_work() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        mkdir -p /dev/mapper /sys/class/block/dm-0/dm
        : >/dev/mapper/name
        opens link /sandbox/disk
        rm /dev/mapper/name
        echo name >/sys/class/block/dm-0/dm/name
        opens device /sandbox/disk
        rm -r /sys/class/block/dm-0
        opens free /sandbox/disk
        try options env -i "$TRUST" luks open /sandbox/disk name -- --test-passphrase --nonsense
        try missing "$HOST" luks check /sandbox/nothing
        try check "$HOST" luks check /sandbox/disk
        "#,
    );
    run.ok();
    let names = ["link", "device", "free", "options", "missing", "check"];
    assert_eq!(names.map(|name| run.value(name)), ["12", "12", "0", "15", "15", "12"], "{run:#?}");
    for said in [
        "/dev/mapper/name has this name already; remove foreign disks, or close that device, and try again",
        "dm-0 has this name already; remove foreign disks, or close that device",
        "cryptsetup ended with status 1; see what cryptsetup says above, and check its options, behind `--`",
        "cannot look at /sandbox/nothing: No such file or directory (os error 2); check the name, and that it is there",
    ] {
        assert!(run.stderr.contains(said), "{said}: {run:#?}");
    }
}

/// Where the header is on a device of its own, both commands say so, and not merely that the disk is foreign.
#[test]
fn a_detached_header_is_named() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        truncate --size 32M /sandbox/data /sandbox/header
        printf %s "the owner's" | format --header /sandbox/header --key-file - /sandbox/data
        cryptsetup token add --key-description machine:luks /sandbox/header
        try header seal /sandbox/header
        opens data /sandbox/data
        printf %s "the owner's" | format --key-file - /sandbox/data
        cryptsetup token add --key-description machine:luks /sandbox/data
        seal /sandbox/data
        opens anew /sandbox/data
        "#,
    );
    run.ok();
    assert_eq!((run.value("header"), run.value("data"), run.value("anew")), ("12", "12", "0"), "{run:#?}");
    assert!(run.stderr.contains("they are on two devices; format the volume anew, without --header"), "{run:#?}");
    assert!(run.stderr.contains("no LUKS2 header is on it"), "{run:#?}");
}

/// What an older `luks seal` has sealed: cryptsetup would end with 1, and say nothing.
#[test]
fn a_header_without_a_usable_keyslot_is_named_before_cryptsetup_runs() {
    let machine = Sealed::new();
    for (change, why) in [
        ("cryptsetup config --priority ignore --key-slot 0 /sandbox/old", "has the priority `ignore`"),
        (
            "cryptsetup token remove --token-id 0 /sandbox/old",
            "no token of its header leads from machine:luks to a keyslot",
        ),
        ("cryptsetup config --priority prefer --key-slot 0 /sandbox/old", ""),
        // In another order than cryptsetup's own.
        (
            r#"echo '{"key_description":"machine:luks","keyslots":["0"],"type":"luks2-keyring"}' | cryptsetup token import --json-file - --token-id 0 --token-replace /sandbox/old"#,
            "",
        ),
    ] {
        let zeros = "0".repeat(64);
        let prepared = machine.run(&format!(
            r#"
            cp /sandbox/disk /sandbox/old
            {change}
            echo '{{"type":"trust-seal","keyslots":[],"mac":"{zeros}"}}' | cryptsetup token import --json-file - --token-id 1 --token-replace /sandbox/old
            "#
        ));
        prepared.ok();
        let disk = File::options().read(true).write(true).open(machine.disk().with_file_name("old")).unwrap();
        let mut header = vec![0; 0x8000];
        disk.read_exact_at(&mut header, 0).unwrap();
        let sealed = Header::parse(&header, 0).and_then(|header| header.sealed()).expect("a header with a seal");
        let key = mac(b"the owner's", b"trust: seal of a LUKS2 header, version 1");
        with_json(&mut header, "trust-seal", &zeros, &hex(&mac(&key, &sealed)));
        disk.write_all_at(&header, 0).unwrap();
        let run = machine.run("printf '#!/bin/sh\necho ran\nexec cryptsetup \"$@\"\n' >/sandbox/show; chmod +x /sandbox/show\nopens status /sandbox/old --cryptsetup /sandbox/show");
        assert_eq!(run.ok().value("status"), if why.is_empty() { "0" } else { "12" }, "{change}: {run:#?}");
        assert_eq!(run.stdout.contains("ran"), why.is_empty(), "{change}: {run:#?}");
        assert!(run.stderr.contains(why), "{change}: {run:#?}");
    }
}

/// HMAC-SHA-256.
fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length will do");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// Functions for a machine whose block devices are files: `device NAME FILE` plugs one in, as kernel and devtmpfs do,
/// and `waits NAME SECONDS DEVICE` opens one and says how, and what was handed to cryptsetup.
const DEVICES: &str = r#"
device() {
    ln -s "$2" "/dev/$1"
    mkdir -p "/sys/class/block/$1/holders"
    echo 0:0 >"/sys/class/block/$1/dev"
    echo 65536 >"/sys/class/block/$1/size"
}
foreign() {
    truncate --size 32M /sandbox/foreign
    printf %s attacker | format --uuid "$UUID" --label ours --key-file - /sandbox/foreign
    cryptsetup token add --key-description machine:luks /sandbox/foreign
}
waits() { try "$1" env -i "$TRUST" luks open --wait "$2" --cryptsetup /sandbox/show "$3" name -- --test-passphrase; }
UUID=6cb1e5ab-7a53-4ca1-9d0a-1d3b4ce2ae10
printf '#!/bin/sh\nfor last; do before=$device device=$last; done; echo "opened $before"; exec cryptsetup "$@"\n' >/sandbox/show
chmod +x /sandbox/show
"#;

fn with_devices(machine: &Sealed, script: &str) -> Run {
    let run = machine.run(&format!("{DEVICES}{script}"));
    println!("{}{}", run.stdout, run.stderr);
    run
}

/// The lines in which a script said which devices it opened.
fn opened(run: &Run) -> Vec<&str> {
    run.stdout.lines().filter_map(|line| line.strip_prefix("opened ")).collect()
}

#[test]
fn a_volume_is_found_by_label_or_uuid_despite_duplicates() {
    let machine = Sealed::new();
    let run = with_devices(
        &machine,
        r#"
        cryptsetup config --label ours /sandbox/disk
        seal /sandbox/disk
        foreign
        device sda /sandbox/foreign
        : >/sandbox/nothing
        device sdb /sandbox/nothing
        device sdc /sandbox/script
        device sdd1 /sandbox/disk
        device sde /sandbox/foreign
        # One whose node is another's, and one that has none.
        device sdf /sandbox/disk; echo 8:0 >/sys/class/block/sdf/dev
        device sdg /sandbox/missing
        waits uuid 1 UUID=$UUID
        waits upper 1 UUID=${UUID^^}
        waits label 1 LABEL=ours
        # What a mirror is made of comes last, and an empty one not at all.
        mkdir /sys/class/block/sdd1/holders/md0
        device vda /sandbox/disk
        waits whole 1 LABEL=ours
        echo 0 >/sys/class/block/vda/size
        waits part 1 LABEL=ours
        # Its first copy is broken.
        dd if=/dev/zero of=/sandbox/disk bs=4096 count=1 conv=notrunc status=none
        waits second 1 UUID=$UUID
        waits beginning 1 UUID=${UUID%0}
        waits none 1 LABEL=
        waits unknown 1 PARTUUID=$UUID
        waits path 1 /dev/sdd1
        # As blkid and fstab have it; and without waiting.
        waits quoted 0 "UUID=\"$UUID\""
        waits single 0 "LABEL='ours'"
        waits now 0 UUID=ffffffff
        waits hours 3601 LABEL=ours
        "#,
    );
    run.ok();
    for name in ["quoted", "single", "uuid", "upper", "label", "whole", "part", "second", "path"] {
        assert_eq!(run.value(name), "0", "{name}: {run:#?}");
    }
    let devices = ["/dev/sdd1", "/dev/sdd1", "/dev/sdd1", "/dev/vda", "/dev/sdd1", "/dev/sdd1", "/dev/sdd1"]
        .into_iter()
        .chain(["/dev/sdd1"; 2]);
    assert_eq!(opened(&run), devices.collect::<Vec<_>>(), "{run:#?}");
    assert_eq!((run.value("now"), run.value("hours")), ("15", "2"), "{run:#?}");
    assert!(
        run.stderr.contains("--wait needs SECONDS: how long to wait for the volume to appear, 0 to 3600"),
        "{run:#?}"
    );
    assert_eq!((run.value("beginning"), run.value("none"), run.value("unknown")), ("15", "2", "2"));
}

#[test]
fn a_volume_is_waited_for_and_another_one_in_its_place_refused() {
    let machine = Sealed::new();
    let run = with_devices(
        &machine,
        r#"
        waits nowhere 1 UUID=$UUID
        waits missing 1 /dev/sdb
        foreign
        device sda /sandbox/foreign
        waits stranger 1 UUID=$UUID
        # At a path there is nothing to wait for. That the disk does not appear later is what fails this test.
        { sleep 1; rm /dev/sda; device sda /sandbox/disk; } & waits place 60 /dev/sda
        wait
        rm -r /dev/sda /sys/class/block/sda
        device sda /sandbox/foreign
        { sleep 1; device sdb /sandbox/disk; } & waits appears 60 UUID=$UUID
        wait
        rm /dev/sdb
        { sleep 1; ln -s /sandbox/disk /dev/sdb; } & waits link 60 /dev/sdb
        wait
        keyctl clear @u
        waits keyless 60 UUID=ffffffff
        "#,
    );
    run.ok();
    assert_eq!((run.value("nowhere"), run.value("missing"), run.value("stranger")), ("15", "15", "12"), "{run:#?}");
    assert_eq!((run.value("place"), run.value("appears"), run.value("link")), ("12", "0", "0"), "{run:#?}");
    assert_eq!((run.value("keyless"), opened(&run)), ("12", vec!["/dev/sdb", "/dev/sdb"]), "{run:#?}");
    assert!(run.stderr.lines().all(|line| line.starts_with("trust: cannot ")), "{run:#?}");
    assert!(run.stderr.contains("the LUKS2 header of /dev/sda bears no seal"), "{run:#?}");
}

/// The file that stands for the volume of a whole disk may be larger than its header says, and smaller.
#[test]
fn headers_of_every_size_are_sealed_and_opened() {
    let machine = Sealed::new();
    let run = machine.run(
        r#"
        for size in 16k 64k 4M; do
            rm -f /sandbox/other
            truncate --size 64M /sandbox/other
            printf %s "the owner's" | format --luks2-metadata-size $size --key-file - /sandbox/other
            cryptsetup token add --key-description machine:luks /sandbox/other
            seal /sandbox/other
            opens $size /sandbox/other
            dd if=/dev/zero of=/sandbox/other bs=4096 count=1 conv=notrunc status=none
            opens second-$size /sandbox/other
        done
        "#,
    );
    run.ok();
    for size in ["16k", "64k", "4M"] {
        assert_eq!((run.value(size), run.value(&format!("second-{size}"))), ("0", "0"), "{size}: {run:#?}");
    }
}
