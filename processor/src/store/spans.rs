//! The spans this processor knows: where a document goes, and that there is no such place any more.
//!
//! What is known of a span may be old. Every insert names the `collectionUUID` of its row, so that
//! it fails where the span was dropped meanwhile; then the row is forgotten and read again.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use evp_shared::clock::Clock;
use evp_shared::event::id::IdentityConfig;
use evp_shared::event::span::{Calendar, Span};
use evp_shared::store::{Index, Marks, Row, spans};
use parking_lot::Mutex;
use tracing::{debug, info};

use crate::store::insert::{Inserter, StoreFailure, Target};
use crate::written::Id;

/// Spans that are known at most. Source: years before the birth and days since are some 500.
const KNOWN_MAX: usize = 2_000;

/// Longest wait for a span that is made: a collection with two indexes takes some 60 ms, and seconds
/// where many are made at once.
const MAKING_DEADLINE: Duration = Duration::from_secs(60);

/// How old the marks may be that no insert has contradicted.
const MARKS_FRESH: Duration = Duration::from_secs(60);

/// A span with a row.
#[derive(Debug)]
pub struct Known {
    /// Its row, as it was.
    pub row: Row,
    name: String,
}

impl Known {
    fn new(row: Row) -> Arc<Self> {
        let name = row.name();
        Arc::new(Self { row, name })
    }

    /// The name of its collection.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What an insert into it names.
    pub fn target(&self) -> Target<'_> {
        Target {
            name: &self.name,
            uuid: Some(self.row.uuid),
        }
    }
}

/// What is fixed for all of a database's events.
#[derive(Debug, Clone)]
pub struct Layout {
    /// What cuts time into spans.
    pub calendar: Calendar,
    /// What the time in an id is read by.
    pub identity: IdentityConfig,
    /// What spans are made with.
    pub indexes: Vec<Index>,
}

impl Layout {
    /// The time in `id`, Unix ms; `None` for an undated one.
    pub fn time_ms(&self, id: &Id) -> Option<u64> {
        self.identity.time_ms(id)
    }

    /// The span of ids of `time_ms`.
    pub fn span_of(&self, time_ms: Option<u64>) -> Span {
        self.calendar.span_of(time_ms)
    }
}

/// The spans this processor knows.
#[derive(Debug)]
pub struct Spans {
    /// What is fixed.
    pub layout: Layout,
    inserter: Inserter,
    clock: Clock,
    known: Mutex<HashMap<Span, Arc<Known>>>,
    marks: Mutex<(Marks, Option<Instant>)>,
    /// One at a time: others who want the same span then find it.
    making: tokio::sync::Mutex<()>,
}

