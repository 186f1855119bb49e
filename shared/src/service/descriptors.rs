//! File descriptors: as many as are allowed, and some of them kept from clients.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept for all but clients: the admin port (64), refusals under way (128 at each port), and what
/// speaks to Redis and `MongoDB` (32 connections of queries, and a dozen).
const OWN: u64 = 512;

/// Raises the limit of open files to the highest one allowed, and lowers `connections` to what
/// that has room for: one client more is then answered, instead of taking the descriptor that a
/// probe or a reconnect to Redis needs.
pub(super) fn share(connections: Option<&mut NonZeroU32>) {
    let descriptors = raise();
    let Some(connections) = connections else {
        tracing::info!(descriptors, "file descriptors");
        return;
    };
    let wanted = *connections;
    *connections = wanted.min(room(descriptors));
    if *connections < wanted {
        tracing::warn!(
            descriptors,
            wanted,
            connections,
            "fewer clients than server.connections: raise the hard limit of open files \
             (ulimit -Hn, LimitNOFILE)"
        );
    } else {
        tracing::info!(descriptors, connections, "file descriptors");
    }
}

/// The limit, afterwards.
fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            current
        }
    };
    limit.unwrap_or(u64::MAX)
}

/// How many clients there is room for; of few descriptors they get half.
fn room(descriptors: u64) -> NonZeroU32 {
    let room = descriptors - OWN.min(descriptors / 2);
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    NonZeroU32::new(room).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_is_left_and_half_of_few() {
        let table = [
            (0, 1),
            (1, 1),
            (64, 32),
            (1_024, 512),
            (20_000, 19_488),
            (u64::MAX, u32::MAX),
        ];
        for (descriptors, clients) in table {
            assert_eq!(room(descriptors).get(), clients, "{descriptors}");
        }
    }
}
