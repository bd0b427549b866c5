//! `trust eventlog show`.

use super::{LogArguments, LogInput};
use crate::{
    digest::hex,
    error::Result,
    host::{
        eventlog::{
            ima::{ImaEntry, ImaList},
            measured::{self, DigestOf},
            read::{FirmwareLog, LoggedEvent},
            replay::BootLogs,
            words,
        },
        fs::atomic,
        html::log_page,
        say::{
            output::{self, Tone, coloured},
            wrap,
        },
    },
    measure::user_space::Record,
    tpm2::{bank, selection::pcr_list},
};
use clap::{Args, ValueHint};
use serde_json::{Value, json};
use std::path::PathBuf;

pub const HELP: &str = "\
The sign before the words says what the digests of an event are of: = of the data that are shown, ~ of a part of them,
! of something else although it should be the data, which may be forged then; without a sign, of what is not in the log,
like a program whose path is shown. Nobody vouches for a log by itself: `trust eventlog check` does.

Examples:
  trust eventlog show
  trust eventlog show binary_bios_measurements --pcr 7
  trust eventlog show --pcr 7,10,11,12
  trust eventlog show CCEL --json
  sudo trust eventlog show --html boot.html";

/// Columns of number and PCR, and between type and words.
const BEFORE_KIND: usize = 10;
const BEHIND_KIND: usize = 3;

/// `trust eventlog show`
#[derive(Args)]
pub struct EventLogShow {
    #[command(flatten)]
    logs: LogArguments,
    /// Only the events of these PCRs, as in 4,7
    #[arg(long, value_name = "PCRS", value_parser = pcr_list)]
    pcr: Option<u32>,
    /// As a JSON object, with digests and data in hex
    #[arg(long)]
    json: bool,
    /// Write a page for browsers into this file: the programs of the boot, and what each PCR and event is about
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["pcr", "json"])]
    html: Option<PathBuf>,
}

impl EventLogShow {
    pub(super) fn run(self) -> Result<()> {
        let input = self.logs.read()?;
        let log = FirmwareLog::read(&input.firmware);
        let ima = ImaList::read(&input.ima);
        if let Some(path) = &self.html {
            let page = log_page::page(&self.logs.name(), &log, &input.records);
            atomic::replace(path, atomic::PUBLIC, page.as_bytes())?;
        } else if self.json {
            self.print_json(&input, &log, &ima)?;
        } else {
            self.print_table(&input, &log, &ima)?;
        }
        input.finish("show", &log)
    }

    fn is_wanted(&self, pcr: u32) -> bool {
        self.pcr.is_none_or(|pcrs| pcrs.checked_shr(pcr).is_some_and(|bits| bits & 1 == 1))
    }

