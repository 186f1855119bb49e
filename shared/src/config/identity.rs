//! `[dedupe]` and the part of `[storage]` that fixes identity.

use crate::event::id::{IdentityConfig, IdentityMode};

crate::config_section! {
    pub fn identity(source) -> IdentityConfig in "dedupe" {
        /// What makes two events with one `eventId` the same event: `id_time` also takes the
        /// `timestamp` the client sent, `id` the `eventId` alone. Ids that hold a time (UUIDv7, v6,
        /// v1, ULID) stand alone either way. `id` makes the `_id` of all others random, which costs
        /// MongoDB about twice the work per event. The same for all services; it can change only
        /// with a new database.
        mode["dedupe.identity"]: IdentityMode = "id_time";
        /// Leading bits of `_id` taken from its hash: they spread inserts over as many shard
        /// ranges, 4 over sixteen, so that a database can be sharded later. 6 cost 20 % of the
        /// insert. The same for all services; it can change only with a new database.
        salt_bits["storage.salt_bits"]: u8 = "4", "0"..="12";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::event::id::SALT_BITS_MAX;

    #[test]
    fn the_largest_salt_is_the_one_that_ids_can_hold() {
        let mut source = Source::default();
        identity(&mut source);
        let mut keys = source.keys().iter();
        let key = keys.find(|key| key.name == "storage.salt_bits").unwrap();
        let highest = format!(" to `{SALT_BITS_MAX}`");
        assert!(key.kind.ends_with(&highest), "{}", key.kind);
    }

    #[test]
    fn the_default_is_the_default_of_ids() {
        let mut source = Source::from_text("", &[]).unwrap();
        assert_eq!(identity(&mut source), IdentityConfig::default());
        let text = "[dedupe]\nidentity = \"id\"\n[storage]\nsalt_bits = 6";
        let mut source = Source::from_text(text, &[]).unwrap();
        let found = identity(&mut source);
        assert_eq!((found.mode, found.salt_bits), (IdentityMode::TenantId, 6));
    }
}
