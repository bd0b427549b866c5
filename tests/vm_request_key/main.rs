//! Keys that processes ask the kernel for: keyctl(1), request-key(8) and the kernel's IMA as they are, and the program that
//! request-key(8) starts.

use harness::{
    Banks, State, assets, run, trust_host,
    vm::{self, Initrd, Report, Vm},
};
use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
};

/// Debian's last line, for keys that nothing else is for.
const CONFIGURATION: &str = "negate * * * /usr/bin/keyctl negate %k 30 %S\n";

fn initrd() -> Initrd {
    let mut initrd = Initrd::new(include_str!("guest.sh"));
    for program in ["/usr/bin/keyctl", "/sbin/request-key", "/usr/bin/perl"] {
        initrd.program(Path::new(program));
    }
    let directory = tempfile::tempdir().unwrap();
    // With debugging information it would be most of the guest's memory.
    let trust = directory.path().join("trust");
    run("strip", &["-o", trust.to_str().unwrap(), trust_host().to_str().unwrap()]);
    initrd.program(&trust);
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("request-key.d/trust.conf");
    initrd.add("etc/request-key.d/trust.conf", &configuration, 0o644);
    initrd.write("etc/request-key.conf", CONFIGURATION, 0o644);
    initrd.write("etc/passwd", "root:x:0:0::/:/bin/sh\none:x:1000:1000::/:/bin/sh\n", 0o644);
    initrd.write("etc/group", "root:x:0:\none:x:1000:\n", 0o644);
    initrd.write("bin/ask-service", include_str!("ask-service.pl"), 0o755);
    initrd.write("bin/ask", include_str!("ask.sh"), 0o755);
    // It is where such programs are.
    let there = initrd.root().join(trust.strip_prefix("/").unwrap());
    fs::rename(there, initrd.root().join("usr/bin/trust")).unwrap();
    symlink("/bin/busybox", initrd.root().join("usr/bin/env")).unwrap();
    initrd
}

fn boot(vm: &Vm, initrd: &Path, phase: &str) -> Report {
    let kernel = assets::Kernel::new().image;
    let line = format!("console=ttyS0 quiet panic=-1 no_timer_check printk.devkmsg=on phase={phase}");
    let [kernel, initrd] = [&kernel, initrd].map(|file| file.to_str().unwrap());
    vm.set_options(&["-kernel", kernel, "-initrd", initrd, "-append", &line]);
    let report = vm.boot();
    report.ok();
    report
}

/// A key of so many bytes, as keyctl(1) prints it.
#[track_caller]
fn key(report: &Report, name: &str, bytes: usize) -> String {
    let value = report.value(name);
    let digits = value.strip_prefix(":hex:").unwrap_or_default();
    assert!(digits.len() == 2 * bytes && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {value:?}");
    digits.to_owned()
}

#[track_caller]
fn rejected(report: &Report, name: &str, why: &str) {
    let said = report.value(name);
    assert!(said.ends_with("request_key: Key was rejected by service"), "{name}: {said:?}");
    let reason = report.value(&format!("{name}_why"));
    assert!(reason.contains(why), "{name}: {reason}");
}

/// All in two boots of one machine, and one of another.
#[test]
fn keys_are_the_requester_s_own_on_this_machine_and_nobody_else_s() {
    let initrd = initrd();
    let packed = initrd.pack();
    let vm = Vm::new(&vm::empty_variables());
    File::create(vm.data_disk()).unwrap().set_len(32 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-b", "4096", "-O", "verity", vm.data_disk().to_str().unwrap()]);

    let paths = boot(&vm, &packed, "paths");
    let all = ["path", "other", "version", "label", "user"].map(|name| key(&paths, name, 32));
    for (at, one) in all.iter().enumerate() {
        assert!(!all[..at].contains(one), "two keys are the same: {all:?}");
    }
    assert!(!key(&paths, "larger", 64).starts_with(&all[0]));
    // IMA has measured nothing, and says so whether or not it audits.
    for name in ["csum_without_rules", "csum_audited"] {
        rejected(&paths, name, "no `measure` rule");
        rejected(&paths, name, "measure func=BPRM_CHECK");
    }
    let why = "the description says path /usr/bin/keyctl, and it is /usr/bin/other that asks";
    rejected(&paths, "stolen", why);
    rejected(&paths, "mismatch", "not of the mode");
    // The documented limits: what is in a keyring is found there.
    assert_eq!(key(&paths, "cached", 32), all[0]);
    assert!(paths.value("not_cached").ends_with("Key was rejected by service"), "{}", paths.value("not_cached"));
    assert_eq!(paths.value("planted"), "planted");
    let rights = paths.value("rights");
    assert!(rights.starts_with("user;0;0;1b000000;trust:path:/usr/bin/keyctl:test "), "{rights}");
    assert!(rights.contains(" 4m ") || rights.contains(" 5m "), "{rights}");
    assert!(rights.ends_with("not updated not opened not read "), "{rights}");
    // By the service, without any upcall.
    let (delivered, expected) = (paths.value("delivered"), key(&paths, "delivered_expected", 32));
    assert!(
        delivered.starts_with(&format!(":hex:{expected} user;1000;")),
        "{delivered}: {}",
        paths.value("delivered_answer")
    );
    assert!(
        delivered.contains("keyring: _uid.1000") && delivered.contains("user: trust:path:/usr/bin/perl"),
        "{delivered}"
    );
    assert_eq!(paths.value("delivered_to_root"), "0");
    assert!(paths.value("by_hand").contains("has no authority over key 1"), "{}", paths.value("by_hand"));

    let contents = boot(&vm, &packed, "contents");
    assert_eq!(key(&contents, "path", 32), all[0], "another key after a restart");
    let [keyctl, other, flipped] =
        ["keyctl", "other", "flipped"].map(|name| key(&contents, &format!("csum_{name}"), 32));
    assert_eq!(keyctl, other, "the same content has two keys");
    assert!(flipped != keyctl && !all.contains(&keyctl));
    rejected(&contents, "csum_stolen", "that asks");
    // The kernel vouches for a content by fs-verity, too.
    let verity = key(&contents, "verity", 32);
    assert_eq!(key(&contents, "verity_moved", 32), verity);
    assert!(verity != keyctl && !all.contains(&verity));
    rejected(&contents, "verity_of_plain", "fsverity enable FILE");
    rejected(&contents, "verity_of_keyctl", "or ask for csum");

    let another = Vm::new(&vm::empty_variables());
    // A TPM of its own: of each kind the harness makes one.
    another.set_tpm(&State::new(Banks::Three));
    let another = boot(&another, &packed, "neither");
    assert_ne!(key(&another, "path", 32), all[0], "another machine has the same key");
}
