//! What a run would take on TPMs that are not software.

use super::section::{Section, Unit};
use anyhow::{Context, Result};
use harness::{Command, Exchange, cc};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Milliseconds per command, with their sources.
const TABLE: &str = include_str!("latency.toml");

/// The models, in the order of the table's columns.
pub struct Models(Vec<Model>);

/// One kind of TPM.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What the table calls it.
    pub name: String,
    /// Milliseconds of what crosses the wire, per KiB.
    pub per_kib: f64,
    /// Milliseconds of a command that is not listed.
    pub default: f64,
    /// Milliseconds by command code, in hex digits.
    pub commands: BTreeMap<String, f64>,
}

impl Models {
    /// Reads the table.
    pub fn read() -> Result<Self> {
        #[derive(Deserialize)]
        struct Table {
            tpm: Vec<Model>,
        }
        let table: Table = toml::from_str(TABLE).context("cannot read latency.toml")?;
        Ok(Self(table.tpm))
    }

    /// Adds what each of them says to a section: of each program, what crossed the wire, and for how much work that was.
    pub fn figures<'a>(
        &self,
        section: Section,
        records: impl Iterator<Item = (&'a [Exchange], usize)> + Clone,
    ) -> Section {
        let add = |section: Section, model: &Model| {
            let seconds = |(record, times): (&[Exchange], usize)| model.estimate(record) / 1000.0 / times as f64;
            let name = format!("{} TPM (estimate)", model.name);
            section.figure(&name, Unit::ModelledSeconds, records.clone().map(seconds))
        };
        self.0
            .iter()
            .fold(section, add)
            .note("Estimates are of the TPM's part, by the table xtask/src/bench/latency.toml.")
    }
}

impl Model {
    /// Milliseconds that the TPM would take for what crossed the wire.
    pub fn estimate(&self, record: &[Exchange]) -> f64 {
        let time = |exchange: &Exchange| {
            let command = self.commands.get(&class(&exchange.command)).copied().unwrap_or(self.default);
            command + size(exchange) as f64 / 1024.0 * self.per_kib
        };
        record.iter().map(time).sum()
    }
}

/// Bytes of a command and its answer.
pub fn size(exchange: &Exchange) -> usize {
    exchange.command.bytes.len() + exchange.response.as_ref().map_or(0, |response| response.0.len())
}

/// What the table calls a command: its code, and which key it is about where that decides.
fn class(command: &Command) -> String {
    let code = command.code();
    let suffix = match code {
        cc::CREATE_PRIMARY | cc::CREATE if is_ecc(command.body()) => "-ecc",
        // Both handles, a nonce, then a salt: encrypted with RSA 2048, or a point of a curve.
        cc::START_AUTH_SESSION => match blob(command.body(), 8).and_then(|at| blob_size(command.body(), at)) {
            None | Some(0) => "",
            Some(256..) => "-salted-rsa",
            Some(_) => "-salted-ecc",
        },
        _ => "",
    };
    format!("{code:#x}{suffix}")
}

/// Whether a template is of an ECC key: after a handle, authorizations and the sensitive part.
fn is_ecc(body: &[u8]) -> bool {
    const ECC: [u8; 2] = [0x00, 0x23];
    let template = || {
        let authorizations = u32::from_be_bytes(body.get(4..8)?.try_into().ok()?);
        let template = blob(body, 8 + authorizations as usize)?;
        body.get(template + 2..template + 4)
    };
    template() == Some(&ECC[..])
}

/// The place after a TPM2B.
fn blob(body: &[u8], at: usize) -> Option<usize> {
    Some(at + 2 + blob_size(body, at)?)
}

/// How many bytes a TPM2B has.
fn blob_size(body: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(body.get(at..at + 2)?.try_into().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(code: u32, body: &[u8]) -> Exchange {
        let bytes = [&[0x80, 0x01, 0, 0, 0, 0][..], &code.to_be_bytes(), body].concat();
        Exchange { command: Command { bytes, sender: None }, response: None }
    }

    #[test]
    fn the_latency_table_is_valid() {
        let models = Models::read().unwrap();
        assert_eq!(models.0.len(), 2);
        for model in &models.0 {
            // Keys are what a TPM is slow at.
            assert!(model.commands["0x131"] > model.commands["0x131-ecc"], "{}", model.name);
            assert!(model.commands["0x131-ecc"] > model.commands["0x177"], "{}", model.name);
            for name in model.commands.keys() {
                let code = name[2..].split('-').next().unwrap();
                assert!(u32::from_str_radix(code, 16).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn an_estimate_is_the_sum_of_its_commands() {
        let commands = BTreeMap::from([("0x131".to_owned(), 200.0)]);
        let model = Model { name: String::new(), per_kib: 2.0, default: 5.0, commands };
        // 10 and 1014 bytes.
        let record = [exchange(cc::CREATE_PRIMARY, &[]), exchange(cc::NV_READ, &[0; 1004])];
        assert!((model.estimate(&record) - 207.0).abs() < 1e-9);
    }

    #[test]
    fn commands_are_classed_by_their_kind_of_key() {
        let session = |salt: usize| {
            let size = u16::try_from(salt).unwrap().to_be_bytes();
            let body = [&[0; 8][..], &[0, 2, 1, 2], &size, &vec![0; salt], &[0; 9]].concat();
            class(&exchange(cc::START_AUTH_SESSION, &body).command)
        };
        assert_eq!([0, 68, 256].map(session), ["0x176", "0x176-salted-ecc", "0x176-salted-rsa"]);
        let primary = |kind: u8| {
            let sensitive = [0, 4, 0, 0, 0, 0];
            let body = [&[0x40, 0, 0, 7, 0, 0, 0, 1, 9][..], &sensitive, &[0, 2, 0, kind]].concat();
            class(&exchange(cc::CREATE_PRIMARY, &body).command)
        };
        assert_eq!([0x01, 0x23].map(primary), ["0x131", "0x131-ecc"]);
        assert_eq!(class(&exchange(cc::CREATE_PRIMARY, &[]).command), "0x131");
    }
}
