//! One walk through a file, from its first object to its last: every object is of a form that it can have, is counted and
//! listed as the header says, and lies under a seal that fits.

use super::{
    entry_list::EntryList,
    format::{
        EntryHead, JournalHeader, LEAST_HEADER, MOST_HEADER, OBJECT_HEAD, ObjectHead, ObjectKind, TAG, TagObject,
    },
    report::{ClockSteps, JournalFacts, JournalReport, JournalTime, JournalVerdict, Misfit, SealedPart, UnsealedPart},
    seal::seal,
    seal_keys::SealKeys,
    stop::{Stop, misfit},
    window::JournalWindow,
};
use crate::{digest::hex, error::Result, host::fs::data::Data};

/// Bytes of the window that the file is seen through: what lies between two tags is rarely more.
const WINDOW: usize = 1 << 20;
/// Clocks do not say more (in microseconds): systemd's limit.
const MOST_TIME: u64 = 1 << 55;

/// What is known about a file from outside.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// What time it is, in microseconds since 1970.
    pub now: u64,
    /// Whether nobody will write to it any more, whatever its header says: journald has put it aside.
    pub is_put_aside: bool,
}

/// Verifies a file. `progress` is told how far it has come.
///
/// # Errors
/// It cannot be read. What is wrong with its contents is in the report.
pub fn verify(
    data: Data<'_>,
    keys: &mut SealKeys,
    circumstances: Circumstances,
    progress: &mut dyn FnMut(u64),
) -> Result<JournalReport> {
    let mut window = JournalWindow::new(data, WINDOW);
    let length = usize::try_from(window.len()).map_or(MOST_HEADER, |length| length.min(MOST_HEADER));
    if length < LEAST_HEADER {
        return Ok(JournalReport::unreadable("it is too short for a journal file"));
    }
    let header = window.get(0, length)?.and_then(JournalHeader::parse);
    let Some(header) = header else {
        return Ok(JournalReport::unreadable("it is not a journal file"));
    };
    if let Some(why) = header.unknown() {
        return Ok(JournalReport { header: Some(facts(&header)), ..JournalReport::unreadable(why) });
    }
    let mut report = JournalReport {
        file: String::new(),
        verdict: JournalVerdict::NeverSealed,
        header: Some(facts(&header)),
        key: None,
        sealed: None,
        unsealed: None,
        misfit: None,
        clock_steps: None,
        why: None,
        journalctl: None,
    };
    if !header.is_sealed() {
        return Ok(report);
    }
    let list = EntryList::new(data, header.entry_array, header.end().unwrap_or(0), header.is_compact());
    let mut walk = JournalWalk::new(window, header, list, keys);
    let end = walk.run(progress);
    (report.key, report.sealed) = (walk.key, walk.sealed);
    report.clock_steps = walk.clock_steps;
    let unsealed = walk.unsealed();
    let interval = walk.interval();
    let (late, is_archived) = (walk.late.take(), walk.header.state == ARCHIVED);
    report.verdict = match end {
        Ok(()) => {
            report.unsealed = unsealed;
            let time = unsealed.map(|part| part.until.0);
            let is_overdue = |time: u64| time.saturating_add(interval.saturating_mul(2)) < circumstances.now;
            match time {
                _ if late.is_some() => JournalVerdict::Clock,
                None => JournalVerdict::Sealed,
                Some(_) if is_archived || circumstances.is_put_aside => JournalVerdict::UnsealedEnd,
                Some(time) if is_overdue(time) => JournalVerdict::Overdue,
                Some(_) => JournalVerdict::Sealed,
            }
        }
        Err(Stop::Misfit(misfit)) => {
            report.misfit = Some(misfit);
            JournalVerdict::Altered
        }
        Err(Stop::OtherKey(misfit)) => {
            report.misfit = Some(misfit);
            JournalVerdict::OtherKey
        }
        Err(Stop::Failed(error)) => return Err(error),
    };
    if report.misfit.is_none() {
        report.misfit = late;
    }
    Ok(report)
}

/// The result of a step.
type Walked<T> = std::result::Result<T, Stop>;

/// The state of a file that was rotated.
const ARCHIVED: u8 = 2;

pub(super) fn facts(header: &JournalHeader) -> JournalFacts {
    JournalFacts {
        state: match header.state {
            0 => "offline",
            1 => "online",
            ARCHIVED => "archived",
            _ => "unknown",
        },
        file_id: hex(&header.file_id),
        machine_id: hex(&header.machine_id),
        seqnum_id: hex(&header.seqnum_id),
        head_seqnum: header.head_seqnum,
        tail_seqnum: header.tail_seqnum,
        entries: header.entries,
        from: JournalTime(header.head_realtime),
        until: JournalTime(header.tail_realtime),
    }
}

