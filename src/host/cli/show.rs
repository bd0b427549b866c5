//! `trust keyset show`.

use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::{
            Keyset, KeysetItem, Place,
            show::{self, Overview, ShownKey, ShownValue},
        },
        say::output,
    },
};
use clap::Args;
use serde_json::json;
use std::path::Path;

/// `trust keyset show`
#[derive(Args)]
#[command(after_help = "Examples:\n  trust keyset show acme\n  trust keyset show acme uefi-db\n  \
    trust keyset show acme uefi-db cert --value | openssl x509 -text\n  \
    trust keyset show acme manifest/default privkey --path")]
pub struct Show {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// uefi-db and so on, manifest/PROJECT, manifest/PROJECT/SERIAL, or pcr7data
    key: Option<String>,
    /// cert, privkey, guid or uuid
    item: Option<String>,
    /// Print where it is, and nothing else
    #[arg(long, conflicts_with = "value")]
    path: bool,
    /// Print what is in it, and nothing else; never a private key
    #[arg(long, requires = "key")]
    value: bool,
    /// As JSON
    #[arg(long, conflicts_with_all = ["path", "value"])]
    json: bool,
}

impl Show {
    pub(super) fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let Some(key) = &self.key else {
            return self.keyset(&keyset);
        };
        let place = Place::parse(key)?;
        let path = place.path(&keyset);
        if !path.is_dir() {
            let why = format!("{} is no directory", path.display());
            return Err(Error::new(Kind::Usage, format!("show {key:?}"), why)
                .remedy(format!("`trust keyset show {}` shows what there is", self.keyset)));
        }
        match &self.item {
            Some(item) => self.item(&path, KeysetItem::parse(item)?),
            None if self.path => output::line(path.display()),
            None if self.value => values(&path),
            None => self.place(&keyset, &place),
        }
    }

    fn keyset(&self, keyset: &Keyset) -> Result<()> {
        if self.path {
            return output::line(keyset.path().display());
        }
        let overview = show::overview(keyset);
        if self.json { output::json(&overview) } else { output::lines(tree(&overview)) }
    }

    /// A key, the projects or the policies.
    fn place(&self, keyset: &Keyset, place: &Place) -> Result<()> {
        match place {
            Place::Projects if self.json => output::json(&show::projects(keyset)?),
            Place::Projects => output::lines(table(&show::projects(keyset)?)),
            Place::Policies if self.json => output::json(&show::values(keyset)),
            Place::Policies => output::lines(show::values(keyset).iter().map(value)),
            _ if self.json => output::json(&show::key(keyset, place)),
            _ => output::lines(details(&show::key(keyset, place))),
        }
    }

    /// One file of a key.
    fn item(&self, dir: &Path, item: KeysetItem) -> Result<()> {
        let path = dir.join(item.file());
        if item == KeysetItem::PrivateKey && !self.value {
            let whereabouts = show::whereabouts(&path)?;
            return match () {
                () if self.json => output::json(&json!({"path": path, "private_key": whereabouts})),
                () if self.path => output::line(path.display()),
                () => output::lines([path.display().to_string(), format!("private key {}", whereabouts.as_str())]),
            };
        }
        // A path is worth something only if there is something.
        let contents = show::contents(dir, item)?;
        if self.json {
            return output::json(&json!({"path": path, "value": String::from_utf8_lossy(&contents)}));
        }
        if !self.value {
            output::line(path.display())?;
        }
        if self.path { Ok(()) } else { bytes(&contents) }
    }
}

/// What is in the files of a key that are not private.
fn values(dir: &Path) -> Result<()> {
    let public =
        KeysetItem::ALL.into_iter().filter(|item| *item != KeysetItem::PrivateKey && dir.join(item.file()).exists());
    public.into_iter().try_for_each(|item| bytes(&show::contents(dir, item)?))
}

/// A file as it is, and a line's end if it has none.
fn bytes(contents: &[u8]) -> Result<()> {
    let end: &[u8] = if contents.ends_with(b"\n") { b"" } else { b"\n" };
    output::bytes(&[contents, end].concat())
}

/// A keyset as a tree.
fn tree(keyset: &Overview) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", keyset.name, keyset.path.display())];
    lines.extend(table(&keyset.keys).into_iter().map(|line| format!("├── {line}")));
    lines.push("├── manifest".into());
    let projects = table(&keyset.projects);
    for (n, line) in projects.iter().enumerate() {
        lines.push(format!("│   {} {line}", if n + 1 == projects.len() { "└──" } else { "├──" }));
    }
    lines.push(if keyset.pins_tpm { "└── pcr7data, which asks sudi-ca about TPMs" } else { "└── pcr7data" }.into());
    for (n, entry) in keyset.pcr7data.iter().enumerate() {
        lines.push(format!("    {} {}", if n + 1 == keyset.pcr7data.len() { "└──" } else { "├──" }, value(entry)));
    }
    lines
}

/// Keys in columns.
pub(super) fn table(keys: &[ShownKey]) -> Vec<String> {
    let rows: Vec<_> = keys.iter().map(row).collect();
    let mut widths = [0; 4];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let pad = |row: &[String; 5]| {
        let cells = row.iter().zip(widths.into_iter().chain([0]));
        let line: String = cells.map(|(cell, width)| format!("{cell:width$}  ")).collect();
        line.trim_end().to_owned()
    };
    rows.iter().map(pad).collect()
}

fn row(key: &ShownKey) -> [String; 5] {
    let (name, kind, end) = match &key.certificate {
        Some(facts) => (facts.common_name.clone(), facts.key_type.clone(), format!("until {}", facts.last_day())),
        None => ("no certificate".to_owned(), String::new(), String::new()),
    };
    let machines = match key.machines {
        None => String::new(),
        Some(1) => ", 1 machine".to_owned(),
        Some(n) => format!(", {n} machines"),
    };
    let guid = key.guid.as_ref().map_or_else(String::new, |guid| format!(", guid {guid}"));
    [key.name.clone(), name, kind, end, format!("private key {}{guid}{machines}", key.private_key.as_str())]
}

/// All that is known of a key.
fn details(key: &ShownKey) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", key.name, key.path.display())];
    let mut add = |name: &str, value: &str| lines.push(format!("  {:<15}{value}", format!("{name}:")));
    match (&key.certificate, &key.problem) {
        (Some(facts), _) => {
            add("subject", &facts.subject);
            add("issuer", &facts.issuer);
            add("serial number", &facts.serial_number);
            add("valid", &format!("{} to {}", facts.not_before, facts.not_after));
            add("key type", &facts.key_type);
            add("SHA-256", &facts.sha256);
        }
        (None, problem) => add("certificate", problem.as_deref().unwrap_or("none")),
    }
    add("private key", key.private_key.as_str());
    for (name, value) in [("guid", &key.guid), ("uuid", &key.uuid)] {
        if let Some(value) = value {
            add(name, value);
        }
    }
    if let Some(machines) = key.machines {
        add("machines", &machines.to_string());
    }
    lines
}

/// A PCR 7 value.
fn value(value: &ShownValue) -> String {
    let more = [
        value.keyset.as_ref().map(|name| format!("keyset {name}")),
        value.policy_version.as_ref().map(|version| format!("policy version {version}")),
        value.est_date.as_ref().map(|date| format!("since {date}")),
        value.comment.clone(),
        value.problem.clone(),
    ];
    let more: Vec<_> = more.into_iter().flatten().collect();
    format!("{:<10}  {}  {}", value.kind, value.pcr7, more.join(", "))
}
