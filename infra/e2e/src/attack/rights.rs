//! What a service that was taken over may do.

use anyhow::{Context as _, Result, ensure};
use bson::{Document, doc};
use evp_shared::store::{AUDIT, access};
use fred::interfaces::HashesInterface as _;
use mongodb::error::ErrorKind;

use super::Gate;
use crate::scenario::Size;

/// MongoDB's code for what a user may not do.
const UNAUTHORIZED: i32 = 13;

pub(super) async fn least(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    for user in ["ingest", "processor"] {
        let redis = gate.fort.redis_as(user).await;
        let set = redis
            .client()
            .hset::<(), _, _>("evp:access", ("version", "9"));
        let refused = set.await.err().context("it was set")?;
        ensure!(refused.details().starts_with("NOPERM"), "{refused}");
    }
    let mut refusals = 0;
    for user in ["processor", "aggregator"] {
        let events = gate.fort.database(user).await?;
        let audit = access(&events).collection::<Document>(AUDIT);
        let change = audit.update_one(doc! {}, doc! { "$set": { "who": "another" } });
        refused(change.await)?;
        refused(audit.delete_many(doc! {}).await)?;
        refused(audit.drop().await)?;
        refusals += 3;
    }
    let events = gate.fort.database("processor").await?;
    for name in ["tenants", "keys", "sessions", "members"] {
        let other = access(&events).collection::<Document>(name);
        refused(other.find_one(doc! {}).await)?;
        refused(other.insert_one(doc! {}).await)?;
        refusals += 2;
    }
    gate.held(format!(
        "evp:access is not set by ingest or the processor; {refusals} commands on audit, tenants, keys, \
         sessions and members refused"
    ))
}

fn refused<T>(outcome: mongodb::error::Result<T>) -> Result<()> {
    let error = outcome.err().context("it was done")?;
    let code = match error.kind.as_ref() {
        ErrorKind::Command(command) => command.code,
        _ => 0,
    };
    ensure!(code == UNAUTHORIZED, "{error}");
    Ok(())
}
