//! Root in the booted system asks the TPM again.

use super::{DONE, REFUSED, fixture, with_tools};
use harness::{Action, Command, cc, vm::Chain};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

#[test]
fn root_asking_again_gets_nothing() {
    let image = fixture().deployment.file("root.efi");
    fixture().deployment.build("production", &with_tools(include_str!("root.sh")), &[], &image);
    let report = fixture().machine(Chain::Direct, &image).boot();
    assert_eq!(report.ok().value("setup"), DONE);
    // What fails below has worked before.
    for way in ["before", "before-managed"] {
        assert_eq!(report.value(way), "yes", "{way}");
    }
    assert_eq!(report.value("length"), "40");
    let ways = [
        "session",
        "session-managed",
        "session-old-value",
        "session-from-before",
        "bank-sha1",
        "bank-sha384",
        "other-pcr",
        "no-password",
        "owner",
        "replace",
        "remove",
        "clear",
        "reset",
        "same-sha1",
        "same-sha256",
        "same-sha384",
    ];
    for way in ways {
        assert_eq!(report.value(way), "no", "{way}");
    }
    assert_eq!(report.value("preinit"), REFUSED);
}

/// The kernel kills no TPM session and locks nothing: the caller of `trust setup` must lock when it fails.
#[test]
fn a_killed_setup_publishes_nothing_and_leaves_the_lock_to_its_caller() {
    let image = fixture().deployment.file("killed.efi");
    fixture().deployment.build("production", &with_tools(include_str!("killed.sh")), &[], &image);
    let vm = fixture().machine(Chain::Direct, &image);
    let said = vm.output_watcher();
    let mut reads = 0;
    let (report, _) = vm.boot_interposed(|tpm| {
        tpm.on_command(move |command: &Command| {
            // Layout version, passphrase, certificate, and now the key.
            if command.code() == cc::NV_READ {
                reads += 1;
            }
            if reads == 3 && command.code() == cc::POLICY_AUTHORIZE {
                let start = Instant::now();
                while !said("killed") && start.elapsed() < Duration::from_secs(300) {
                    sleep(Duration::from_millis(10));
                }
            }
            Action::Forward
        });
    });
    assert_eq!(report.ok().value("status"), "137");
    assert_eq!((report.value("passphrases"), report.value("files")), ("0", ""));
    assert_eq!(report.value("open"), "yes");
    assert_eq!((report.value("lock"), report.value("locked")), (DONE, "no"));
}
