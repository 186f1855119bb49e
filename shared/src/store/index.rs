//! Which indexes a span has.

use bson::{Document, doc};

crate::choices! {
    /// What lists are asked by, each owed an index. One costs 2-4 CPU s per million events.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Index {
        /// By type.
        Type = "type",
        /// By user.
        User = "user",
        /// By session.
        Session = "session",
    }
}

impl Index {
    /// The field it is there for.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Type => "eventType",
            Self::User => "userId",
            Self::Session => "sessionId",
        }
    }
}

crate::choices! {
    /// What a span is at.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum State {
        /// Events come in: users are indexed by bucket.
        Hot = "hot",
        /// It has ended: users are indexed exactly. Late events still go into it.
        Sealed = "sealed",
        /// The span of undated ids: exact from the start, it never ends.
        Undated = "undated",
    }
}

crate::choices! {
    /// An index of a span, by its name in MongoDB.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum SpanIndex {
        /// Lists by type: `{tenant, eventType, timestamp, _id}`.
        Type = "type",
        /// Lists by user while events come in: `{u, timestamp, _id, tenant, userId}`, `u` the bucket of
        /// the user ([`crate::document::user_bucket`]). With the user itself in front each of them is
        /// a page that becomes dirty.
        UserRecent = "user_recent",
        /// Lists by user of what is sealed: `{tenant, userId, timestamp, _id}`.
        User = "user",
        /// Lists by session: `{tenant, sessionId, timestamp, _id}`.
        Session = "session",
        /// Lists of undated events without a filter: `{tenant, timestamp, _id}`.
        Time = "time",
    }
}

impl SpanIndex {
    /// What a span in `state` has for the queries of `indexes`.
    pub fn wanted(indexes: &[Index], state: State) -> Vec<Self> {
        let of = |index: &Index| match (index, state) {
            (Index::Type, _) => Self::Type,
            (Index::User, State::Hot) => Self::UserRecent,
            (Index::User, _) => Self::User,
            (Index::Session, _) => Self::Session,
        };
        let mut wanted: Vec<Self> = indexes.iter().map(of).collect();
        wanted.extend((state == State::Undated).then_some(Self::Time));
        wanted.sort_unstable();
        wanted
    }

    /// As `createIndexes` takes it.
    pub fn specification(self) -> Document {
        let exact = |field: &str| doc! { "tenant": 1, field: 1, "timestamp": 1, "_id": 1 };
        // Most events may lack the field, and a list by it never asks for those.
        let (key, only_with) = match self {
            Self::Type => (exact("eventType"), None),
            Self::User => (exact("userId"), Some("userId")),
            Self::Session => (exact("sessionId"), Some("sessionId")),
            Self::UserRecent => (
                doc! { "u": 1, "timestamp": 1, "_id": 1, "tenant": 1, "userId": 1 },
                Some("u"),
            ),
            Self::Time => (doc! { "tenant": 1, "timestamp": 1, "_id": 1 }, None),
        };
        let mut specification = doc! { "name": self.as_str(), "key": key };
        if let Some(field) = only_with {
            let filter = doc! { field: { "$exists": true } };
            specification.insert("partialFilterExpression", filter);
        }
        specification
    }
}
