//! Which event of several spans comes next, or what must be read to know it. Pure.

use super::position::{Direction, Position};

/// Spans that are read at once.
const AT_ONCE: usize = 4;

/// What is known of one part of a list.
#[derive(Debug, Clone, Copy)]
pub(super) struct Front {
    /// Its first event that was read and not taken.
    pub(super) head: Option<Position>,
    /// The place up to and with which it is read; `None` at its end.
    pub(super) passed: Option<Position>,
}

/// What a list goes on with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The first event of this part: no other part can have one before it.
    Take(usize),
    /// These parts, in ascending order, are to be read on: they may have an event before every one
    /// that was read.
    Read(Vec<usize>),
    /// Nothing: all parts are at their end.
    End,
}

/// Decides what the list that `parts` make up goes on with.
pub(super) fn next(parts: impl Iterator<Item = Front>, direction: Direction) -> Next {
    let mut first: Option<(Position, usize)> = None;
    let mut unread: Vec<(Position, usize)> = Vec::new();
    for (at, part) in parts.enumerate() {
        match (part.head, part.passed) {
            (Some(head), _) => {
                if first.is_none_or(|(first, _)| direction.compare(&head, &first).is_lt()) {
                    first = Some((head, at));
                }
            }
            (None, Some(passed)) => unread.push((passed, at)),
            (None, None) => {}
        }
    }
    if let Some((head, at)) = first {
        unread.retain(|(passed, _)| direction.compare(passed, &head).is_lt());
        if unread.is_empty() {
            return Next::Take(at);
        }
    }
    if unread.is_empty() {
        return Next::End;
    }
    unread.sort_unstable_by(|one, other| direction.compare(one, other));
    let mut read: Vec<usize> = unread.into_iter().map(|(_, at)| at).take(AT_ONCE).collect();
    read.sort_unstable();
    Next::Read(read)
}

/// The place up to and with which all of `parts` are read, where nothing is left to take before it.
pub(super) fn reached(
    parts: impl Iterator<Item = Front>,
    direction: Direction,
) -> Option<Position> {
    let unread = parts.filter(|part| part.head.is_none());
    let passed = unread.filter_map(|part| part.passed);
    passed.min_by(|one, other| direction.compare(one, other))
}

#[cfg(test)]
mod tests;
