//! How a list is read: by which index, and what is left to filter. Pure.

use bson::{Bson, Document, doc};
use evp_shared::store::Index;
use mongodb::options::Hint;

use super::filter::{Filter, TYPES_MAX, any_of};
use super::position::Order;

/// What MongoDB has to read a list by.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    /// The secondary indexes that exist.
    pub indexes: Vec<Index>,
    /// The tenant's event types; `None` when they are too many to merge, or cannot be told.
    pub types: Option<Vec<String>>,
}

impl Catalogue {
    /// Bytes it takes, about.
    pub fn weight(&self) -> usize {
        let types = self.types.iter().flatten();
        size_of::<Self>()
            + types
                .map(|kind| size_of::<String>() + kind.len())
                .sum::<usize>()
    }
}

/// How a list is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What it is ordered by.
    pub order: Order,
    /// The index; named, so that mongod cannot choose one that makes it sort.
    pub hint: Hint,
    /// What the index answers: a range of it per value.
    pub bounds: Document,
    /// What is tested on each event that the index gives; empty when the index answers it all.
    pub residual: Document,
}

impl Plan {
    /// Chooses the index that leaves least to test: a user's and a session's events are few, a
    /// type's are many, and without any of the three the types of the tenant are merged.
    pub fn decide(filter: &Filter, catalogue: &Catalogue) -> Self {
        let usable = [Index::User, Index::Session, Index::Type]
            .into_iter()
            .find_map(|index| {
                let exists = catalogue.indexes.contains(&index);
                let condition = exists.then(|| filter.condition(index)).flatten()?;
                Some((index, condition))
            });
        let merged = || {
            let types = catalogue.types.as_deref()?;
            let mergeable = (1..=TYPES_MAX).contains(&types.len());
            let exists = catalogue.indexes.contains(&Index::Type);
            (exists && mergeable && filter.types.is_empty()).then(|| (Index::Type, any_of(types)))
        };
        match usable.or_else(merged) {
            Some((index, condition)) => Self::by_index(filter, index, condition),
            None => Self::by_id(filter),
        }
    }

    /// Reads all of the collection by `_id`.
    pub fn by_id(filter: &Filter) -> Self {
        let mut residual = doc! { "tenant": filter.tenant.as_str() };
        residual.extend(filter.window.condition());
        residual.extend(conditions(filter, None));
        Self {
            order: Order::Id,
            hint: Hint::Keys(doc! { "_id": 1 }),
            bounds: Document::new(),
            residual,
        }
    }

    fn by_index(filter: &Filter, index: Index, condition: Bson) -> Self {
        let mut bounds = doc! { "tenant": filter.tenant.as_str(), index.field(): condition };
        bounds.extend(filter.window.condition());
        Self {
            order: Order::Timestamp,
            hint: Hint::Name(index.as_str().to_owned()),
            bounds,
            residual: conditions(filter, Some(index)),
        }
    }
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

    fn catalogue(indexes: &[Index], types: usize) -> Catalogue {
        Catalogue {
            indexes: indexes.to_vec(),
            types: (types > 0).then(|| (0..types).map(|n| format!("t{n}")).collect()),
        }
    }

    /// The index's name and the fields left to test.
    fn decided(filter: &Filter, catalogue: &Catalogue) -> (String, Vec<String>) {
        let plan = Plan::decide(filter, catalogue);
        let name = match plan.hint {
            Hint::Name(name) => name,
            _ => "_id".to_owned(),
        };
        (name, plan.residual.keys().cloned().collect())
    }

    #[test]
    fn the_index_that_leaves_least_is_chosen() {
        let default = catalogue(&[Index::Type, Index::User], 3);
        let all = catalogue(&Index::ALL, 3);
        let none = catalogue(&[], 3);
        let user = filter(&["a"], Some("u"), None);
        let session = filter(&["a"], None, Some("s"));
        let any = filter(&[], None, None);
        let table: [(&Filter, &Catalogue, &str, &[&str]); 9] = [
            (&filter(&["a", "b"], None, None), &default, "type", &[]),
            (&user, &default, "user", &["eventType"]),
            (&session, &default, "type", &["sessionId"]),
            (&session, &all, "session", &["eventType"]),
            (
                &filter(&[], None, Some("s")),
                &default,
                "type",
                &["sessionId"],
            ),
            (&any, &default, "type", &[]),
            (&any, &catalogue(&[Index::Type], 201), "_id", &["tenant"]),
            (&any, &catalogue(&[Index::Type], 0), "_id", &["tenant"]),
            (&user, &none, "_id", &["tenant", "eventType", "userId"]),
        ];
        for (filter, catalogue, index, left) in table {
            let (name, residual) = decided(filter, catalogue);
            assert_eq!(name, index, "{filter:?}");
            assert_eq!(residual, left, "{filter:?}");
        }
    }

    #[test]
    fn the_tenant_is_always_asked_for() {
        for filter in [
            filter(&[], None, None),
            filter(&["a"], Some("u"), Some("s")),
        ] {
            for catalogue in [catalogue(&Index::ALL, 2), catalogue(&[], 0)] {
                let plan = Plan::decide(&filter, &catalogue);
                let mut asked = plan.bounds.clone();
                asked.extend(plan.residual);
                assert_eq!(asked.get_str("tenant").unwrap(), "default");
            }
        }
    }
}
