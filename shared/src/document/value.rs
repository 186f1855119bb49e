//! Hot path: JSON values from the tape as BSON elements.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use simd_json::{Node, StaticNode};

use super::STRING;
use crate::event::reject::Rejection;
use crate::event::{EventRules, key_at, members, value_len};
use crate::outcome::RejectReason;

const DOUBLE: u8 = 0x01;
pub(super) const DOCUMENT: u8 = 0x03;
const ARRAY: u8 = 0x04;
const BOOLEAN: u8 = 0x08;
const NULL: u8 = 0x0A;
const INT32: u8 = 0x10;
const INT64: u8 = 0x12;

/// Up to this many keys each is compared with each; above, their hashes are sorted.
const FEW_KEYS: usize = 12;

/// Writes values of one event, and holds it to its depth and size.
#[derive(Debug, Default)]
pub(super) struct ValueWriter {
    hasher: RandomState,
    hashes: Vec<(u64, usize)>,
    rules: EventRules,
    start: usize,
}

impl ValueWriter {
    pub(super) fn begin(&mut self, rules: &EventRules, start: usize) {
        self.rules = *rules;
        self.start = start;
    }

    pub(super) fn check_size(&self, out: &[u8]) -> Result<(), Rejection> {
        if out.len() - self.start > self.rules.bytes_max {
            Err(RejectReason::EventTooLarge.into())
        } else {
            Ok(())
        }
    }

