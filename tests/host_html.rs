//! Pages for browsers: what they say of real boots and machines; that nothing hostile gets out of its place in them; and what a
//! real browser makes of them.

use harness::{
    Boot, Browser, Home, Layout, Machine, firmware_log, hex, provision_with_tools, sha256, trust_host, workspace,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// Real logs, and how many programs were started in each.
const LOGS: [(&str, usize); 4] = [("shim", 2), ("gce-ubuntu", 2), ("gce-windows", 1), ("hp-debian", 1)];
/// What a page may be made of.
const ELEMENTS: &str = "html head meta title style body a header h1 p nav ul li main section h2 h3 article div span strong \
    code br details summary dl dt dd figure figcaption table thead tbody tr th td footer svg path rect text tspan";
/// Texts that would like to be more.
const HOSTILE: [&str; 9] = [
    "<script>document.title='taken'</script>",
    "\"><img src=x onerror=\"document.title='taken'\">",
    "' onmouseover='document.title=1' x='",
    "</title></style></svg></details><a href=\"https://attacker.example/\">here</a>",
    "<style>*{background:url(https://attacker.example/)}</style>",
    "<!-- --><meta http-equiv=refresh content=\"0;url=https://attacker.example/\">",
    "&lt;b&gt;&#60;iframe src=https://attacker.example/>",
    "javascript:alert(1)//\u{202e}\u{2066}txt.exe\u{200b}",
    "a\u{1b}[2J\u{7}\u{85}\r<svg onload=alert(1)>",
];

fn log(name: &str) -> PathBuf {
    workspace().join("tests/data/event-logs").join(format!("{name}.bin"))
}

/// The page that a command writes.
fn page(home: &Home, args: &[&str]) -> String {
    home.ok(&[args, &["--html", "page.html"]].concat());
    fs::read_to_string(home.path().join("page.html")).unwrap()
}

/// The elements of a page, and the values of its attributes that refer to something. Everything is in quotation marks.
fn elements(page: &str) -> (Vec<String>, Vec<String>) {
    let style = page.find("<style>").unwrap()..page.find("</style>").unwrap();
    let page = [&page[..style.start], "<style>", &page[style.end..]].concat();
    let starts = page.split('<').skip(1).filter(|part| !part.starts_with('/') && !part.starts_with("!DOCTYPE html>"));
    let tags: Vec<_> = starts.map(|part| part.split('>').next().unwrap()).collect();
    let names = tags.iter().map(|tag| tag.split(' ').next().unwrap().to_owned());
    let links = tags.iter().flat_map(|tag| tag.split("href=\"").skip(1));
    (names.collect(), links.map(|link| link.split('"').next().unwrap().to_owned()).collect())
}

/// That a page holds what pages hold, and refers to itself alone.
fn is_harmless(page: &str, what: &str) {
    let (elements, links) = elements(page);
    let unknown: Vec<_> =
        elements.iter().filter(|name| !ELEMENTS.split_whitespace().any(|known| known == *name)).collect();
    assert!(unknown.is_empty(), "{what}: elements that are no part of a page: {unknown:?}");
    let outside: Vec<_> = links.iter().filter(|link| !link.starts_with('#')).collect();
    assert!(outside.is_empty(), "{what}: it refers to {outside:?}");
    for link in links.iter().filter(|link| !link[1..].starts_with("pcr-")) {
        assert!(page.contains(&format!("id=\"{}\"", &link[1..])), "{what}: nothing is at {link}");
    }
    let deceives = |c: &char| c.is_control() && *c != '\n' || ('\u{202a}'..='\u{202e}').contains(c) || *c == '\u{2066}';
    assert_eq!(page.chars().find(deceives), None, "{what}: a character that deceives");
}

/// A machine that has booted as `shim.bin` says, provisioned, with policies for that very boot; and its state in a file.
fn state(home: &Home) -> Value {
    static MADE: OnceLock<Value> = OnceLock::new();
    let state = MADE.get_or_init(|| gathered(home));
    fs::write(home.path().join("state.json"), state.to_string()).unwrap();
    state.clone()
}

fn gathered(home: &Home) -> Value {
    let machine = Machine::new();
    provision_with_tools(&machine.tpm, &machine.keyset, &machine.identity, &Layout { srk: true, ..Layout::default() });
    machine.tpm.reboot();
    let path = log("shim").display().to_string();
    let shown: Value = serde_json::from_str(&home.ok(&["eventlog", "show", &path, "--json"])).unwrap();
    let raw = machine.tpm.raw();
    for event in shown["events"].as_array().unwrap() {
        let digest = harness::unhex(event["digests"]["sha256"].as_str().unwrap());
        raw.extend(u8::try_from(event["pcr"].as_u64().unwrap()).unwrap(), &digest.try_into().unwrap());
    }
    drop(raw);
    let pcr7 = harness::unhex(&machine.tpm.pcr("sha256", 7)).try_into().unwrap();
    machine.keyset.describe(&pcr7, Boot::Production);
    machine.keyset.sign_luks(&pcr7, "0001");
    let (tcti, pcr7data) = (machine.wire.tcti(), machine.keyset.pcr7data().display().to_string());
    let args = ["--wait", "1", "--tcti", &tcti, "--event-log", &path, "--pcr7data", &pcr7data, "--whole-log"];
    home.ok(&[&["state", "-o", "state.json"], &args[..]].concat());
    let mut state: Value = serde_json::from_slice(&fs::read(home.path().join("state.json")).unwrap()).unwrap();
    // What the page is compared with is not to depend on the machine that runs the tests.
    state["host"] = "web-1.example".into();
    state["hardware"] = json!({ "vendor": "Example", "product": "Server 1", "firmware_version": "2.4" });
    state["os"] = json!({ "pretty_name": "Debian GNU/Linux 13 (trixie)" });
    state["boots"] = json!([
        { "boot": "b1", "began": "2026-01-01T06:00:00Z", "units": [{ "unit": "trust-setup", "result": "failed" }],
          "said": ["cannot find a signed policy for this boot"] },
        { "boot": "b2", "began": "2026-01-01T07:00:00Z",
          "units": [{ "unit": "trust-setup", "result": "done" }, { "unit": "trust-finish", "result": "done" }], "said": [] },
    ]);
    state
}

#[test]
fn a_log_is_a_page_with_its_programs_pcrs_and_events() {
    let home = Home::new();
    for (name, programs) in LOGS {
        let path = log(name).display().to_string();
        let page = page(&home, &["eventlog", "show", &path]);
        is_harmless(&page, name);
        let shown: Value = serde_json::from_str(&home.ok(&["eventlog", "show", &path, "--json"])).unwrap();
        let replayed: Value = serde_json::from_str(&home.ok(&["eventlog", "replay", &path, "--json"])).unwrap();
        assert_eq!(page.matches("<tr id=\"event-").count(), shown["events"].as_array().unwrap().len(), "{name}");
        for event in shown["events"].as_array().unwrap() {
            let words = event["meaning"].as_str().unwrap();
            let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
            assert!(page.contains(&words), "{name}: {words}");
        }
        for (bank, values) in replayed.as_object().unwrap() {
            for value in values.as_object().unwrap().values() {
                assert!(page.contains(value.as_str().unwrap()), "{name}: {bank} {value}");
            }
        }
        let stages = page.matches("<article class=\"card stage").count();
        assert_eq!(stages, programs + 2, "{name}: firmware, Secure Boot, programs");
    }
    let shim = page(&home, &["eventlog", "show", &log("shim").display().to_string()]);
    for words in ["verified with db: &quot;test db&quot;", "BOOTX64.EFI", "Unified kernel image", "section .cmdline"] {
        assert!(shim.contains(words), "{words}");
    }
    // What comes before a fault is shown, and the fault; the status is that of the other forms.
    fs::write(home.path().join("part"), &fs::read(log("shim")).unwrap()[..3000]).unwrap();
    let complaint = home.fails(&["eventlog", "show", "part", "--html", "page.html"], 14);
    assert!(complaint.contains("from byte 2204 on"), "{complaint}");
    let part = fs::read_to_string(home.path().join("page.html")).unwrap();
    assert!(part.contains("from byte 2204 on: it says that it has 857 bytes of data"), "{part}");
}

#[test]
fn a_state_is_a_page_that_says_what_opens_and_what_holds() {
    let home = Home::new();
    let told = state(&home);
    let shown = |args: &[&str]| page(&home, &[&["state", "--from", "state.json"], args].concat());
    let text = shown(&[]);
    is_harmless(&text, "state");
    for words in [
        "<title>State of web-1.example</title>",
        "what production boots of snakeoil read",
        "</span>opens</span>",
        "</span>11 of 11</span>",
        "The certificate, private key, passphrase of the SBS partition, passphrase of the operating system",
        "open to what the key tpmpol-luks of snakeoil has signed",
        "TPM admin password",
        "Debian GNU/Linux 13 (trixie)",
        "refused: cannot find a signed policy for this boot",
    ] {
        let plain = text.replace(" </span>", "</span>").replace(">Certificate, ", ">The certificate, ");
        assert!(plain.contains(words), "{words}\n{text}");
    }
    // What updates would do, those that are named and those that may happen to any machine.
    let vendor =
        [harness::unhex("2616c4c14c509240aca941f936934328"), vec![76, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0]].concat();
    fs::write(home.path().join("dbx.esl"), [vendor, vec![7; 48]].concat()).unwrap();
    let updates = ["--dbx-append", "dbx.esl", "--mok-list", "/dev/null"];
    let planned = shown(&updates);
    is_harmless(&planned, "planned");
    let rows = planned.split("id=\"updates\"").nth(1).unwrap().split("</table>").next().unwrap();
    for (name, verdict) in [
        ("dbx appended to", "stays dark"),
        ("other keys of shim's owner", "opens"),
        ("all of these", "stays dark"),
        ("systemd 261 in the initrd", "stays dark"),
        ("Secure Boot off", "stays dark"),
    ] {
        let row = rows.split(name).nth(1).unwrap().split("</tr>").next().unwrap();
        assert!(row.contains(&format!("</span>{verdict}")), "{name}: {row}");
    }
    let complaint = home.fails(&[&["state", "--from", "state.json"], &updates[..]].concat(), 2);
    assert!(complaint.contains("ask for it: --html FILE; or have it told here: `trust predict`"), "{complaint}");
    // The lock moves PCR 7 on: nothing of a boot's holds any more, and the log still explains it.
    let change = |change: &dyn Fn(&mut Value)| {
        let mut state = told.clone();
        change(&mut state);
        fs::write(home.path().join("state.json"), state.to_string()).unwrap();
        shown(&[])
    };
    let pcr7 = harness::unhex(told["pcrs"]["sha256"]["7"].as_str().unwrap()).try_into().unwrap();
    let locked = hex(&harness::extend(&pcr7, &sha256(&[b"atomix\n"])));
    let after = change(&|state| {
        state["pcrs"]["sha256"]["7"] = locked.as_str().into();
        state["policies"].as_array_mut().unwrap().iter_mut().for_each(|policy| policy["holds"] = false.into());
    });
    assert!(after.contains("nothing: no signed policy holds"), "{after}");
    assert!(after.contains("and then what Trust and systemd extend it with"), "{after}");
    // A PCR that the log does not lead to, and one that nothing in the log has moved.
    let other = change(&|state| state["pcrs"]["sha256"]["4"] = "11".repeat(32).into());
    assert!(other.contains("10 of 11") && other.contains("it cannot be trusted from event 17"), "{other}");
    // What a machine does not know is said, and the rest is there.
    let less = change(&|state| {
        for member in ["event_log", "pcrs", "policies", "policy_keys", "boots"] {
            state.as_object_mut().unwrap().remove(member);
        }
        state["unknown"] = json!({ "event_log": "cannot read it: permission denied" });
    });
    is_harmless(&less, "less");
    assert!(less.contains("not judged") && less.contains("cannot read it: permission denied"), "{less}");
    // Of a log that has left its data on the machine, nothing is said that is not known.
    let path = log("shim").display().to_string();
    home.ok(&["state", "--tcti", "device:/nonexistent", "--event-log", &path, "-o", "reduced.json"]);
    let reduced = page(&home, &["state", "--from", "reduced.json"]);
    for words in ["its name is not in the state", "its data have stayed on the machine", "Unified kernel image"] {
        assert!(reduced.contains(words), "{words}");
    }
    assert!(!reduced.contains("Doubtful") && !reduced.contains("forged"), "{reduced}");
    // The same record as text and as JSON.
    fs::write(home.path().join("state.json"), told.to_string()).unwrap();
    let again: Value = serde_json::from_str(&home.ok(&["state", "--from", "state.json", "--json"])).unwrap();
    assert!(
        ["event_log", "pcrs", "policies", "policy_keys", "boots"].iter().all(|member| again[member] == told[member])
    );
    assert!(
        home.ok(&["state", "--from", "state.json"]).contains("opened by       tpmpol-admin of snakeoil: 0x1500001")
    );
    fs::write(home.path().join("state.json"), "{}").unwrap();
    let complaint = home.fails(&["state", "--from", "state.json"], 14);
    assert!(complaint.contains("give a file that `trust state -o FILE` has written"), "{complaint}");
}

/// Entries of a log, each with a hostile text in one of its places.
fn hostile_log() -> Vec<u8> {
    let entry = |pcr: u32, kind: u32, data: &[u8]| {
        let size = u32::try_from(data.len()).unwrap().to_le_bytes();
        let digest = sha256(&[data]);
        [&pcr.to_le_bytes()[..], &kind.to_le_bytes(), &[1, 0, 0, 0, 11, 0], &digest, &size, data].concat()
    };
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let variable = |name: &str, contents: &[u8]| {
        let units = wide(name);
        let sizes = [units.len() / 2, contents.len()].map(|size| (size as u64).to_le_bytes()).concat();
        [&[7; 16][..], &sizes, &units, contents].concat()
    };
    let mut log = firmware_log(&[]);
    let long = "<b>".repeat(40_000);
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        // A device path: a file's name.
        let name = [wide(text).as_slice(), &[0, 0]].concat();
        let name = &name[..name.len().min(30_000)];
        let node =
            [&[4, 4][..], &u16::try_from(name.len() + 4).unwrap().to_le_bytes(), name, &[0x7f, 0xff, 4, 0]].concat();
        let image = [&[0; 24][..], &(node.len() as u64).to_le_bytes(), &node].concat();
        for (pcr, kind, data) in [
            (0, 8, wide(text)),
            (5, 0x8000_0007, text.as_bytes().to_vec()),
            (7, 0x8000_0001, variable(text, text.as_bytes())),
            (7, 0x8000_0001, variable("db", text.as_bytes())),
            (7, 0x8000_00e0, variable(text, text.as_bytes())),
            (1, 0x8000_0002, variable("Boot0001", &[&[1, 0, 0, 0, 0, 0][..], &wide(text), &[0, 0]].concat())),
            (4, 0x8000_0003, image),
            (8, 13, format!("grub_cmd: {text}\0").into_bytes()),
            (9, 13, text.as_bytes().to_vec()),
            (11, 13, wide(&format!(".{text}"))),
            (12, 13, wide(text)),
            (14, 13, text.as_bytes().to_vec()),
            (4_000_000_000, 0xdead_beef, text.as_bytes().to_vec()),
        ] {
            log.extend(entry(pcr, kind, &data));
        }
    }
    log
}

