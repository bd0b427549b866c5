//! The command line: what is wrong with it is said before the TPM hears of anything.

use harness::{Boot, Machine, run, trust_initrd};
use std::process::Command;

#[test]
fn wrong_command_lines_are_refused() {
    let machine = Machine::new();
    let wrong = [
        "",
        "frobnicate",
        "setup extra",
        "setup --frobnicate",
        "setup --tcti",
        "setup --tcti nothing:at=all",
        "setup --tcti swtpm:host=127.0.0.1,port=99999",
        "setup --tcti swtpm:path=",
        "setup --wait soon",
        "setup --wait -1",
        "setup --on-lock-failure=hope",
        "setup --key-timeout 0",
        "setup --key-timeout never",
        "setup --also-as",
        "lock --also-as x",
        "lock --secrets-dir /x",
        "preinit --manifest-ca /x",
        "provision",
        "provision $CERT",
        "provision $CERT $KEY $KEY",
        "provision --secrets-dir /x $CERT $KEY",
        "raise",
        "admin",
        "admin delegate 0002",
        "raise 2",
        "raise 00002",
        "raise 000x",
        "raise 0002 0003",
        "raise --key-timeout 9 0002",
    ];
    for args in wrong {
        let run = machine.script(&format!("try status env -i $TRUST {args}\npublished"));
        println!("{args}: {}", run.stderr.trim());
        run.refused(2);
    }
    // Bytes that are no text.
    let run = machine.script("try status env -i $TRUST setup --tcti $'\\xff\\xfe'\npublished");
    run.refused(2);
    assert!(machine.wire.record().is_empty(), "the TPM was asked");
}

#[test]
fn help_exits_with_success() {
    let help = |args: &[&str]| {
        let output = Command::new(trust_initrd()).args(args).env_clear().output().expect("it runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let wide = text.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{args:?} does not fit a terminal of 80 columns");
        text
    };
    for command in ["finish", "init", "luks open", "luks check"] {
        assert!(help(&[&command.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat()).contains("Usage"));
    }
    let overview = help(&["--help"]);
    assert!(overview.contains("\n  admin delegate  Let"), "the longest name runs into what it does: {overview}");
    for command in ["setup", "preinit", "provision", "lock", "raise"] {
        assert!(overview.contains(command), "{overview}");
        let text = help(&[command, "--help"]);
        for option in ["--tcti", "--wait", "--pcr7data", "--on-lock-failure", "--verbose"] {
            assert!(text.contains(option), "{command}: {text}");
        }
    }
    assert!(help(&["--version"]).contains(char::is_numeric));
}

/// The environment decides nothing: not where the TPM is, not what is logged.
#[test]
fn the_environment_is_ignored() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        export TCTI_NOT=swtpm:path=/nowhere TPM2TOOLS_TCTI=swtpm:path=/nowhere TSS2_LOG=all+TRACE TSS2_LOGFILE=/sandbox/log
        export TRUST_LOG=trace RUST_BACKTRACE=full RUST_LOG=trace TMPDIR=/nowhere HOME=/nowhere LD_PRELOAD=/nowhere.so
        "$TRUST" setup --tcti "$TCTI" --pcr7data "$PCR7DATA" 2>/sandbox/stderr
        [ ! -e /sandbox/log ]
        grep -v nowhere.so /sandbox/stderr | sed 's/^/said /'
        "#,
    );
    run.ok();
    assert!(!run.stdout.contains("said "), "{run:#?}");
}

/// As the first process, or with systemd's marker, messages go where they are seen.
#[test]
fn in_an_initrd_messages_reach_console_and_kernel_log() {
    let machine = Machine::new();
    // exec: the program takes the place of the shell, which is the first process.
    let run =
        machine.boot(Boot::Production, r#"exec env -i "$TRUST" setup --tcti "$TCTI" --pcr7data "$PCR7DATA" --end"#);
    assert_eq!(run.end, harness::End::Exit(11), "{run:#?}");
    for (name, text) in [("kmsg", &run.kmsg), ("console", &run.console), ("stderr", &run.stderr)] {
        assert!(text.contains("trust: cannot "), "{name}: {run:#?}");
    }
}

/// systemd's stub appends to the signed command line what strings of the firmware say; behind `--` it all comes to us.
#[test]
fn what_is_appended_to_the_signed_command_line_is_refused() {
    let machine = Machine::provisioned();
    let first = |words: &str| {
        let setup = r#"exec env -i "$TRUST" setup --tcti "$TCTI" --pcr7data "$PCR7DATA" --exec /bin/echo started"#;
        machine.boot(Boot::Production, &format!("{setup} {words}"))
    };
    for (words, why) in [
        ("--end rdinit=/bin/sh", "rdinit=/bin/sh has been appended"),
        ("--end --end", "--end has been appended"),
        ("--end x --end", "x has been appended"),
        ("", "does not end with --end"),
    ] {
        let run = first(words);
        assert_eq!((run.end, run.stdout.as_str()), (harness::End::Exit(12), ""), "{words}: {run:#?}");
        assert!(run.stderr.contains(why), "{words}: {run:#?}");
    }
    let run = first("--end");
    assert_eq!(run.stdout, "started\n", "{run:#?}");
    // Other programs' options are not checked.
    machine.boot(Boot::Production, "try status trust init\npublished").refused(2);
}

#[test]
fn the_program_is_static() {
    let program = trust_initrd();
    let header = run("readelf", &["--program-headers", "--wide", program.to_str().expect("text")]);
    assert!(!header.contains("INTERP"), "{header}");
    let dynamic = run("readelf", &["--dynamic", "--wide", program.to_str().expect("text")]);
    assert!(!dynamic.contains("NEEDED"), "{dynamic}");
}

/// Only what it needs: no other process, and no file beside its arguments, /proc, what it mounts, and the log of its lock.
#[test]
fn setup_opens_no_unexpected_file() {
    let machine = Machine::provisioned();
    let run = machine.boot(
        Boot::Production,
        r#"
        env -i /usr/bin/strace -f -o /run/trace -e trace=file,process "$TRUST" setup --tcti "$TCTI" --pcr7data "$PCR7DATA"
        echo "processes $(cut -d' ' -f1 /run/trace | sort -u | wc -l)"
        sed -n 's/^[0-9]* *[a-z0-9_]*([^"]*"\([^"]*\)".*/\1/p' /run/trace | sort -u | sed 's/^/path /'
        "#,
    );
    run.ok();
    assert_eq!(run.value("processes"), "1");
    let data = machine.keyset.pcr7data();
    for path in run.stdout.lines().filter_map(|line| line.strip_prefix("path ")) {
        let known =
            ["/proc/", "/priv", "/manifestCA.pem", "/etc/initrd-release", "/dev/null", "/run/log/systemd/", "/.extra/"];
        let told = known.iter().any(|prefix| path.starts_with(prefix))
            || path.starts_with(data.to_str().expect("text"))
            || path == trust_initrd().to_str().expect("text")
            || !path.starts_with('/');
        assert!(told, "it touches {path}: {run:#?}");
    }
}
