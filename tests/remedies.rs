//! What a message says is to be done helps when it is done. `tests/data/remedies.tsv` names for every remedy the test that
//! follows it, or why none can; here are those that take an administrator's home directory and nothing else.

use harness::{Home, assets, trust_host, workspace};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
};
use trust::error::{Error, Kind};

/// A remedy as it is said, a script that ends with it, and a script that does what it says and comes to a good end.
type Case = (&'static str, &'static str, &'static str);

/// `$K` is the keyset `k`, `$B` a backup of it.
const KEYSETS: &[Case] = &[
    ("use k if that is what you mean; `trust keyset list` shows all", "trust keyset check K", "trust keyset check k"),
    (
        "choose another name, or remove it if nothing depends on it",
        "trust project add k default",
        "trust project add k other",
    ),
    (
        "use default if that is what you mean; `trust project list k` shows all",
        "trust sudi add k defualt S",
        "trust sudi add k default S",
    ),
    (
        "add it with `trust project add k router`",
        "trust sudi add k router S",
        "trust project add k router; trust sudi add k router S",
    ),
    ("give one of manifest-ca, sudi-ca", "trust keyset show k uefi/x", "trust keyset show k uefi-db"),
    (
        "`trust keyset show k` shows what there is",
        "trust keyset show k manifest/x",
        "trust keyset show k; trust keyset show k manifest/default",
    ),
    ("give one of cert, privkey, guid or uuid", "trust keyset show k uefi-db key", "trust keyset show k uefi-db cert"),
    ("give at most 100 bytes without `/`", "trust project add k .x", "trust project add k x"),
    (
        "give the name of a keyset, or the directory of one",
        "trust keyset check ./k",
        "trust keyset check k; trust keyset check $K",
    ),
    (
        "restore the keyset from a backup",
        "echo x >$K/uefi-db/guid; trust enroll auth k -o out",
        "cp $B/uefi-db/guid $K/uefi-db/guid; trust enroll auth k -o out",
    ),
    (
        "restore the keyset from a backup",
        "echo x >$K/manifest/default/uuid; trust sudi add k default S",
        "cp $B/manifest/default/uuid $K/manifest/default/uuid; trust sudi add k default S",
    ),
    (
        "restore the keyset from a backup",
        "cp $K/uefi-db/privkey.pem $K/uefi-pk/privkey.pem; trust enroll auth k -o out",
        "cp $B/uefi-pk/privkey.pem $K/uefi-pk/privkey.pem; trust enroll auth k -o out",
    ),
    (
        "restore it from a backup, or ask who keeps it",
        "rm $K/uefi-pk/privkey.pem; trust keyset show k uefi-pk privkey --path",
        "cp $B/uefi-pk/privkey.pem $K/uefi-pk/; trust keyset show k uefi-pk privkey --path",
    ),
    (
        "run it where that key is; or, if it is in a token",
        "rm $K/sudi-ca/privkey.pem; trust sudi add k default S",
        "cp $B/sudi-ca/privkey.pem $K/sudi-ca/; trust sudi add k default S",
    ),
    (
        "give the program that needs it the file: ",
        "trust keyset show k uefi-pk privkey --value",
        "openssl pkey -noout -in $(trust keyset show k uefi-pk privkey --path)",
    ),
    (
        "put the file or directory itself there",
        "mv $K/uefi-db/cert.pem there; ln -s $PWD/there $K/uefi-db/cert.pem; trust keyset export-public k -o out",
        "rm $K/uefi-db/cert.pem; cp there $K/uefi-db/cert.pem; trust keyset export-public k -o out",
    ),
    (
        "see what to do about each",
        "chmod 666 $K/uefi-db/cert.pem; trust keyset check k",
        "bash -c \"$(trust keyset check k | sed -n 's/^error.*; \\(chmod[^,]*\\),.*/\\1/p')\"; trust keyset check k",
    ),
    ("set one of them", "env -u HOME trust keyset list", "HOME=$PWD trust keyset list"),
    ("check where it goes", "trust keyset list >/dev/full", "trust keyset list >list"),
    (
        "take what `trust provision --srk-public` has written",
        "echo x >srk.pub; trust sudi certify-tpm k srk.pub --output out",
        "trust sudi certify-tpm k 000b$(printf 0%.0s {1..64}) --output out",
    ),
    (
        "give a role and a key, such as --key uefi-db=",
        "trust keyset add o --key uefi-db",
        "trust keyset add o --key uefi-db=$K/uefi-db/privkey.pem",
    ),
    (
        "give one key for each role",
        "trust keyset add o --key uefi-db=$K/uefi-db/privkey.pem --key uefi-db=$K/uefi-pk/privkey.pem",
        "trust keyset add o --key uefi-db=$K/uefi-db/privkey.pem",
    ),
    ("give one of manifest-ca, sudi-ca", "trust keyset use-key k uefi pkcs11:object=a", "trust keyset show k uefi-db"),
];

const MACHINES: &[Case] = &[
    ("give a shorter one", "trust sudi add k default $(printf x%.0s {1..80})", "trust sudi add k default S"),
    (
        "nothing was made: correct the list and run it again",
        "printf 'A\\nA\\n' >list; trust sudi add k default --from list",
        "printf 'A\\nB\\n' >list; trust sudi add k default --from list",
    ),
    (
        "split it",
        "truncate --size 65M list; trust sudi add k default --from list",
        "echo A >list; trust sudi add k default --from list",
    ),
    (
        "nothing was made: remove it to have it made again, or take it off the list",
        "trust sudi add k default S; echo x >$K/manifest/default/sudi/S/cert.pem; trust sudi add k default --from <(echo S)",
        "rm -r $K/manifest/default/sudi/S; trust sudi add k default --from <(echo S)",
    ),
];

const POLICIES: &[Case] = &[
    (
        "give files of values, or --chain",
        "trust keyset pcr7data k $VALUES --chain shim",
        "trust keyset pcr7data k $VALUES; trust keyset pcr7data k --chain shim",
    ),
    (
        "give a SHA-256 value in binary, not in hex",
        "printf 00%.0s {1..32} >p; trust keyset pcr7data k $VALUES",
        "printf 1%.0s {1..32} >p; trust keyset pcr7data k $VALUES",
    ),
    (
        "give the values of three kinds of images",
        "cp p l; trust keyset pcr7data k $VALUES",
        "printf 9%.0s {1..32} >l; trust keyset pcr7data k $VALUES",
    ),
    (
        "check which value is which, or remove that directory",
        "trust keyset pcr7data k $VALUES; mv p q; mv l p; mv q l; trust keyset pcr7data k $VALUES",
        "mv p q; mv l p; mv q l; trust keyset pcr7data k $VALUES",
    ),
    (
        "use the private key that belongs to it, or move pcr7data away and sign everything anew",
        "cp $K/uefi-db/{privkey,cert}.pem $K/tpmpol-luks/; trust keyset pcr7data k $VALUES",
        "mv $K/pcr7data old; trust keyset pcr7data k $VALUES",
    ),
    (
        "give --chain shim, or none of them",
        "trust keyset pcr7data k --chain direct --sbat-level p",
        "trust keyset pcr7data k --chain shim --sbat-level p",
    ),
    (
        "give a certificate, or a file of signature lists",
        ": >empty; trust keyset pcr7data k --db empty",
        "trust keyset pcr7data k --db db.esl; trust keyset pcr7data k --db $K/uefi-db/cert.pem",
    ),
    (
        "give a file of signature lists (.esl), whole and without an authentication header",
        "head --bytes 50 db.esl >half; trust keyset pcr7data k --db half",
        "trust keyset pcr7data k --db db.esl",
    ),
    (
        "use an RSA key with 2048 bits",
        "trust keyset add o --key tpmpol-luks=ec.pem",
        "trust keyset add o --key tpmpol-luks=$K/tpmpol-luks/privkey.pem",
    ),
    (
        "use an RSA key: that is what a firmware verifies",
        "trust keyset add o --key uefi-db=ec.pem",
        "trust keyset add o --key uefi-db=$K/uefi-db/privkey.pem",
    ),
];

const FILES: &[Case] = &[
    (
        "check the name",
        "trust verify efi nothing --cert $K/uefi-db/cert.pem",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output some; trust verify efi some --cert $K/uefi-db/cert.pem",
    ),
    (
        "give an EFI program as it was built or signed",
        "echo x >some; trust sign efi some --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output out",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output out",
    ),
    (
        "give the certificate that belongs to the key",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-pk/cert.pem --output out",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output out",
    ),
    (
        "do not start it, or give the certificate that should vouch for it",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output out; trust verify efi out --cert $K/uki-tpm/cert.pem",
        "trust verify efi out --cert $K/uefi-db/cert.pem",
    ),
    (
        "write it as PKCS#8, which may have a passphrase, too",
        "$TRADITIONAL; trust sign efi $STUB --key old.pem --cert $K/uefi-db/cert.pem --output out",
        "openssl pkcs8 -topk8 -in old.pem -passin pass:x -passout pass:y -out new.pem; echo y >y; trust sign efi $STUB --key new.pem --cert $K/uefi-db/cert.pem --output out --passphrase-file y",
    ),
    (
        "write the passphrase into its first line",
        "printf '\\xff' >y; $ENCRYPTED; trust sign efi $STUB --key new.pem --cert $K/uefi-db/cert.pem --output out --passphrase-file y",
        "echo y >y; trust sign efi $STUB --key new.pem --cert $K/uefi-db/cert.pem --output out --passphrase-file y",
    ),
    (
        "have them replaced: --replace",
        "$SIGN $STUB --output out; head -c 16 /dev/zero >>out; $SIGN out --output again",
        "$SIGN out --output again --replace",
    ),
    (
        "give an X.509 certificate in PEM or DER",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert p --output out",
        "openssl x509 -in $K/uefi-db/cert.pem -outform der -out der; trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert der --output out",
    ),
    (
        "choose another name",
        "mkdir out; trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output out",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output other",
    ),
    (
        "choose SHA-256, or an RSA key",
        "trust sign efi $STUB --key ec.pem --cert ec.crt --digest sha384 --output out",
        "trust sign efi $STUB --key ec.pem --cert ec.crt --digest sha256 --output out; trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --digest sha384 --output out",
    ),
    (
        "give an RSA key with 2048 bits or more, or EC P-256",
        "openssl genpkey -quiet -algorithm ed25519 -out ed.pem; trust sign efi $STUB --key ed.pem --cert $K/uefi-db/cert.pem --output out",
        "trust sign efi $STUB --key ec.pem --cert ec.crt --output out",
    ),
    (
        "give one such as \"pkcs11:token=Fleet;object=uefi-db?pin-source=/run/pin\"",
        "trust sign efi $STUB --key 'pkcs11:token' --cert ec.crt --output out",
        "trust sign efi $STUB --key ec.pem --cert ec.crt --output out",
    ),
    (
        "begin with a fresh OVMF_VARS file",
        "head --bytes 200 $VARS >one; truncate --size $(stat -c %s $VARS) one; trust enroll vars k --vars-in one --output two",
        "trust enroll vars k --vars-in $VARS --output two",
    ),
    (
        "give a raw flash image of variables",
        "trust enroll vars k --vars-in p --output out",
        "trust enroll vars k --vars-in $VARS --output out",
    ),
];

/// `$BUILD` is `trust uki build` with all that a production image needs but for `$LINE`, its command line.
const IMAGES: &[Case] = &[
    (
        "give one, such as --cmdline 'console=tty0 ",
        "$BUILD",
        "$BUILD --cmdline 'console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30 noresume systemd.import_credentials=no systemd.gpt_auto=0 rdinit=/usr/bin/trust -- init --end'",
    ),
    (
        "build it with --unsigned, and sign it where the key is",
        "rm $K/uki-production/privkey.pem; $BUILD $LINE",
        "$BUILD $LINE --unsigned; trust sign efi out --key $B/uki-production/privkey.pem --cert $B/uki-production/cert.pem --output signed; trust verify efi signed --cert $K/uki-production/cert.pem",
    ),
    (
        "name the program for the initrd: --with-trust=FILE",
        "mkdir bin; cp -L $TOOLS/trust bin/; bin/$BUILD $LINE --with-trust",
        "$BUILD $LINE --with-trust=/usr/bin/bash",
    ),
    ("give a file", "trust uki inspect .", "$BUILD $LINE; trust uki inspect out"),
    (
        "put the comment on a line of its own, in a file",
        "$BUILD --cmdline 'quiet # rdinit=/usr/bin/trust -- init --end'",
        "printf '# quiet\\nrdinit=/usr/bin/trust -- init --end\\n' >commented; $BUILD --cmdline @commented",
    ),
    (
        "write it in ASCII",
        "printf 'quiet\\xff' >latin; $BUILD --cmdline @latin",
        "echo quiet >ascii; $BUILD --cmdline @ascii",
    ),
    (
        "give trust-initrd as it was built for the target",
        "$BUILD $LINE --with-trust=p",
        "$BUILD $LINE --with-trust=/usr/bin/bash",
    ),
    ("give systemd's, like linuxx64.efi.stub", "${BUILD/$STUB/p} $LINE", "$BUILD $LINE"),
    (
        "give the unsigned one, which ends in .efi.stub",
        "trust sign efi $STUB --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem --output signed; ${BUILD/$STUB/signed} $LINE",
        "$BUILD $LINE",
    ),
    (
        "give a stub without it: systemd's, as it was packaged",
        "$BUILD $LINE --unsigned; mv out image; ${BUILD/$STUB/image} $LINE",
        "$BUILD $LINE",
    ),
    (
        "give an initrd as mkinitramfs, dracut or mkosi makes it",
        "${BUILD/--initrd initrd/--initrd p} $LINE",
        "$BUILD $LINE",
    ),
    (
        "leave out what the initrd can have in files of its own",
        "$BUILD --cmdline \"$(printf x%.0s {1..3000})\"",
        "echo rdinit=/usr/bin/trust -- init --end >line; $BUILD --cmdline @line",
    ),
    (
        "give the os-release of the system that boots, see os-release(5)",
        "head --bytes 100 /dev/urandom >os; $BUILD $LINE --os-release os",
        "$BUILD $LINE --os-release /etc/os-release",
    ),
    (
        "convert it: the stub shows only those",
        "$BUILD $LINE --splash p",
        "printf 'BM and a picture' >bmp; $BUILD $LINE --splash bmp",
    ),
    (
        "say it: --stub-version NUMBER",
        "trust sign efi $KERNEL --key ec.pem --cert ec.crt --output k; trust uki measure k",
        "trust uki measure k --stub-version 257",
    ),
    (
        "use the stub of systemd 252 or later",
        "$BUILD $LINE; trust uki measure out --stub-version 250",
        "trust uki measure out",
    ),
];

/// `$LAUNCH` is `trust launch m` with a firmware. Where the remedy is done, the next thing that lacks is an image, as `$NEXT`
/// finds out: machines that run are other tests'.
const LAUNCH: &[Case] = &[
    ("give --project k:default, or another project", "$LAUNCH --project k", "$NEXT --project k:default"),
    (
        "give --chain shim, or no --shim",
        "$LAUNCH --project k:default --chain direct --shim db.esl",
        "$NEXT --project k:default --chain shim --shim db.esl; $NEXT --project k:default",
    ),
    (
        "name it with --shim",
        "$LAUNCH --project k:default --chain shim",
        "$NEXT --project k:default --chain shim --shim db.esl",
    ),
    (
        "name a directory of images with --images, or files with --provision-image",
        "$LAUNCH --project k:default --image db.esl",
        "MISSING='there is no install.efi' $NEXT --project k:default --image db.esl --provision-image db.esl",
    ),
    ("make it with `trust launch m --project KEYSET:PROJECT", "trust launch m --again", "$NEXT --project k:default"),
    (
        "remove ",
        "mkdir -p $VMS/m; echo x >$VMS/m/facts.json; trust launch m --again",
        "rm -r $VMS/m; $NEXT --project k:default",
    ),
];

/// What the scripts find.
const PREPARED: &str = r#"
export PATH=$TOOLS:$PATH K=$HOME/.local/share/machine/trust/keys/k B=$PWD/backup
export BUILD="trust uki build k --kind production --kernel $KERNEL --stub $STUB --initrd initrd --output out"
export SIGN="trust sign efi --key $K/uefi-db/privkey.pem --cert $K/uefi-db/cert.pem"
export TRADITIONAL="openssl pkey -in $K/uefi-db/privkey.pem -traditional -aes128 -passout pass:x -out old.pem"
export ENCRYPTED="openssl pkcs8 -topk8 -in $K/uefi-db/privkey.pem -passout pass:y -out new.pem"
export LAUNCH="trust launch m --firmware $CODE --variables $VARS" VMS=$HOME/.local/share/machine/trust/vms
next() { $LAUNCH "$@" 2>said || grep -q "${MISSING:-there is no provision.efi}" said; }
NEXT=next
export LINE='--cmdline=@line'
export VALUES='--pcr7-production p --pcr7-limited l --pcr7-tpm t'
"#;

#[test]
fn remedies_of_keysets_help() {
    follow(KEYSETS);
}

#[test]
fn remedies_of_machines_help() {
    follow(MACHINES);
}

#[test]
fn remedies_of_policies_help() {
    follow(POLICIES);
}

#[test]
fn remedies_of_images_help() {
    follow(IMAGES);
}

#[test]
fn remedies_of_launch_help() {
    follow(LAUNCH);
}

#[test]
fn remedies_of_files_help() {
    follow(FILES);
}

/// In a home of its own each, so that none helps another.
#[track_caller]
fn follow(cases: &[Case]) {
    let made = Home::with_keyset();
    let keyset = made.keys().join("k");
    let [backup, tools] = ["backup", "tools"].map(|name| made.path().join(name));
    harness::run("cp", &["-a", keyset.to_str().expect("UTF-8"), backup.to_str().expect("UTF-8")]);
    fs::create_dir(&tools).expect("writable");
    symlink(trust_host(), tools.join("trust")).expect("writable");
    for (name, byte) in [("p", b'1'), ("l", b'2'), ("t", b'3')] {
        fs::write(made.path().join(name), [byte; 32]).expect("writable");
    }
    let certify = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ec"];
    let [key, certificate] = ["ec.pem", "ec.crt"].map(|name| made.path().join(name).display().to_string());
    harness::openssl(&[&certify[..], &["-keyout", &key, "-out", &certificate]].concat());
    fs::write(made.path().join("line"), "root=/dev/mapper/root rdinit=/usr/bin/trust -- init --end\n")
        .expect("writable");
    let archive = format!("cd {} && echo line | cpio --quiet -o -H newc >initrd", made.path().display());
    harness::run("sh", &["-c", &archive]);
    let enrolled = made.path().join("enrolled");
    made.ok(&["enroll", "auth", "k", "--output", enrolled.to_str().expect("UTF-8")]);
    fs::copy(enrolled.join("db.esl"), made.path().join("db.esl")).expect("written");
    let mut failures = Vec::new();
    for (remedy, fails, follow) in cases {
        let home = made.copy();
        let run = |script: &str| script_in(&home, &tools, script);
        let before = run(fails);
        let said = String::from_utf8_lossy(&before.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default();
        println!("{said}");
        if before.status.success() || !last.starts_with("trust: cannot ") || !last.contains(&format!("; {remedy}")) {
            failures.push(format!("{fails}\n  was to say {remedy:?}, but said {said}"));
            continue;
        }
        let after = run(follow);
        if !after.status.success() {
            failures
                .push(format!("{follow}\n  followed {remedy:?}, and said {}", String::from_utf8_lossy(&after.stderr)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn script_in(home: &Home, tools: &Path, script: &str) -> Output {
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &format!("{PREPARED}\n{script}")]).current_dir(home.path());
    command.env("HOME", home.path()).env("TOOLS", tools);
    command.env("STUB", assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub"));
    command.env("CODE", assets::path("usr/share/OVMF/OVMF_CODE_4M.secboot.fd"));
    command.env("KERNEL", assets::Kernel::new().image);
    command.env("VARS", assets::path("usr/share/OVMF/OVMF_VARS_4M.fd")).env_remove("XDG_DATA_HOME");
    command.output().expect("there is a shell")
}

/// Every remedy in the sources, by its first words in quotes; where there are none, by its place.
fn remedies() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![workspace().join("src")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|x| x == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let file = path.strip_prefix(workspace()).expect("it is in there").display().to_string();
            // What tests say is not said.
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for call in code.split(".remedy(").skip(1) {
                let argument = argument(call);
                found.insert(literal(argument).unwrap_or_else(|| format!("{file}: {}", argument.trim())));
            }
        }
    }
    found.remove("src/error.rs: ");
    // Those of the kinds, where the place knows nothing better.
    found.extend(Kind::ALL.iter().filter_map(|kind| {
        let message = Error::new(*kind, "do", "no").to_string();
        message.strip_prefix("cannot do: no; ").map(str::to_owned)
    }));
    found
}

/// Up to the bracket that closes the call.
fn argument(call: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in call.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &call[..at];
        }
    }
    panic!("a call without an end: {call}");
}

/// The first string in it, on one line.
fn literal(argument: &str) -> Option<String> {
    let (mut text, mut rest) = (String::new(), argument.split_once('"')?.1.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '"' => return Some(text),
            '\\' if rest.next_if_eq(&'\n').is_some() => while rest.next_if_eq(&' ').is_some() {},
            '\\' => text.extend(rest.next()),
            _ => text.push(c),
        }
    }
    None
}

/// The table: remedy, and the tests that follow it; or, behind a dash, why none does.
fn table() -> BTreeMap<String, String> {
    let text = fs::read_to_string(workspace().join("tests/data/remedies.tsv")).expect("the table");
    let rows: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let table: BTreeMap<_, _> = rows
        .iter()
        .map(|row| row.split_once('\t').unwrap_or_else(|| panic!("no tab: {row}")))
        .map(|(remedy, tests)| (remedy.to_owned(), tests.to_owned()))
        .collect();
    assert_eq!(table.len(), rows.len(), "a remedy twice");
    table
}

#[test]
fn the_table_lists_exactly_the_remedies_of_the_sources() {
    let (found, table) = (remedies(), table());
    assert!(found.len() > 100, "the search misses them");
    let missing: Vec<_> = found.iter().filter(|remedy| !table.contains_key(*remedy)).collect();
    let stale: Vec<_> = table.keys().filter(|remedy| !found.contains(*remedy)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not in the table: {missing:#?}\nnot in the sources: {stale:#?}");
}

#[test]
fn tests_named_in_the_table_exist() {
    for (remedy, tests) in table() {
        if let Some(why) = tests.strip_prefix("- ") {
            assert!(why.len() > 10, "{remedy}: no reason");
            continue;
        }
        for test in tests.split(' ') {
            let (program, function) = test.split_once("::").unwrap_or_else(|| panic!("{remedy}: {test} names no test"));
            assert!(source(program).contains(&format!("fn {function}(")), "{remedy}: there is no test {test}");
            if program == "remedies" {
                let parts = || remedy.split(['{', '}']).filter(|part| part.len() > 3);
                let is_it = |said: &str| parts().any(|part| part.contains(said) || said.contains(part));
                let cases = [KEYSETS, MACHINES, POLICIES, FILES, IMAGES, LAUNCH].concat();
                assert!(remedy.starts_with("src/") || cases.iter().any(|case| is_it(case.0)), "{remedy}: no case");
            }
        }
    }
}

/// The source of a test program, or of the unit tests in a file of the library.
fn source(program: &str) -> String {
    if program.starts_with("src/") {
        return fs::read_to_string(workspace().join(program)).unwrap_or_else(|e| panic!("{program}: {e}"));
    }
    let path = workspace().join("tests").join(program);
    let mut files: Vec<PathBuf> = vec![path.with_extension("rs")];
    files.extend(fs::read_dir(&path).into_iter().flatten().map(|entry| entry.expect("an entry").path()));
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect()
}
