//! The journal file format, as systemd documents it (JOURNAL_FILE_FORMAT): headers and objects, and which of their bytes a
//! seal covers.

use crate::bytes::Reader;
use std::ops::Range;

/// The first bytes of a journal file.
const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// Flags of files that older readers may ignore.
const SEALED: u32 = 1;
const TAIL_ENTRY_BOOT_ID: u32 = 1 << 1;
const SEALED_CONTINUOUS: u32 = 1 << 2;
const KNOWN_COMPATIBLE: u32 = SEALED | TAIL_ENTRY_BOOT_ID | SEALED_CONTINUOUS;
/// Flags that they may not: three compressions, keyed hashes, the compact format.
const COMPACT: u32 = 1 << 4;
const KNOWN_INCOMPATIBLE: u32 = (1 << 5) - 1;
/// What every header has.
pub(super) const LEAST_HEADER: usize = 208;
/// The header of systemd 254 and later; what follows is not known.
pub(super) const MOST_HEADER: usize = 272;
/// What of the header the first tag covers.
pub(super) const SEALED_HEADER: [Range<usize>; 4] = [0..16, 24..56, 72..96, 104..136];

/// The header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JournalHeader {
    compatible: u32,
    incompatible: u32,
    pub(super) state: u8,
    pub(super) reserved: [u8; 7],
    pub(super) file_id: [u8; 16],
    pub(super) machine_id: [u8; 16],
    pub(super) tail_boot_id: [u8; 16],
    pub(super) seqnum_id: [u8; 16],
    pub(super) size: u64,
    pub(super) arena_size: u64,
    /// Where the two hash tables have their contents, and how large those are.
    pub(super) data_hash_table: (u64, u64),
    pub(super) field_hash_table: (u64, u64),
    pub(super) tail_object: u64,
    pub(super) objects: u64,
    pub(super) entries: u64,
    pub(super) tail_seqnum: u64,
    pub(super) head_seqnum: u64,
    pub(super) entry_array: u64,
    pub(super) head_realtime: u64,
    pub(super) tail_realtime: u64,
    pub(super) tail_monotonic: u64,
    /// Objects of each kind, where the header is long enough to say so: data, fields, tags, entry arrays.
    pub(super) counts: [Option<u64>; 4],
    /// The last array of the list of all entries, and how many are in it (since systemd 252).
    pub(super) tail_entry_array: Option<(u32, u32)>,
    /// The last entry (since systemd 254).
    pub(super) tail_entry: Option<u64>,
}

impl JournalHeader {
    /// Reads what is there of it, [`LEAST_HEADER`] bytes at least; `None`: this is not a journal file.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        if r.take(8)? != SIGNATURE {
            return None;
        }
        let (compatible, incompatible) = (r.le32()?, r.le32()?);
        let header = Self {
            compatible,
            incompatible,
            state: r.u8()?,
            reserved: r.array()?,
            file_id: r.array()?,
            machine_id: r.array()?,
            tail_boot_id: r.array()?,
            seqnum_id: r.array()?,
            size: r.le64()?,
            arena_size: r.le64()?,
            data_hash_table: (r.le64()?, r.le64()?),
            field_hash_table: (r.le64()?, r.le64()?),
            tail_object: r.le64()?,
            objects: r.le64()?,
            entries: r.le64()?,
            tail_seqnum: r.le64()?,
            head_seqnum: r.le64()?,
            entry_array: r.le64()?,
            head_realtime: r.le64()?,
            tail_realtime: r.le64()?,
            tail_monotonic: r.le64()?,
            counts: [None; 4],
            tail_entry_array: None,
            tail_entry: None,
        };
        // What was added later is there if the header is long enough.
        let within = |end: usize| header.size >= end as u64;
        let mut optional = |end: usize| within(end).then(|| r.le64()).flatten();
        let counts = [optional(216), optional(224), optional(232), optional(240)];
        let _chain_depths = (optional(248), optional(256));
        let tail_entry_array = optional(264).map(|both| (both as u32, (both >> 32) as u32));
        let tail_entry = optional(272);
        Some(Self { counts, tail_entry_array, tail_entry, ..header })
    }

    /// Why the file cannot be understood.
    pub(super) fn unknown(&self) -> Option<String> {
        let compatible = self.compatible & !KNOWN_COMPATIBLE;
        let incompatible = self.incompatible & !KNOWN_INCOMPATIBLE;
        (compatible | incompatible != 0)
            .then(|| format!("it has features that are not known (flags {compatible:#x} and {incompatible:#x})"))
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.compatible & SEALED != 0
    }

    /// Whether there is a tag for each interval, one without entries too (since systemd 255).
    pub(super) const fn is_continuous(&self) -> bool {
        self.compatible & SEALED_CONTINUOUS != 0
    }

    /// Whether the header names the boot of the last entry, and not that of whoever wrote last.
    pub(super) const fn names_tail_boot(&self) -> bool {
        self.compatible & TAIL_ENTRY_BOOT_ID != 0
    }

    pub(super) const fn is_compact(&self) -> bool {
        self.incompatible & COMPACT != 0
    }

    /// Where its objects must end; `None`: nowhere.
    pub(super) const fn end(&self) -> Option<u64> {
        self.size.checked_add(self.arena_size)
    }
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectKind {
    Data,
    Field,
    Entry,
    DataHashTable,
    FieldHashTable,
    EntryArray,
    Tag,
}

