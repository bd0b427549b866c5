//! Every block of commands in the documentation is run by a test, or stands in `tests/data/documented.tsv` with the reason why
//! not. Here are those that take a home directory and nothing else.

use harness::{
    Home, Swtpm,
    assets::Kernel,
    documentation::{self, Block, blocks, commands, read, section},
    workspace,
};
use std::{collections::BTreeSet, fs};

/// A row of the table: page; language, or first line of a block; tests, or, behind a dash, why there is none.
type Row = [String; 3];

fn table() -> Vec<Row> {
    let text = read("tests/data/documented.tsv");
    let rows = text.lines().filter(|line| !line.starts_with('#'));
    let rows = rows.map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    rows.map(|row| row.try_into().unwrap_or_else(|row| panic!("not three columns: {row:?}"))).collect()
}

/// The pages that tell people what to type.
fn pages() -> Vec<String> {
    let docs = fs::read_dir(workspace().join("docs")).expect("a directory");
    let names = docs.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"));
    let mut pages: Vec<_> = names.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}")).collect();
    let others = ["README", "CONTRIBUTING", "SECURITY", "ARCHITECTURE", "mkosi.conf.d/README", "packaging/README"];
    pages.extend(others.map(|name| format!("{name}.md")));
    pages
}

/// Whether there is something to type in it.
fn is_typed(block: &Block) -> bool {
    let typed = |line: &str| ["$ ", "# ", "sudo "].iter().any(|start| line.starts_with(start));
    match block.language.as_str() {
        "console" | "sh" => true,
        "text" => block.text.lines().any(typed),
        _ => false,
    }
}

#[test]
fn every_block_of_commands_is_run_by_a_test_or_has_a_reason() {
    let (table, mut used, mut found) = (table(), BTreeSet::new(), 0);
    for page in pages() {
        for block in blocks(&read(&page)).into_iter().filter(is_typed) {
            let first = block.text.lines().next().unwrap_or_default().trim();
            let row = |what: &str| table.iter().position(|row| row[0] == page && row[1] == what);
            let row = row(first).or_else(|| row(&block.language));
            used.insert(row.unwrap_or_else(|| panic!("{page}: nothing is said of the {} {first:?}", block.language)));
            found += 1;
        }
    }
    assert!(found > 80, "the search misses them: {found}");
    let stale: Vec<_> = (0..table.len()).filter(|row| !used.contains(row)).map(|row| &table[row]).collect();
    assert!(stale.is_empty(), "no such block: {stale:#?}");
}

#[test]
fn the_tests_that_run_them_read_these_pages() {
    for [page, what, tests] in table() {
        if let Some(why) = tests.strip_prefix("- ") {
            assert!(why.len() > 10, "{page}: {what}: no reason");
            continue;
        }
        for test in tests.split(' ') {
            let (program, function) = test.rsplit_once("::").unwrap_or_else(|| panic!("{test} names no test"));
            let source = documentation::test_source(program);
            assert!(source.contains(&format!("fn {function}()")), "{page}: there is no test {test}");
            assert!(source.contains(&format!("\"{page}\"")), "{page}: {program} does not read it");
        }
    }
}

/// A home directory with the keyset of the pages.
fn home() -> Home {
    let home = Home::with_keyset();
    fs::rename(home.keys().join("k"), home.keys().join("acme")).expect("writable");
    home
}

#[test]
fn the_page_about_stolen_keys_is_followed() {
    let home = home();
    let page = read("docs/stolen-key.md");
    let renewed = section(&page, "A new key for images");
    let [keys, firmware] = &blocks(renewed)[..] else { panic!("other blocks than known here: {renewed}") };
    home.types(&commands_of(keys));
    let shown = home.ok(&["keyset", "show", "acme"]);
    assert!(home.path().join("stolen").is_dir() && shown.contains("policy version 0002"), "{shown}");
    // The image is built as always.
    let enroll = commands_of(firmware);
    let (_, enroll) = enroll.split_once("--output production.efi\n").expect("first the image");
    home.types(enroll);
    assert!(home.path().join("keys/db.auth").exists());

    let raising = blocks(section(&page, "An image that raises the version"));
    let [_, image] = &raising[..] else { panic!("other blocks than known here: {raising:?}") };
    fs::copy(Kernel::new().image, home.path().join("vmlinuz")).expect("writable");
    home.types("echo vmlinuz | cpio --quiet --create --format=newc >raise.img");
    home.types(&with_stub(&commands_of(image)));
    let signed = home.ok(&["uki", "inspect", "raise.efi"]);
    assert!(signed.contains("rdinit=/usr/bin/trust -- init --end"), "{signed}");
}

#[test]
fn the_page_about_pinned_tpms_is_followed() {
    let home = home();
    let tpm = Swtpm::new();
    let tools = tpm.tools();
    let public = home.path().join("srk.pub");
    tools.ok("createprimary", &["-C", "o", "-g", "sha256", "-G", "ecc", "-c", "srk.ctx"]);
    tools.ok("readpublic", &["-c", "srk.ctx", "-o", public.to_str().expect("UTF-8")]);
    let page = read("docs/pinned-tpm.md");
    let printed = home.types(&commands(section(&page, "Three steps")).concat());
    let name = printed.lines().next().expect("the Name of the key").to_owned();
    assert!(name.len() == 68 && printed.ends_with("/acme/pcr7data/policy-2/authorities/acme.pem\n"), "{printed}");

    let certificate = home.keys().join("acme/sudi-ca/cert.pem");
    let key = format!("openssl x509 -in {} -pubkey -noout >sudi-ca.pub\n", certificate.display());
    let verify = commands(section(&page, "What is signed, exactly")).concat().replace("000b8ff5…", &name);
    assert_eq!(home.types(&(key + &verify)), "Verified OK\n");
}

/// Logs of a real machine's firmware, before and after something in it was changed.
#[test]
fn the_log_of_a_real_machine_is_explained_and_signed_for() {
    let home = home();
    let page = read("docs/real-machine.md");
    let mut typed = blocks(&page).into_iter().filter(|block| block.language == "sh").map(|block| block.text);
    let copied = |text: &str| text.starts_with("cp /sys/kernel/security/tpm0/binary_bios_measurements after.bin\n");
    let explained = typed.by_ref().find(|text| copied(text)).expect("it is explained");
    let signed = typed.next().expect("then it is signed for");
    let log = workspace().join("tests/data/event-logs/hp-debian.bin");
    home.types(
        &(explained + &signed)
            .replace("/sys/kernel/security/tpm0/binary_bios_measurements", log.to_str().expect("UTF-8")),
    );
}

fn commands_of(block: &Block) -> String {
    commands(&format!("```{}\n{}```\n", block.language, block.text)).concat()
}

/// With systemd's stub, which is not installed here.
fn with_stub(command: &str) -> String {
    let stub = harness::assets::path("usr/lib/systemd/boot/efi/linuxx64.efi.stub");
    command.replace("trust uki build", &format!("trust uki build --stub {}", stub.display()))
}
