//! A TPM, or somebody in its place, that answers badly, to each command in turn:
//! no panic, no hang, nothing published.

use harness::{Action, Boot, Machine, Response, cc};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// What the program does about a bad answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Must {
    /// It is no answer to the command.
    Refuse,
    /// It may be one: then nothing false may come of it.
    NotBeFooled,
}

/// Makes the answer to each command in turn a bad one and runs `command`.
fn each_answer(command: &str, what: &str, must: Must, bad: fn(Response) -> Action) {
    let machine = Machine::provisioned();
    machine.wire.take();
    machine.boot(Boot::Production, &format!("trust {command}\nsecret machine:luks >/cell/passphrase")).ok();
    let total = machine.wire.take().len();
    let script = format!(
        r#"
        try status trust {command} --wait 1
        published
        if [ {command} = setup ] && keyctl search @u user machine:luks >/dev/null; then
            secret machine:luks | cmp - /cell/passphrase
            cmp /priv/factory/secure/server.crt $CERT
            cmp /priv/factory/secure/server.key $KEY
        fi
        "#
    );
    let mut refusals = 0;
    for fatal in 0..total {
        let (mut seen, changed) = (0, Arc::new(AtomicBool::new(false)));
        let note = changed.clone();
        machine.wire.on_response(move |_, response| {
            seen += 1;
            if seen != fatal + 1 {
                return Action::Forward;
            }
            let answer = bad(response.clone());
            note.store(answer != Action::Reply(response.0), Ordering::SeqCst);
            answer
        });
        let run = machine.boot(Boot::Production, &script);
        let code = machine.wire.take().get(fatal).map_or(0, |exchange| exchange.command.code());
        let place = format!("{what} at command {fatal} ({code:#x}) of {command}");
        if run.status() == 0 {
            // What TPM2_FlushContext and TPM2_Shutdown answer is nothing that the program would need.
            let harmless = must == Must::NotBeFooled || [cc::FLUSH_CONTEXT, cc::SHUTDOWN].contains(&code);
            assert!(harmless || !changed.load(Ordering::SeqCst), "{place}: believed; {run:#?}");
            continue;
        }
        println!("{place}: {}", run.stderr.trim());
        assert!([10, 11, 12, 14, 15, 16].contains(&run.status()), "{place}: {run:#?}");
        run.refused(run.status());
        refusals += 1;
    }
    assert!(refusals > total / 2, "{what}: only {refusals} of {total} answers were refused");
}

#[test]
fn no_answer() {
    each_answer("setup", "no answer", Must::Refuse, |_| Action::Drop);
}

#[test]
fn a_closed_connection() {
    each_answer("setup", "closed", Must::Refuse, |_| Action::Close);
}

#[test]
fn an_answer_cut_short() {
    each_answer("setup", "cut", Must::Refuse, |response| {
        let mut bytes = response.0;
        bytes.truncate(bytes.len() - 1);
        Action::Reply(bytes)
    });
}

#[test]
fn an_answer_that_is_shorter_than_it_should_be() {
    each_answer("setup", "short", Must::Refuse, |response| {
        let body = response.0.get(10..).unwrap_or_default();
        let tag = u16::from_be_bytes([response.0[0], response.0[1]]);
        Action::Reply(Response::with(tag, 0, &body[..body.len() / 2]).0)
    });
}

#[test]
fn a_header_alone() {
    each_answer("setup", "header", Must::Refuse, |_| Action::Reply(Response::with(0x8001, 0, &[]).0));
}

#[test]
fn an_answer_that_claims_to_be_endless() {
    each_answer("setup", "endless", Must::Refuse, |response| {
        let mut bytes = response.0;
        bytes[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
        Action::Reply(bytes)
    });
}

#[test]
fn an_answer_that_goes_on() {
    each_answer("setup", "long", Must::Refuse, |response| {
        let tag = u16::from_be_bytes([response.0[0], response.0[1]]);
        let body = [&response.0[10..], &[0xff; 5000]].concat();
        Action::Reply(Response::with(tag, 0, &body).0)
    });
}

#[test]
fn noise() {
    each_answer("setup", "noise", Must::Refuse, |response| {
        let noise: Vec<u8> = (0..response.0.len()).map(|i| harness::sha256(&[&i.to_be_bytes()])[0]).collect();
        Action::Reply(noise)
    });
}

#[test]
fn sizes_inside_that_are_too_large() {
    each_answer("setup", "inner sizes", Must::Refuse, |response| {
        let mut bytes = response.0;
        for byte in bytes.iter_mut().skip(10).take(6) {
            *byte = 0xff;
        }
        Action::Reply(bytes)
    });
}

#[test]
fn a_tpm_in_failure_mode() {
    each_answer("setup", "failure", Must::Refuse, |_| Action::Reply(Response::error(harness::rc::FAILURE).0));
}

#[test]
fn preinit_that_hears_nothing() {
    each_answer("preinit", "no answer", Must::Refuse, |_| Action::Drop);
}

#[test]
fn preinit_that_hears_noise() {
    each_answer("preinit", "failure", Must::Refuse, |_| Action::Reply(Response::error(harness::rc::FAILURE).0));
}

/// One bit of each answer turned over: whatever is protected is refused, whatever is not says nothing secret.
#[test]
fn one_bit_of_an_answer() {
    each_answer("setup", "one bit", Must::NotBeFooled, |response| {
        let mut bytes = response.0;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Action::Reply(bytes)
    });
}
