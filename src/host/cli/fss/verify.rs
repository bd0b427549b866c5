//! `trust fss verify`.

use super::{FssOptions, journalctl};
use crate::{
    console,
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        cli::plaintext,
        fs::interrupt,
        fss::{self, report},
        journal::{JournalChain, JournalReport, JournalTime, JournalVerdict, SealKeys, VerificationKey, chains, files},
        say::{
            output::{self, Tone, coloured},
            progress::ProgressLine,
        },
    },
};
use clap::{Args, ValueHint};
use der::DateTime;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

pub const HELP: &str = "\
The keys come out of the TPM, where `trust fss setup` has put them. Every seal is computed anew, in this process: no key is
in argv, in the environment or in a file. Beside the seals it is
checked that the list of all entries, which no seal covers, leaves none out, that the header counts what is there, and in
a directory that no entries are missing between files.

It succeeds if all that should be sealed is. Otherwise the status is 14, and the report, which is also there as JSON, says
of each file in a word: sealed; unsealed_end (systemd before 255 leaves the end of each file that it rotates unsealed);
overdue (the end should have been sealed by now); clock (times contradict the seals); never_sealed; other_key; altered;
unreadable. Where there is nothing worse than unsealed_end, its result is \"unsealed_ends\", and otherwise \"failed\".

Examples:
  trust fss verify
  trust fss verify --since 7d --json | jq .result
  trust fss verify --verify-key-file - old/system@*.journal <key
  trust fss verify --verify-key-file key -D /mnt/var/log/journal/4f…";

/// `trust fss verify`
#[derive(Args)]
pub struct FssVerify {
    /// Journal files; without any, those of the directory
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["directory", "since"])]
    files: Vec<PathBuf>,
    /// The directory of the journal [default: this machine's, /var/log/journal/MACHINE-ID]
    #[arg(long, short = 'D', value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
    /// Where the verification key is, as journalctl --setup-keys prints it, and not in the TPM (`-`: standard input)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["pcr7data", "signed_policy", "owner_password_file", "tcti"])]
    verify_key_file: Option<PathBuf>,
    /// Leave out files that were finished before a date (2026-11-29), a moment (2026-11-29T08:00:00Z) or so long ago (7d, 12h)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Have journalctl check the structure of each file as well, on a copy that needs no key of yours
    #[arg(long)]
    with_journalctl: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Say the result to the journal as well, whatever it is, with a MESSAGE_ID
    #[arg(long)]
    journal: bool,
    #[command(flatten)]
    options: FssOptions,
}

/// A moment, in microseconds since 1970, or so many before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Moment(u64),
    Ago(u64),
}

impl FromStr for Since {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        const WRONG: &str = "give a date (2026-11-29), a moment (2026-11-29T08:00:00Z) or a time ago (7d, 12h)";
        for (unit, seconds) in [('d', 86_400), ('h', 3600)] {
            if let Some(number) = text.strip_suffix(unit) {
                let number = number.parse::<u32>().map_err(|_| WRONG)?;
                return Ok(Self::Ago(u64::from(number) * seconds * 1_000_000));
            }
        }
        let moment = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        let moment = DateTime::from_str(&moment).map_err(|_| WRONG)?;
        u64::try_from(moment.unix_duration().as_micros()).map(Self::Moment).map_err(|_| WRONG)
    }
}

/// The whole in a word.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum JournalsResult {
    Sealed,
    UnsealedEnds,
    Failed,
}

/// As JSON.
#[derive(Serialize)]
struct Answer<'a> {
    format: u32,
    result: JournalsResult,
    files: &'a [JournalReport],
    /// Files that `--since` leaves out.
    left_out: usize,
    chains: &'a [JournalChain],
}

impl FssVerify {
    /// Runs it.
    pub fn run(self) -> Result<()> {
        let mut found = Vec::new();
        let verified = self.verify(&mut found);
        if self.journal {
            let summary = match &verified {
                Ok(()) => "the journal is as it was sealed".to_owned(),
                Err(error) => error.to_string(),
            };
            report::to_journal(Path::new(report::JOURNAL), verified.is_ok(), &summary, &found)?;
        }
        verified
    }