impl ObjectKind {
    /// Its name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Data => "data object",
            Self::Field => "field object",
            Self::Entry => "entry",
            Self::DataHashTable => "data hash table",
            Self::FieldHashTable => "field hash table",
            Self::EntryArray => "entry array",
            Self::Tag => "tag",
        }
    }

    const fn least(self, compact: bool) -> u64 {
        match self {
            Self::Data if compact => 72 + 1,
            Self::Data => 64 + 1,
            Self::Field => 40 + 1,
            Self::Entry => ENTRY_ITEMS + if compact { 4 } else { 16 },
            Self::DataHashTable | Self::FieldHashTable => OBJECT_HEAD as u64 + 16,
            Self::EntryArray => ARRAY_ITEMS + if compact { 4 } else { 8 },
            Self::Tag => TAG as u64,
        }
    }
}

/// Bytes of what every object begins with.
pub(super) const OBJECT_HEAD: usize = 16;
/// Bytes of an entry before the references to its data.
const ENTRY_ITEMS: u64 = 64;
/// Bytes of an entry array before the references to its entries.
pub(super) const ARRAY_ITEMS: u64 = 24;
/// Bytes of a tag.
pub(super) const TAG: usize = 64;

/// What every object begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectHead {
    pub(super) kind: ObjectKind,
    pub(super) size: u64,
}

impl ObjectHead {
    /// `Err` says what is wrong with it.
    pub(super) fn parse(bytes: &[u8], compact: bool) -> Result<Self, &'static str> {
        let mut r = Reader::new(bytes);
        let (Some(kind), Some(flags), Some(reserved), Some(size)) = (r.u8(), r.u8(), r.array::<6>(), r.le64()) else {
            return Err("the file ends in it");
        };
        let kind = match kind {
            1 => ObjectKind::Data,
            2 => ObjectKind::Field,
            3 => ObjectKind::Entry,
            4 => ObjectKind::DataHashTable,
            5 => ObjectKind::FieldHashTable,
            6 => ObjectKind::EntryArray,
            7 => ObjectKind::Tag,
            _ => return Err("it is of no known kind"),
        };
        // Which compression says one bit of three; data alone are compressed.
        if flags & !7 != 0 || flags.count_ones() > 1 || (flags != 0 && kind != ObjectKind::Data) {
            return Err("it has flags that it cannot have");
        }
        if reserved != [0; 6] {
            return Err("reserved bytes are in use");
        }
        let (behind, step) = match kind {
            ObjectKind::Entry if compact => (ENTRY_ITEMS, 4),
            ObjectKind::Entry => (ENTRY_ITEMS, 16),
            ObjectKind::EntryArray if compact => (ARRAY_ITEMS, 4),
            ObjectKind::EntryArray => (ARRAY_ITEMS, 8),
            ObjectKind::DataHashTable | ObjectKind::FieldHashTable => (OBJECT_HEAD as u64, 16),
            ObjectKind::Tag => (size.min(TAG as u64), u64::MAX),
            ObjectKind::Data | ObjectKind::Field => (0, 1),
        };
        if size < kind.least(compact) || !(size - behind).is_multiple_of(step) {
            return Err("it is of a size that it cannot have");
        }
        Ok(Self { kind, size })
    }

    /// Bytes from its beginning to that of the next object.
    pub(super) const fn stride(self) -> Option<u64> {
        self.size.checked_next_multiple_of(8)
    }

    /// What of it a tag covers: the rest may change when later entries refer to it, or is the tag itself.
    pub(super) const fn sealed(self, compact: bool) -> [Range<u64>; 3] {
        const NONE: Range<u64> = 0..0;
        const HEAD: Range<u64> = 0..OBJECT_HEAD as u64;
        match self.kind {
            ObjectKind::Data => [HEAD, 16..24, if compact { 72 } else { 64 }..self.size],
            ObjectKind::Field => [HEAD, 16..24, 40..self.size],
            ObjectKind::Entry => [HEAD, 16..self.size, NONE],
            ObjectKind::DataHashTable | ObjectKind::FieldHashTable | ObjectKind::EntryArray => [HEAD, NONE, NONE],
            ObjectKind::Tag => [HEAD, 16..32, NONE],
        }
    }
}

/// What an entry says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryHead {
    pub(super) seqnum: u64,
    pub(super) realtime: u64,
    pub(super) monotonic: u64,
    pub(super) boot_id: [u8; 16],
}

impl EntryHead {
    /// Bytes from the beginning of the object on.
    pub(super) const SIZE: usize = 56;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes.get(OBJECT_HEAD..)?);
        Some(Self { seqnum: r.le64()?, realtime: r.le64()?, monotonic: r.le64()?, boot_id: r.array()? })
    }
}

/// A tag: the seal of what lies between it and the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct TagObject {
    pub(super) seqnum: u64,
    pub(super) epoch: u64,
    pub(super) tag: [u8; 32],
}

impl TagObject {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes.get(OBJECT_HEAD..)?);
        Some(Self { seqnum: r.le64()?, epoch: r.le64()?, tag: r.array()? })
    }
}
