//! A backup that is made under load, and both ways back.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bson::doc;
use evp_devstack::{ScratchDir, Service};
use evp_processor::verify::compare;
use fred::interfaces::ConfigInterface as _;

use super::processes::post;
use super::{Size, load};
use crate::{Expected, Journal, Node, Outcome, Producer, Progress, Sent, System, until};

/// Events that are sent between the two ways back.
const LATER: u32 = 1_000;
/// How often it is tried to meet a moment.
const TRIES: usize = 20;
/// What a key of Redis takes to be saved while that moment is to be met.
const SAVED_KEY: Duration = Duration::from_millis(10);
/// From when on `verify` compares a second.
const CLOSED_AFTER: Duration = Duration::from_secs(compare::CLOSED_AFTER + 2);

/// In a load a backup is killed while it has mongod locked, another one is spoilt, and one is made. Then mongod is lost
/// and comes back from it, beside a Redis that knows more: `verify` names what differs, and the services
/// go on. Then both come back from it: everything balances, as far as it was answered before the backup.
pub(super) async fn restored(size: Size) -> Result<Outcome> {
    let builder = System::of("backup_restored").guarded();
    let mut system = builder.processors(2).start().await?;
    let scratch = ScratchDir::new()?;
    let place = scratch.path().join("backups");
    let events = size.of(20_000, 60_000, 400_000);
    let (mut journal, before) = backed_up(&system, &place, events).await?;
    settled(&system).await?;
    let backup = newest(&place)?;
    let mut faults = "a backup killed, one spoilt and one made in a load; ".to_owned();
    if size != Size::Test {
        let gone = beside_redis(&mut system, &backup, &before).await?;
        faults += &format!("mongod restored, {gone} events after it gone; ");
        post(&system, 0, &mut journal, events..events + LATER).await?;
        settled(&system).await?;
    }
    both_lost(&mut system, &backup).await?;
    all_there(&system, &before).await?;
    let deep = ["verify", "--deep", "--any-age"];
    system.processors[0].command(&deep).await?;
    let expected = Expected {
        lost_max: journal.acknowledged_count() - before.acknowledged_count(),
        ..Expected::default()
    };
    faults += "both restored";
    system.balance(&journal, &expected, faults).await
}

/// Mongod comes back from the backup beside a Redis that knows more. Returns how many events that is,
/// which `verify` has named.
async fn beside_redis(system: &mut System, backup: &Path, before: &Journal) -> Result<i64> {
    let counted = system.ledger().read().await?.counted;
    // `verify` compares what nothing is added to any more.
    tokio::time::sleep(CLOSED_AFTER).await;
    let named = mongo_lost(system, backup).await?;
    all_there(system, before).await?;
    // What was stored without a receipt when mongod was locked is there too, and not looked at.
    let receipts: i64 = system.ledger().read().await?.receipts.values().sum();
    let gone = counted - receipts;
    ensure!(gone > 0, "nothing was sent after the backup");
    ensure!(
        named == gone,
        "{gone} events are counted and gone, verify names {named}"
    );
    Ok(gone)
}

/// Makes a backup in a load, after one that was killed and one that was spoilt. Returns what the clients know at the
/// end, and what they knew when it was begun.
async fn backed_up(system: &System, place: &Path, events: u32) -> Result<(Journal, Journal)> {
    let producer = Producer::new(system, load(events));
    let mut progress = producer.held(2);
    let at = |eighths| u64::from(events) * eighths / 8;
    let faults = async {
        progress.reached(at(1)).await?;
        refused(system, place).await?;
        killed(system, place, &mut progress).await?;
        unlocked(system, place).await?;
        progress.reached(at(5)).await?;
        let before = producer.journal();
        let mut backup = begin_backup(&system.processors[0], place, 0)?;
        progress.goes_on(at(1)).await?;
        let status = backup.wait().await?;
        let said = fs::read_to_string(system.processors[0].command_log())?;
        ensure!(status.success(), "{said}");
        progress.release();
        Ok(before)
    };
    let (before, ()) = tokio::try_join!(faults, producer.run())?;
    Ok((producer.journal(), before))
}

/// A disk that would be fuller than it may.
async fn refused(system: &System, place: &Path) -> Result<()> {
    let mut backup = begin_backup(&system.processors[0], place, 100)?;
    let status = backup.wait().await?;
    let said = fs::read_to_string(system.processors[0].command_log())?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    ensure!(said.contains("there is no room"), "{said}");
    Ok(())
}

/// A backup is killed while it has mongod locked: what it held is given back, and storing goes on.
async fn killed(system: &System, place: &Path, progress: &mut Progress) -> Result<()> {
    let mut backup = at_the_lock(system, place).await?;
    backup.kill().await;
    until("mongod takes writes", async || !is_locked(system).await).await?;
    progress.keep_going();
    settled(system).await
}

/// Somebody unlocks mongod meanwhile, so that what is copied is not of one moment: there is no backup.
async fn unlocked(system: &System, place: &Path) -> Result<()> {
    let admin = system.mongo.database().client().database("admin");
    for _ in 0..TRIES {
        let mut backup = at_the_lock(system, place).await?;
        let unlocked = admin.run_command(doc! { "fsyncUnlock": 1 }).await;
        let status = backup.wait().await?;
        if unlocked.is_err() {
            continue;
        }
        let said = fs::read_to_string(system.processors[0].command_log())?;
        ensure!(status.code() == Some(1), "{status}: {said}");
        ensure!(said.contains("there is no backup"), "{said}");
        return Ok(());
    }
    bail!("no backup was caught while it had mongod locked")
}