/// A state whose every text is hostile.
fn hostile_state(told: &Value) -> Value {
    fn taint(value: &mut Value, text: &str) {
        match value {
            Value::String(string) => *string = text.to_owned(),
            Value::Array(values) => values.iter_mut().for_each(|value| taint(value, text)),
            Value::Object(members) => members.values_mut().for_each(|value| taint(value, text)),
            _ => {}
        }
    }
    let all = HOSTILE.concat();
    let (kinds, log) = (told["policies"].clone(), told["event_log"].clone());
    let (pcrs, keys) = (told["pcrs"].clone(), told["policy_keys"].clone());
    let mut state = told.clone();
    taint(&mut state, &all);
    // What decides where something is shown stays, so that there is something to be shown.
    (state["event_log"]["data"], state["pcrs"]) = (log["data"].clone(), pcrs);
    for (policy, was) in state["policies"].as_array_mut().unwrap().iter_mut().zip(kinds.as_array().unwrap()) {
        policy["kind"] = was["kind"].clone();
    }
    for (key, was) in state["policy_keys"].as_array_mut().unwrap().iter_mut().zip(keys.as_array().unwrap()) {
        key["key"] = was["key"].clone();
    }
    state["os"][&all] = all.as_str().into();
    state["unknown"] = json!({ (all.as_str()): all });
    state
}