impl Spans {
    /// Knows none yet.
    pub fn new(inserter: Inserter, layout: Layout, clock: Clock) -> Self {
        Self {
            inserter,
            layout,
            clock,
            known: Mutex::default(),
            marks: Mutex::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// The span of ids that are made now.
    pub fn span_of_now(&self) -> Span {
        self.layout.span_of(Some(self.clock.now_ms()))
    }

    /// The marks, a minute old at most where MongoDB answers. Older ones do no harm: what they admit
    /// finds no span.
    pub async fn marks(&self) -> Marks {
        let now = self.clock.now();
        let (marks, is_fresh) = {
            let mut known = self.marks.lock();
            let is_fresh = known
                .1
                .is_some_and(|at| now.saturating_duration_since(at) < MARKS_FRESH);
            // Before the answer: one asks, the others go on.
            known.1 = if is_fresh { known.1 } else { Some(now) };
            (known.0, is_fresh)
        };
        if is_fresh {
            return marks;
        }
        match self.read_marks().await {
            Ok(read) => read,
            Err(error) => {
                debug!(%error, "marks not read");
                marks
            }
        }
    }

    async fn read_marks(&self) -> Result<Marks, StoreFailure> {
        let database = self.inserter.database().clone();
        let read = async move { spans::marks(&database).await };
        let read = self.inserter.within(read).await??;
        let mut known = self.marks.lock();
        // They only rise, and answers may overtake each other.
        let marks = Marks {
            floor_ms: known.0.floor_ms.max(read.floor_ms),
            gone_ms: known.0.gone_ms.max(read.gone_ms),
        };
        *known = (marks, Some(self.clock.now()));
        Ok(marks)
    }

    /// Where the documents of `span` go: as known, else as its row says, else into a span made for
    /// them; `None` where its time is over.
    ///
    /// # Errors
    /// [`StoreFailure`], never a document's fault; repeating is harmless.
    pub async fn place(&self, span: &Span) -> Result<Option<Arc<Known>>, StoreFailure> {
        if let Some(known) = self.known(span) {
            return Ok(Some(known));
        }
        let _one = self.making.lock().await;
        if let Some(known) = self.known(span) {
            return Ok(Some(known));
        }
        // The marks of after the row, or a row that a sleeper has just made anew would be believed.
        let row = self.read(span).await?;
        if self.read_marks().await?.is_gone(span) {
            return Ok(None);
        }
        if let Some(row) = row {
            return Ok(Some(self.keep(row)));
        }
        match self.make(span).await? {
            Some(row) => Ok(Some(self.keep(row))),
            None if self.read_marks().await?.is_gone(span) => Ok(None),
            None => Err(StoreFailure::NoSpan(span.to_string())),
        }
    }

    /// Forgets what is known of the span that is `known`.
    pub fn forget(&self, known: &Known) {
        let mut all = self.known.lock();
        let is_same = |one: &Arc<Known>| one.row.uuid == known.row.uuid;
        if all.get(&known.row.span).is_some_and(is_same) {
            all.remove(&known.row.span);
        }
    }

    /// Notes in the row of `known` what days it has besides its own, before a document with one of
    /// `timestamps_ms` is stored there.
    ///
    /// # Errors
    /// [`StoreFailure`]; repeating is harmless.
    pub async fn note_days(
        &self,
        known: &Known,
        timestamps_ms: impl Iterator<Item = i64>,
    ) -> Result<(), StoreFailure> {
        let days = timestamps_ms.filter_map(|ms| known.row.unnoted_day(ms));
        let days: BTreeSet<i32> = days.collect();
        // The edges first: a row that names as many days as it may has those in between by them.
        let edges = days.last().into_iter().chain(days.first());
        let mut row = known.row.clone();
        for day in edges.chain(&days) {
            if row.outside.covers(*day) {
                continue;
            }
            let (database, span, day) = (self.inserter.database().clone(), row.span, *day);
            let note = async move {
                spans::note_day(&database, &span, day).await?;
                spans::row(&database, &span).await
            };
            let noted = self.inserter.within(note).await??;
            // Gone meanwhile: the insert will say so.
            let Some(noted) = noted else { return Ok(()) };
            row = noted;
        }
        if !days.is_empty() {
            self.keep(row);
        }
        Ok(())
    }

    fn known(&self, span: &Span) -> Option<Arc<Known>> {
        self.known.lock().get(span).cloned()
    }

    fn keep(&self, row: Row) -> Arc<Known> {
        let known = Known::new(row);
        let mut all = self.known.lock();
        if all.len() >= KNOWN_MAX {
            all.clear();
        }
        all.insert(known.row.span, Arc::clone(&known));
        known
    }

    async fn read(&self, span: &Span) -> Result<Option<Row>, StoreFailure> {
        let (database, span) = (self.inserter.database().clone(), *span);
        let read = async move { spans::row(&database, &span).await };
        Ok(self.inserter.within(read).await??)
    }

    async fn make(&self, span: &Span) -> Result<Option<Row>, StoreFailure> {
        info!(%span, "making a span");
        let (database, span) = (self.inserter.database().clone(), *span);
        let indexes = self.layout.indexes.clone();
        let make = async move { spans::make(&database, &span, &indexes).await };
        let patient = self.inserter.with_deadline(MAKING_DEADLINE);
        Ok(patient.within(make).await??)
    }
}
