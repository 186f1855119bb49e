//! What a processor makes of what is said of tenants.

use std::collections::BTreeMap;

use evp_processor::command::verify::{Verify, run as verify};
use evp_shared::access::record::Tenant;
use evp_shared::counters::Step;
use evp_shared::keys::SketchKind;
use evp_shared::stream::{AccessHead, Said};
use evp_shared::testing::events::{TestEvent, frame_of_tenants};

use crate::harness::{World, producer};

/// Has Redis say `tenants`, as an aggregator does.
pub(crate) async fn say(world: &World, version: u64, tenants: Vec<Tenant>) {
    let content = serde_json::to_vec(&tenants).unwrap();
    let seen = world.stream.said_head(Said::Tenants).await.unwrap();
    let seen = seen.map(|head| head.version);
    let digest = version.to_string();
    let head = AccessHead { version, digest };
    assert!(
        world
            .stream
            .say(Said::Tenants, seen, &head, content)
            .await
            .unwrap()
    );
}

/// A tenant of which `types` are counted by name.
pub(crate) fn tenant(id: &str, types: u32) -> Tenant {
    Tenant {
        types: Some(types),
        ..Tenant::new(id.parse().unwrap(), id.to_owned(), 1)
    }
}

#[tokio::test]
async fn types_without_end_of_one_tenant_leave_the_others_counted_by_name() {
    let world = World::new().await;
    say(&world, 1, vec![tenant("a", 5), tenant("b", 5)]).await;
    let running = world.start("p");
    // So long ago that its buckets are closed.
    let received_ms = world.now_ms - 600_000;
    // A million at full size.
    let many: Vec<_> = (0..1_000)
        .map(|n| TestEvent::new(format!("a{n}"), format!("type{n:04}")).at(world.now_ms))
        .collect();
    let few: Vec<_> = (0..10)
        .map(|n| TestEvent::new(format!("b{n}"), format!("type{}", n % 5)).at(world.now_ms))
        .collect();
    for (number, (many, few)) in (1..).zip(many.chunks(200).zip(few.chunks(2))) {
        let events = [("a", many), ("b", few)];
        let frame = frame_of_tenants(producer(), number, received_ms, &events);
        world.append(&[frame]).await;
    }
    world.settled().await;
    running.stop().await;
    let counts = world.stream.count_total(0).await.unwrap();
    let of = |tenant: &str| -> BTreeMap<&str, i64> {
        let rows = counts.iter().filter_map(|(field, count)| {
            let (of, kind) = field.split_once('\u{1f}')?;
            (of == tenant).then_some((kind, *count))
        });
        rows.collect()
    };
    let (a, b) = (of("a"), of("b"));
    assert_eq!((a.len(), a["__other__"]), (6, 995), "{a:?}");
    let kinds: Vec<_> = b.into_iter().collect();
    let names = ["type0", "type1", "type2", "type3", "type4"];
    assert_eq!(kinds, names.map(|name| (name, 2)));
    // Who compares them later knows the same of tenants.
    let report = verify(&world.config("v"), &Verify::default())
        .await
        .unwrap();
    assert!(report.is_equal(), "{report:?}");
}

#[tokio::test]
async fn users_are_sketched_of_the_tenants_that_have_it() {
    let world = World::new().await;
    let with = Tenant {
        analytics: Some(true),
        ..tenant("a", 5)
    };
    say(&world, 1, vec![with, tenant("b", 5)]).await;
    let running = world.start("p");
    let events: Vec<_> = (0..20)
        .map(|n| TestEvent::new(format!("e{n}"), "click").of_user(format!("u{n}")))
        .collect();
    let of_both = [("a", &events[..]), ("b", &events[..])];
    let frame = frame_of_tenants(producer(), 1, world.now_ms, &of_both);
    world.append(&[frame]).await;
    world.settled().await;
    running.stop().await;
    let minute = Step::Minute.bucket(world.now_ms / 1_000);
    let mut found = Vec::new();
    for tenant in ["a", "b"] {
        let minutes = minute..minute + 1;
        let unique = world
            .stream
            .unique(SketchKind::Users, tenant, Step::Minute, minutes);
        found.push(unique.await.unwrap());
    }
    assert_eq!(found, [20, 0]);
}
