//! Records what an honest TPM answers to each job, for the corpus of tpm_answers: see FIGURES.md.

use harness::{Boot, Identity, Machine, Swtpm};
use std::{fs, path::Path, process::Command, time::Duration};
use trust_fuzz::{Job, encode};

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    let to = here.join("pcr7data");
    let _ = fs::remove_dir_all(&to);
    let copied = Command::new("cp").arg("-r").arg(machine.keyset.pcr7data()).arg(&to).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");
    let socket = machine.wire.tcti().trim_start_matches("swtpm:path=").to_owned();
    for job in Job::ALL {
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&Boot::Production.event());
        machine.wire.take();
        let sizes = job.run(Path::new(&socket), to.clone(), Duration::from_secs(10)).expect("an honest TPM");
        let record = machine.wire.take();
        let answers = record.iter().map(|exchange| &*exchange.response.as_ref().expect("answered").0);
        let input = encode(job, answers);
        println!("{}: {} answers, {} bytes; secrets of {sizes:?} bytes", job.name(), record.len(), input.len());
        let file = here.join("corpus/tpm_answers").join(job.name());
        fs::create_dir_all(file.parent().expect("below the corpus")).expect("writable");
        fs::write(file, input).expect("writable");
    }
}