/// A backup that has mongod locked.
async fn at_the_lock(system: &System, place: &Path) -> Result<Service> {
    slow_saves(system, SAVED_KEY).await?;
    let caught = caught_at_the_lock(system, place).await;
    slow_saves(system, Duration::ZERO).await?;
    caught
}

/// Has Redis wait so long after each key of a save from now on, during which mongod is locked.
async fn slow_saves(system: &System, each: Duration) -> Result<()> {
    let redis = system.redis.client();
    let micros = each.as_micros().to_string();
    Ok(redis.config_set("rdb-key-save-delay", micros).await?)
}

async fn caught_at_the_lock(system: &System, place: &Path) -> Result<Service> {
    // It may have come to its end all the same, on a machine that is busy.
    for _ in 0..TRIES {
        let mut backup = begin_backup(&system.processors[0], place, 0)?;
        let locked = until("mongod is locked", async || is_locked(system).await);
        let caught = tokio::select! {
            _ = backup.wait() => false,
            locked = locked => { locked?; true }
        };
        if caught {
            return Ok(backup);
        }
    }
    let said = fs::read_to_string(system.processors[0].command_log())?;
    bail!("no backup was caught while it had mongod locked, the last one said: {said}")
}

async fn is_locked(system: &System) -> bool {
    let admin = system.mongo.database().client().database("admin");
    let state = admin.run_command(doc! { "currentOp": 1 }).await;
    state.is_ok_and(|state| state.get_bool("fsyncLock").unwrap_or(false))
}

/// Mongod's files are gone and come back. Returns how many more events are counted than there are
/// receipts of, by what `restore` said.
async fn mongo_lost(system: &mut System, backup: &Path) -> Result<i64> {
    system.own_mongo()?.kill().await;
    empty(system.own_mongo()?.dir())?;
    let mut restore = begin_restore(&system.processors[0], backup, &["--only", "mongo"])?;
    let log = system.processors[0].command_log();
    laid_down(&log).await?;
    system.own_mongo()?.restart().await?;
    let status = restore.wait().await?;
    let said = fs::read_to_string(log)?;
    ensure!(status.code() == Some(1), "{status}: {said}");
    let differing =
        said.lines()
            .filter_map(|line| match *line.split_whitespace().collect::<Vec<_>>() {
                [_, "second", _, _, _, counted, receipts] => {
                    Some(counted.parse::<i64>().ok()? - receipts.parse::<i64>().ok()?)
                }
                _ => None,
            });
    Ok(differing.sum())
}

/// The files of both are gone and come back.
async fn both_lost(system: &mut System, backup: &Path) -> Result<()> {
    system.own_mongo()?.kill().await;
    system.own_redis()?.kill().await;
    empty(system.own_mongo()?.dir())?;
    fs::remove_dir_all(system.own_redis()?.dir().join("appendonlydir"))?;
    fs::remove_file(system.own_redis()?.dir().join("dump.rdb"))?;
    let mut restore = begin_restore(&system.processors[0], backup, &[])?;
    let log = system.processors[0].command_log();
    laid_down(&log).await?;
    system.own_mongo()?.restart().await?;
    system.own_redis()?.restart().await?;
    let status = restore.wait().await?;
    ensure!(status.success(), "{status}: {}", fs::read_to_string(log)?);
    Ok(())
}

/// With 0 for `min_free`, in percent, it does not matter how full the machine's disk is.
fn begin_backup(node: &Node, place: &Path, min_free: u8) -> Result<Service> {
    let (place, min_free) = (place.display().to_string(), min_free.to_string());
    node.begin(&["backup", &place, "--min-free", &min_free])
}

fn begin_restore(node: &Node, backup: &Path, more: &[&str]) -> Result<Service> {
    let backup = backup.display().to_string();
    node.begin(&[&["restore", &backup][..], more].concat())
}

async fn laid_down(log: &Path) -> Result<()> {
    until("the files are restored", async || {
        fs::read_to_string(log).is_ok_and(|said| said.contains("start the servers now"))
    })
    .await
}

fn empty(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder)?;
    Ok(fs::create_dir(folder)?)
}

fn newest(place: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(place)?.filter_map(|entry| Some(entry.ok()?.path()));
    entries.max().context("a backup")
}

async fn settled(system: &System) -> Result<()> {
    let ledger = system.ledger();
    until("everything is committed", async || {
        ledger.is_settled().await.unwrap_or(false)
    })
    .await
}

/// What was answered before the backup is stored once the backlog has drained.
async fn all_there(system: &System, before: &Journal) -> Result<()> {
    settled(system).await?;
    let stored = system.ledger().read().await?.stored;
    let is_lost = |(_, sent): &(u32, Sent)| matches!(sent, Sent::Acknowledged(id) if !stored.contains_key(id));
    let lost = before.events().filter(is_lost).count();
    ensure!(lost == 0, "{lost} events of the backup are lost");
    Ok(())
}
