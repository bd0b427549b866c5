//! Values of PCRs as files have them: JSON of `trust pcr read --json` and `trust eventlog replay --json`, lines of `trust pcr read`,
//! and what tpm2_pcrread prints.

use crate::{
    digest::{hex, unhex},
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::{bank, selection::pcr_number},
};
use serde_json::{Map, Value, json};

/// Reads the values in a text.
///
/// # Errors
/// What is wrong with it, as a clause.
pub fn parse(text: &str) -> Result<PcrValues, String> {
    let values = match serde_json::from_str::<Value>(text) {
        Ok(object) => of_json(&object)?,
        Err(_) => of_lines(text)?,
    };
    if values.is_empty() {
        return Err("it holds no value of a PCR".into());
    }
    for (at, (name, _)) in values.iter().enumerate() {
        if values.iter().skip(at + 1).any(|(other, _)| other == name) {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(PcrValues::new(values))
}

/// As a JSON object: `{"sha256": {"7": "…"}}`.
#[must_use]
pub fn to_json(values: &PcrValues) -> Value {
    let mut banks = Map::new();
    for (pcr, value) in values.iter() {
        let bank = banks.entry(bank::name(pcr.bank)).or_insert_with(|| json!({}));
        if let Value::Object(bank) = bank {
            bank.insert(pcr.number.to_string(), hex(value).into());
        }
    }
    Value::Object(banks)
}

type Named = Vec<(PcrName, Vec<u8>)>;

fn of_json(object: &Value) -> Result<Named, String> {
    let banks = object.get("pcrs").unwrap_or(object).as_object().ok_or("it is not a JSON object of banks")?;
    let mut values = Vec::new();
    for (bank, pcrs) in banks.iter().filter(|(_, pcrs)| pcrs.is_object()) {
        for (number, value) in pcrs.as_object().into_iter().flatten() {
            values.push(value_of(bank, number, value.as_str().unwrap_or_default())?);
        }
    }
    Ok(values)
}

/// `sha256:7  HEX`, or a line `sha256:` and below it `7 : 0xHEX`.
fn of_lines(text: &str) -> Result<Named, String> {
    let (mut values, mut current) = (Vec::new(), None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, rest) = line.split_once(':').ok_or_else(|| format!("{line:?} is not a PCR and its value"))?;
        let (name, rest) = (name.trim(), rest.trim());
        match (rest.split_once(char::is_whitespace), current) {
            (None, _) if rest.is_empty() => current = Some(name),
            (Some((number, value)), _) => values.push(value_of(name, number, value.trim())?),
            (None, Some(bank)) => values.push(value_of(bank, name, rest)?),
            (None, None) => return Err(format!("{line:?} is not a PCR and its value")),
        }
    }
    Ok(values)
}

fn value_of(bank: &str, number: &str, value: &str) -> Result<(PcrName, Vec<u8>), String> {
    let bank = bank::by_name(bank).ok_or_else(|| format!("there is no bank {bank:?}"))?;
    let name = PcrName { bank: bank.id, number: pcr_number(number)? };
    let digits = value.strip_prefix("0x").unwrap_or(value);
    let value = unhex(digits).filter(|value| value.len() == bank.size);
    Ok((name, value.ok_or_else(|| format!("the value of {name} has not {} hex digits", bank.size * 2))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let (seven, zero) = ("5a".repeat(32), "00".repeat(20));
        let expected = parse(&format!("sha256:7  {seven}\nsha1:0   {zero}\n")).unwrap();
        assert_eq!(expected.iter().count(), 2);
        let upper = seven.to_uppercase();
        for text in [
            format!("{{\"sha256\": {{\"7\": \"{seven}\"}}, \"sha1\": {{\"0\": \"{zero}\"}}}}"),
            format!("{{\"format\":1,\"pcrs\":{{\"sha256\":{{\"7\":\"{seven}\"}},\"sha1\":{{\"0\":\"{zero}\"}}}}}}"),
            format!("  sha256:\n    7 : 0x{upper}\n  sha1:\n    0 : 0x{zero}\n"),
            to_json(&expected).to_string(),
        ] {
            let values = parse(&text).unwrap();
            let mut sorted: Vec<_> = values.iter().collect();
            sorted.sort_by_key(|(name, _)| std::cmp::Reverse(name.bank));
            assert_eq!(sorted, expected.iter().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        let seven = "5a".repeat(32);
        for (text, why) in [
            (String::new(), "no value of a PCR"),
            ("{}".into(), "no value of a PCR"),
            ("[]".into(), "not a JSON object"),
            ("words".into(), "is not a PCR and its value"),
            ("7: aa".into(), "is not a PCR and its value"),
            (format!("md5:7 {seven}"), "no bank \"md5\""),
            (format!("sha256:24 {seven}"), "\"24\" is not the number"),
            (format!("sha1:7 {seven}"), "has not 40 hex digits"),
            ("{\"sha256\":{\"7\":9}}".into(), "has not 64 hex digits"),
            (format!("sha256:7 {seven}\nsha256:7 {seven}"), "sha256:7 is there twice"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