    /// Verifies, and leaves what is not as it should be in `found`.
    fn verify(&self, found: &mut Vec<String>) -> Result<()> {
        let (mut keys, generations) = self.keys()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros());
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let paths = if self.files.is_empty() { self.found()? } else { self.files.clone() };
        let number = paths.len();
        let mut verified = Vec::new();
        let since = self.since.map(|since| match since {
            Since::Moment(time) => time,
            Since::Ago(time) => now.saturating_sub(time),
        });
        let mut run = VerifyRun {
            keys: &mut keys,
            generations,
            now,
            with_journalctl: self.with_journalctl,
            progress: progress(&paths),
        };
        for chain in self.newest_first(paths)? {
            for path in chain {
                interrupt::check()?;
                let Some(journal) = run.verify(&path)? else { continue };
                let is_enough = since.is_some_and(|since| begins_before(&journal, since));
                verified.push(journal);
                // What is older lies behind it in the chain, or the chain has a gap.
                if is_enough {
                    break;
                }
            }
        }
        drop(run);
        verified.sort_by(|one, other| one.file.cmp(&other.file));
        let left_out = if since.is_some() { number.saturating_sub(verified.len()) } else { 0 };
        // Of files that are named, nobody says that they are all.
        let chains = if self.files.is_empty() {
            chains(verified.iter().filter_map(|journal| journal.header.as_ref()))
        } else {
            Vec::new()
        };
        let result = outcome(&verified, &chains);
        let unsound = verified.iter().filter(|journal| journal.verdict != JournalVerdict::Sealed);
        found.extend(unsound.map(|journal| format!("{}: {}", journal.file, journal.verdict.words())));
        found.extend(chains.iter().flat_map(chain_lines));
        if self.json {
            output::json(&Answer { format: 1, result, files: &verified, left_out, chains: &chains })?;
        } else {
            verified.iter().try_for_each(|journal| output::lines(lines(journal)))?;
            chains.iter().try_for_each(|chain| output::lines(chain_lines(chain)))?;
            if left_out > 0 {
                output::line(format!("{left_out} older files left out"))?;
            }
        }
        verdict(result, &verified, &chains)
    }

    /// The keys that files may be sealed with, and their generations.
    fn keys(&self) -> Result<(SealKeys, Vec<usize>)> {
        if let Some(path) = &self.verify_key_file {
            let key = VerificationKey::parse(&plaintext::read(path)?).ok_or_else(|| {
                Error::new(Kind::Usage, "use the verification key", "it is not what journalctl --setup-keys prints")
                    .remedy("give its one line: 24 digits in groups, a slash, and two numbers")
            })?;
            return Ok((SealKeys::new(vec![key]), vec![0]));
        }
        let (mut space, policies) = self.options.open()?;
        let found = fss::keys(&mut space, &policies)?;
        let generations = found.iter().map(|one| one.record.number as usize).collect();
        Ok((SealKeys::new(found.into_iter().map(|one| one.key).collect()), generations))
    }

    fn found(&self) -> Result<Vec<PathBuf>> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => files::of_machine(&files::machine_id()?),
        };
        let found = files::in_directory(&directory)?;
        if found.is_empty() {
            let what = format!("verify {}", directory.display());
            return Err(Error::new(Kind::Corrupt, what, "there is no journal file in it")
                .remedy("name the directory of the journal with --directory, or the files"));
        }
        Ok(found)
    }

    /// Files that are numbered together, each group from its end to its beginning; where nothing is left out, all as they are.
    fn newest_first(&self, paths: Vec<PathBuf>) -> Result<Vec<Vec<PathBuf>>> {
        if self.since.is_none() {
            return Ok(vec![paths]);
        }
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for (number, path) in paths.into_iter().enumerate() {
            let said = if path.is_file() { files::said(&path)? } else { None };
            let (group, head) = match said.filter(|said| said.entries > 0) {
                Some(said) => (Ok(said.seqnum_id), said.head_seqnum),
                // Each for itself, so that it is looked at.
                None => (Err(number), 0),
            };
            groups.entry(group).or_default().push((head, path));
        }
        let newest_first = |mut group: Vec<(u64, PathBuf)>| {
            group.sort_by(|one, other| other.cmp(one));
            group.into_iter().map(|(_, path)| path).collect()
        };
        Ok(groups.into_values().map(newest_first).collect())
    }
}

