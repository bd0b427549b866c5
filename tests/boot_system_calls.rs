//! What an attacker can do who has taken the process over: no more than its command does.
#![cfg(target_arch = "x86_64")]

use harness::{Action, Boot, Machine, Outcome, Tracee, cc, extend, hex, sha256, trust_host, trust_initrd};
use nix::{errno::Errno, libc, sys::signal::Signal};
use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

/// What `/proc/PID/status` says in this field of every program that has sent a command, by their pids.
fn of_every_program(machine: &Machine, field: &'static str, boot: Boot, script: &str) -> Vec<String> {
    let seen = Arc::new(Mutex::new(BTreeMap::new()));
    let hook = seen.clone();
    machine.wire.on_command(move |command| {
        let pid = command.sender.expect("a unix socket");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it waits for the answer");
        let value = status.lines().find_map(|line| line.strip_prefix(field)).expect("this kernel has seccomp");
        hook.lock().expect("no panic").insert(pid, value.trim().to_owned());
        Action::Forward
    });
    machine.boot(boot, script).ok();
    machine.wire.be_honest();
    let seen = seen.lock().expect("no panic");
    seen.values().cloned().collect()
}

/// `finish --key-to-tpm`, like the commands that [`Machine`] knows.
const FINISH: &str = r#"env -i "$TRUST" finish --key-to-tpm --tcti "$TCTI""#;

