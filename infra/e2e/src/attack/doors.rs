//! Routes without a credential, and with another tenant's.

use anyhow::{Context as _, Result, ensure};
use bson::doc;
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use reqwest::header::COOKIE;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::answer;
use super::routes::{MARK, Owned, Route, routes};
use super::sessions::signed_in;
use crate::guard::OPERATOR;
use crate::scenario::Size;
use crate::{PATIENCE, until};

const MADE_UP: usize = 200;
/// Where it has something to see, which must not be seen by another.
const SHOWING: [&str; 9] = [
    "/admin/audit",
    "/admin/dead-letters",
    "/admin/dead-letters/{id}",
    "/admin/keys",
    "/admin/members",
    "/events",
    "/events/{id}",
    "/metrics",
    "/session",
];

/// What the other tenant shows.
enum Shown {
    Key(String),
    Session(String),
}

pub(super) async fn every_route(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    for tenant in [MARK, "second"] {
        gate.tenant(tenant).await?;
    }
    let owned = belongings(&gate).await?;
    let routes = routes(&gate, &owned).await?;
    unasked(&gate, &routes).await?;
    let showing = shown_to_its_own(&gate, &owned, &routes).await?;
    let before = kept(&gate, &owned).await?;
    let [read, admin] = [
        gate.key("second", "read").await?,
        gate.key("second", "admin").await?,
    ];
    let session = signed_in(&gate, &admin.key).await?;
    let credentials = [
        Shown::Key(read.key.clone()),
        Shown::Key(admin.key),
        Shown::Session(session),
    ];
    for shown in &credentials {
        for route in &routes {
            another_asks(&gate, shown, route, &owned).await?;
        }
    }
    listened(&gate, &owned, &read.key).await?;
    let after = kept(&gate, &owned).await?;
    ensure!(after == before, "changed by another: {before} {after}");
    gate.held(format!(
        "{} routes and {MADE_UP} made-up paths: 401; {showing} show the first tenant what it has, none the \
         second, which changed nothing",
        routes.len()
    ))
}

/// Nobody is let in without a credential, known path or not.
async fn unasked(gate: &Gate, routes: &[Route]) -> Result<()> {
    for route in routes {
        let (status, text) = answer(route.request(gate)).await?;
        ensure!(
            status == StatusCode::UNAUTHORIZED,
            "{route}: {status} {text}"
        );
    }
    for ingest in &gate.ingests {
        let request = gate.http.post(format!("{}/events", ingest.url()));
        let (status, text) = answer(request.body(r#"{"type":"a"}"#)).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{status} {text}");
    }
    for _ in 0..MADE_UP {
        let path: String = rand::rng()
            .sample_iter(Alphanumeric)
            .take(12)
            .map(char::from)
            .collect();
        let (status, _) = answer(gate.ask(1, Method::GET, &format!("/{path}"))).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "/{path}: {status}");
    }
    Ok(())
}

/// The first tenant's own admin sees what the second must not; at how many routes.
async fn shown_to_its_own(gate: &Gate, owned: &Owned, routes: &[Route]) -> Result<usize> {
    let mut showing = Vec::new();
    for route in routes.iter().filter(|route| route.ends_with_its_answer()) {
        let request = route.request(gate).bearer_auth(&owned.admin.key);
        let (status, text) = answer(request).await?;
        if status == StatusCode::OK && text.contains(MARK) {
            showing.push(&*route.template);
        }
    }
    for expected in SHOWING {
        ensure!(showing.contains(&expected), "{expected} shows nothing");
    }
    Ok(showing.len())
}

/// Asks for what is the first tenant's with what another one has.
async fn another_asks(gate: &Gate, shown: &Shown, route: &Route, owned: &Owned) -> Result<()> {
    let is_signing_out = matches!(shown, Shown::Session(_)) && route.is_signing_out();
    if is_signing_out || route.template == "/stream" {
        return Ok(());
    }
    let mut request = shown.with(route.request(gate));
    if route.method != Method::GET {
        request = request.json(&route.body(owned));
    }
    let (status, text) = answer(request).await?;
    ensure!(
        route.refusals().contains(&status.as_u16()),
        "{route} with another tenant's credential: {status} {text}"
    );
    // What was asked for may be said again.
    let said = text.replace(&route.path, "");
    let is_told = owned.texts().any(|one| said.contains(one));
    ensure!(
        !is_told,
        "{route} with another tenant's credential: {status} {text}"
    );
    Ok(())
}

impl Shown {
    fn with(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Key(key) => request.bearer_auth(key),
            Self::Session(cookie) => request.header(COOKIE, cookie),
        }
    }
}

