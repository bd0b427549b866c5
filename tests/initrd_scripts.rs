//! The shell scripts and the units that users take into their initrds.

use harness::{Sandbox, assets, run, workspace};
use std::{collections::BTreeMap, fs, path::Path};
use tempfile::TempDir;

/// Extends PCR 7 in the initrds of systemd 261 and later.
const SEPARATOR: &str = "systemd-pcrosseparator.service";

fn text(path: &Path) -> &str {
    path.to_str().expect("paths are text")
}

#[test]
fn shellcheck_finds_nothing() {
    let scripts =
        ["busybox/init", "cmdline.sh", "mask.sh", "provision.sh"].map(|name| workspace().join("initrd").join(name));
    run("shellcheck", &scripts.each_ref().map(|path| text(path)));
}

/// What `cmdline.sh` says of a kernel's command line: its status, and the console.
fn checked(cmdline: &str, systemd: bool) -> (String, String) {
    let mut sandbox = Sandbox::new();
    sandbox.set("SCRIPT", workspace().join("initrd/cmdline.sh")).set("LINE", cmdline);
    let systemd = if systemd { "mkdir -p /run/systemd/system" } else { "rm -rf /run/systemd" };
    let script = format!(
        r#"
        {systemd}
        echo "$LINE" >/run/cmdline
        status=0
        sh "$SCRIPT" /run/cmdline || status=$?
        echo "status $status"
        "#
    );
    let run = sandbox.run(&script);
    (run.ok().value("status").into(), run.console.clone())
}

const SIGNED: &str = "root=/dev/mapper/root noresume systemd.import_credentials=no rdinit=/usr/bin/trust -- init --end";

#[test]
fn a_command_line_that_keeps_unsigned_input_out_passes() {
    let first = "noresume rdinit=/usr/bin/trust -- setup --exec /init --end";
    for (line, systemd) in [(SIGNED, true), (SIGNED, false), (first, false)] {
        assert_eq!(checked(line, systemd), ("0".into(), String::new()), "{line}");
    }
}

#[test]
fn a_command_line_that_lets_unsigned_input_in_is_refused() {
    for (part, instead) in [
        (" noresume", ""),
        (" noresume", " noresume=no"),
        (" systemd.import_credentials=no", " systemd.import_credentials=yes"),
        (" rdinit=/usr/bin/trust -- init --end", ""),
        (" --end", " --end quiet"),
        (" rdinit=/usr/bin/trust", ""),
    ] {
        let (status, console) = checked(&SIGNED.replace(part, instead), true);
        assert!(status == "1" && console.contains("the signed command line lacks"), "{part}: {console}");
    }
}

/// An initrd in the making with one volume, after `mask.sh ROOT KIND`.
fn masked(kind: &str) -> TempDir {
    let root = TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("etc/trust/luks")).unwrap();
    fs::write(root.path().join("etc/trust/luks/root.conf"), "DEVICE=LABEL=root\n").unwrap();
    run("sh", &[text(&workspace().join("initrd/mask.sh")), text(root.path()), kind]);
    root
}

