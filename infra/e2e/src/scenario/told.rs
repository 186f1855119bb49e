//! What people are told of a fault, by those who were told of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Size, load, under_load};
use crate::attack::MailServer;
use crate::receiver::{Manner, Receiver};
use crate::{Expected, Outcome, System, until};

const WEBHOOK: &str = "EVP__NOTICES__WEBHOOK_URL";

/// mongod is away for long enough that people are told: once, by post and by mail, and once when it is
/// over. Then it is away again, and who is posted to never answers: nothing is lost by that.
pub(super) async fn mongo_away(size: Size) -> Result<Outcome> {
    let (receiver, silent) = (
        Receiver::start(Manner::Takes).await?,
        Receiver::start(Manner::Hangs).await?,
    );
    let mail = MailServer::start().await?;
    let mut system = started(&receiver, &mail).await?;
    let (events, rounds) = size.of((10_000, 1), (60_000, 2), (200_000, 2));
    // In a test until it is told.
    let away = size.of(
        Duration::ZERO,
        Duration::from_secs(120),
        Duration::from_secs(120),
    );
    let journal = under_load(
        &mut system,
        load(events),
        rounds,
        async |system, progress, round| {
            let told = if round == 0 { &receiver } else { &silent };
            if round > 0 {
                // Of one source there is a notice a minute, so that the next is told within the minute after.
                tokio::time::sleep(Duration::from_secs(30)).await;
                let aggregator = system.aggregator.as_mut().context("an aggregator")?;
                aggregator.restart_with(WEBHOOK, silent.url()).await?;
                aggregator.await_ready().await?;
            }
            progress.keep_going();
            system.own_mongo()?.stop().await;
            let stopped = tokio::time::Instant::now();
            until("somebody is told", async || !told.told().is_empty()).await?;
            if round == 0 {
                system.note("told after", format!("{:.0?}", stopped.elapsed()));
                tokio::time::sleep_until(stopped + away).await;
            }
            system.own_mongo()?.restart().await?;
            system.processors[0].await_ready().await?;
            if round == 0 && size != Size::Test {
                until("it is over", async || receiver.told().len() > 1).await?;
            }
            Ok(())
        },
    )
    .await?;
    let expected = ["mongodb_away begun", "mongodb_away over"];
    let told = receiver.told();
    ensure!(told == expected[..size.of(1, 2, 2)], "{told:?}");
    // Beside who never answers, who is mailed to is told.
    let mails = size.of(1, 3, 3);
    until("the mails", async || {
        mail.mails().is_ok_and(|found| found.len() >= mails)
    })
    .await?;
    ensure!(mail.mails()?.len() == mails, "{:?}", mail.mails());
    let faults = match size {
        Size::Test => "mongod stopped until somebody was told",
        Size::Short | Size::Full => {
            "mongod stopped for 2 minutes: told once, and that it was over, by post and mail; and again, while \
             who was posted to never answered"
        }
    };
    system.balance(&journal, &Expected::default(), faults).await
}

/// A system whose aggregator tells both.
async fn started(receiver: &Receiver, mail: &MailServer) -> Result<System> {
    let smtp = format!("smtp://evp:secret@127.0.0.1:{}", mail.port());
    let told = [
        (WEBHOOK, receiver.url()),
        ("EVP__NOTICES__WEBHOOK_FORMAT", "json"),
        ("EVP__NOTICES__MAIL_TO", "oncall@example.org"),
        ("EVP__MAIL__SMTP_URL", &smtp),
        ("EVP__MAIL__FROM", "evp@example.org"),
    ];
    let builder = System::of("mongo_away_told").own_mongo().aggregator();
    let builder = told.into_iter().fold(builder, |builder, (name, value)| {
        builder.env_of("aggregator-0", name, value)
    });
    builder.start().await
}
