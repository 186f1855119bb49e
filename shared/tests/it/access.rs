//! Tenants and keys on their way from MongoDB through Redis to a service.

use std::time::Duration;

use evp_shared::access::projector::Projector;
use evp_shared::access::rate::RateLimits;
use evp_shared::access::reader::{Access, Look, LookError};
use evp_shared::access::record::{Scope, Tenant, TenantId, TenantState};
use evp_shared::access::store::{AccessError, AccessStore, Change, NewKey, NewTenant};
use evp_shared::access::teller::Teller;
use evp_shared::access::tenants::Learned;
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::clock::Clock;
use evp_shared::outcome::RejectReason;
use evp_shared::shutdown::Shutdown;
use evp_shared::stream::{AccessHead, Said, Stream};
use evp_shared::testing::{TestMongo, TestRedis};
use fred::interfaces::{HashesInterface as _, KeysInterface as _};
use futures::future::join_all;

const NOW_MS: u64 = 1_795_957_200_000;

struct World {
    redis: TestRedis,
    stream: Stream,
    _mongo: TestMongo,
    store: AccessStore,
    projector: Projector,
    access: Access,
}

impl World {
    async fn new() -> Self {
        let (redis, mongo) = (TestRedis::new().await, TestMongo::new().await);
        let stream = redis.stream(1);
        let store = AccessStore::new(&mongo.database());
        Self {
            projector: Projector::new(store.clone(), stream.clone()),
            access: Access::new(stream.clone(), Clock::system()),
            redis,
            stream,
            _mongo: mongo,
            store,
        }
    }

    async fn look(&self) -> Look {
        self.access.look().await.unwrap()
    }

    async fn key(&self, scope: Scope) -> (String, Token) {
        let new = new_key(scope);
        let (key, token) = self.store.add_key(new, NOW_MS).await.unwrap();
        (key.id, token)
    }

    async fn in_force(&self) {
        self.projector.project().await.unwrap();
        self.look().await;
    }

    fn judge(&self, token: &Token, now_ms: u64) -> Result<(), RejectReason> {
        let map = self.access.map();
        let map = map.as_ref().unwrap();
        map.find(token.expose())?.admit(now_ms)
    }
}

fn new_key(scope: Scope) -> NewKey {
    NewKey {
        name: "a key".to_owned(),
        kind: KeyKind::Secret,
        scope,
        tenant: Some(TenantId::default_tenant()),
        types: Vec::new(),
        origins: Vec::new(),
        limits: RateLimits::default(),
        expires_ms: None,
    }
}

#[tokio::test]
async fn a_key_is_good_until_it_is_revoked_or_ends() {
    let world = World::new().await;
    assert_eq!(world.look().await, Look::Behind);
    assert!(world.access.map().is_none());
    let (id, token) = world.key(Scope::Write).await;
    world.in_force().await;
    assert_eq!(world.judge(&token, NOW_MS), Ok(()));
    assert_eq!(world.look().await, Look::Same);
    let unknown = Token::generate(KeyKind::Secret);
    assert_eq!(world.judge(&unknown, NOW_MS), Err(RejectReason::UnknownKey));

    let day = Duration::from_secs(86_400);
    let (new_id, new) = world.store.rotate_key(&id, day, NOW_MS).await.unwrap();
    assert_ne!(new_id.id, id);
    world.in_force().await;
    let end_ms = NOW_MS + 86_400_000;
    assert_eq!(world.judge(&token, end_ms - 1), Ok(()));
    assert_eq!(world.judge(&token, end_ms), Err(RejectReason::KeyRevoked));
    assert_eq!(world.judge(&new, end_ms), Ok(()));

    world.store.revoke_key(&id, NOW_MS + 5).await.unwrap();
    world.store.revoke_key(&id, NOW_MS + 9).await.unwrap();
    world.in_force().await;
    assert_eq!(
        world.judge(&token, NOW_MS + 5),
        Err(RejectReason::KeyRevoked)
    );
    assert_eq!(
        world.store.key(&id).await.unwrap().revoked_ms,
        Some(NOW_MS + 5)
    );
    assert_eq!(world.judge(&new, end_ms), Ok(()));
}

