//! An attacker on the wire who keeps PCR 7 from being locked.

use harness::{Action, Boot, Command, End, Machine, Response, cc};

/// Whether a command extends a PCR.
fn extends(command: &Command) -> bool {
    [cc::PCR_EVENT, cc::PCR_EXTEND].contains(&command.code())
}

/// A success for TPM2_PCR_Event without sessions: an empty list of digests.
fn without_session() -> Vec<u8> {
    Response::with(0x8001, 0, &[0; 4]).0
}

/// A success with as many zeros for an HMAC as it takes.
fn with_zero_hmac() -> Vec<u8> {
    // parameterSize, digests, then nonce, attributes and HMAC of the session.
    let session = [&[0, 32][..], &[0; 32], &[0], &[0, 32], &[0; 32]].concat();
    Response::with(0x8002, 0, &[&4u32.to_be_bytes()[..], &0u32.to_be_bytes(), &session].concat()).0
}

/// Like the one before, for a session without HMAC.
fn with_empty_hmac() -> Vec<u8> {
    Response::with(0x8002, 0, &[&4u32.to_be_bytes()[..], &0u32.to_be_bytes(), &[0, 0, 1, 0, 0]].concat()).0
}

/// Runs both commands against an attacker who answers for the TPM when PCR 7 is to be extended.
fn attacked(what: &str, attack: impl Fn() -> Action + Clone + Send + 'static) {
    let machine = Machine::provisioned();
    for command in ["setup", "preinit", "lock"] {
        let answer = attack.clone();
        machine.wire.on_command(move |command| if extends(command) { answer() } else { Action::Forward });
        let run = machine.boot(Boot::Production, &format!("try status trust {command} --wait 1\npublished"));
        run.refused(16);
        assert_eq!(machine.tpm.pcr("sha256", 7), harness::hex(&Boot::Production.pcr7()), "{what}: the attack worked");

        // The default: the machine is switched off.
        let poweroff =
            format!("env -i $TRUST {command} --tcti $TCTI --pcr7data $PCR7DATA --wait 1 || true\necho alive");
        let run = machine.boot(Boot::Production, &poweroff);
        assert_eq!(run.end, End::PoweredOff, "{what}, {command}: {run:#?}");
        assert!(!run.announced && run.stdout.is_empty(), "{what}, {command}: {run:#?}");
        assert!(run.stderr.contains("cannot lock PCR 7"), "{what}, {command}: {run:#?}");
    }
}

#[test]
fn a_forged_success_without_a_session_is_refused() {
    attacked("no session", || Action::Reply(without_session()));
}

#[test]
fn a_forged_success_with_a_wrong_hmac_is_refused() {
    attacked("zero HMAC", || Action::Reply(with_zero_hmac()));
    attacked("empty HMAC", || Action::Reply(with_empty_hmac()));
}

#[test]
fn a_dropped_lock_command_is_refused() {
    attacked("dropped", || Action::Drop);
}

#[test]
fn a_connection_closed_at_the_lock_is_refused() {
    attacked("closed", || Action::Close);
}

#[test]
fn an_error_in_place_of_success_is_refused() {
    attacked("failure", || Action::Reply(Response::error(harness::rc::FAILURE).0));
    attacked("retry", || Action::Reply(Response::error(harness::rc::RETRY).0));
    // A handle that does not exist: "the session is gone".
    attacked("handle", || Action::Reply(Response::error(harness::rc::HANDLE | 0x800).0));
}

/// What an earlier boot's TPM said when PCR 7 was locked, and what it said when PCR 7 was read afterwards.
#[test]
fn a_replayed_success_is_refused() {
    let machine = Machine::provisioned();
    machine.wire.take();
    machine.boot(Boot::Production, "trust setup").ok();
    let record = machine.wire.take();
    let locking = record.iter().position(|exchange| extends(&exchange.command)).expect("it locks");
    let answer = |from: usize, code: fn(&Command) -> bool| {
        let exchange = record[from..].iter().find(|exchange| code(&exchange.command)).expect("it does");
        exchange.response.clone().expect("it was answered").0
    };
    let success = answer(locking, extends);
    let proof = answer(locking, |command| command.code() == cc::PCR_READ);
    for with_proof in [false, true] {
        let (success, proof) = (success.clone(), proof.clone());
        let mut locked = false;
        machine.wire.on_command(move |command| {
            if extends(command) {
                locked = true;
                return Action::Reply(success.clone());
            }
            if with_proof && locked && command.code() == cc::PCR_READ {
                return Action::Reply(proof.clone());
            }
            Action::Forward
        });
        machine.boot(Boot::Production, "try status trust setup\npublished").refused(16);
    }
}

