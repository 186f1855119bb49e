//! Judging how many types tenants have.

use std::cmp::Reverse;

use super::super::spans::SpansFacts;
use super::super::{Check, Finding};

/// Pairs of a tenant and a type that a GiB of mongod's cache takes. Source: each has a place of its own in
/// the index of types, and the pages at all places are dirty at once.
const PAIRS_PER_GIB: u64 = 256;

/// Tenants that are named.
const NAMED_MAX: usize = 3;

const GIB: u64 = 1 << 30;

/// Judges them beside mongod's cache.
pub(super) fn types(facts: &SpansFacts) -> Finding {
    let check = Check::TenantTypes;
    let pairs = facts.types.values().sum::<usize>() as u64;
    let Some(cache) = facts.cache_bytes else {
        let found = format!("{pairs}, and mongod does not tell the size of its cache");
        return check.unknown(found, "");
    };
    let most = u64::try_from(u128::from(cache) * u128::from(PAIRS_PER_GIB) / u128::from(GIB));
    let most = most.unwrap_or(u64::MAX);
    if pairs <= most {
        return check.pass(format!("{pairs} of {most} that fit mongod's cache"));
    }
    let mut tenants: Vec<_> = facts.types.iter().collect();
    tenants.sort_by_key(|(_, types)| Reverse(**types));
    let tenants = tenants.iter().take(NAMED_MAX);
    let named: Vec<String> = tenants
        .map(|(tenant, types)| format!("{tenant} has {types}"))
        .collect();
    check.warn(
        format!(
            "{pairs} pairs of a tenant and a type, {most} fit mongod's cache: {}",
            named.join(", ")
        ),
        "inserts of each come into the index of types at a place of its own: give mongod a larger cache \
         (--wiredTigerCacheSizeGB), have clients send fewer types, or leave `type` out of storage.indexes",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::doctor::Level;

    #[test]
    fn types_beyond_what_the_cache_takes_are_named_with_their_tenants() {
        let mut facts = SpansFacts {
            cache_bytes: Some(GIB / 2),
            types: BTreeMap::from([("a".to_owned(), 28), ("b".to_owned(), 100)]),
            ..SpansFacts::default()
        };
        assert_eq!(types(&facts).level, Level::Pass);
        facts.types.insert("c".to_owned(), 1);
        let found = types(&facts);
        assert_eq!(found.level, Level::Warn);
        let expected = "129 pairs of a tenant and a type, 128 fit mongod's cache: b has 100, a has 28, c has 1";
        assert_eq!(found.found, expected);
        facts.cache_bytes = None;
        assert_eq!(types(&facts).level, Level::Unknown);
    }
}