fn is_masked(root: &TempDir, name: &str) -> bool {
    fs::read_link(root.path().join("etc").join(name)).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// Generators of systemd that act on nothing but what is signed with an image: the command line and the initrd's own files.
const HARMLESS: [&str; 11] = [
    "systemd-clonesetup-generator",
    "systemd-cryptsetup-generator",
    "systemd-debug-generator",
    "systemd-fstab-generator",
    "systemd-getty-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-sysv-generator",
    "systemd-tpm2-generator",
    "systemd-veritysetup-generator",
];

#[test]
fn every_generator_of_systemd_is_masked_or_known_to_be_harmless() {
    let root = masked("production");
    let trees = fs::read_dir(assets::directory().join("tree")).unwrap();
    let mut seen = 0;
    for tree in trees {
        for generator in fs::read_dir(tree.unwrap().path().join("usr/lib/systemd/system-generators")).unwrap() {
            let name = generator.unwrap().file_name().into_string().unwrap();
            let kept_out = is_masked(&root, &format!("systemd/system-generators/{name}"));
            assert!(kept_out != HARMLESS.contains(&&*name), "{name}: masked {kept_out}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} generators");
}

/// What rules of udev do that put together what disks say they are part of.
const ASSEMBLES: [&str; 8] =
    ["pvscan", "vgchange", "mdadm", "dmraid", "multipath", "kpartx -", "bcache-register", "stratis"];

#[test]
fn no_udev_rule_assembles_foreign_disks() {
    let root = masked("production");
    let trees = fs::read_dir(assets::directory().join("tree")).unwrap();
    let mut found = 0;
    for tree in trees {
        for rules in fs::read_dir(tree.unwrap().path().join("usr/lib/udev/rules.d")).unwrap() {
            let path = rules.unwrap().path();
            let content = fs::read_to_string(&path).unwrap_or_default();
            let acts =
                |line: &&str| !line.starts_with('#') && ["RUN", "PROGRAM", "program"].iter().any(|x| line.contains(x));
            let assembles = |line: &str| ASSEMBLES.iter().any(|program| line.contains(program));
            if content.lines().filter(acts).any(assembles) {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(is_masked(&root, &format!("udev/rules.d/{name}")), "{}", path.display());
                found += 1;
            }
        }
    }
    assert!(found > 0, "no tree has LVM");
}

#[test]
fn volume_groups_are_searched_on_our_volumes_only() {
    let [production, installer, crypt] = ["production", "installer", "crypt"].map(masked);
    let filter = fs::read_to_string(production.path().join("etc/lvm/lvmlocal.conf")).unwrap();
    assert!(filter.contains(r#"global_filter=[ "a|^/dev/mapper/root$|", "r|.*|" ]"#), "{filter}");
    let probing = "udev/rules.d/60-persistent-storage.rules";
    assert_eq!([&production, &installer, &crypt].map(|root| is_masked(root, probing)), [true, false, false]);
    // Others may open volumes that are anywhere; a hibernated system still has no part in it.
    assert!(!crypt.path().join("etc/lvm").exists() && !is_masked(&crypt, "udev/rules.d/69-lvm.rules"));
    for root in [&production, &installer, &crypt] {
        assert!(is_masked(root, "systemd/system-generators/systemd-hibernate-resume-generator"));
    }
}

/// Each unit's lines, by its name.
fn units() -> BTreeMap<String, Vec<String>> {
    let files = fs::read_dir(workspace().join("initrd/systemd")).unwrap().map(|entry| entry.unwrap().path());
    let unit = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect())
    };
    files.map(unit).collect()
}

/// Whether a unit has this word in a setting of this name.
fn says(lines: &[String], name: &str, word: &str) -> bool {
    let values = lines.iter().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).any(|value| value == word)
}

/// What reads PCR 7 as the policies know it comes first; what locks it after a boot that failed does so when systemd is done.
#[test]
fn no_unit_of_systemd_extends_pcr_7_before_or_during_setup() {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let units = units();
    for (name, lines) in &units {
        let runs = |command: &str| {
            let programs =
                ["/usr/bin/trust ", "/usr/lib/trust/"].map(|program| format!("ExecStart={program}{command}"));
            lines.iter().any(|line| programs.iter().any(|program| line.starts_with(program)))
        };
        if ["setup", "preinit", "provision", "raise"].into_iter().any(runs) {
            assert!(says(lines, "Before", SEPARATOR), "{name} has no order before {SEPARATOR}");
            before.push(name.as_str());
        } else if runs("lock") {
            assert!(says(lines, "After", SEPARATOR), "{name} has no order after {SEPARATOR}");
            after.push(name.as_str());
        }
        // One of the two would be a cycle.
        assert!(!(says(lines, "Before", SEPARATOR) && says(lines, "After", SEPARATOR)), "{name} has both orders");
    }
    assert_eq!(before, ["trust-preinit.service", "trust-provision.service", "trust-setup.service"]);
    assert_eq!(after, ["trust-withdraw.service"]);
}
