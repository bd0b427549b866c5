//! `trust compute-pcr7`.

use super::{HostCommand, machine};
use crate::{
    digest::{Digest, hex},
    error::Result,
    host::{
        fs::atomic,
        keyset::{Keyset, Role},
        predict::{self, Prediction},
        say::output,
    },
    measure::{event::Event, pcr},
    policy::boot_kind::BootKind,
};
use clap::{Parser, ValueHint};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Bytes of an event that are shown as text.
const SHOWN: usize = 64;

/// Compute the PCR 7 values of a keyset's boots
#[derive(Parser)]
#[command(
    name = "compute-pcr7",
    after_help = "Examples:\n  trust compute-pcr7 acme\n  \
        trust compute-pcr7 acme --chain shim --shim shimx64.efi --explain"
)]
pub struct ComputePcr7 {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    #[command(flatten)]
    machine: machine::MachineOptions,
    /// Show every event, its bytes and PCR 7 after it
    #[arg(long)]
    explain: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// Also write the values for `trust keyset pcr7data`: pcr_prod.bin, pcr_limited.bin and pcr_tpm.bin
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

impl HostCommand for ComputePcr7 {
    fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let prediction = predict::pcr7(&keyset, &self.machine.machine(&keyset)?)?;
        if let Some(dir) = &self.output {
            atomic::make_dirs(dir)?;
            let values = prediction.values();
            for (name, value) in
                [("pcr_prod.bin", values.production), ("pcr_limited.bin", values.limited), ("pcr_tpm.bin", values.tpm)]
            {
                atomic::replace(&dir.join(name), atomic::PUBLIC, &value)?;
            }
        }
        match (self.json, self.explain) {
            (true, explain) => output::json(&to_json(&prediction, explain)),
            (false, true) => explain(&prediction),
            (false, false) => {
                let line = |(role, events): (Role, &[Event])| format!("{}: {}", role.dir(), value(events));
                output::lines(kinds(&prediction).into_iter().map(line))
            }
        }
    }
}

/// The kinds of images and the events of their boots.
fn kinds(prediction: &Prediction) -> [(Role, &[Event]); 3] {
    BootKind::ALL.map(|kind| (Role::of_images(kind), prediction.of(kind)))
}

/// Each event, and PCR 7 after it.
fn with_pcr7(events: &[Event]) -> impl Iterator<Item = (&Event, Digest)> {
    events.iter().zip(pcr::replay(events))
}

/// PCR 7 after these events.
fn value(events: &[Event]) -> String {
    pcr::replay(events).last().map_or_else(String::new, |pcr7| hex(pcr7))
}

fn to_json(prediction: &Prediction, explain: bool) -> Value {
    let kinds = kinds(prediction);
    let mut object: Map<String, Value> =
        kinds.iter().map(|(role, events)| (role.dir().to_owned(), value(events).into())).collect();
    if explain {
        let events = kinds.map(|(role, events)| {
            let events: Vec<_> = with_pcr7(events).map(event_to_json).collect();
            (role.dir().to_owned(), Value::from(events))
        });
        object.insert("events".into(), Map::from_iter(events).into());
    }
    object.into()
}

fn event_to_json((event, pcr7): (&Event, Digest)) -> Value {
    json!({
        "type": event.kind.to_string(),
        "variable": event.name(),
        "data": hex(&event.data),
        "digest": hex(&event.digest),
        "pcr7": hex(&pcr7),
    })
}

/// Every event with what it does; those that differ for each kind of image.
fn explain(prediction: &Prediction) -> Result<()> {
    let common = prediction.common();
    with_pcr7(&prediction.production).take(common).try_for_each(describe)?;
    for (role, events) in kinds(prediction) {
        output::line(format_args!("then, of an image signed by {}:", role.dir()))?;
        with_pcr7(events).skip(common).try_for_each(describe)?;
        output::line(format_args!("{}: {}", role.dir(), value(events)))?;
    }
    Ok(())
}

fn describe((event, pcr7): (&Event, Digest)) -> Result<()> {
    output::line(format_args!("{} {}, {} bytes", event.kind, event.name(), event.data.len()))?;
    for (row, bytes) in event.data.chunks(16).take(SHOWN / 16).enumerate() {
        let text: String =
            bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        output::line(format_args!("    {:04x}  {:<47}  {text}", row * 16, bytes.join(" ")))?;
    }
    if event.data.len() > SHOWN {
        output::line(format_args!("    … and {} more; all of them with --json", event.data.len() - SHOWN))?;
    }
    output::line(format_args!("    SHA-256  {}", hex(&event.digest)))?;
    output::line(format_args!("    PCR 7    {}", hex(&pcr7)))
}
