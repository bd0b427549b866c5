//! The table in ARCHITECTURE.md says which room uses which. The sources must use these and no others, and a room may use
//! only those that stand above it: there are no circles.

use harness::workspace;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A room, or what is in it, as the path of a module: `["host", "cli", "efi"]`.
type ModulePath = Vec<String>;

/// The rooms in the order of the table, each with those that it uses.
fn documented() -> Vec<(String, BTreeSet<String>)> {
    let page = fs::read_to_string(workspace().join("ARCHITECTURE.md")).expect("text");
    let rows = page.lines().skip_while(|line| *line != "| room | concern | uses |").skip(2);
    let rows = rows.take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [rooms, _concern, uses] = cells[..] else { panic!("not three cells: {line}") };
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let rooms = names(rooms);
        assert_eq!(rooms.len(), 1, "one room a row: {line}");
        (rooms[0].clone(), names(uses).into_iter().collect())
    });
    rows.collect()
}

/// The room that a module is in, as the table calls it: a file or directory of src/, or of src/host/.
fn room_of(module: &[String]) -> Option<String> {
    let depth = if module.first()? == "host" { 2 } else { 1 };
    let base = workspace().join("src").join(module.get(..depth)?.join("/"));
    let name = module[..depth].join("/");
    if base.is_dir() {
        return Some(format!("{name}/"));
    }
    base.with_extension("rs").is_file().then(|| format!("{name}.rs"))
}

/// Every path that begins with `crate::` or `super::` in a file of this module, absolute, without the tests at its end.
fn paths(text: &str, module: &[String]) -> Vec<ModulePath> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: String =
        code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            // The middle of a name, or of a chain of `super::`.
            if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &code[at..];
            let mut base = if start == "crate::" { Vec::new() } else { module.to_vec() };
            while let Some(behind) = rest.strip_prefix("super::") {
                base.pop();
                rest = behind;
            }
            tree(rest.strip_prefix("crate::").unwrap_or(rest), &base, &mut found);
        }
    }
    found
}

/// The paths of a use tree behind `base`; returns what follows it.
fn tree<'a>(text: &'a str, base: &[String], found: &mut Vec<ModulePath>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            if let Some(behind) = rest.strip_prefix('}') {
                return behind;
            }
            let behind = tree(rest, base, found);
            assert!(behind.len() < rest.len(), "not a use tree: {}", &rest[..rest.len().min(40)]);
            rest = behind.trim_start().trim_start_matches(',');
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = base.to_vec();
    if name != "self" {
        path.push(name.to_owned());
    }
    if let Some(rest) = rest.strip_prefix("::") {
        return tree(rest, &path, found);
    }
    found.push(path);
    rest.trim_start()
        .strip_prefix("as ")
        .map_or(rest, |alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Looks through the sources below `dir`, which are those of `module`.
fn look(dir: &Path, module: &[String], uses: &mut BTreeMap<String, BTreeSet<String>>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("a readable directory").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("text").to_owned();
        let inner = if stem == "mod" { module.to_vec() } else { [module, std::slice::from_ref(&stem)].concat() };
        if path.is_dir() {
            look(&path, &inner, uses);
            continue;
        }
        let is_source = path.extension().is_some_and(|x| x == "rs") && stem != "tests";
        let Some(room) = room_of(&inner).filter(|_| is_source) else { continue };
        let used = uses.entry(room.clone()).or_default();
        let text = fs::read_to_string(&path).expect("text");
        used.extend(paths(&text, &inner).iter().filter_map(|path| room_of(path)).filter(|other| *other != room));
    }
}

#[test]
fn every_room_uses_what_the_table_says_and_nothing_below_it() {
    let mut uses = BTreeMap::new();
    look(&workspace().join("src"), &[], &mut uses);
    // The crate itself, and the program that calls it.
    uses.retain(|room, _| !matches!(room.as_str(), "lib.rs" | "main.rs"));
    assert!(uses["commands/"].contains("tpm/"), "the search misses what is there: {uses:?}");
    let documented = documented();
    let mut above = BTreeSet::new();
    let mut wrong = Vec::new();
    for (room, said) in &documented {
        let found = uses.remove(room).unwrap_or_default();
        if found != *said {
            let found: Vec<_> = found.iter().map(|room| format!("`{room}`")).collect();
            wrong.push(format!("{room} uses: {}", found.join(" ")));
        }
        wrong.extend(said.difference(&above).map(|used| format!("{room} stands above {used}, which it uses")));
        above.insert(room.clone());
    }
    wrong.extend(uses.keys().map(|room| format!("{room} is not in the table")));
    assert!(wrong.is_empty(), "ARCHITECTURE.md is not what the sources say:\n{}", wrong.join("\n"));
}

/// The types that a file defines, associated ones left out.
fn types(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let definitions = code.lines().filter(|line| !line.starts_with("    ")).filter_map(|line| {
        let line = line
            .strip_prefix("pub ")
            .or_else(|| line.split_once("pub(").and_then(|(_, l)| l.split_once(") ")).map(|(_, l)| l))
            .unwrap_or(line);
        ["struct ", "enum ", "trait ", "type "].into_iter().find_map(|keyword| line.strip_prefix(keyword))
    });
    definitions.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
}

#[test]
fn no_two_types_have_the_same_name() {
    let mut owners: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut left = vec![workspace().join("src")];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("a readable directory").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|x| x == "rs")
                && path.file_stem().is_some_and(|stem| stem != "tests")
            {
                let text = fs::read_to_string(&path).expect("text");
                for name in types(&text) {
                    owners.entry(name.to_owned()).or_default().insert(path.display().to_string());
                }
            }
        }
    }
    assert!(owners.contains_key("TpmStore"), "the search misses what is there");
    owners.retain(|_, files| files.len() > 1);
    assert!(owners.is_empty(), "{owners:#?}");
}
