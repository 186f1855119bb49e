//! Deliberate defects: each breaks the protocol in one place, and the simulation has to find it.

/// One way to get the protocol wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// A commit counts whatever the frame's settled bit says.
    NoSettledBit,
    /// The bit is set by a second call, after the one that counts.
    BitInAnotherStep,
    /// After an attempt without an answer the frame is sent to another partition.
    MovedFrame,
    /// An answer with a write concern error counts as an answer.
    AckOnWriteConcernError,
    /// The look-up of `f` reads what the server asked happens to have, after an insert whose
    /// answer was lost: what is found counts as stored.
    FindAsProof,
    /// The look-up before the insert reads what the server asked happens to have.
    LocalLookUpFirst,
    /// What a server of its own shows counts as synced.
    ReadWithoutSync,
    /// What was read counts as synced by whichever process synced afterwards.
    SyncOfAnyProcess,
    /// Where a receipt exists already, the own counts are settled instead of its.
    NoReceiptReadBack,
    /// Each event of a frame is classified by itself, also when two have one `_id`.
    NonDistinctIds,
    /// Every document that was there already is a duplicate, whichever frame stored it.
    DuplicatesWithoutF,
    /// The commit script does not compare lives.
    NoLifeInCommit,
    /// The append script does not compare lives.
    NoLifeInAppend,
    /// The answer of an append that was sent in an older life counts.
    OldLifeAnswerCounts,
    /// New frames are appended in a new life, the held ones are not appended again.
    NoReplay,
    /// Of several lives not heard of, the newest one's cut counts.
    CutOfNewestLife,
    /// Entries are acknowledged in one call, frames settled in the next one.
    AckBeforeSettle,
    /// A code that is no fault of the document sends it to the dead letters.
    SystemicIsPermanent,
    /// The frames of one request are appended in calls of their own.
    RequestInParts,
    /// Nothing settles the receipts whose counts Redis forgot.
    NoReconcile,
    /// What was delivered and not committed is neither read again nor claimed.
    NoRedelivery,
    /// A reconcile after a new life that fails is not begun again.
    CutTriedOnce,
    /// Held frames grow old while Redis is away.
    HeldAgesWhileAway,
    /// Frames that were appended again in a new life keep their age, and are let go at once.
    ReplayedKeepsItsAge,
    /// A life may be followed by one with a lower number, which its knowers never accept.
    LifeGoesBack,
    /// A stream that was deleted and made again keeps its life, so that an entry id may be used
    /// twice in it.
    SameLifeAfterDelete,
    /// Events are inserted without the UUID of their row's collection.
    PlainInsert,
    /// `gone` follows the floor when it has stood, whatever is still on the streams.
    DropByAge,
    /// `gone` follows the floor as soon as everything appended is acknowledged.
    GoneWithoutHold,
    /// `gone` waits for what was appended until the floor rose, not for what came until it had
    /// stood.
    OnlyUntilTheFloorRose,
    /// The hold is measured from the newest floor, which rises before it is over.
    HoldOfNewestFloor,
    /// Ingest takes the floor that Redis has, also a lower one or none.
    FloorFalls,
    /// Marks are set, not raised.
    MarkIsSet,
    /// A frame is acknowledged though one of the commands with its documents failed.
    AckPartlyStored,
    /// `verify --deep` compares frames whose documents were dropped.
    DeepOverDropped,
    /// A row is used after a look at `gone` that was taken before the row was read.
    GoneReadBeforeRow,
    /// A row is removed before its collection is dropped.
    RowBeforeDrop,
    /// What lies below `gone` is inserted like everything else.
    NothingExpires,
    /// A collection that is another one or missing means that the events have expired.
    MismatchIsExpired,
    /// After 361 the row that is known is tried again, and never read again.
    RowNeverReadAgain,
    /// An index is there when listIndexes names it.
    BuiltFromList,
    /// The UUID that listCollections gives is taken as it is.
    UuidFromList,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 42] = [
        Self::NoSettledBit,
        Self::BitInAnotherStep,
        Self::MovedFrame,
        Self::AckOnWriteConcernError,
        Self::FindAsProof,
        Self::LocalLookUpFirst,
        Self::ReadWithoutSync,
        Self::SyncOfAnyProcess,
        Self::NoReceiptReadBack,
        Self::NonDistinctIds,
        Self::DuplicatesWithoutF,
        Self::NoLifeInCommit,
        Self::NoLifeInAppend,
        Self::OldLifeAnswerCounts,
        Self::NoReplay,
        Self::CutOfNewestLife,
        Self::AckBeforeSettle,
        Self::SystemicIsPermanent,
        Self::RequestInParts,
        Self::NoReconcile,
        Self::NoRedelivery,
        Self::CutTriedOnce,
        Self::HeldAgesWhileAway,
        Self::ReplayedKeepsItsAge,
        Self::LifeGoesBack,
        Self::SameLifeAfterDelete,
        Self::PlainInsert,
        Self::DropByAge,
        Self::GoneWithoutHold,
        Self::OnlyUntilTheFloorRose,
        Self::HoldOfNewestFloor,
        Self::FloorFalls,
        Self::MarkIsSet,
        Self::AckPartlyStored,
        Self::DeepOverDropped,
        Self::GoneReadBeforeRow,
        Self::RowBeforeDrop,
        Self::NothingExpires,
        Self::MismatchIsExpired,
        Self::RowNeverReadAgain,
        Self::BuiltFromList,
        Self::UuidFromList,
    ];
}
