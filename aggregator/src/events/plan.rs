//! How a list reads a span: by which index, and what is left to filter. Pure.

use bson::{Bson, Document, doc};
use evp_shared::document::user_bucket;
use evp_shared::store::{Index, SpanIndex};

use super::filter::{Filter, TYPES_MAX, any_of};

/// Entries of an index that one step of a scan looks at, or twice as many where times are equal.
/// Source: 5,000 documents in mongod's cache are filtered in 10 ms, from a disk in about a second.
pub(super) const STEP_ENTRIES: u64 = 5_000;

/// The same where most are filtered by the index alone. Source: 1.1 us an entry.
const STEP_KEYS: u64 = 50_000;

/// How a span is read in the order of `timestamp` and `_id`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The index; named, so that mongod cannot choose one that makes it sort.
    pub index: SpanIndex,
    /// What the index answers: a range of it per value.
    pub bounds: Document,
    /// What is tested on each entry that the index gives; empty when the index answers it all.
    pub residual: Document,
}

/// How a span can be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// By an index.
    Index(Plan),
    /// By the type index, with [`Plan::merged`] over all types of the tenant.
    Types,
    /// By `_id` alone.
    Ids,
}

impl Way {
    /// Chooses, of the `indexes` that a span has, the one that leaves least to test: a user's and a
    /// session's events are few, a type's are many, and without any of the three the types of the
    /// tenant are merged.
    pub fn choose(filter: &Filter, indexes: &[SpanIndex]) -> Self {
        let exact = [
            (SpanIndex::User, Index::User),
            (SpanIndex::UserRecent, Index::User),
            (SpanIndex::Session, Index::Session),
            (SpanIndex::Type, Index::Type),
        ];
        let usable = exact.into_iter().find_map(|(index, by)| {
            let exists = indexes.contains(&index);
            exists.then(|| filter.condition(by)).flatten()?;
            Some(Plan::by_index(filter, index, by))
        });
        if let Some(plan) = usable {
            return Self::Index(plan);
        }
        if indexes.contains(&SpanIndex::Time) {
            return Self::Index(Plan {
                index: SpanIndex::Time,
                bounds: doc! { "tenant": filter.tenant.as_str() },
                residual: conditions(filter, None),
            });
        }
        if indexes.contains(&SpanIndex::Type) {
            Self::Types
        } else {
            Self::Ids
        }
    }
}

impl Plan {
    /// Reads all of `types`, which are those of the tenant: as many plans as mongod can each merge
    /// without sorting.
    pub fn merged(filter: &Filter, types: &[String]) -> Vec<Self> {
        let groups = types.chunks(TYPES_MAX);
        let plan = |group: &[String]| Self {
            index: SpanIndex::Type,
            bounds: doc! { "tenant": filter.tenant.as_str(), "eventType": any_of(group) },
            residual: conditions(filter, Some(Index::Type)),
        };
        groups.map(plan).collect()
    }

    fn by_index(filter: &Filter, index: SpanIndex, by: Index) -> Self {
        let condition = filter.condition(by).unwrap_or(Bson::Null);
        let mut exact = doc! { "tenant": filter.tenant.as_str(), by.field(): condition };
        let others = conditions(filter, Some(by));
        let (bounds, residual) = match (index, &filter.user_id) {
            // Others share the bucket, so that the user is tested too, if in the index.
            (SpanIndex::UserRecent, Some(user)) => {
                exact.extend(others);
                let bucket = user_bucket(filter.tenant.as_str(), user);
                (doc! { "u": bucket }, exact)
            }
            _ => (exact, others),
        };
        Self {
            index,
            bounds,
            residual,
        }
    }

    /// Entries that a step of a scan looks at when the one before it looked at `before`: few at
    /// first, for mostly what is asked for is near.
    pub(super) fn step(&self, before: Option<u64>) -> u64 {
        match before {
            Some(before) if self.index == SpanIndex::UserRecent => (4 * before).min(STEP_KEYS),
            _ => STEP_ENTRIES,
        }
    }
}

/// What is tested on each event of a span that is read by `_id`.
pub(super) fn all_conditions(filter: &Filter) -> Document {
    let mut all = doc! { "tenant": filter.tenant.as_str() };
    all.extend(filter.window.condition());
    all.extend(conditions(filter, None));
    all
}