/// The tag before: its epoch, and when that began.
#[derive(Clone, Copy)]
struct LastTag {
    epoch: u64,
    begin: u64,
}

/// Entries since the last tag.
#[derive(Clone, Copy)]
struct SinceTag {
    entries: u64,
    first: u64,
    last: u64,
    earliest: u64,
    latest: u64,
}

const NOTHING: SinceTag = SinceTag { entries: 0, first: 0, last: 0, earliest: u64::MAX, latest: 0 };

/// Where the walk is, and what it has seen.
struct JournalWalk<'a, 'k> {
    window: JournalWindow<'a>,
    header: JournalHeader,
    list: EntryList<'a>,
    keys: &'k mut SealKeys,
    /// The key that the first tag fits.
    key: Option<usize>,
    /// Where the object is.
    at: u64,
    /// Where the part begins that the next tag covers.
    part: u64,
    last_tag: Option<LastTag>,
    since_tag: SinceTag,
    first_entry: Option<EntryHead>,
    last_entry: Option<(u64, EntryHead)>,
    /// Objects, then those of each kind, as they are declared.
    objects: u64,
    counts: [u64; 7],
    sealed: Option<SealedPart>,
    clock_steps: Option<ClockSteps>,
    /// The first entry whose time is not that of its seal.
    late: Option<Misfit>,
}

impl<'a, 'k> JournalWalk<'a, 'k> {
    fn new(window: JournalWindow<'a>, header: JournalHeader, list: EntryList<'a>, keys: &'k mut SealKeys) -> Self {
        Self {
            window,
            list,
            keys,
            key: None,
            at: header.size,
            part: header.size,
            header,
            last_tag: None,
            since_tag: NOTHING,
            first_entry: None,
            last_entry: None,
            objects: 0,
            counts: [0; 7],
            sealed: None,
            clock_steps: None,
            late: None,
        }
    }

    fn run(&mut self, progress: &mut dyn FnMut(u64)) -> Walked<()> {
        let end = self.end()?;
        loop {
            let head = self.object(end)?;
            self.objects += 1;
            if let Some(count) = self.counts.get_mut(head.kind as usize) {
                *count += 1;
            }
            match head.kind {
                ObjectKind::Entry => self.entry()?,
                ObjectKind::Tag => {
                    self.tag()?;
                    progress(self.at);
                }
                ObjectKind::DataHashTable => self.hash_table(head, self.header.data_hash_table)?,
                ObjectKind::FieldHashTable => self.hash_table(head, self.header.field_hash_table)?,
                ObjectKind::Data | ObjectKind::Field | ObjectKind::EntryArray => {}
            }
            if self.at == self.header.tail_object {
                self.at += head.size;
                return self.compare_header();
            }
            self.at = self.at.saturating_add(head.stride().unwrap_or(u64::MAX));
            if self.at > self.header.tail_object {
                return Err(misfit(self.header.tail_object, "object", "the last one is said to be here"));
            }
        }
    }

    /// Where objects end, if the header makes sense.
    fn end(&self) -> Walked<u64> {
        let header = &self.header;
        let bad = |why: &str| Err(misfit(0, "header", why));
        if !header.size.is_multiple_of(8) || header.size < LEAST_HEADER as u64 {
            return bad("it is of a size that it cannot have");
        }
        let Some(end) = header.end().filter(|end| *end <= self.window.len()) else {
            return bad("the file is shorter than it says");
        };
        if header.tail_object < header.size || !header.tail_object.is_multiple_of(8) {
            return bad("the file has no objects, not even a tag");
        }
        if header.state > ARCHIVED || header.reserved != [0; 7] {
            return bad("its state is none that there is");
        }
        Ok(end)
    }

    fn object(&mut self, end: u64) -> Walked<ObjectHead> {
        let at = self.at;
        let bad = |why| misfit(at, "object", why);
        let bytes = self.window.get(at, OBJECT_HEAD)?.ok_or_else(|| bad("the file ends before it"))?;
        let head = ObjectHead::parse(bytes, self.header.is_compact()).map_err(bad)?;
        match at.checked_add(head.size) {
            Some(object_end) if object_end <= end => Ok(head),
            _ => Err(misfit(at, head.kind.name(), "it does not end within the file")),
        }
    }

    fn hash_table(&self, head: ObjectHead, said: (u64, u64)) -> Walked<()> {
        let contents = OBJECT_HEAD as u64;
        if (self.at + contents, head.size - contents) == said {
            return Ok(());
        }
        Err(misfit(self.at, head.kind.name(), "the header says that it is elsewhere, or of another size"))
    }

