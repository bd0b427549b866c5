//! Records what an honest TPM answers to each job: see FIGURES.md.
//!
//! Two things are changed, so that the answers can be made authentic again: the storage root key is the forger's, and what
//! was encrypted is in the clear.

use harness::{Action, Boot, Command, Exchange, Identity, Machine, Response, Swtpm, cc, sha256};
use std::{fs, path::Path, process};
use trust_fuzz::{Job, encode, public_point};

const SRK: u32 = 0x8100_0001;
/// `TPM_RC_HANDLE`, of the first handle.
const NO_SUCH_HANDLE: u32 = 0x18b;
/// `TPM2_NV_Read` and `TPM2_NV_Write` of TPMs that have little memory.
const SMALL_BUFFER: u16 = 512;

fn main() {
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded");
    let machine = Machine::with(Swtpm::new(), Identity::ec("P-256"));
    machine.provision();
    for old in [&to, &Job::pcr7data()] {
        let _ = fs::remove_dir_all(old);
    }
    fs::create_dir_all(&to).expect("writable");
    let copied = process::Command::new("cp").arg("-r").arg(machine.keyset.pcr7data()).arg(Job::pcr7data()).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");

    let record = |name: &str, job: Job| {
        let answers = converse(&machine, job);
        let input = encode(job, answers.iter().map(|answer| (false, &**answer)));
        println!("{name}: {} answers, {} bytes", answers.len(), input.len());
        fs::write(to.join(name), input).expect("writable");
        answers
    };
    let setup = record("setup", Job::Setup);
    record("preinit", Job::Preinit);
    let lock = record("lock", Job::Lock);
    // An answer in the middle that nobody understands; then the lock is tried once more, on another connection.
    let spoilt = setup[..20].iter().map(|answer| (false, &**answer));
    let spoilt = spoilt.chain([(true, &[][..])]).chain(lock.iter().map(|answer| (false, &**answer)));
    fs::write(to.join("setup-spoilt"), encode(Job::Setup, spoilt)).expect("writable");

    machine.wire.limit_nv_buffer(SMALL_BUFFER);
    record("setup-in-chunks", Job::Setup);
    machine.wire.be_honest();
    machine.wire.on_command(|command| match (command.code(), command.word(0)) {
        (cc::READ_PUBLIC, SRK) => Action::Reply(Response::error(NO_SUCH_HANDLE).0),
        _ => Action::Forward,
    });
    record("setup-without-srk", Job::Setup);
}

/// One boot for production: what the TPM answers.
fn converse(machine: &Machine, job: Job) -> Vec<Vec<u8>> {
    machine.tpm.reboot();
    machine.tpm.extend_pcr7(&Boot::Production.event());
    machine.wire.take();
    let socket = machine.wire.tcti();
    job.run(Path::new(socket.trim_start_matches("swtpm:path="))).expect("an honest TPM");
    machine.wire.take().into_iter().map(|exchange| plain(machine, exchange)).collect()
}

/// An answer as somebody gives it whose storage root key is the forger's, before it is encrypted.
fn plain(machine: &Machine, Exchange { command, response }: Exchange) -> Vec<u8> {
    let response = response.expect("answered");
    let ok = response.ok();
    let mut answer = response.0;
    match command.code() {
        // In both cases behind the size of the parameters and its own.
        cc::NV_READ if ok => {
            let contents = contents(machine, &command);
            answer[16..][..contents.len()].copy_from_slice(&contents);
        }
        cc::GET_RANDOM if ok => answer[16..48].fill(b'r'),
        cc::READ_PUBLIC if ok => change_key(&mut answer, 10),
        cc::CREATE_PRIMARY if ok => change_key(&mut answer, 18),
        _ => {}
    }
    answer
}

/// What TPM2_NV_Read was asked for.
fn contents(machine: &Machine, command: &Command) -> Vec<u8> {
    let whole = match command.word(4) {
        0x0150_0002 => b"00000003".to_vec(),
        0x0150_0021 => fs::read(machine.identity.cert()).expect("readable"),
        0x0150_0022 => fs::read(machine.identity.key()).expect("readable"),
        _ => b"trust-0123456789abcdef0123456789abcdef01".to_vec(),
    };
    let at = 12 + command.word(8) as usize;
    let [size, offset] = [at, at + 2].map(|at| usize::from(u16::try_from(command.word(at) >> 16).expect("half of it")));
    whole[offset..offset + size].to_vec()
}

/// Puts the forger's point into the public area at `at`, and the Name that goes with it wherever the old one was.
fn change_key(answer: &mut [u8], at: usize) {
    let public = at + 2..at + 2 + usize::from(u16::from_be_bytes([answer[at], answer[at + 1]]));
    let name = sha256(&[&answer[public.clone()]]);
    let [x, y] = public_point();
    // Both coordinates are at the end, each behind its size.
    answer[public.end - 66..][..32].copy_from_slice(&x);
    answer[public.end - 32..][..32].copy_from_slice(&y);
    let new = sha256(&[&answer[public]]);
    let places: Vec<usize> =
        answer.windows(32).enumerate().filter(|(_, part)| *part == name).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 1, "the Name is there once");
    answer[places[0]..][..32].copy_from_slice(&new);
}