/// Whether seals show that a file, and so all before it, begins earlier.
fn begins_before(report: &JournalReport, since: u64) -> bool {
    let is_intact =
        matches!(report.verdict, JournalVerdict::Sealed | JournalVerdict::UnsealedEnd | JournalVerdict::Overdue);
    is_intact && report.sealed.is_some_and(|sealed| sealed.entries > 0 && sealed.from < JournalTime(since))
}

/// Bytes that the progress counts in one step.
const STEP: u64 = 1 << 20;

fn progress(paths: &[PathBuf]) -> ProgressLine {
    let bytes: u64 =
        paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|metadata| metadata.len() / STEP).sum();
    ProgressLine::new("MiB verified:", usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// What one run has for all files.
struct VerifyRun<'k> {
    keys: &'k mut SealKeys,
    generations: Vec<usize>,
    now: u64,
    with_journalctl: bool,
    progress: ProgressLine,
}

impl VerifyRun<'_> {
    fn verify(&mut self, path: &Path) -> Result<Option<JournalReport>> {
        let (mut shown, progress) = (0, &mut self.progress);
        let mut step = |at: u64| {
            while shown < at / STEP {
                progress.step();
                shown += 1;
            }
        };
        let Some(mut report) = files::verify_file(path, self.keys, self.now, &mut step)? else { return Ok(None) };
        step(fs::metadata(path).map_or(0, |metadata| metadata.len()));
        let times = report.key.filter(|_| self.with_journalctl && report.misfit.is_none());
        let objection = match times.and_then(|key| self.keys.times(key)) {
            Some(times) => journalctl::objection(path, times)?,
            None => None,
        };
        if objection.is_some() {
            report.verdict = JournalVerdict::Altered;
        }
        report.key = report.key.and_then(|key| self.generations.get(key).copied());
        (report.file, report.journalctl) = (printable(&path.to_string_lossy()), objection);
        Ok(Some(report))
    }
}

fn outcome(verified: &[JournalReport], chains: &[JournalChain]) -> JournalsResult {
    let worst = verified.iter().map(|journal| match journal.verdict {
        JournalVerdict::Sealed => 0,
        JournalVerdict::UnsealedEnd => 1,
        _ => 2,
    });
    match worst.max() {
        _ if !chains.iter().all(JournalChain::is_complete) => JournalsResult::Failed,
        Some(0) => JournalsResult::Sealed,
        Some(1) => JournalsResult::UnsealedEnds,
        _ => JournalsResult::Failed,
    }
}

