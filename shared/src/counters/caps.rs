//! How many types of each tenant are counted by name.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::{TYPES_MAX, types_unless_said};

/// Types of each tenant that are counted by name on each partition; clones share it.
///
/// As long as nothing was said they are [`TYPES_MAX`] of every tenant: to name too many for a moment
/// costs some bytes, to name too few counts events under another name than `verify` looks for.
#[derive(Debug, Clone, Default)]
pub struct TypeCaps(Arc<ArcSwapOption<HashMap<Box<str>, u32>>>);

impl TypeCaps {
    /// Takes what was said of all tenants.
    pub fn say<'t>(&self, caps: impl Iterator<Item = (&'t str, u32)>) {
        let caps = caps.map(|(tenant, cap)| (tenant.into(), cap)).collect();
        self.0.store(Some(Arc::new(caps)));
    }

    /// How many types of `tenant`.
    pub fn of(&self, tenant: &str) -> u32 {
        let said = self.0.load();
        let Some(said) = said.as_ref() else {
            return TYPES_MAX;
        };
        let cap = said.get(tenant).copied();
        cap.unwrap_or_else(|| types_unless_said(tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::TYPES_NEW;

    #[test]
    fn a_tenant_nothing_was_said_of_is_a_new_one() {
        let caps = TypeCaps::default();
        assert_eq!(caps.of("a"), TYPES_MAX);
        caps.clone().say([("a", 7)].into_iter());
        let found = ["a", "b", "default"].map(|tenant| caps.of(tenant));
        assert_eq!(found, [7, TYPES_NEW, TYPES_MAX]);
    }
}