    fn events<'a>(&self, log: &'a FirmwareLog<'a>) -> impl Iterator<Item = &'a LoggedEvent<'a>> {
        log.events.iter().filter(|logged| self.is_wanted(logged.event.pcr))
    }

    /// Their numbers, themselves, and what they mean where that is known.
    fn records<'a>(
        &self,
        input: &'a LogInput,
        log: &FirmwareLog<'_>,
    ) -> impl Iterator<Item = (usize, &'a Record, Option<String>)> {
        let meanings = words::records::meanings(&input.records, log);
        let records =
            (1..).zip(&input.records).zip(meanings).map(|((number, record), meaning)| (number, record, meaning));
        records.filter(|(_, record, _)| self.is_wanted(u32::from(record.pcr)))
    }

    /// Its records that are not of files, with what they mean.
    fn ima<'a>(
        &self,
        input: &LogInput,
        log: &FirmwareLog<'_>,
        ima: &'a ImaList,
    ) -> impl Iterator<Item = (&'a ImaEntry, String)> {
        let meanings = ima.meanings(BootLogs { firmware: log, ima: &[], user_space: &input.records });
        ima.entries.iter().zip(meanings).filter(|(entry, _)| self.is_wanted(entry.pcr))
    }

    fn print_table(&self, input: &LogInput, log: &FirmwareLog<'_>, ima: &ImaList) -> Result<()> {
        if let Some(header) = log.header.filter(|_| self.pcr.is_none()) {
            output::line(words::of_header(header))?;
        }
        let width = self.events(log).map(|logged| logged.event.kind.to_string().len()).max().unwrap_or(0);
        for LoggedEvent { number, event, .. } in self.events(log) {
            let pcr = if event.pcr == u32::MAX { "-".to_owned() } else { event.pcr.to_string() };
            let (sign, tone) = match measured::of(event) {
                Some(DigestOf::Data) => ("=", Some(Tone::Good)),
                Some(DigestOf::Part(_)) => ("~", Some(Tone::Good)),
                Some(DigestOf::Doubtful) => ("!", Some(Tone::Bad)),
                Some(DigestOf::Other) | None => (" ", None),
            };
            let sign = tone.map_or_else(|| sign.to_owned(), |tone| coloured(tone, sign));
            let (pcr, kind) = (coloured(Tone::Note, &format!("{pcr:>2}")), event.kind.to_string());
            let line = format!("{number:>4}  {pcr}  {kind:width$} {sign} {}", words::meaning(event));
            output::line(wrap::hanging(&line, BEFORE_KIND + width + BEHIND_KIND))?;
        }
        if self.pcr.is_none() && log.padding > 0 {
            output::line(format_args!("{:>6}{} bytes of padding", "", log.padding))?;
        }
        for (number, record, meaning) in self.records(input, log) {
            let (number, pcr) = (format!("u{number}"), coloured(Tone::Note, &format!("{:>2}", record.pcr)));
            let kind = if record.kind.is_empty() { "record" } else { &record.kind };
            let words = meaning.unwrap_or_else(|| format!("{:?}", record.text));
            let line = format!("{number:>4}  {pcr}  {kind:width$}   {words}");
            output::line(wrap::hanging(&line, BEFORE_KIND + width + BEHIND_KIND))?;
        }
        for (entry, meaning) in self.ima(input, log, ima) {
            let (number, pcr) = (format!("i{}", entry.number), coloured(Tone::Note, &format!("{:>2}", entry.pcr)));
            let line = format!("{number:>4}  {pcr}  {:width$}   {meaning}", entry.name);
            output::line(wrap::hanging(&line, BEFORE_KIND + width + BEHIND_KIND))?;
        }
        if self.pcr.is_none() && ima.files > 0 {
            output::line(format_args!(
                "{:>6}{} measured by IMA",
                "",
                words::text::count(ima.files, "one file", "files")
            ))?;
        }
        Ok(())
    }

    fn print_json(&self, input: &LogInput, log: &FirmwareLog<'_>, ima: &ImaList) -> Result<()> {
        let algorithms = log.algorithms.iter().map(|(id, size)| json!({ "name": bank::name(*id), "size": size }));
        let header = log.header.map(|header| json!({ "meaning": words::of_header(header), "data": hex(header) }));
        let fault = log.fault.as_ref().map(|fault| json!({ "offset": fault.offset, "why": fault.why }));
        output::json(&json!({
            "format": 1,
            "header": header,
            "algorithms": algorithms.collect::<Vec<_>>(),
            "events": self.events(log).map(event_to_json).collect::<Vec<_>>(),
            "padding": log.padding,
            "fault": fault,
            "user_space": self.records(input, log).map(record_to_json).collect::<Vec<_>>(),
            "user_space_faults": input.faults,
            "ima": self.ima(input, log, ima).map(ima_to_json).collect::<Vec<_>>(),
            "ima_files": ima.files,
        }))
    }
}

fn event_to_json(LoggedEvent { number, offset, event }: &LoggedEvent<'_>) -> Value {
    json!({
        "number": number,
        "offset": offset,
        "pcr": event.pcr,
        "type": event.kind.to_string(),
        "type_id": event.kind.0,
        "digests": digests_to_json(&event.digests),
        "digest_of": measured::of(event).map(DigestOf::name),
        "meaning": words::meaning(event),
        "data": hex(event.data),
    })
}

fn record_to_json((number, record, meaning): (usize, &Record, Option<String>)) -> Value {
    json!({
        "number": number,
        "offset": record.offset,
        "pcr": record.pcr,
        "kind": record.kind,
        "digests": digests_to_json(&record.digests),
        "text": record.text,
        "meaning": meaning.as_ref().unwrap_or(&record.text),
    })
}

fn ima_to_json((entry, meaning): (&ImaEntry, String)) -> Value {
    json!({ "number": entry.number, "pcr": entry.pcr, "name": entry.name, "meaning": meaning })
}

fn digests_to_json(digests: &[(u16, Vec<u8>)]) -> Value {
    digests
        .iter()
        .map(|(id, digest)| (bank::name(*id), Value::from(hex(digest))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}