/// Hostile logs, records and states as pages, by what they are.
fn hostile_pages(home: &Home, told: &Value) -> Vec<(&'static str, String)> {
    fs::write(home.path().join("hostile.bin"), hostile_log()).unwrap();
    let record = |text: &str| json!({ "pcr": 11, "digests": [], "content_type": text, "content": { "string": text, "eventType": text } });
    let records: String = HOSTILE.map(|text| format!("\u{1e}{}\n", record(text))).concat();
    fs::write(home.path().join("records"), records).unwrap();
    let of_log = page(home, &["eventlog", "show", "hostile.bin", "--measure-log", "records"]);
    fs::write(home.path().join("hostile.json"), hostile_state(told).to_string()).unwrap();
    let of_state = page(home, &["state", "--from", "hostile.json"]);
    vec![("hostile log", of_log), ("hostile state", of_state)]
}

#[test]
fn nothing_hostile_gets_out_of_its_place() {
    let home = Home::new();
    let told = state(&home);
    for (what, page) in hostile_pages(&home, &told) {
        is_harmless(&page, what);
        // It is there, as text, and not longer than people read.
        assert!(page.contains("&lt;script&gt;document.title='taken'"), "{what}");
        assert!(page.len() < 1_000_000, "{what}: {} bytes", page.len());
        assert!(page.contains("default-src 'none'; style-src 'sha256-"), "{what}: without a policy");
    }
    // Nothing but the style is written as it is: everything else is escaped by the templates.
    let sources = fs::read_dir(workspace().join("src/host/html")).unwrap().map(|entry| entry.unwrap().path());
    let raw = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("PreEscaped");
    let raw: Vec<_> = sources.filter(raw).map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(raw, ["document.rs"]);
    // On the terminal, too.
    let mut command = Command::new(trust_host());
    command.args(["state", "--from", "hostile.json"]).current_dir(home.path()).stdin(Stdio::null());
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.contains("<script>") && !text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text}");
}

