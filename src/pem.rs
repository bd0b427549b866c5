//! PEM as people have it (RFC 7468, and its older relatives): text around the
//! blocks, any line length and line end, several blocks in one file. Pure.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

/// One block.
pub struct Block<'a> {
    /// `CERTIFICATE`, `PRIVATE KEY`, …
    pub label: &'a str,
    /// What is encoded; `None` where that is not base64, as in encrypted keys of the old kind with their headers.
    pub der: Option<Zeroizing<Vec<u8>>>,
}

/// The blocks of `text` in order; text between them and blocks that never end are passed over.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut rest = std::str::from_utf8(text).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once("-----BEGIN ")?;
            let (label, body) = after.split_once("-----")?;
            let end = format!("-----END {label}-----");
            let Some((body, after_end)) = body.split_once(end.as_str()) else {
                rest = body;
                continue;
            };
            rest = after_end;
            return Some(Block { label, der: decode(body) });
        }
    })
}

/// A block, in lines of 64 characters.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes are a line, and leave nothing over for the next.
    for line in der.chunks(48) {
        text.push_str(&Base64::encode_string(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// Base64 with white space anywhere.
fn decode(body: &str) -> Option<Zeroizing<Vec<u8>>> {
    let packed: Zeroizing<Vec<u8>> = Zeroizing::new(body.bytes().filter(|b| !b.is_ascii_whitespace()).collect());
    let text = std::str::from_utf8(&packed).ok()?;
    Base64::decode_vec(text).ok().map(Zeroizing::new).filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_layouts() {
        let text = b"subject=/CN=x\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\n-----BEGIN B-----\nAQ=\n=\n-----END B-----";
        let found: Vec<_> = blocks(text).map(|b| (b.label.to_owned(), b.der.map(|d| d.to_vec()))).collect();
        assert_eq!(found, [("A".into(), Some(vec![1, 2, 3, 4])), ("B".into(), Some(vec![1]))]);
    }

    #[test]
    fn what_is_encoded_is_found_again() {
        for size in [1, 47, 48, 49, 96, 500] {
            let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let text = encode("SOME KEY", &bytes);
            assert!(text.lines().all(|line| line.len() <= 64));
            let found = blocks(text.as_bytes()).next().unwrap();
            assert_eq!((found.label, found.der.unwrap().to_vec()), ("SOME KEY", bytes));
        }
    }

    #[test]
    fn nothing_where_nothing_is() {
        for text in
            [&b""[..], b"-----BEGIN ", b"-----BEGIN A-----", b"-----BEGIN A-----\nAQ==\n-----END B-----", &[0xff; 40]]
        {
            assert_eq!(blocks(text).count(), 0);
        }
        let headers = b"-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAQID\n-----END A-----";
        assert!(blocks(headers).next().unwrap().der.is_none());
    }
}