#[tokio::test]
async fn a_disabled_tenants_keys_are_refused_until_it_is_active_again() {
    let world = World::new().await;
    let (_, of_default) = world.key(Scope::Write).await;
    let id: TenantId = "acme".parse().unwrap();
    world
        .store
        .add_tenant(NewTenant::named(id.clone(), " Acme "), NOW_MS)
        .await
        .unwrap();
    let mut new = new_key(Scope::Read);
    new.tenant = Some(id.clone());
    let (_, of_acme) = world.store.add_key(new, NOW_MS).await.unwrap();
    for (tenant, token) in [(id, of_acme), (TenantId::default_tenant(), of_default)] {
        for (state, judged) in [
            (TenantState::Disabled, Err(RejectReason::TenantDisabled)),
            (TenantState::Active, Ok(())),
        ] {
            let change = Change {
                state: Some(state),
                ..Change::default()
            };
            world.store.change(&tenant, &change).await.unwrap();
            world.in_force().await;
            assert_eq!(world.judge(&token, NOW_MS), judged, "{tenant} {state}");
        }
    }
}

#[tokio::test]
async fn what_redis_forgot_or_had_before_changes_nothing_until_it_is_told_again() {
    let world = World::new().await;
    let (id, token) = world.key(Scope::Write).await;
    world.in_force().await;
    let redis = world.redis.client();
    let key = world.redis.keys().access();
    let old: std::collections::HashMap<String, String> = redis.hgetall(&key).await.unwrap();
    world.store.revoke_key(&id, NOW_MS).await.unwrap();
    world.in_force().await;
    let held = world.access.version();
    let revoked = Err(RejectReason::KeyRevoked);
    assert_eq!(world.judge(&token, NOW_MS), revoked);

    redis.del::<(), _>(&key).await.unwrap();
    assert_eq!(world.look().await, Look::Behind);
    assert_eq!(world.judge(&token, NOW_MS), revoked);
    redis.hset::<(), _, _>(&key, old).await.unwrap();
    assert_eq!(world.look().await, Look::Behind);
    assert_eq!(world.judge(&token, NOW_MS), revoked);

    world.in_force().await;
    assert!(world.access.version() > held);
    assert_eq!(world.judge(&token, NOW_MS), revoked);
    // The same said under a version that services are beyond is said again.
    let head = world.stream.said_head(Said::Access).await.unwrap().unwrap();
    redis
        .hset::<(), _, _>(&key, ("version", held.to_string()))
        .await
        .unwrap();
    assert_eq!(world.look().await, Look::Behind);
    world.in_force().await;
    assert!(world.access.version() > head.version);
}

#[tokio::test]
async fn a_content_that_cannot_be_read_leaves_what_is_held() {
    let world = World::new().await;
    let (_, token) = world.key(Scope::Write).await;
    world.in_force().await;
    let (redis, key) = (world.redis.client(), world.redis.keys().access());
    let newer = (world.access.version() + 1).to_string();
    let fields = vec![("version", newer.as_str()), ("content", "{}")];
    redis.hset::<(), _, _>(&key, fields).await.unwrap();
    let looked = world.access.look().await;
    assert!(matches!(looked, Err(LookError::Content(_))), "{looked:?}");
    assert_eq!(world.judge(&token, NOW_MS), Ok(()));
}

#[tokio::test]
async fn what_was_read_before_another_wrote_is_not_written() {
    let world = World::new().await;
    world.in_force().await;
    let seen = world.stream.said_head(Said::Access).await.unwrap().unwrap();
    let late = |version| AccessHead {
        version,
        digest: "x".to_owned(),
    };
    world.key(Scope::Write).await;
    world.in_force().await;
    let stands = world.stream.said_head(Said::Access).await.unwrap();
    for seen in [None, Some(seen.version)] {
        let said = world
            .stream
            .say(Said::Access, seen, &late(u64::MAX), vec![b'x'])
            .await;
        assert!(!said.unwrap());
    }
    assert_eq!(world.stream.said_head(Said::Access).await.unwrap(), stands);
    // Two at once: what was read last is what stands.
    let (_, token) = world.key(Scope::Write).await;
    let other = Projector::new(world.store.clone(), world.stream.clone());
    let (one, other) = tokio::join!(world.projector.project(), other.project());
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    world.in_force().await;
    assert_eq!(world.judge(&token, NOW_MS), Ok(()));
}