/// Elements and attributes that are no part of a page; texts whose contrast is less than WCAG's AA asks for; whether anything is
/// wider than the window; what has no heading, name or scope. Everything is unfolded.
const AUDIT: &str = r##"(() => {
  document.querySelectorAll("details").forEach(details => details.open = true);
  const wrong = [], known = new Set(ELEMENTS.split(" "));
  const attributes = new Set(("lang charset http-equiv content name class href id aria-label aria-labelledby aria-hidden " +
    "scope open viewBox role d x y rx width height").split(" "));
  for (const element of document.querySelectorAll("*")) {
    if (!known.has(element.localName)) wrong.push("element " + element.localName);
    for (const attribute of element.attributes)
      if (!attributes.has(attribute.name)) wrong.push("attribute " + attribute.name);
  }
  const channels = colour => colour.match(/[\d.]+/g).map(Number);
  const light = colour => channels(colour).slice(0, 3)
    .map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.data.trim() || element.localName === "title") continue;
    const [a, b] = [light(element.namespaceURI.endsWith("svg") ? style.fill : style.color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) wrong.push(`contrast ${contrast.toFixed(2)}: ${node.data.slice(0, 40)}`);
    texts++;
  }
  const width = document.scrollingElement.scrollWidth;
  if (width > innerWidth) wrong.push(`${width} wide, and the window ${innerWidth}`);
  const ids = [...document.querySelectorAll("[id]")].map(element => element.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id is there twice");
  for (const link of document.querySelectorAll("a"))
    if (!document.getElementById(link.getAttribute("href").slice(1))) wrong.push("nothing is at " + link.getAttribute("href"));
  for (const head of document.querySelectorAll("th")) if (!head.scope) wrong.push("a head without scope");
  const levels = [...document.querySelectorAll("h1, h2, h3")].map(heading => +heading.localName[1]);
  if (levels[0] !== 1 || levels.some((level, at) => at && level > levels[at - 1] + 1)) wrong.push("levels " + levels);
  if (document.title === "taken") wrong.push("a script has run");
  return { wrong: [...new Set(wrong)], texts };
})()"##;

