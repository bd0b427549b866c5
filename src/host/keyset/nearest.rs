//! The name that was probably meant.

/// The one of `names` that is most similar to `name`, if it is near enough for a typing error.
#[must_use]
pub fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a str> {
    let near = |other: &&String| {
        let allowed = name.chars().count().max(other.chars().count()).div_ceil(3);
        let distance = distance(&name.to_lowercase(), &other.to_lowercase());
        (distance <= allowed).then_some(distance)
    };
    names.iter().filter_map(|other| Some((near(&other)?, other))).min().map(|(_, other)| other.as_str())
}

/// The number of characters to insert, delete or replace to turn one into the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.chars().collect();
    let mut row: Vec<_> = (0..=other.len()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut next = vec![at + 1];
        for ((b, above), diagonal) in other.iter().zip(row.iter().skip(1)).zip(&row) {
            let left = next.last().copied().unwrap_or(0);
            next.push((diagonal + usize::from(a != *b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_misspellings_are_near() {
        let names = ["acme", "acme-test", "router"].map(String::from);
        for (name, meant) in [
            ("acmee", Some("acme")),
            ("amce", Some("acme")),
            ("ACME", Some("acme")),
            ("acme-tset", Some("acme-test")),
            ("rooter", Some("router")),
            ("bank", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &names), meant, "{name}");
        }
        assert_eq!(nearest("acme", &[]), None);
        assert_eq!([distance("", ""), distance("kitten", "sitting"), distance("a", "")], [0, 3, 1]);
    }
}
