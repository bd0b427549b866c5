//! Debian's mirrors in the machine's own sources (sources.list(5)).

use anyhow::{Context, Result};
use std::{fs, path::PathBuf};

/// Suites whose mirror has all suites.
const SUITES: [&str; 6] = ["oldstable", "stable", "testing", "unstable", "sid", "trixie"];

/// A mirror as the machine's sources describe it.
#[derive(Debug, PartialEq, Eq)]
pub struct Mirror {
    pub uri: String,
    /// The value of Signed-By, which may have several lines.
    pub signed_by: Option<String>,
}

/// The mirrors of Debian in the machine's sources; none on other systems.
pub fn mirrors() -> Result<Vec<Mirror>> {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !os.lines().any(|line| line == "ID=debian") {
        return Ok(Vec::new());
    }
    let codename = os.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("sid");
    let mut mirrors = Vec::new();
    for path in source_files() {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let found = if path.extension().is_some_and(|x| x == "sources") {
            from_deb822(&text, codename)
        } else {
            from_one_line(&text, codename)
        };
        for mirror in found {
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
    }
    Ok(mirrors)
}

fn source_files() -> Vec<PathBuf> {
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let mut files: Vec<_> = parts
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|x| x == "sources" || x == "list"))
        .collect();
    files.sort();
    let main = PathBuf::from("/etc/apt/sources.list");
    if main.exists() {
        files.insert(0, main);
    }
    files
}

fn is_debian<'a>(codename: &str, mut suites: impl Iterator<Item = &'a str>) -> bool {
    suites.any(|suite| suite == codename || SUITES.contains(&suite))
}

/// Stanzas of `Field: value`, with blank lines between them.
fn from_deb822(text: &str, codename: &str) -> Vec<Mirror> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut mirrors = Vec::new();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            let start = stanza
                .iter()
                .position(|line| line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name)))?;
            let mut value = stanza[start].split_once(':')?.1.trim().to_owned();
            for line in stanza[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t'])) {
                value.push('\n');
                value.push_str(line);
            }
            Some(value)
        };
        let words = |name: &str| field(name).unwrap_or_default();
        let enabled = field("Enabled").is_none_or(|value| value != "no");
        let main = words("Components").split_whitespace().any(|word| word == "main");
        if enabled && main && is_debian(codename, words("Suites").split_whitespace()) {
            let uris = words("URIs");
            mirrors
                .extend(uris.split_whitespace().map(|uri| Mirror { uri: uri.into(), signed_by: field("Signed-By") }));
        }
    }
    mirrors
}

/// Lines of `deb [option=value ...] URI SUITE COMPONENT ...`.
fn from_one_line(text: &str, codename: &str) -> Vec<Mirror> {
    text.lines().filter_map(|line| mirror_of_line(line, codename)).collect()
}

fn mirror_of_line(line: &str, codename: &str) -> Option<Mirror> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"))?;
    if !rest.starts_with(char::is_whitespace) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let (uri, suite) = (words.next()?, words.next()?);
    let main = words.any(|word| word == "main");
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    (main && is_debian(codename, std::iter::once(suite)) && !uri.starts_with("cdrom:"))
        .then(|| Mirror { uri: uri.into(), signed_by: signed_by.map(Into::into) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_is_read_from_deb822_stanzas() {
        let text = "\
Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

types: deb
uris: http://inline.example/debian
suites: stable
components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
";
        assert_eq!(
            from_deb822(text, "bookworm"),
            [
                Mirror {
                    uri: "http://mirror.example/debian".into(),
                    signed_by: Some("/usr/share/keyrings/debian-archive-keyring.gpg".into()),
                },
                Mirror {
                    uri: "http://inline.example/debian".into(),
                    signed_by: Some("\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc".into()),
                },
            ]
        );
    }

    #[test]
    fn only_debian_is_read_from_one_line_entries() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb http://mirror.example/debian bookworm main # the usual
deb [arch=amd64 signed-by=/k.gpg] http://signed.example/debian bookworm contrib main
deb http://mirror.example/debian-security bookworm-security main
deb [signed-by=/v.gpg] http://vendor.example/apt vendor main
debug http://nonsense.example/ bookworm main
";
        assert_eq!(
            from_one_line(text, "bookworm"),
            [
                Mirror { uri: "http://mirror.example/debian".into(), signed_by: None },
                Mirror { uri: "http://signed.example/debian".into(), signed_by: Some("/k.gpg".into()) },
            ]
        );
    }
}
