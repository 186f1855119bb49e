use std::time::Duration;

use tokio::task::JoinSet;

use crate::{Post, System};

const EVERY: Duration = Duration::from_millis(50);
const EVENTS: u32 = 20;

/// Events into the first ingest as long as it lives, whatever becomes of them: 400/s while it answers.
pub(super) struct Trickle(JoinSet<()>);

impl Trickle {
    pub(super) fn start(system: &System) -> Self {
        let (events, http) = (system.events.clone(), system.http.clone());
        let url = system
            .ingests
            .first()
            .map_or_else(String::new, crate::Node::url);
        let mut tasks = JoinSet::new();
        // Clients of their own kind: not the pace of those that wait for an answer, and few enough.
        for client in 0..4_u32 {
            let (events, http, url) = (events.clone(), http.clone(), url.clone());
            tasks.spawn(async move {
                let mut ticks = tokio::time::interval(EVERY * 4);
                ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                for round in 0.. {
                    ticks.tick().await;
                    let start = (round * 4 + client) * EVENTS;
                    let body = events.array(start..start + EVENTS);
                    // Refusals and lost answers are what some of the causes are.
                    drop(Post::json(&http, &url, body).send().await);
                }
            });
        }
        Self(tasks)
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.0.abort_all();
    }
}