#[tokio::test]
async fn versions_rise_over_a_restore_of_mongodb() {
    let world = World::new().await;
    world.in_force().await;
    let fields = ("version", u64::try_from(i64::MAX - 5).unwrap().to_string());
    let key = world.redis.keys().access();
    world
        .redis
        .client()
        .hset::<(), _, _>(&key, fields)
        .await
        .unwrap();
    world.look().await;
    world.key(Scope::Read).await;
    let before = world
        .stream
        .said_head(Said::Access)
        .await
        .unwrap()
        .unwrap()
        .version;
    assert_eq!(world.projector.project().await.unwrap(), before + 1);
}

#[tokio::test]
async fn an_origin_is_what_browsers_send() {
    let world = World::new().await;
    for origin in ["app.example", "https://app.example/", "https://a b"] {
        let mut new = new_key(Scope::Write);
        new.origins = vec![origin.to_owned()];
        let made = world.store.add_key(new, NOW_MS).await;
        assert!(
            matches!(
                made,
                Err(AccessError::Invalid {
                    field: "origins",
                    ..
                })
            ),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn a_key_that_follows_has_the_expiry_of_the_first_and_what_ended_has_no_follower() {
    let world = World::new().await;
    let mut new = new_key(Scope::Read);
    new.expires_ms = Some(NOW_MS + 1_000);
    let (first, _) = world.store.add_key(new, NOW_MS).await.unwrap();
    let rotate = async |id: &str, now_ms| world.store.rotate_key(id, Duration::ZERO, now_ms).await;
    let (second, _) = rotate(&first.id, NOW_MS).await.unwrap();
    assert_eq!(second.expires_ms, Some(NOW_MS + 1_000));
    for (id, now_ms) in [(&first.id, NOW_MS), (&second.id, NOW_MS + 1_000)] {
        let follower = rotate(id, now_ms).await;
        assert!(
            matches!(follower, Err(AccessError::Invalid { field: "id", .. })),
            "{follower:?}"
        );
    }
    // Long after its end it is forgotten.
    let later_ms = NOW_MS + 91 * 86_400_000;
    world
        .store
        .add_key(new_key(Scope::Read), later_ms)
        .await
        .unwrap();
    let kept = world.store.records().await.unwrap().keys;
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn what_became_of_events_is_told_and_added_up_over_a_day() {
    let world = World::new().await;
    let (id, token) = world.key(Scope::Write).await;
    world.in_force().await;
    let map = Option::clone(&world.access.map()).unwrap();
    let principal = map.find(token.expose()).unwrap();
    principal.admit(NOW_MS).unwrap();
    principal.usage().accept(7);
    principal.usage().refuse(RejectReason::TooOld);
    let shutdown = Shutdown::new();
    shutdown.trigger();
    let teller = Teller::new(world.access.clone(), world.stream.clone(), Clock::system());
    teller.run(shutdown).await.unwrap();
    let hour = Clock::system().now_ms() / 3_600_000;
    world
        .stream
        .add_usage("default", hour - 23, &[("accepted", 3)])
        .await
        .unwrap();
    world
        .stream
        .add_usage("default", hour - 24, &[("accepted", 100)])
        .await
        .unwrap();
    world
        .stream
        .add_usage("other", hour, &[("accepted", 100)])
        .await
        .unwrap();
    let usage = world.stream.usage("default", hour).await.unwrap();
    let expected = [("accepted", 10), ("too_old", 1)];
    assert_eq!(
        usage,
        expected
            .map(|(name, count)| (name.to_owned(), count))
            .into()
    );
    assert_eq!(world.stream.used().await.unwrap(), [(id, NOW_MS)].into());
    let key = world.redis.keys().usage("default", hour);
    let left: i64 = world.redis.client().ttl(key).await.unwrap();
    assert!((1..=90_000).contains(&left), "{left}");
}

#[tokio::test]
async fn what_is_not_allowed_names_its_field() {
    let world = World::new().await;
    let with = |change: fn(&mut NewKey)| {
        let mut new = new_key(Scope::Write);
        change(&mut new);
        new
    };
    let cases = [
        (with(|new| new.name = " ".to_owned()), "name"),
        (with(|new| new.name = "a\nb".to_owned()), "name"),
        (with(|new| new.name = "x".repeat(101)), "name"),
        (with(|new| new.tenant = None), "tenant"),
        (with(|new| new.scope = Scope::Operator), "tenant"),
        (
            with(|new| new.types = vec![String::from("a"); 101]),
            "types",
        ),
        (
            with(|new| new.origins = vec![String::from("https://a"); 21]),
            "origins",
        ),
        (with(|new| new.types = vec!["$a".to_owned()]), "types"),
        (with(|new| new.expires_ms = Some(u64::MAX)), "expires"),
        (
            with(|new| {
                new.kind = KeyKind::Public;
                new.scope = Scope::Read;
            }),
            "public",
        ),
        (
            with(|new| {
                new.scope = Scope::Read;
                new.types = vec!["a".to_owned()];
            }),
            "types",
        ),
    ];
    for (new, expected) in cases {
        match world.store.add_key(new.clone(), NOW_MS).await {
            Err(AccessError::Invalid { field, .. }) => assert_eq!(field, expected, "{new:?}"),
            other => panic!("{other:?} for {new:?}"),
        }
    }
    let unknown = with(|new| new.tenant = Some("nobody".parse().unwrap()));
    let made = world.store.add_key(unknown, NOW_MS).await;
    assert!(matches!(made, Err(AccessError::NoTenant { .. })));
    let id = TenantId::default_tenant();
    let made = world
        .store
        .add_tenant(NewTenant::named(id, "again"), NOW_MS)
        .await;
    assert!(matches!(
        made,
        Err(AccessError::Invalid { field: "id", .. })
    ));
    let gone = world.store.revoke_key("key_x", NOW_MS).await;
    assert!(matches!(gone, Err(AccessError::NoKey { .. })));
}

#[tokio::test]
async fn what_the_keys_of_a_tenant_name_together_has_an_end() {
    let world = World::new().await;
    let acme: TenantId = "acme".parse().unwrap();
    let tenant = NewTenant::named(acme.clone(), "Acme");
    world.store.add_tenant(tenant, NOW_MS).await.unwrap();
    let origin = format!("https://{}", "x".repeat(247));
    let with = |types: usize, origins: usize| NewKey {
        types: vec!["x".repeat(100); types],
        origins: vec![origin.clone(); origins],
        ..new_key(Scope::Write)
    };
    let add = async |new: NewKey| world.store.add_key(new, NOW_MS).await;
    let field = |made: Result<_, AccessError>| match made {
        Err(AccessError::Invalid { field, fault }) if fault.contains("5444 are left") => field,
        other => panic!("{other:?}"),
    };
    let mut first = None;
    for _ in 0..17 {
        let (key, _) = add(with(100, 20)).await.unwrap();
        first.get_or_insert(key.id);
    }
    assert_eq!(field(add(with(55, 0)).await), "types");
    assert_eq!(field(add(with(20, 20)).await), "origins");
    let first = first.unwrap();
    let rotated = world.store.rotate_key(&first, Duration::ZERO, NOW_MS).await;
    assert_eq!(field(rotated), "types");
    let of_another = NewKey {
        tenant: Some(acme),
        ..with(100, 20)
    };
    for has_room in [of_another, with(54, 0), with(0, 0)] {
        add(has_room).await.unwrap();
    }
}

#[tokio::test]
async fn bounds_are_not_passed_by_those_who_ask_at_once() {
    let world = World::new().await;
    let tenants = (0..10).map(|number| {
        let new = NewTenant {
            types: Some(5_000),
            ..NewTenant::named(format!("t{number}").parse().unwrap(), "one")
        };
        let store = world.store.clone();
        async move { store.add_tenant(new, NOW_MS).await.is_ok() }
    });
    let made = join_all(tenants).await.into_iter().filter(|made| *made);
    // The tenant `default` has 1,000 of 20,000.
    assert_eq!(made.count(), 3);
    let keys = (0..30).map(|_| {
        let new = NewKey {
            types: vec!["x".repeat(100); 100],
            ..new_key(Scope::Write)
        };
        let store = world.store.clone();
        async move { store.add_key(new, NOW_MS).await.is_ok() }
    });
    let made = join_all(keys).await.into_iter().filter(|made| *made);
    assert_eq!(made.count(), 26);
}

#[tokio::test]
async fn the_types_of_all_tenants_together_have_an_end() {
    let world = World::new().await;
    let of = |id: &str, types: Option<u32>| NewTenant {
        types,
        ..NewTenant::named(id.parse().unwrap(), id)
    };
    let add = async |id: &str, types| world.store.add_tenant(of(id, types), NOW_MS).await;
    let set = async |id: &str, types| {
        let change = Change {
            types: Some(types),
            ..Change::default()
        };
        world.store.change(&id.parse().unwrap(), &change).await
    };
    // The tenant `default` has 1,000, a new one 200.
    assert_eq!(add("a", None).await.unwrap().types_max(), 200);
    assert_eq!(add("b", Some(18_799)).await.unwrap().types_max(), 18_799);
    for refused in [add("c", None).await.err(), set("a", 202).await.err()] {
        match refused {
            Some(AccessError::Invalid { field, fault }) => {
                assert_eq!(field, "types");
                assert!(fault.contains("left of 20000"), "{fault}");
                assert!(fault.contains("--types"), "the fix: {fault}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(add("c", Some(1)).await.unwrap().types_max(), 1);
    assert!(add("d", Some(0)).await.is_err() && set("c", 0).await.is_err());
    set("default", 20).await.unwrap();
    set("a", 1_180).await.unwrap();
    let tenants = world.store.records().await.unwrap().tenants;
    let types: Vec<u32> = tenants.iter().map(Tenant::types_max).collect();
    assert_eq!(types, [1_180, 18_799, 1, 20]);
    assert!(matches!(
        set("nobody", 1).await,
        Err(AccessError::NoTenant { .. })
    ));
}

#[tokio::test]
async fn users_of_no_more_than_32_tenants_are_sketched() {
    let world = World::new().await;
    let of = |number: usize, analytics| NewTenant {
        types: Some(1),
        analytics,
        ..NewTenant::named(format!("t{number}").parse().unwrap(), "one")
    };
    let add = async |number, analytics| {
        let new = of(number, analytics);
        world.store.add_tenant(new, NOW_MS).await
    };
    let set = async |id: &str, analytics| {
        let change = Change {
            analytics: Some(analytics),
            ..Change::default()
        };
        world.store.change(&id.parse().unwrap(), &change).await
    };
    // The tenant `default` has it, others when it is said.
    for number in 0..31 {
        add(number, Some(true)).await.unwrap();
    }
    assert!(!add(31, None).await.unwrap().has_analytics());
    for refused in [
        add(32, Some(true)).await.err(),
        set("t31", true).await.err(),
    ] {
        match refused {
            Some(AccessError::Invalid { field, fault }) => {
                assert_eq!(field, "analytics");
                assert!(fault.contains("--analytics false"), "the fix: {fault}");
            }
            other => panic!("{other:?}"),
        }
    }
    set("default", false).await.unwrap();
    set("t31", true).await.unwrap();
    set("t31", true).await.unwrap();
    assert!(set("default", true).await.is_err());
}

#[tokio::test]
async fn processors_learn_of_tenants_and_not_of_keys() {
    let world = World::new().await;
    let (_, _token) = world.key(Scope::Write).await;
    let stream = world.redis.stream(1);
    let mut learned = Learned::default();
    assert_eq!(learned.look(&stream).await.unwrap(), None);
    assert!(learned.is_current());
    let id: TenantId = "acme".parse().unwrap();
    let new = NewTenant {
        types: Some(7),
        ..NewTenant::named(id, "Acme")
    };
    world.store.add_tenant(new, NOW_MS).await.unwrap();
    world.in_force().await;
    let tenants = learned.look(&stream).await.unwrap().unwrap();
    let names: Vec<_> = tenants.iter().map(|tenant| tenant.id.as_str()).collect();
    assert_eq!(names, ["acme", "default"]);
    let caps = ["acme", "default", "new"].map(|tenant| stream.caps().of(tenant));
    assert_eq!(caps, [7, 1_000, 200]);
    assert_eq!(learned.look(&stream).await.unwrap(), None);

    // What Redis forgets stays known, shows as age, and is said again.
    let key = world.redis.keys().tenants();
    world.redis.client().del::<(), _>(&key).await.unwrap();
    assert_eq!(learned.look(&stream).await.unwrap(), None);
    assert!(!learned.is_current());
    assert_eq!(stream.caps().of("acme"), 7);
    world.in_force().await;
    learned.look(&stream).await.unwrap();
    assert!(learned.is_current());
}
