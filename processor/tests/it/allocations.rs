//! What a frame takes from the allocator.

use std::sync::Arc;

use evp_shared::service::Left;
use evp_shared::testing::events::{TestEvent, frame_of};
use tokio::runtime::{Builder, Runtime};

use crate::harness::{World, producer};

const FEW: usize = 100;
const MANY: usize = 1_000;
/// Of each size; the least is what the path itself takes, the rest are other tasks of the thread.
const TRIES: u32 = 5;

/// The processor is on this thread, and what asks whether it is done on others.
#[test]
fn no_event_of_a_frame_takes_memory_of_its_own() {
    let others = Builder::new_multi_thread().enable_all().build().unwrap();
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let world = Arc::new(others.block_on(World::new()));
    let running = here.block_on(async { World::start_as(world.config("p")) });
    // The first frame finds no span, no connection and empty buffers.
    taken(&others, &here, &world, (0, MANY));
    let mut number = 0;
    let [few, many] = [FEW, MANY].map(|events| {
        let taken = (0..TRIES).map(|_| {
            number += 1;
            taken(&others, &here, &world, (number, events))
        });
        taken.min().unwrap()
    });
    let more = many.saturating_sub(few);
    assert!(
        few > 0 && more < (MANY - FEW) as u64 / 10,
        "{FEW} events take {few} allocations, {MANY} take {many}"
    );
    assert_eq!(here.block_on(running.stop()), Left::NOTHING);
}

fn taken(others: &Runtime, here: &Runtime, world: &Arc<World>, frame: (u32, usize)) -> u64 {
    let (number, events) = frame;
    let event = |n: usize| {
        let made = TestEvent::new(format!("{number}-{n}"), format!("a-{}", n % 10)).made();
        made.of_user(format!("{}", n % 77))
    };
    let events: Vec<_> = (0..events).map(event).collect();
    let frame = frame_of(producer(), number, world.now_ms, &events);
    others.block_on(world.append(&[frame]));
    let world = Arc::clone(world);
    let settled = others.spawn(async move { world.settled().await });
    let counted = allocation_counter::measure(|| here.block_on(settled).unwrap());
    counted.count_total
}
