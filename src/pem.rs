//! PEM as people have it (RFC 7468, and its older relatives), found in bytes: text of any encoding around the blocks,
//! any line length and line end, several blocks in one file. Pure.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One block.
pub struct Block<'a> {
    /// `CERTIFICATE`, `PRIVATE KEY`, …
    pub label: &'a str,
    /// What is encoded; `None` where that is not base64, or cannot be had without a passphrase.
    pub der: Option<Zeroizing<Vec<u8>>>,
    /// Whether it asks for a passphrase in the headers of RFC 1421, as OpenSSL's older formats have it.
    pub encrypted: bool,
}

/// The blocks of `text` in order; text between them and blocks that never end are passed over.
pub fn blocks(text: &[u8]) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = split(rest, BEGIN)?;
            rest = after;
            let Some((label, body)) = split(after, DASHES) else { continue };
            let Ok(label) = str::from_utf8(label) else { continue };
            let end = [END, label.as_bytes(), DASHES].concat();
            let Some((body, after_end)) = split(body, &end) else { continue };
            rest = after_end;
            let (encrypted, body) = headers(body);
            let der = if encrypted { None } else { decode(body) };
            return Some(Block { label, der, encrypted });
        }
    })
}

/// A block, in lines of 64 characters. Nothing of it is left anywhere else in memory.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    // 48 bytes are a line, and leave nothing over for the next.
    const LINE: usize = 48;
    let lines = der.len().div_ceil(LINE);
    let mut text = String::with_capacity(2 * (label.len() + 20) + 65 * lines);
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut line = Zeroizing::new([0; 64]);
    for bytes in der.chunks(LINE) {
        text.push_str(Base64::encode(bytes, line.as_mut_slice()).unwrap_or_default());
        text.push('\n');
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

/// What stands before and behind the first `what`.
fn split<'a>(bytes: &'a [u8], what: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(what.len()).position(|window| window == what)?;
    Some((bytes.get(..at)?, bytes.get(at + what.len()..)?))
}

/// Whether the headers of RFC 1421 (section 4.4) before a body, if there are any, say that it is encrypted, and the body.
fn headers(body: &[u8]) -> (bool, &[u8]) {
    // No base64 has a colon. Where no empty line ends the headers, the whole is no base64 either.
    if !body.contains(&b':') {
        return (false, body);
    }
    let ends = [b"\n\n".as_slice(), b"\n\r\n"];
    match ends.into_iter().find_map(|end| split(body, end).filter(|(headers, _)| headers.contains(&b':'))) {
        Some((headers, rest)) => (split(headers, b"ENCRYPTED").is_some(), rest),
        None => (false, body),
    }
}

/// Base64 with white space anywhere.
fn decode(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let packed: Zeroizing<Vec<u8>> =
        Zeroizing::new(body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect());
    let text = str::from_utf8(&packed).ok()?;
    Base64::decode_vec(text).ok().map(Zeroizing::new).filter(|der| !der.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_layouts_are_read() {
        let text = b"subject=/CN=x\r\n-----BEGIN A-----\r\nAQID\r\nBA==\r\n-----END A-----\r\n-----BEGIN B-----\nAQ=\n=\n-----END B-----";
        let found: Vec<_> = blocks(text).map(|b| (b.label.to_owned(), b.der.map(|d| d.to_vec()))).collect();
        assert_eq!(found, [("A".into(), Some(vec![1, 2, 3, 4])), ("B".into(), Some(vec![1]))]);
    }

    #[test]
    fn text_around_a_block_may_be_in_any_encoding() {
        let block = "-----BEGIN A-----\n AQ I\t\n\n\nDBA==\n-----END A-----\n";
        let text =
            [b"\xef\xbb\xbf".as_slice(), block.as_bytes(), b"friendlyName: Schl\xfcssel\n\xff\xfe", block.as_bytes()];
        let found: Vec<_> = blocks(&text.concat()).map(|b| b.der.unwrap().to_vec()).collect();
        assert_eq!(found, [[1, 2, 3, 4], [1, 2, 3, 4]]);
        // A label that is no text, and one that never ends, hide nothing that follows.
        let text = [b"-----BEGIN \xff-----\n-----BEGIN B-----\n", block.as_bytes()].concat();
        assert_eq!(blocks(&text).map(|b| b.label.to_owned()).collect::<Vec<_>>(), ["A"]);
    }

    #[test]
    fn headers_are_separated_from_the_body() {
        for end in ["\n", "\r\n"] {
            let of = |kind: &str| {
                format!("-----BEGIN A-----{end}Proc-Type: 4,{kind}{end}DEK-Info: X{end}{end}AQID{end}-----END A-----")
            };
            let (plain, encrypted) = (of("MIC-CLEAR"), of("ENCRYPTED"));
            let [plain, encrypted] = [&plain, &encrypted].map(|text| blocks(text.as_bytes()).next().unwrap());
            assert_eq!((plain.encrypted, plain.der.unwrap().to_vec()), (false, vec![1, 2, 3]));
            assert!(encrypted.encrypted && encrypted.der.is_none());
        }
    }

    #[test]
    fn an_encoded_block_is_decoded() {
        for size in [1, 47, 48, 49, 96, 500] {
            let bytes: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let text = encode("SOME KEY", &bytes);
            assert!(text.lines().all(|line| line.len() <= 64));
            let found = blocks(text.as_bytes()).next().unwrap();
            assert_eq!((found.label, found.der.unwrap().to_vec()), ("SOME KEY", bytes));
        }
    }

    #[test]
    fn text_without_a_block_yields_none() {
        for text in
            [&b""[..], b"-----BEGIN ", b"-----BEGIN A-----", b"-----BEGIN A-----\nAQ==\n-----END B-----", &[0xff; 40]]
        {
            assert_eq!(blocks(text).count(), 0);
        }
        let endless = b"-----BEGIN A-----\nProc-Type: 4\nAQID\n-----END A-----";
        assert!(blocks(endless).next().unwrap().der.is_none());
    }
}