/// What can be reached by a keyboard, in its order; and where it is now.
const REACHED: &str = r#"(() => {
  const all = [...document.querySelectorAll("a[href], summary")].filter(element => element.checkVisibility());
  const now = document.activeElement, style = getComputedStyle(now);
  const seen = style.outlineStyle !== "none" || now.querySelector("rect") && getComputedStyle(now.querySelector("rect")).strokeWidth === "2px";
  return { all: all.length, now: all.indexOf(now), seen: !!seen };
})()"#;

/// One browser, and all pages: nothing is loaded or run, everything can be read in light and dark, narrow and wide, and
/// reached without a mouse.
#[test]
fn a_browser_shows_them_and_runs_and_loads_nothing() {
    let Some(mut browser) = Browser::start() else {
        harness::skip("no browser is there (Debian: chromium-headless-shell)");
        return;
    };
    let home = Home::new();
    let told = state(&home);
    let logs = LOGS.map(|(name, _)| (name, page(&home, &["eventlog", "show", &log(name).display().to_string()])));
    let mut pages: Vec<(&str, String)> = logs.into();
    pages.push(("state", page(&home, &["state", "--from", "state.json"])));
    pages.extend(hostile_pages(&home, &told));
    let file: &Path = &home.path().join("page.html");
    for (name, page) in &pages {
        fs::write(file, page).unwrap();
        for (width, dark) in [(1200, false), (390, true)] {
            browser.open(file, width, dark);
            let audit = browser.run(&AUDIT.replace("ELEMENTS", &format!("{ELEMENTS:?}")));
            assert_eq!(audit["wrong"], json!([]), "{name}, {width} wide, dark: {dark}");
            assert!(audit["texts"].as_u64().unwrap() > 50, "{name}: {audit}");
            let (requests, complaints) = browser.requests_and_complaints();
            assert_eq!(requests, [format!("file://{}", file.display())], "{name}");
            assert!(complaints.is_empty(), "{name}: {complaints:?}");
        }
    }
    // By keyboard: every link and every fold in its order, each seen where it is.
    fs::write(file, &pages[0].1).unwrap();
    browser.open(file, 1200, false);
    browser.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
    let all = browser.run(REACHED)["all"].as_i64().unwrap();
    assert!(all > 40, "{all}");
    for expected in 0..all {
        browser.press("Tab", 9);
        let reached = browser.run(REACHED);
        assert_eq!((&reached["now"], &reached["seen"]), (&json!(expected), &json!(true)), "{reached}");
    }
    // A script that got in, and a picture from elsewhere, would be refused by the page's own policy.
    let planted = "<p><script>document.title='taken'</script><img src='https://attacker.example/a.png'></p>";
    fs::write(file, pages[0].1.replacen("<main", &format!("{planted}<main"), 1)).unwrap();
    browser.open(file, 1200, false);
    assert_ne!(browser.run("document.title"), "taken");
    let (_, complaints) = browser.requests_and_complaints();
    assert!(
        complaints.iter().filter(|complaint| complaint.contains("Content Security Policy")).count() >= 2,
        "{complaints:?}"
    );
}