    fn entry(&mut self) -> Walked<()> {
        let at = self.at;
        let bad = |why: String| Err(misfit(at, "entry", why));
        let entry = self.window.get(at, EntryHead::SIZE)?.and_then(EntryHead::parse);
        let Some(entry) = entry else { return bad("the file ends in it".into()) };
        if self.last_tag.is_none() {
            return bad("it stands before the first tag".into());
        }
        match self.list.next()? {
            Some(listed) if listed == at => {}
            Some(listed) => return bad(format!("the list of all entries passes over it, to {listed}")),
            None => return bad("it is not in the list of all entries".into()),
        }
        if entry.seqnum == 0 || entry.realtime == 0 || entry.realtime >= MOST_TIME || entry.monotonic >= MOST_TIME {
            return bad("its number or a time of it is none that there is".into());
        }
        if let Some((_, before)) = self.last_entry {
            if entry.seqnum <= before.seqnum {
                return bad(format!("its number is {}, after {}", entry.seqnum, before.seqnum));
            }
            if entry.boot_id == before.boot_id && entry.monotonic < before.monotonic {
                return bad("it is earlier in its boot than the one before".into());
            }
            if entry.realtime < before.realtime {
                let (before, after) = (JournalTime(before.realtime), JournalTime(entry.realtime));
                let first = ClockSteps { count: 0, offset: at, before, after };
                self.clock_steps.get_or_insert(first).count += 1;
            }
        }
        if let Some(tag) = self.last_tag.filter(|tag| entry.realtime < tag.begin) {
            self.is_late(
                at,
                format!("{} is before {}, when its interval began", time(entry.realtime), time(tag.begin)),
            );
        }
        self.first_entry.get_or_insert(entry);
        self.last_entry = Some((at, entry));
        let since = &mut self.since_tag;
        if since.entries == 0 {
            since.first = entry.realtime;
        }
        *since = SinceTag {
            entries: since.entries + 1,
            last: entry.realtime,
            earliest: since.earliest.min(entry.realtime),
            latest: since.latest.max(entry.realtime),
            ..*since
        };
        Ok(())
    }

    fn is_late(&mut self, offset: u64, why: String) {
        self.late.get_or_insert(Misfit { offset, object: "entry", why });
    }

    fn tag(&mut self) -> Walked<()> {
        let at = self.at;
        let bad = |why: String| misfit(at, "tag", why);
        let tag = self.window.get(at, TAG)?.and_then(TagObject::parse);
        let tag = tag.ok_or_else(|| bad("the file ends in it".into()))?;
        let tags = self.sealed.map_or(0, |sealed| sealed.tags);
        if tag.seqnum != tags + 1 {
            return Err(bad(format!(
                "it has the number {} and not {}: tags are missing or too many",
                tag.seqnum,
                tags + 1
            )));
        }
        if let Some(last) = self.last_tag {
            // A journald that ends seals the interval that it is in, and so does one that starts again: as often as it
            // likes, with a key that it still has.
            let is_last_or_next = (last.epoch..=last.epoch.saturating_add(1)).contains(&tag.epoch);
            let is_allowed = is_last_or_next || (!self.header.is_continuous() && tag.epoch > last.epoch);
            if !is_allowed {
                return Err(bad(format!("it is of epoch {}, after {}", tag.epoch, last.epoch)));
            }
        }
        let key = self.fitting_key(&tag)?;
        let times = self.keys.get(key).and_then(|key| key.epoch(tag.epoch));
        let (begin, end) = times.ok_or_else(|| bad("its epoch is none that there is".into()))?;
        let since = std::mem::replace(&mut self.since_tag, NOTHING);
        if since.entries > 0 && since.latest >= end {
            self.is_late(
                at,
                format!("{} is after {}, when the interval of its seal ended", time(since.latest), time(end)),
            );
        } else if since.earliest < begin {
            self.is_late(at, format!("{} is before {}, when its interval began", time(since.earliest), time(begin)));
        }
        let skipped = self.last_tag.map_or(0, |last| tag.epoch.saturating_sub(last.epoch).saturating_sub(1));
        let sealed = self.sealed.get_or_insert(SealedPart {
            from: JournalTime(begin),
            until: JournalTime(end),
            entries: 0,
            tags: 0,
            end: 0,
            intervals_without_tag: 0,
        });
        if sealed.entries == 0 && since.entries > 0 {
            sealed.from = JournalTime(since.first);
        }
        sealed.until = JournalTime(end);
        sealed.entries += since.entries;
        sealed.tags += 1;
        sealed.end = at + TAG as u64;
        sealed.intervals_without_tag = sealed.intervals_without_tag.saturating_add(skipped);
        self.part = at + TAG as u64;
        self.last_tag = Some(LastTag { epoch: tag.epoch, begin });
        Ok(())
    }

