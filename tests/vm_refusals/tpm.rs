//! A TPM that is slow, silent, or busy with others.

use super::{DONE, fixture, memory};
use harness::{
    Action, Command, cc, rc,
    vm::{Chain, Initrd, Outcome, Vm},
};
use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// The provisioned machine with a production image of this script.
fn machine(name: &str, script: &str) -> Vm {
    let image = fixture().deployment.file(name);
    fixture().deployment.build("production", &Initrd::new(script), &[], &image);
    fixture().machine(Chain::Direct, &image)
}

#[test]
fn secrets_are_given_while_ima_extends_a_pcr_and_wiped_afterwards() {
    let vm = machine("busy.efi", include_str!("busy.sh"));
    let kept = memory::keep(&vm, "memory-after-finish", &["-rtc", "base=2000-01-01"]);
    let (report, tpm) = vm.boot_interposed(|_| {});
    println!("{}\n{:?}\n{}", report.said, tpm.counts(), report.console);
    assert_eq!((report.ok().value("setup"), report.value("year")), (DONE, "2000"));
    // IMA did get in between a policy and what it was for.
    let record = tpm.record();
    assert!(record.iter().any(|e| e.response.as_ref().is_some_and(|r| r.code() == rc::PCR_CHANGED)), "{record:?}");
    assert_eq!(report.value("passphrases"), "1");
    assert_eq!(report.value("files"), "manifestCA.pem,server.crt,server.key,");
    assert_eq!((report.value("finish"), report.value("left")), (DONE, "0"));
    assert_eq!(memory::secrets_in(&kept), (0, 0), "private keys and passphrases in the machine's memory");
}

/// For most commands the kernel would wait two minutes, and two more for each that cleans up.
#[test]
fn a_slow_tpm_is_waited_for_and_a_silent_one_powers_off() {
    let vm = machine("off.efi", "status=0; trust setup || status=$?; say setup $status\n");
    let said = vm.output_watcher();
    let (mut slow, mut reads) = (false, 0);
    let (report, tpm) = vm.boot_interposed(|tpm| {
        tpm.on_command(move |command: &Command| {
            slow = (slow || command.code() == cc::LOAD_EXTERNAL) && command.code() != cc::POLICY_PCR;
            reads += u32::from(command.code() == cc::NV_READ);
            if slow {
                // Longer than two seconds, and the kernel itself would give this one up.
                let is_limited = command.code() == cc::VERIFY_SIGNATURE;
                sleep(Duration::from_millis(if is_limited { 1500 } else { 3000 }));
            }
            // Layout version and passphrase, but not the certificate.
            let start = Instant::now();
            while reads > 2 && !said("trust: switching the machine off") && start.elapsed() < Duration::from_secs(350) {
                sleep(Duration::from_millis(10));
            }
            Action::Forward
        });
    });
    assert_eq!(tpm.counts().get(&cc::POLICY_AUTHORIZE), Some(&2), "{}", report.console);
    assert_eq!(report.outcome, Outcome::Died, "{report:?}");
    assert!(report.console.contains("reboot: Power down"), "{}", report.console);
    assert_eq!(report.said, "");
}
