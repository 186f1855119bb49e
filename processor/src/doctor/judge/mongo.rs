//! Judging MongoDB.

use bson::doc;

use super::{clock, disk, identity, version};
use crate::config::ProcessorConfig;
use crate::doctor::gather::MongoFacts;
use crate::doctor::{Check, Finding};

/// 6.0 is the first that an insert can name its collection's UUID to.
const MONGO_VERSION_MIN: (u32, u32) = (6, 0);

/// Judges MongoDB.
pub fn mongo(config: &ProcessorConfig, facts: &MongoFacts) -> Vec<Finding> {
    vec![
        version(
            Check::MongoVersion,
            &facts.version,
            MONGO_VERSION_MIN,
            "install MongoDB 6.0 or newer",
        ),
        write_concern(facts),
        disk(Check::MongoDisk, facts.disk),
        clock(Check::MongoClock, facts.ahead_ms),
        identity(Check::MongoIdentity, facts.identity, config.fingerprint()),
        indexes(config, facts),
        shard_key(facts),
    ]
}

fn write_concern(facts: &MongoFacts) -> Finding {
    let check = Check::MongoWriteConcern;
    if let Some(refused) = &facts.write_refused {
        let fix = "see rs.status(): a majority of the members that hold data must be up";
        return check.fail(refused.as_str(), fix);
    }
    let (members, arbiters) = facts.members;
    match &facts.replica_set {
        Some(set) if arbiters > 0 => check.warn(
            format!("replica set {set}: {members} members, {arbiters} arbiters"),
            "replace arbiters by members: with one member down they leave no majority that holds \
             data, and every write waits",
        ),
        Some(set) if members < 3 => check.warn(
            format!("replica set {set} of {members}: no member can be missed"),
            "add members up to three",
        ),
        Some(set) => check.pass(format!(
            "majority and journal, replica set {set} of {members}"
        )),
        None if facts.router => check.pass("majority and journal, sharded cluster"),
        None => check.pass("journaled, standalone: as safe as its one disk"),
    }
}

fn indexes(config: &ProcessorConfig, facts: &MongoFacts) -> Finding {
    let check = Check::MongoIndexes;
    let span = facts.newest.as_deref().unwrap_or_default();
    let others = || facts.indexes.iter().filter(|(name, _)| name != "_id_");
    if facts.indexes.is_empty() {
        return check.pass("no span yet");
    }
    // While events come in, users are indexed by bucket.
    let kind = |name| if name == "user_recent" { "user" } else { name };
    let names: Vec<&str> = others().map(|(name, _)| kind(name.as_str())).collect();
    if let Some((name, _)) = others().find(|(_, unique)| *unique) {
        return check.fail(
            format!("index {name} of {span} is unique"),
            format!(
                "db.{span}.dropIndex({name:?}), and of other spans: besides _id no index may be unique, or its \
                 duplicates are taken for events stored before"
            ),
        );
    }
    let wanted: Vec<&str> = config.indexes.iter().map(|index| index.as_str()).collect();
    let only_in = |some: &[&str], others: &[&str]| {
        let only = some.iter().filter(|name| !others.contains(name));
        only.copied().collect::<Vec<_>>().join(", ")
    };
    let missing = only_in(&wanted, &names);
    let extra = only_in(&names, &wanted);
    if !missing.is_empty() {
        let fix = "a running processor builds them within minutes, while there is no backlog; see its \
                   log if it does not";
        check.warn(format!("missing in {span}: {missing}"), fix)
    } else if !extra.is_empty() {
        check.warn(
            format!("not in storage.indexes: {extra}, of {span}"),
            format!(
                "a running processor drops those of EVP; db.{span}.dropIndex(...) what no query of \
                 yours needs: each costs MongoDB 2 to 4 CPU seconds per million events"
            ),
        )
    } else if names.is_empty() {
        check.pass("none wanted")
    } else {
        check.pass(names.join(", "))
    }
}

fn shard_key(facts: &MongoFacts) -> Finding {
    let check = Check::MongoShardKey;
    let span = facts.newest.as_deref().unwrap_or_default();
    match &facts.shard_key {
        Some(key) if *key == doc! { "_id": 1 } || *key == doc! { "_id": 1.0 } => {
            check.pass("{_id: 1}")
        }
        Some(key) => check.fail(
            format!("{span} is sharded by {key}"),
            "shard by {_id: 1} in a new database: under any other key one event can be stored on \
             two shards",
        ),
        None if facts.router => check.warn(
            "a sharded cluster, and spans are not sharded: all lie on the primary shard of the \
             database",
            "nothing by hand: EVP does not shard spans yet. One replica set serves as well",
        ),
        None => check.pass("not sharded"),
    }
}
