//! docs/images.md, followed word by word: its commands are taken out of the text and run, on each Debian that it is for, by
//! an ordinary user; then a machine lives its life with what came of them.

use harness::{
    assets::{self, Kernel},
    documentation::{commands, console, read, section},
    run, trust_host, trust_initrd,
    vm::{self, Slot, in_debian},
    workspace,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// An ordinary user at home, on a Debian of this suite.
struct User {
    suite: &'static str,
    dir: TempDir,
}

impl User {
    fn new(suite: &'static str) -> Self {
        let user = Self { suite, dir: TempDir::with_prefix("docs-").unwrap() };
        for name in ["bin", "commands", "home/work", "home/.local/bin", "home/.local/share"] {
            fs::create_dir_all(user.path(name)).unwrap();
        }
        run("chmod", &["755", text(user.dir.path())]);
        let stub = "usr/lib/systemd/boot/efi/linuxx64.efi.stub";
        let stub = if suite == "bookworm" { assets::bookworm(stub) } else { assets::path(stub) };
        for (from, to) in [(Kernel::new().image, "vmlinuz"), (stub, "stub"), ("/bin/busybox".into(), "busybox")] {
            fs::copy(from, user.path(to)).unwrap();
        }
        user.program("bin/uname", "#!/bin/sh\necho \"$KERNEL\"\n");
        user.program("bin/mmdebstrap", include_str!("mmdebstrap.sh"));
        user.program("build", include_str!("debian.sh"));
        // As `cargo xtask install --prefix ~/.local` has it.
        fs::copy(trust_host(), user.path("home/.local/bin/trust")).unwrap();
        let share = trust_initrd().with_file_name("share");
        run("cp", &["-rT", text(&share), text(&user.path("home/.local/share/trust"))]);
        user
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        fs::write(self.path(name), script).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Types these commands.
    fn types(&self, commands: &[String]) {
        for (number, command) in commands.iter().enumerate() {
            fs::write(self.path("commands").join(format!("{number:03}")), command).unwrap();
        }
        in_debian(self.suite, self.dir.path(), &[]);
    }

    /// Types a command of `trust launch`, where OVMF is not installed. Returns what it printed.
    fn launches(&self, command: &str) -> String {
        let code = assets::path("usr/share/OVMF/OVMF_CODE_4M.secboot.fd");
        let store = vm::empty_variables();
        let firmware =
            format!("--firmware {} --variables {} --accelerator {}", text(&code), text(&store), vm::accelerator());
        self.program(
            "bin/trust",
            &format!("#!/bin/sh\nexec '{}' \"$@\" {firmware} --timeout 600\n", text(&trust_host())),
        );
        let path = format!("{}:{}", text(&self.path("bin")), std::env::var("PATH").unwrap());
        let _slot = Slot::wait();
        let mut shell = Command::new("sh");
        shell.args(["-euc", command]).current_dir(self.path("home/work")).env("PATH", path);
        shell.env("HOME", self.path("home")).env_remove("XDG_DATA_HOME").stdin(Stdio::null());
        let output = shell.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(output.status.success(), "{said}\n{}", self.console());
        said
    }

    fn console(&self) -> String {
        let text = fs::read(self.path("home/.local/share/machine/trust/vms/m1/console.log")).unwrap_or_default();
        String::from_utf8_lossy(&text).replace('\r', "")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The commands that make the keys and the three images, and the first of those that try them.
fn docs() -> (Vec<String>, String) {
    let docs = read("docs/images.md");
    let keys = docs.split("\n## ").next().unwrap();
    let images = [commands(keys), commands(section(&docs, "With dracut"))].concat();
    let launch = commands(section(&docs, "Try it, before any machine does")).remove(0);
    (images, launch)
}

/// Boots of such images are vm_dracut's.
#[test]
fn the_documented_images_are_built_on_debian_12() {
    let user = User::new("bookworm");
    user.types(&docs().0);
    let cert = |role: &str| user.path("home/.local/share/machine/trust/keys/acme").join(role).join("cert.pem");
    for (image, role) in
        [("provision.efi", "uki-limited"), ("install.efi", "uki-production"), ("production.efi", "uki-production")]
    {
        let image = user.path("home/work").join(image);
        run(text(&trust_host()), &["verify", "efi", "--cert", text(&cert(role)), text(&image)]);
    }
}

/// With all drivers, and what the text says that is said.
#[test]
fn the_documented_images_are_built_and_boot_on_debian_13() {
    let (images, launch) = docs();
    let user = User::new("trixie");
    user.types(&images);
    let told = user.launches(&launch);
    let words: Vec<_> = told.lines().filter_map(|line| line.split_once(" s  ")?.1.split_whitespace().next()).collect();
    let words: Vec<_> = words.into_iter().filter(|word| *word != "emulated").collect();
    assert_eq!(words, ["made", "identity", "provisioned", "installed", "runs", "off"], "{told}");
    let up = "it is up: /dev/mapper/root, /dev/mapper/root / ext4 defaults 0 1, 0 keys";
    assert!(user.console().contains(up), "{}", user.console());
}

/// What the README and the first page say of dracut is what docs/images.md says.
#[test]
fn commands_of_the_readme_and_the_first_page_are_those_of_images_md() {
    let (mut followed, launch) = docs();
    let transcript = |page: &str| console(&read(page)).into_iter().find(|step| step.0.starts_with("trust launch"));
    assert_eq!(transcript("docs/first-machine.md").unwrap(), transcript("docs/images.md").unwrap());
    followed.push(launch);
    let (readme, first) = (read("README.md"), read("docs/first-machine.md"));
    let (dracut, _) = section(&readme, "Your own image").split_once("With **mkosi**").unwrap();
    for (page, least) in [(dracut, 7), (&first, 20)] {
        let commands = commands(page);
        assert!(commands.len() >= least, "{commands:?}");
        for command in commands {
            assert!(followed.contains(&command), "{command} was not followed");
        }
    }
}

/// Every command line in the documentation names its consoles.
#[test]
fn every_documented_command_line_names_its_consoles() {
    let mut files = ["README.md", "dracut-module/trust.conf", "src/host/cli/uki/build.rs", "src/host/uki/build.rs"]
        .map(String::from)
        .to_vec();
    let docs = fs::read_dir(workspace().join("docs")).unwrap();
    let pages = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().into_string().unwrap()));
    files.extend(pages.filter(|name| name.ends_with(".md")));
    let mut found = 0;
    for name in files {
        let text = read(&name).replace('\n', " ");
        for (at, _) in text.match_indices("panic=30") {
            let before = &text[..at];
            let begins = before.rfind("console=tty0 console=ttyS0 ");
            assert!(begins.is_some_and(|begins| at - begins < 80), "{name}: {}", &before[before.len() - 80..]);
            found += 1;
        }
    }
    assert!(found >= 8, "{found}");
}
