use proptest::prelude::*;

use super::*;

const MS: i64 = 1_700_000_000_123;

fn identity(salt_bits: u8, mode: IdentityMode) -> Identity {
    Identity::new(IdentityConfig { salt_bits, mode })
}

fn plain() -> Identity {
    identity(0, IdentityMode::TenantIdTime)
}

#[test]
fn the_time_of_an_id_is_read_back() {
    for salt_bits in 0..=SALT_BITS_MAX {
        let mode = IdentityMode::TenantIdTime;
        let config = IdentityConfig { salt_bits, mode };
        let id = |ms| identity(salt_bits, mode).of_client_id("t", "order-1", ms);
        assert_eq!(config.time_ms(id(None).as_bytes()), None);
        let dated = id(Some(MS));
        let ms = config.time_ms(dated.as_bytes()).unwrap();
        assert_eq!(ms, u64::try_from(MS).unwrap());
        let mut salts = 0..1_u16 << salt_bits;
        let own = salts.find(|salt| {
            let range = config.first_id(*salt, ms)..config.first_id(*salt, ms + 1);
            range.contains(&dated)
        });
        assert!(own.is_some(), "{salt_bits}");
    }
}

/// The 48 bits after the salt.
fn time_of(id: CanonicalId, salt_bits: u32) -> u64 {
    let value = u128::from_be_bytes(*id.as_bytes());
    let free = (value >> 80) << 74 | ((value >> 64) & 0xFFF) << 62 | value & ((1 << 62) - 1);
    u64::try_from((free >> (74 - salt_bits)) & ((1 << 48) - 1)).unwrap()
}

#[test]
fn known_answers_never_change() {
    let uuid_v7 = "018bcfe5-687b-7def-8123-456789abcdef";
    let cases = [
        (0, IdentityMode::TenantIdTime, "order-1", Some(MS), KNOWN[0]),
        (0, IdentityMode::TenantIdTime, "order-1", None, KNOWN[1]),
        (0, IdentityMode::TenantId, "order-1", Some(MS), KNOWN[1]),
        (0, IdentityMode::TenantIdTime, uuid_v7, Some(0), KNOWN[2]),
        (6, IdentityMode::TenantIdTime, "order-1", Some(MS), KNOWN[3]),
        (12, IdentityMode::TenantIdTime, "order-1", None, KNOWN[4]),
        (4, IdentityMode::TenantIdTime, "order-1", Some(MS), KNOWN[5]),
    ];
    for (salt_bits, mode, event_id, timestamp, known) in cases {
        let id = identity(salt_bits, mode).of_client_id("default", event_id, timestamp);
        assert_eq!(
            id.to_string(),
            known,
            "{salt_bits} {mode:?} {event_id} {timestamp:?}"
        );
    }
    assert_eq!(IdentityConfig::default().fingerprint(), KNOWN_FINGERPRINT);
}

/// Computed by a second implementation, from the module's documentation, with BLAKE3's Python
/// package.
const KNOWN: [&str; 6] = [
    "018bcfe5-687b-8c93-9426-8d485492b671",
    "ff5dd4d7-8d0f-8c93-9426-8d485492b671",
    "018bcfe5-687b-8f87-b551-f9a5ce520e51",
    "94062f3f-95a1-8ef2-9350-9a3521524ad9",
    "96aff5dd-4d78-8d0f-b24d-4268d485492b",
    "9018bcfe-5687-8bc9-8d42-68d485492b67",
];
const KNOWN_FINGERPRINT: u32 = 2_052_190_341;

#[test]
fn fingerprints_tell_configurations_apart() {
    let mut seen = std::collections::HashSet::new();
    for salt_bits in 0..=SALT_BITS_MAX {
        for mode in [IdentityMode::TenantIdTime, IdentityMode::TenantId] {
            assert!(seen.insert(IdentityConfig { salt_bits, mode }.fingerprint()));
        }
    }
}

