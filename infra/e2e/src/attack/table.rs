use super::{
    Attack, doors, keys, limits, mail, outages, rest, rights, secrets, sessions, tenants, unknown,
    wire,
};

macro_rules! attacks {
    ($($row:literal $name:literal $tried:literal $run:path;)*) => {
        /// All attacks, in the order of the rows of SECURITY.md.
        pub const ALL: &[Attack] = &[$(Attack {
            name: $name,
            row: $row,
            tried: $tried,
            run: |size| Box::pin($run(size)),
        }),*];
    };
}

attacks! {
    1 "every_route" "every route and 200 made-up paths without a credential, and with another tenant's"
        doors::every_route;
    2 "revoked" "keys that were rotated or revoked, at two ingests and two aggregators"
        keys::revoked;
    3 "forgotten" "the same through FLUSHALL, an older Redis, a cut log, Redis and MongoDB away or set back"
        outages::forgotten;
    4 "one_id" "one eventId of two tenants; a tenant with more types than are told apart"
        tenants::one_id;
    5 "flood" "a tenant that sends more than drains beside one that sends little" limits::flood;
    6 "quota" "more than a day's quota over two ingests, one of them killed" limits::quota;
    7 "unknown_keys" "well-formed keys that do not exist" unknown::unknown_keys;
    8 "idle" "12,000 idle connections and 2,000 stalled handshakes of one address" wire::idle;
    9 "certificates" "a certificate exchanged under load, a broken one, TLS 1.1" wire::certificates;
    10 "cookie" "a session's cookie from another origin, at ingest, after signing out" sessions::cookie;
    11 "codes" "a code twice, in another browser or none, guessed; unknown addresses, CR LF" mail::codes;
    12 "secrets" "the secrets of a run in logs, metrics, audit and both databases' files"
        secrets::searched;
    13 "wide_open" "0.0.0.0 without TLS, or in open mode" wire::wide_open;
    14 "least_privilege" "evp:access as another service's user; audit, tenants, keys, sessions and members as any"
        rights::least;
    15 "opened_before" "what open mode stored, after switching to keys (the whole system in `opened.rs`)" tenants::opened_before;
    16 "odds" "a viewer as an admin, a link twice, a session past its lives, foreign types, refusals in /usage, headers, forged ones"
        rest::odds;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_tried() {
        let rows: BTreeSet<u8> = ALL.iter().map(|attack| attack.row).collect();
        assert_eq!(rows, (1..=16).collect());
        let names: BTreeSet<&str> = ALL.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