    /// Writes the value at the front of `nodes` under `key`; a container there is at `depth`.
    pub(super) fn element(
        &mut self,
        out: &mut Vec<u8>,
        key: &str,
        nodes: &[Node<'_>],
        depth: usize,
    ) -> Result<(), Rejection> {
        match nodes.first() {
            Some(Node::String(text)) => string(out, key, text),
            Some(Node::Static(value)) => {
                scalar(out, key, *value).map_err(|code| Rejection::key(code, key))?;
            }
            Some(Node::Object { .. }) => {
                let start = begin(out, DOCUMENT, key);
                self.members(out, nodes, depth)
                    .map_err(|rejection| rejection.within(key))?;
                end(out, start);
            }
            Some(Node::Array { len, .. }) => {
                let start = begin(out, ARRAY, key);
                self.items(out, (nodes, *len), depth)
                    .map_err(|rejection| rejection.within(key))?;
                end(out, start);
            }
            None => {}
        }
        Ok(())
    }

    /// Writes the members of the object whose node is the first of `nodes`.
    pub(super) fn members(
        &mut self,
        out: &mut Vec<u8>,
        nodes: &[Node<'_>],
        depth: usize,
    ) -> Result<(), Rejection> {
        self.check_depth(depth)?;
        self.check_keys(nodes)?;
        for (_, key, value) in members(nodes) {
            self.element(out, key, value, depth + 1)?;
            self.check_size(out)?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        out: &mut Vec<u8>,
        (nodes, len): (&[Node<'_>], usize),
        depth: usize,
    ) -> Result<(), Rejection> {
        self.check_depth(depth)?;
        let mut at = 1;
        let mut digits = itoa::Buffer::new();
        for index in 0..len {
            let value = nodes.get(at..).unwrap_or_default();
            self.element(out, digits.format(index), value, depth + 1)?;
            self.check_size(out)?;
            at += value_len(nodes, at);
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize) -> Result<(), Rejection> {
        if depth > self.rules.depth_max {
            return Err(RejectReason::TooDeep.into());
        }
        Ok(())
    }

    fn check_keys(&mut self, nodes: &[Node<'_>]) -> Result<(), Rejection> {
        let all = members(nodes);
        if all.len() > FEW_KEYS {
            return self.check_many_keys(nodes);
        }
        let mut earlier = [""; FEW_KEYS];
        for (index, (_, key, _)) in all.enumerate() {
            check_nul(key)?;
            if earlier[..index].contains(&key) {
                return Err(Rejection::key(RejectReason::DuplicateKey, key));
            }
            earlier[index] = key;
        }
        Ok(())
    }

    fn check_many_keys(&mut self, nodes: &[Node<'_>]) -> Result<(), Rejection> {
        self.hashes.clear();
        for (at, key, _) in members(nodes) {
            check_nul(key)?;
            self.hashes.push((self.hasher.hash_one(key), at));
        }
        self.hashes.sort_unstable();
        // Equal keys have equal hashes and so lie side by side. Two different keys of one hash
        // between two equal ones would hide them: chance at 2^-64, and the hash is keyed.
        for pair in self.hashes.windows(2) {
            let [(_, first), (_, second)] = pair else {
                continue;
            };
            let (first, second) = (key_at(nodes, *first), key_at(nodes, *second));
            if first == second {
                return Err(Rejection::key(RejectReason::DuplicateKey, first));
            }
        }
        Ok(())
    }

    /// Checks the keys of unknown fields against each other and against those of `metadata`,
    /// which they are to join.
    pub(super) fn check_kept_keys(
        nodes: &[Node<'_>],
        kept: &[usize],
        metadata: &[Node<'_>],
    ) -> Result<(), Rejection> {
        let mut joined = HashSet::with_capacity(kept.len());
        for &at in kept {
            let key = key_at(nodes, at);
            check_nul(key)?;
            if !joined.insert(key) {
                return Err(Rejection::key(RejectReason::DuplicateKey, key));
            }
        }
        match members(metadata).find(|(_, key, _)| joined.contains(key)) {
            Some((_, key, _)) => Err(Rejection::key(RejectReason::ConflictingFields, key)),
            None => Ok(()),
        }
    }
}

fn check_nul(key: &str) -> Result<(), Rejection> {
    if key.as_bytes().contains(&0) {
        return Err(Rejection::key(
            RejectReason::NulInKey,
            &key.replace('\0', "\u{fffd}"),
        ));
    }
    Ok(())
}

fn scalar(out: &mut Vec<u8>, key: &str, value: StaticNode) -> Result<(), RejectReason> {
    match value {
        StaticNode::Null => header(out, NULL, key),
        StaticNode::Bool(value) => {
            header(out, BOOLEAN, key);
            out.push(u8::from(value));
        }
        StaticNode::I64(value) => integer(out, key, value),
        StaticNode::U64(value) => {
            let value = i64::try_from(value).map_err(|_| RejectReason::NumberOutOfRange)?;
            integer(out, key, value);
        }
        StaticNode::F64(value) if value.is_finite() => {
            header(out, DOUBLE, key);
            out.extend_from_slice(&value.to_le_bytes());
        }
        StaticNode::F64(_) => return Err(RejectReason::NumberOutOfRange),
    }
    Ok(())
}

pub(super) fn integer(out: &mut Vec<u8>, key: &str, value: i64) {
    if let Ok(small) = i32::try_from(value) {
        header(out, INT32, key);
        out.extend_from_slice(&small.to_le_bytes());
    } else {
        header(out, INT64, key);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn header(out: &mut Vec<u8>, tag: u8, key: &str) {
    out.push(tag);
    out.extend_from_slice(key.as_bytes());
    out.push(0);
}

pub(super) fn string(out: &mut Vec<u8>, key: &str, text: &str) {
    header(out, STRING, key);
    out.extend_from_slice(&length(text.len() + 1));
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

/// Opens a document under `key`; returns where its length goes.
pub(super) fn begin(out: &mut Vec<u8>, tag: u8, key: &str) -> usize {
    header(out, tag, key);
    out.extend_from_slice(&[0; 4]);
    out.len() - 4
}

/// Ends a document or an array, and writes its length where it began.
pub(super) fn end(out: &mut Vec<u8>, start: usize) {
    out.push(0);
    let bytes = length(out.len() - start);
    out[start..start + 4].copy_from_slice(&bytes);
}

/// BSON's own length; what does not fit is refused by the size check of its event.
fn length(bytes: usize) -> [u8; 4] {
    i32::try_from(bytes).unwrap_or(i32::MAX).to_le_bytes()
}