/// What the filter asks of the fields of all indexes but `without`.
fn conditions(filter: &Filter, without: Option<Index>) -> Document {
    let asked = Index::ALL
        .into_iter()
        .filter(|index| Some(*index) != without);
    asked
        .filter_map(|index| Some((index.field().to_owned(), filter.condition(index)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use evp_shared::store::State;

    use super::*;
    use crate::auth::Tenant;
    use crate::events::filter::Window;

    fn filter(types: &[&str], user: Option<&str>, session: Option<&str>) -> Filter {
        Filter {
            tenant: Tenant::named("default"),
            types: types.iter().map(|kind| (*kind).to_owned()).collect(),
            user_id: user.map(str::to_owned),
            session_id: session.map(str::to_owned),
            window: Window::ALL,
            written_window: Default::default(),
        }
    }

    /// The index's name and the fields left to test.
    fn decided(filter: &Filter, indexes: &[SpanIndex]) -> (String, Vec<String>) {
        match Way::choose(filter, indexes) {
            Way::Index(plan) => (
                plan.index.to_string(),
                plan.residual.keys().cloned().collect(),
            ),
            Way::Types => ("types".to_owned(), Vec::new()),
            Way::Ids => ("_id".to_owned(), Vec::new()),
        }
    }

    #[test]
    fn the_index_that_leaves_least_is_chosen() {
        let default = &[Index::Type, Index::User];
        let hot = SpanIndex::wanted(default, State::Hot);
        let sealed = SpanIndex::wanted(default, State::Sealed);
        let undated = SpanIndex::wanted(default, State::Undated);
        let all = SpanIndex::wanted(&Index::ALL, State::Sealed);
        let user = filter(&["a"], Some("u"), None);
        let session = filter(&["a"], None, Some("s"));
        let no_type = filter(&[], None, Some("s"));
        let any = filter(&[], None, None);
        let of_type = filter(&["a", "b"], None, None);
        let bucket = &["tenant", "userId", "eventType"][..];
        let table: [(&Filter, &[SpanIndex], &str, &[&str]); 14] = [
            (&of_type, &hot, "type", &[]),
            (&of_type, &undated, "type", &[]),
            (&user, &hot, "user_recent", bucket),
            (&user, &sealed, "user", &["eventType"]),
            (&user, &undated, "user", &["eventType"]),
            (&session, &hot, "type", &["sessionId"]),
            (&session, &all, "session", &["eventType"]),
            (&no_type, &sealed, "types", &[]),
            (&no_type, &undated, "time", &["sessionId"]),
            (&any, &hot, "types", &[]),
            (&any, &undated, "time", &[]),
            (&any, &[SpanIndex::UserRecent], "_id", &[]),
            (&any, &[], "_id", &[]),
            (&user, &[], "_id", &[]),
        ];
        for (filter, indexes, index, left) in table {
            let (name, residual) = decided(filter, indexes);
            assert_eq!(name, index, "{filter:?}");
            assert_eq!(residual, left, "{filter:?}");
        }
        let all: Vec<String> = all_conditions(&session).keys().cloned().collect();
        assert_eq!(all, ["tenant", "eventType", "sessionId"]);
    }

    #[test]
    fn the_tenant_is_always_asked_for() {
        let indexes = [State::Hot, State::Sealed, State::Undated]
            .map(|state| SpanIndex::wanted(&Index::ALL, state));
        for filter in [
            filter(&[], None, None),
            filter(&["a"], Some("u"), Some("s")),
        ] {
            let mut plans = Plan::merged(&filter, &["a".to_owned()]);
            for indexes in &indexes {
                if let Way::Index(plan) = Way::choose(&filter, indexes) {
                    plans.push(plan);
                }
            }
            assert!(plans.len() > 1);
            for mut plan in plans {
                plan.bounds.extend(plan.residual);
                assert_eq!(plan.bounds.get_str("tenant").unwrap(), "default");
            }
        }
    }

    #[test]
    fn types_are_merged_as_many_at_a_time_as_mongod_can() {
        let types: Vec<String> = (0..450).map(|n| format!("t{n}")).collect();
        let plans = Plan::merged(&filter(&[], None, Some("s")), &types);
        let asked = plans.iter().flat_map(|plan| {
            let types = plan.bounds.get_document("eventType").unwrap();
            types.get_array("$in").unwrap().clone()
        });
        let asked: Vec<String> = asked
            .map(|kind| kind.as_str().unwrap().to_owned())
            .collect();
        assert_eq!((plans.len(), asked), (3, types));
        assert!(
            plans
                .iter()
                .all(|plan| plan.residual.contains_key("sessionId"))
        );
    }
}