#[test]
fn every_command_is_confined() {
    for program in [trust_initrd(), trust_host()] {
        let mut machine = Machine::new();
        machine.sandbox.set("TRUST", &program);
        for (boot, script, programs) in [
            (Boot::Limited, r#"trust provision "$CERT" "$KEY""#, 1),
            (Boot::Production, "trust preinit", 1),
            (Boot::Production, &format!("trust setup\n{FINISH}"), 2),
            (Boot::Production, "trust lock", 1),
            (Boot::Tpm, "trust raise 0002", 1),
            (Boot::Tpm, "trust admin delegate", 1),
        ] {
            let modes = of_every_program(&machine, "Seccomp:", boot, script);
            assert_eq!(modes, vec!["2"; programs], "not confined: {script}, {}", program.display());
        }
        // Without a TPM, nothing stops it for a look.
        let run = machine.script(
            r#"
            env -i /usr/bin/strace -o /run/trace -e trace=seccomp "$TRUST" finish
            echo "installed $(grep -c 'seccomp(SECCOMP_SET_MODE_FILTER, .* = 0$' /run/trace)"
            "#,
        );
        assert_eq!(run.ok().value("installed"), "1", "not confined: finish, {}", program.display());
    }
}

/// A call, what it is good for, its number and arguments.
type Attack = (&'static str, i64, [u64; 6]);

/// Calls that would succeed, or fail for another reason, if they were let through.
fn refused(stack: u64) -> Vec<Attack> {
    let executable = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC).cast_unsigned().into();
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS).cast_unsigned().into();
    let int = |value: i32| u64::from(value.cast_unsigned());
    vec![
        ("make its stack executable", libc::SYS_mprotect, [stack, 4096, executable, 0, 0, 0]),
        ("map executable memory", libc::SYS_mmap, [0, 4096, executable, anonymous, u64::MAX, 0]),
        ("open a socket", libc::SYS_socket, [int(libc::AF_INET), int(libc::SOCK_STREAM), 0, 0, 0, 0]),
        ("signal others", libc::SYS_kill, [u64::MAX, 0, 0, 0, 0, 0]),
        ("leave its namespaces", libc::SYS_unshare, [0; 6]),
        ("start a process", libc::SYS_clone, [int(libc::CLONE_THREAD), 0, 0, 0, 0, 0]),
        ("make a file that lies nowhere", libc::SYS_memfd_create, [stack, 0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [0; 6]),
        // The numbers of x32 have this bit.
        ("call in the manner of x32", libc::SYS_getpid | 0x4000_0000, [0; 6]),
        ("restart the machine", libc::SYS_reboot, [0xfee1_dead, 0x2812_1969, 0, 0, 0, 0]),
    ]
}

/// Takes the program over at its first command of this code, has it make the calls, and lets it go on.
fn taken_over(
    machine: &Machine,
    command: &'static str,
    at: u32,
    calls: impl Fn(u64) -> Vec<Attack> + Send + 'static,
) -> (Vec<(&'static str, Outcome)>, harness::Run) {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let hook = outcomes.clone();
    machine.wire.on_command(move |command| {
        let mut outcomes = hook.lock().expect("no panic");
        if command.code() == at && outcomes.is_empty() {
            let mut tracee = Tracee::take(command.sender.expect("a unix socket"));
            for (what, number, arguments) in calls(tracee.stack()) {
                outcomes.push((what, tracee.call(number, arguments)));
            }
        }
        Action::Forward
    });
    let run = machine.boot(Boot::Production, &format!("try status trust {command}\npublished"));
    machine.wire.be_honest();
    let outcomes = std::mem::take(&mut *outcomes.lock().expect("no panic"));
    assert!(!outcomes.is_empty(), "{command} was never taken over: {run:#?}");
    (outcomes, run)
}

/// A system call that the command does not need is an error, so that a program which has not been taken over locks all the
/// same.
#[test]
fn a_process_taken_over_is_refused_other_system_calls() {
    let machine = Machine::provisioned();
    let keyring = || ("find the keyring", libc::SYS_keyctl, [0, u64::MAX - 3, 0, 0, 0, 0]);
    for (command, at, needs_keyring) in
        [("setup", cc::NV_READ, true), ("preinit", cc::NV_WRITE, true), ("lock", cc::PCR_EVENT, false)]
    {
        let calls = move |stack| {
            let allowed = ("tell its own pid", libc::SYS_getpid, [0; 6]);
            [vec![allowed, keyring()], refused(stack)].concat()
        };
        let (outcomes, run) = taken_over(&machine, command, at, calls);
        for (what, outcome) in outcomes {
            let expected = match what {
                // An attack that never succeeds proves nothing.
                "tell its own pid" => matches!(outcome, Outcome::Returned(1..)),
                "find the keyring" if needs_keyring => matches!(outcome, Outcome::Returned(1..)),
                _ => outcome == Outcome::Failed(Errno::EPERM),
            };
            assert!(expected, "a {command} taken over can {what}: {outcome:?}");
        }
        assert_eq!(run.status(), 0, "{command}: {run:#?}");
        let locked = extend(&Boot::Production.pcr7(), &sha256(&[b"atomix\n"]));
        assert_eq!(machine.tpm.pcr("sha256", 7), hex(&locked), "{command}: {run:#?}");
    }
}

/// A system call that no such process ever makes kills it.
#[test]
fn a_process_taken_over_is_killed_at_forbidden_system_calls() {
    let machine = Machine::provisioned();
    for (what, number) in [
        ("execve", libc::SYS_execve),
        ("ptrace", libc::SYS_ptrace),
        ("bpf", libc::SYS_bpf),
        ("kexec_file_load", libc::SYS_kexec_file_load),
    ] {
        let (outcomes, run) = taken_over(&machine, "setup", cc::NV_READ, move |_| vec![(what, number, [0; 6])]);
        assert_eq!(outcomes, [(what, Outcome::Killed(Signal::SIGSYS))], "a setup taken over can call {what}");
        assert_eq!((run.status(), run.value("published")), (128 + 31, "no"), "{what}: {run:#?}");
    }
}

/// The filter refuses nothing that the programs want themselves.
#[test]
fn no_command_needs_a_refused_system_call() {
    for program in [trust_initrd(), trust_host()] {
        let mut machine = Machine::new();
        machine.sandbox.set("TRUST", &program);
        machine.keyset.sign_system("0001");
        for (boot, script) in [
            (Boot::Limited, r#"traced provision "$CERT" "$KEY""#),
            (Boot::Production, "traced preinit --verbose --also-as cryptsetup --key-timeout 60"),
            (Boot::Production, "traced setup --verbose --also-as cryptsetup --manifest-ca \"$CERT\"\ntraced finish"),
            (Boot::Production, "traced setup --key-timeout 60\ntraced finish --key-to-tpm"),
            (Boot::Production, "traced setup --keep-policies\ntraced finish --keep-policies --pcr7data \"$PCR7DATA\""),
            (Boot::Production, "traced lock\ntraced setup || true"),
            (Boot::Tpm, "traced admin delegate"),
            (Boot::Limited, "traced setup --event-log /etc/passwd || true"),
            (Boot::Production, "TCTI=device:/dev/tpm7; traced setup --wait 1 || true"),
            (Boot::Production, "TCTI=mssim:host=127.0.0.1,port=1; traced lock --wait 1 || true"),
        ] {
            let traced = r#"
                mkdir -p /run/log/systemd
                traced() {
                    local command=$1 data="--pcr7data $PCR7DATA --on-lock-failure=exit" tcti="--tcti $TCTI"
                    shift
                    case $command in finish) data= ;; esac
                    case $command in admin) command="admin $1"; shift ;; esac
                    case $command$* in finish) tcti= ;; esac
                    env -i /usr/bin/strace -f -qq -o /run/trace "$TRUST" $command $tcti $data "$@" || status=$?
                    sed -n 's/^[0-9]* *//; /SECCOMP_SET_MODE/,$ s/.*= -1 EPERM.*/refused &/p' /run/trace
                    echo "calls $(wc -l </run/trace)"
                    return ${status:-0}
                }
            "#;
            let run = machine.boot(boot, &format!("{traced}\n{script}"));
            assert!(run.ok().stdout.contains("calls "), "{script}: {run:#?}");
            let refused: Vec<_> = run.stdout.lines().filter(|line| line.starts_with("refused ")).collect();
            assert!(refused.is_empty(), "{script}, {}: {refused:#?}", program.display());
        }
    }
}