#[test]
fn times_inside_event_ids_are_recognised() {
    let ms_2023 = 1_700_000_000_123;
    let cases = [
        // Of RFC 9562, appendix A: all 2022-02-22T19:22:22Z.
        (
            "017F22E2-79B0-7CC3-98C4-DC0C0C07398F",
            Some(1_645_557_742_000),
        ),
        (
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            Some(1_645_557_742_000),
        ),
        (
            "1EC9414C-232A-6B00-B3C8-9F6BDECED846",
            Some(1_645_557_742_000),
        ),
        (
            "C232AB00-9414-11EC-B3C8-9F6BDECED846",
            Some(1_645_557_742_000),
        ),
        ("018bcfe5-687b-7def-8123-456789abcdef", Some(ms_2023)),
        // Version 4, a wrong variant, no hyphens, braces: no time.
        ("919108f7-52d1-4320-9bac-f847db4148a8", None),
        ("018bcfe5-687b-7def-c123-456789abcdef", None),
        ("018bcfe5687b7def8123456789abcdef", None),
        ("{18bcfe5-687b-7def-8123-456789abcde}", None),
        // Before 2000 and after 2100.
        ("00000000-0001-7def-8123-456789abcdef", None),
        ("ffffffff-ffff-7def-8123-456789abcdef", None),
        // ULIDs: of the specification; lower case; a letter outside the alphabet; too large.
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV", Some(1_469_922_850_259)),
        ("01arz3ndektsv4rrffq69g5fav", Some(1_469_922_850_259)),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAU", None),
        ("81ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ("00000000000000000000000000", None),
        ("order-1", None),
        ("", None),
    ];
    for (event_id, ms) in cases {
        assert_eq!(embedded_ms(event_id), ms, "{event_id}");
    }
}

#[test]
fn an_embedded_time_makes_the_timestamp_irrelevant() {
    let id = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
    let first = plain().of_client_id("t", id, Some(1));
    assert_eq!(first, plain().of_client_id("t", id, None));
    assert_eq!(time_of(first, 0), 1_645_557_742_000);
}

#[test]
fn a_made_id_sent_back_is_the_same_event() {
    let made = MadeId::new(1_700_000_000_123, &[7; 10]);
    let sent = made.encode(&mut [0; 36]).to_owned();
    for mode in [IdentityMode::TenantIdTime, IdentityMode::TenantId] {
        let identity = identity(3, mode);
        let id = identity.of_made_id("t", &made);
        assert_eq!(id, identity.of_client_id("t", &sent, Some(5)));
        assert_eq!(time_of(id, 3), 1_700_000_000_123);
    }
    // A clock far off makes ids whose time is none.
    let made = MadeId::new(5, &[7; 10]);
    let sent = made.encode(&mut [0; 36]).to_owned();
    let id = plain().of_made_id("t", &made);
    assert_eq!(id, plain().of_client_id("t", &sent, None));
}

#[test]
fn parts_cannot_be_confused() {
    let ids = [("ab", "c"), ("a", "bc"), ("", "abc"), ("abc", "")]
        .map(|(tenant, event_id)| plain().of_client_id(tenant, event_id, Some(MS)));
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn only_canonical_ids_parse() {
    let id = plain().of_client_id("t", "x", None);
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
    for bad in [
        "",
        "x",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "{",
        id.to_string().trim_start_matches("ff"),
    ] {
        assert_eq!(bad.parse::<CanonicalId>(), Err(ParseIdError), "{bad}");
    }
}

proptest! {
    #[test]
    fn every_id_is_a_uuid_of_version_8_that_keeps_the_time(
        salt_bits in 0..=SALT_BITS_MAX,
        tenant in "\\PC{0,20}",
        event_id in "[a-z]{1,20}",
        ms in 0..4_102_444_800_000_i64,
    ) {
        let identity = identity(salt_bits, IdentityMode::TenantIdTime);
        let dated = identity.of_client_id(&tenant, &event_id, Some(ms));
        let undated = identity.of_client_id(&tenant, &event_id, None);
        for id in [dated, undated] {
            let uuid = Uuid::from_bytes(*id.as_bytes());
            prop_assert_eq!(uuid.get_version_num(), 8);
            prop_assert_eq!(uuid.get_variant(), Variant::RFC4122);
        }
        prop_assert_eq!(time_of(dated, salt_bits.into()), u64::try_from(ms).unwrap());
        prop_assert_eq!(time_of(undated, salt_bits.into()) >> 40, 0xFF);
        prop_assert_ne!(dated, undated);
        // The salt belongs to (tenant, eventId), not to the time.
        let salt = |id: CanonicalId| id.as_bytes()[0] >> (8 - salt_bits.min(7));
        prop_assert!(salt_bits == 0 || salt(dated) == salt(undated));
    }

    #[test]
    fn ids_without_salt_are_in_time_order(
        a in 0..4_102_444_800_000_i64,
        b in 0..4_102_444_800_000_i64,
    ) {
        let (first, second) =
            (plain().of_client_id("t", "x", Some(a)), plain().of_client_id("t", "y", Some(b)));
        prop_assert!(a == b || (a < b) == (first < second));
        prop_assert!(first < plain().of_client_id("t", "x", None));
    }

    #[test]
    fn an_embedded_time_is_always_inside_the_fixed_limits(
        event_id in "\\PC{0,40}|[0-7][0-9a-zA-Z]{25}|[0-9a-f]{8}-[0-9a-f]{4}-[167][0-9a-f]{3}-[89][0-9a-f]{3}-[0-9a-f]{12}",
    ) {
        prop_assert!(embedded_ms(&event_id).is_none_or(|ms| EMBEDDED_MS.contains(&ms)));
    }
}