/// The TPM extends PCR 7, but the proof is withheld or false.
#[test]
fn a_missing_or_false_proof_is_refused() {
    let machine = Machine::provisioned();
    let proofs: [fn() -> Action; 3] =
        [|| Action::Drop, || Action::Close, || Action::Reply(Response::error(harness::rc::FAILURE).0)];
    for proof in proofs {
        let mut locked = false;
        machine.wire.on_command(move |command| {
            locked |= extends(command);
            if locked && command.code() == cc::PCR_READ { proof() } else { Action::Forward }
        });
        machine.boot(Boot::Production, "try status trust setup --wait 1\npublished").refused(16);
    }
}

/// One answer that is lost costs nothing but a second attempt, which is made on a new link, in a new session.
#[test]
fn a_response_lost_once_is_made_up_by_a_second_attempt() {
    let machine = Machine::provisioned();
    for command in ["setup", "preinit", "lock"] {
        let mut lost = false;
        machine.wire.on_response(move |command, _| {
            let lose = extends(command) && !lost;
            lost |= lose;
            if lose { Action::Close } else { Action::Forward }
        });
        machine.boot(Boot::Production, &format!("trust {command}")).ok();
        let lock = |value: &harness::Digest| harness::extend(value, &harness::sha256(&[b"atomix\n"]));
        let twice = lock(&lock(&Boot::Production.pcr7()));
        assert_eq!(machine.tpm.pcr("sha256", 7), harness::hex(&twice), "{command}");
    }
}

/// PCR 7 is not extended, and then shown as if it had been, so that there seems to be nothing left to do.
#[test]
fn a_locked_value_without_an_extension_is_refused() {
    let machine = Machine::provisioned();
    machine.wire.take();
    machine.boot(Boot::Production, "trust lock").ok();
    let shown = machine.wire.take().into_iter().rfind(|exchange| exchange.command.code() == cc::PCR_READ);
    let shown = shown.and_then(|exchange| exchange.response).expect("PCR 7 is read after the lock").0;
    for command in ["setup", "preinit", "lock"] {
        let (mut attempted, shown) = (false, shown.clone());
        machine.wire.on_command(move |command| {
            attempted |= extends(command);
            match command.code() {
                _ if extends(command) => Action::Close,
                cc::PCR_READ if attempted => Action::Reply(shown.clone()),
                _ => Action::Forward,
            }
        });
        machine.boot(Boot::Production, &format!("try status trust {command}\npublished")).refused(16);
    }
}

/// Another PCR is extended in the place of PCR 7.
#[test]
fn an_extension_of_another_pcr_is_refused() {
    let machine = Machine::provisioned();
    machine.wire.on_command(|command| {
        if !extends(command) {
            return Action::Forward;
        }
        let mut bytes = command.bytes.clone();
        bytes[10..14].copy_from_slice(&16u32.to_be_bytes());
        Action::Replace(bytes)
    });
    machine.boot(Boot::Production, "try status trust setup\npublished").refused(16);
}

/// A program that is interrupted between reading and locking locks all the same.
#[test]
fn signals_do_not_prevent_the_lock() {
    let machine = Machine::provisioned();
    machine.wire.on_command(|command| {
        if command.code() == cc::NV_READ {
            let pid = command.sender.expect("a unix socket").to_string();
            for signal in ["-TERM", "-INT", "-HUP", "-PIPE", "-ALRM"] {
                // The shell's own: not every system has a program of that name.
                harness::run("sh", &["-c", &format!("kill {signal} {pid}")]);
            }
        }
        Action::Forward
    });
    let run = machine.attempt("setup");
    let locked = harness::extend(&Boot::Production.pcr7(), &harness::sha256(&[b"atomix\n"]));
    assert_eq!(machine.tpm.pcr("sha256", 7), harness::hex(&locked), "{run:#?}");
}