/// Both listen to what comes: the first hears its own event, the second only what is the second's.
async fn listened(gate: &Gate, owned: &Owned, read: &str) -> Result<()> {
    let listen = async |key: &str| {
        let live = gate.ask(0, Method::GET, "/stream").bearer_auth(key);
        live.send().await
    };
    let (mut own, mut other) = (listen(&owned.admin.key).await?, listen(read).await?);
    let write = gate.key("second", "write").await?;
    let event = json!({ "type": MARK, "userId": MARK });
    gate.accepted(1, &owned.write.key, &event.to_string())
        .await?;
    heard(&mut own, MARK).await?;
    gate.accepted(1, &write.key, r#"{"type":"heard-by-the-second"}"#)
        .await?;
    let text = heard(&mut other, "heard-by-the-second").await?;
    ensure!(!text.contains(MARK), "heard by another tenant: {text}");
    Ok(())
}

/// Reads what streams until `text` comes; all that came.
async fn heard(live: &mut Response, text: &str) -> Result<String> {
    let mut came = String::new();
    let listening = async {
        while !came.contains(text) {
            let chunk = live.chunk().await?.context("the stream has ended")?;
            came.push_str(&String::from_utf8_lossy(&chunk));
        }
        Ok(())
    };
    let listened = tokio::time::timeout(PATIENCE, listening).await;
    listened
        .unwrap_or_else(|_| Err(anyhow::anyhow!("not heard: {text}")))
        .map(|()| came)
}

/// Makes what the first tenant has.
async fn belongings(gate: &Gate) -> Result<Owned> {
    let [write, admin] = [
        gate.key(MARK, "write").await?,
        gate.key(MARK, "admin").await?,
    ];
    let member =
        json!({ "email": format!("{MARK}@example.org"), "role": "viewer", "tenant": MARK });
    gate.manage(Method::PUT, "/admin/members", member).await?;
    let mut event = String::new();
    for number in 0..2 {
        let sent = json!({ "type": MARK, "userId": MARK, "eventId": format!("{MARK}-{number}") });
        let body = gate.accepted(0, &write.key, &sent.to_string()).await?;
        body["ids"][0]
            .as_str()
            .context("no id")?
            .clone_into(&mut event);
        gate.stored(&admin.key, &event).await?;
    }
    let (_, page) = gate.get(0, "/events?limit=1", &admin.key).await?;
    let page: Value = serde_json::from_str(&page)?;
    let cursor = page["nextCursor"].as_str().context("no cursor")?.to_owned();
    let letter = dead_letter(gate, &write.key, &admin.key).await?;
    Ok(Owned {
        write,
        admin,
        event,
        letter,
        cursor,
    })
}

/// Has MongoDB refuse an event; the id of what was kept of it.
async fn dead_letter(gate: &Gate, write: &str, admin: &str) -> Result<String> {
    let database = gate.fort.database(OPERATOR).await?;
    let names = database.list_collection_names().await?;
    let spans = names.iter().filter(|name| name.starts_with("events_"));
    for span in spans {
        let order = doc! { "collMod": span, "validator": { "eventType": { "$ne": format!("{MARK}.dead") } } };
        database.run_command(order).await?;
    }
    let event = json!({ "type": format!("{MARK}.dead") });
    gate.accepted(0, write, &event.to_string()).await?;
    let letter = async || {
        let (_, text) = gate.get(0, "/admin/dead-letters", admin).await.ok()?;
        let letters: Value = serde_json::from_str(&text).ok()?;
        Some(letters["items"][0]["id"].as_str()?.to_owned())
    };
    until("it is a dead letter", async || letter().await.is_some()).await?;
    letter().await.context("no dead letter")
}

/// What the first tenant's admin sees of what could have been changed.
async fn kept(gate: &Gate, owned: &Owned) -> Result<Value> {
    let mut all = Vec::new();
    for path in ["/admin/keys", "/admin/members", "/admin/dead-letters"] {
        let (status, text) = gate.get(0, path, &owned.admin.key).await?;
        ensure!(status == StatusCode::OK, "{path}: {status} {text}");
        let mut seen: Value = serde_json::from_str(&text)?;
        let items = seen.get_mut("items").and_then(Value::as_array_mut);
        for item in items.into_iter().flatten() {
            // It is told some seconds late.
            item.as_object_mut()
                .and_then(|item| item.remove("lastUsedAt"));
        }
        all.push(seen);
    }
    Ok(all.into())
}
