//! Clients: requests with events, some of which were sent before.

use std::rc::Rc;

use evp_processor::written::EventFacts;

use super::{Ingest, Outcome};
use crate::sim::span::time_of;
use crate::sim::world::{World, sleep};

/// The undated event with number `number`, of type `event_type`.
pub fn event(number: u64, event_type: &str) -> EventFacts {
    dated(number, event_type, 0)
}

/// The event with number `number`, of type `event_type`, with `at_ms` in its id unless that is 0.
pub fn dated(number: u64, event_type: &str, at_ms: u64) -> EventFacts {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&at_ms.to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    EventFacts {
        id,
        tenant: "default".to_owned(),
        event_id: Some(format!("e{number}")),
        event_type: event_type.to_owned(),
    }
}

/// The number in an event's id.
pub fn number_of(event: &EventFacts) -> u64 {
    number_in(&event.id)
}

/// The number in a canonical id.
pub fn number_in(id: &[u8; 16]) -> u64 {
    let [.., a, b, c, d, e, f, g, h] = *id;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

impl Ingest {
    /// A client that sends one request after the other.
    pub async fn serve(self: Rc<Self>) {
        loop {
            let pause_ms = {
                let mut world = self.world.borrow_mut();
                let sent = world.ledger.told.len() as u64;
                world.is_sending &= sent < world.plan.events_max;
                if world.is_calm {
                    10_000 + world.rng.below(20_000)
                } else if world.is_sending {
                    20 + world.rng.below(800)
                } else {
                    60_000
                }
            };
            sleep(&self.world, pause_ms).await;
            let drafts = {
                let mut world = self.world.borrow_mut();
                if world.is_sending {
                    drafts(&mut world)
                } else {
                    continue;
                }
            };
            self.request(drafts).await;
        }
    }

    /// One request, and what its client is told.
    pub async fn request(&self, drafts: Vec<Vec<EventFacts>>) -> Outcome {
        let numbers: Vec<u64> = drafts.iter().flatten().map(number_of).collect();
        for event in drafts.iter().flatten() {
            self.world.borrow_mut().ledger.sends(event).possible += 1;
        }
        let (outcome, too_old) = self.append(drafts).await;
        let mut world = self.world.borrow_mut();
        world.note(|| format!("request {numbers:?}: {outcome:?}, too old {too_old:?}"));
        let refused = if outcome == Outcome::NotAccepted {
            numbers
        } else {
            too_old
        };
        for number in refused {
            world.ledger.told.entry(number).or_default().possible -= 1;
        }
        outcome
    }
}

fn drafts(world: &mut World) -> Vec<Vec<EventFacts>> {
    let frames = 1 + usize::from(world.rng.permille(300));
    (0..frames).map(|_| draft(world)).collect()
}

fn draft(world: &mut World) -> Vec<EventFacts> {
    let mut events = Vec::new();
    for _ in 0..=world.rng.index(3) {
        let known = world.ledger.told.len() as u64;
        let kind = match world.rng.below(10) {
            0 => "bad",
            1..=4 => "view",
            _ => "click",
        };
        // An event is numbered by its order: one below `known` was sent before.
        let number = if known > 0 && world.rng.permille(250) {
            world.rng.below(known)
        } else {
            known
        };
        let at_ms = match world.ledger.told.get(&number) {
            Some(told) => time_of(&told.id).unwrap_or(0),
            None => draw_time(world),
        };
        let one = dated(number, kind, at_ms);
        world.ledger.sends(&one);
        events.push(one);
        if world.rng.permille(150) {
            let other = if kind == "bad" { "bad" } else { "view" };
            events.push(dated(number, other, at_ms));
        }
    }
    events
}

/// The time in a new event's id: mostly about now, some late ones, some none.
fn draw_time(world: &mut World) -> u64 {
    let Some(waits) = world.plan.waits else {
        return 0;
    };
    let unit_ms = waits.unit_ms;
    let now_ms = world.now_ms;
    match world.rng.below(20) {
        0..=1 => 0,
        2..=9 => now_ms - world.rng.below(500),
        10..=12 => now_ms - world.rng.below(unit_ms),
        13 => now_ms + world.rng.below(unit_ms),
        _ => {
            let back_ms = waits.keep_ms.unwrap_or(3 * unit_ms) + unit_ms;
            now_ms - world.rng.below(back_ms)
        }
    }
}