fn lines(report: &JournalReport) -> Vec<String> {
    let tone = match report.verdict {
        JournalVerdict::Sealed => Tone::Good,
        JournalVerdict::UnsealedEnd => Tone::Doubtful,
        _ => Tone::Bad,
    };
    let mut lines = vec![format!("{}: {}", report.file, coloured(tone, report.verdict.words()))];
    let mut add = |line: String| lines.push(format!("  {line}"));
    if let Some(why) = &report.why {
        add(why.clone());
    }
    if let Some(sealed) = &report.sealed {
        let (entries, tags) = (counted(sealed.entries, "entry", "entries"), counted(sealed.tags, "seal", "seals"));
        add(format!("{entries} under {tags}, {} to {}", sealed.from, sealed.until));
        if sealed.intervals_without_tag > 0 {
            let intervals = counted(sealed.intervals_without_tag, "interval", "intervals");
            add(format!(
                "{intervals} in between without a seal: nothing was logged, or it was taken out at the next seal"
            ));
        }
    }
    match (&report.unsealed, &report.header) {
        (Some(unsealed), _) => {
            let state = if report.verdict == JournalVerdict::Sealed { "not yet sealed" } else { "not sealed" };
            let entries = counted(unsealed.entries, "entry", "entries");
            add(format!("from byte {} on {entries} {state}, {} to {}", unsealed.offset, unsealed.from, unsealed.until));
        }
        (None, Some(header)) if report.verdict == JournalVerdict::NeverSealed && header.entries > 0 => {
            let entries = counted(header.entries, "entry", "entries");
            add(format!("it says that it has {entries}, {} to {}", header.from, header.until));
        }
        _ => {}
    }
    if let Some(misfit) = &report.misfit {
        add(format!("{} at byte {}: {}", misfit.object, misfit.offset, misfit.why));
    }
    if let Some(steps) = &report.clock_steps {
        let times = counted(steps.count, "time", "times");
        add(format!(
            "the clock went back {times}, first at byte {}: from {} to {}",
            steps.offset, steps.before, steps.after
        ));
    }
    if let Some(objection) = &report.journalctl {
        add(format!("journalctl: {objection}"));
    }
    lines
}

fn chain_lines(chain: &JournalChain) -> Vec<String> {
    if chain.is_complete() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "{}: entries {} to {}, in {}",
        chain.seqnum_id,
        chain.head_seqnum,
        chain.tail_seqnum,
        counted(chain.files as u64, "file", "files")
    )];
    lines.extend(chain.gaps.iter().map(|gap| {
        let missing = counted(gap.before - gap.after - 1, "entry", "entries");
        format!("  {missing} missing between files, after {} and before {}", gap.after, gap.before)
    }));
    if chain.missing_within > 0 {
        lines.push(format!("  {} missing within files", counted(chain.missing_within, "entry", "entries")));
    }
    lines.extend(chain.copies.iter().map(|id| format!("  the file {id} is there more than once")));
    lines
}

fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn verdict(result: JournalsResult, verified: &[JournalReport], chains: &[JournalChain]) -> Result<()> {
    let mut counts = BTreeMap::new();
    for journal in verified.iter().filter(|journal| journal.verdict != JournalVerdict::Sealed) {
        *counts.entry(journal.verdict.words()).or_insert(0u64) += 1;
    }
    let mut why: Vec<_> =
        counts.into_iter().map(|(words, number)| format!("{} {words}", counted(number, "file", "files"))).collect();
    if chains.iter().any(|chain| !chain.is_complete()) {
        why.push("entries are missing, or there twice".to_owned());
    }
    if verified.is_empty() {
        why.push("there is no file any more".to_owned());
    }
    let error = Error::new(Kind::Corrupt, "vouch for the journal", why.join(", "));
    match result {
        JournalsResult::Sealed => {
            if verified.iter().any(|journal| journal.clock_steps.is_some()) {
                console::note("the clock was set back meanwhile");
            }
            Ok(())
        }
        JournalsResult::UnsealedEnds => Err(error.remedy(
            "nothing that was sealed is altered; systemd 255 and later seal the end as well, and with shorter intervals it is shorter",
        )),
        JournalsResult::Failed => Err(error.remedy("keep the files as they are, and see what the report says of each")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood() {
        assert_eq!("7d".parse(), Ok(Since::Ago(7 * 86_400_000_000)));
        assert_eq!("2026-11-29".parse(), Ok(Since::Moment(1_795_910_400_000_000)));
        assert_eq!("2026-11-29T08:00:00Z".parse(), Ok(Since::Moment(1_795_939_200_000_000)));
        for wrong in ["", "d", "-7d", "yesterday", "2026-13-01", "2026-11-29T08:00"] {
            assert!(wrong.parse::<Since>().is_err(), "{wrong}");
        }
    }
}
