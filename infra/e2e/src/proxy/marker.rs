/// What a request is recognised by: bytes that are in it, and bytes that are not.
#[derive(Debug, Clone, Copy)]
pub struct Marker {
    all: &'static [&'static [u8]],
    none: &'static [&'static [u8]],
}

impl Marker {
    /// The append script: it names life, stream and totals, and no key more.
    pub const APPEND: Self = Self {
        all: &[b":life\r\n", b":events\r\n", b":totals\r\n"],
        none: &[b":kept\r\n", b"HMGET"],
    };
    /// The commit script of a bulk; that of a tick has the eighteen arguments all calls have, and
    /// no more.
    pub const COMMIT: Self = Self {
        all: &[b":kept\r\n", b":never\r\n", b":c:total\r\n"],
        none: &[b"*18\r\n"],
    };
    /// An insert into a span of events.
    pub const INSERT: Self = Self::of(&[b"\x02insert\0", b"\0\0\0events_"]);
    /// An insert into the receipts.
    pub const RECEIPT: Self = Self::of(&[b"\x02insert\0\x09\0\0\0receipts\0"]);
    /// A write into the dead letters.
    pub const DEAD_LETTER: Self = Self::of(&[b"\0dead_letters\0"]);

    /// Bytes that are all in the request.
    #[must_use]
    pub const fn of(all: &'static [&'static [u8]]) -> Self {
        Self { all, none: &[] }
    }

    /// Whether `chunk` is such a request, or its beginning.
    pub(super) fn is_in(&self, chunk: &[u8]) -> bool {
        let has = |bytes: &&[u8]| chunk.windows(bytes.len()).any(|window| window == *bytes);
        self.all.iter().all(has) && !self.none.iter().any(has)
    }
}
