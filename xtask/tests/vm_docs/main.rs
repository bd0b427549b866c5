//! docs/first-machine.md and docs/images.md, followed word by word: their commands are taken out of the text and run, on each
//! Debian that they are for, by an ordinary user; then a machine lives its life with what came of them, and is attacked.

mod packaged;
mod user;

use harness::{
    documentation::{aside, commands, console, read, section},
    run, trust_host, workspace,
};
use packaged::Step;
use std::{fs, path::Path};
use user::User;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The commands of docs/images.md that make the keys and the three images, and the first of those that try them.
fn images() -> (Vec<String>, String) {
    let docs = read("docs/images.md");
    let keys = docs.split("\n## ").next().unwrap();
    let images = [commands(keys), commands(section(&docs, "With dracut"))].concat();
    let launch = commands(section(&docs, "Try it, before any machine does")).remove(0);
    (images, launch)
}

/// From the sources, and with dracut 059. Boots of such images are vm_dracut's.
#[test]
fn the_documented_images_are_built_on_debian_12() {
    let user = User::new("bookworm");
    let from_sources = commands(&aside(&read("docs/first-machine.md")));
    assert_eq!(from_sources.len(), 2);
    user.types(&[from_sources, images().0].concat());
    let cert = |role: &str| user.path("home/.local/share/machine/trust/keys/acme").join(role).join("cert.pem");
    for (image, role) in
        [("provision.efi", "uki-limited"), ("install.efi", "uki-production"), ("production.efi", "uki-production")]
    {
        let image = user.path("home/work").join(image);
        run(text(&trust_host()), &["verify", "efi", "--cert", text(&cert(role)), text(&image)]);
    }
}

/// From the packages: with all drivers, and what the text says that is said.
#[test]
fn the_first_page_leads_from_the_packages_to_a_machine_that_withstands() {
    let page = read("docs/first-machine.md");
    let steps = packaged::follow(&commands(&page));
    let step = |start: &str| -> &Step {
        let mut found = steps.iter().filter(|step| step.command.starts_with(start));
        found.next().unwrap_or_else(|| panic!("no {start} in {steps:#?}"))
    };
    let launched = step("trust launch m1 --project acme:router");
    assert_eq!(events(&launched.said), [events(&said(&page, &launched.command)), vec!["off".into()]].concat());
    let up = "it is up: /dev/mapper/root, /dev/mapper/root / ext4 defaults 0 1, 0 keys";
    let again = step("trust launch m1 --again --console");
    assert!(again.said.contains(up), "{again:#?}");
    let refused = step("trust launch m1 --again --image other.efi");
    let words = said(&page, &refused.command);
    let (words, _) = words.split_once('…').unwrap();
    assert!(words.len() > 50 && refused.said.contains(words), "{refused:#?}");
    assert_eq!(step("echo $?").said.trim(), said(&page, "echo $?\n").trim());
}

/// What a page says that a command prints.
fn said(page: &str, command: &str) -> String {
    let mut steps = console(page).into_iter();
    steps.find(|step| step.0 == command.trim_end()).unwrap_or_else(|| panic!("no {command}")).1
}

/// What `trust launch` has told, but for times and identities, which are others each time, and how the machine was run.
fn events(told: &str) -> Vec<String> {
    let lines = told.lines().filter_map(|line| line.split_once(" s  "));
    let lines = lines.filter(|(time, _)| time.trim().parse::<u32>().is_ok());
    let events = lines.map(|(_, event)| if event.starts_with("identity ") { "identity" } else { event.trim_end() });
    events.filter(|event| !event.starts_with("emulated")).map(str::to_owned).collect()
}

/// What the README and docs/images.md say of dracut is what the first page says, which is followed to its end.
#[test]
fn commands_of_the_readme_and_images_md_are_those_of_the_first_page() {
    let first = read("docs/first-machine.md");
    let (dracut, launch) = images();
    assert_eq!(said(&first, &launch), said(&read("docs/images.md"), &launch));
    let readme = read("README.md");
    let (short, _) = section(&readme, "Your own image").split_once("With **mkosi**").unwrap();
    let followed = commands(&first);
    for (commands, least) in [(commands(short), 6), (dracut, 18)] {
        assert!(commands.len() >= least, "{commands:?}");
        // What machines that strangers can reach have besides is vm_lifecycle's.
        for command in commands.into_iter().filter(|command| command != "trust sudi pin-tpm acme\n") {
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
