//! How an archive is compressed, told by its first bytes.

/// How an archive is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// The .lzma format, without a magic of its own.
    Lzma,
    /// LZ4's legacy frames.
    Lz4,
    /// bzip2.
    Bzip2,
    /// lzop.
    Lzo,
}

impl Compression {
    const MAGIC: [(&'static [u8], Self); 8] = [
        (b"\x1f\x8b", Self::Gzip),
        (b"\x1f\x9e", Self::Gzip),
        (b"\x28\xb5\x2f\xfd", Self::Zstd),
        (b"\xfd7zXZ\0", Self::Xz),
        (b"\x5d\0\0", Self::Lzma),
        (b"\x02\x21\x4c\x18", Self::Lz4),
        (b"BZh", Self::Bzip2),
        (b"\x89LZO", Self::Lzo),
    ];

    /// That of what begins like this.
    #[must_use]
    pub fn of(beginning: &[u8]) -> Option<Self> {
        Self::MAGIC.iter().find(|(magic, _)| beginning.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// Its usual name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
        }
    }
}