    /// The key that fits this tag: that of the tags before it, or for the first one any.
    fn fitting_key(&mut self, tag: &TagObject) -> Walked<usize> {
        let candidates = self.key.map_or_else(|| self.keys.newest_first().collect(), |key| vec![key]);
        let part = self.part..self.at + TAG as u64;
        for number in candidates {
            let key = self.keys.key(number, tag.epoch)?;
            let is_first = self.last_tag.is_none();
            if seal(&mut self.window, &self.header, part.clone(), is_first, &key)? == tag.tag {
                self.key = Some(number);
                return Ok(number);
            }
        }
        let from = self.part;
        let why = |what: &str| Misfit { offset: self.at, object: "tag", why: what.to_owned() };
        Err(match self.key {
            None => Stop::OtherKey(why("it does not fit: another key made it, or header, tables or tag were altered")),
            Some(_) => Stop::Misfit(why(&format!("it does not fit what lies before it, from {from} on"))),
        })
    }

    /// What the header says of the whole, which no seal covers.
    fn compare_header(&mut self) -> Walked<()> {
        let header = &self.header;
        let [data, fields, entries, data_tables, field_tables, arrays, tags] = self.counts;
        if self.last_tag.is_none() {
            return Err(misfit(self.at, "object", "there is no tag up to the last one"));
        }
        if let Some(listed) = self.list.next()? {
            return Err(misfit(listed, "entry", "the list of all entries has it, and it is none"));
        }
        let first = self.first_entry.map_or((0, 0), |entry| (entry.seqnum, entry.realtime));
        let last = self.last_entry.map_or((0, 0, 0), |(_, entry)| (entry.seqnum, entry.realtime, entry.monotonic));
        let tail_boot = self.last_entry.map_or(header.tail_boot_id, |(_, entry)| entry.boot_id);
        let same_boot = tail_boot == header.tail_boot_id;
        let (array, used) = self.list.tail();
        let is_said = |said: Option<u64>, count: u64| said.is_none_or(|said| said == count);
        let [said_data, said_fields, said_tags, said_arrays] = header.counts;
        let checks = [
            ("the number of objects", header.objects == self.objects),
            ("the number of entries", header.entries == entries),
            ("the number of hash tables", (data_tables, field_tables) == (1, 1)),
            ("the number of data objects", is_said(said_data, data)),
            ("the number of field objects", is_said(said_fields, fields)),
            ("the number of tags", is_said(said_tags, tags)),
            ("the number of entry arrays", is_said(said_arrays, arrays)),
            ("the first entry", (header.head_seqnum, header.head_realtime) == first),
            ("the last entry", (header.tail_seqnum, header.tail_realtime) == (last.0, last.1)),
            ("the boot of the last entry", same_boot || !header.names_tail_boot()),
            (
                "the time of the last entry in its boot",
                header.tail_monotonic == last.2 || !same_boot || !header.names_tail_boot(),
            ),
            (
                "the last array of entries",
                header
                    .tail_entry_array
                    .is_none_or(|(at, number)| u32::try_from(array) != Ok(at) || u32::try_from(used) == Ok(number))
                    && header
                        .tail_entry_array
                        .is_none_or(|(at, _)| u64::from(at) == array || array > u64::from(u32::MAX)),
            ),
            ("the place of the last entry", is_said(header.tail_entry, self.last_entry.map_or(0, |(at, _)| at))),
        ];
        match checks.into_iter().find(|(_, is_right)| !is_right) {
            Some((what, _)) => Err(misfit(0, "header", format!("{what} is another one than it says"))),
            None => Ok(()),
        }
    }

    fn interval(&self) -> u64 {
        self.key.and_then(|key| self.keys.get(key)).map_or(0, super::key::VerificationKey::interval)
    }

    /// What lies after the last tag, if entries do.
    fn unsealed(&self) -> Option<UnsealedPart> {
        let since = self.since_tag;
        (since.entries > 0).then(|| UnsealedPart {
            offset: self.part,
            bytes: self.at.saturating_sub(self.part),
            entries: since.entries,
            from: JournalTime(since.first),
            until: JournalTime(since.last),
        })
    }
}

fn time(time: u64) -> JournalTime {
    JournalTime(time)
}
