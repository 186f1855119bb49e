//! Routes without a credential, and with another tenant's.

use anyhow::{Context as _, Result, ensure};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Gate;
use super::gate::answer;
use crate::scenario::Size;

/// What stands in every event, key and name of the tenant that is attacked.
const MARK: &str = "marked-by-the-first-tenant";
const MADE_UP: usize = 200;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What everybody may ask for, and the ways to sign in.
const PUBLIC: [&str; 4] = ["/", "/livez", "/docs", "/openapi.json"];

/// A route of `/openapi.json`.
struct Route {
    method: Method,
    path: String,
    is_public: bool,
}

pub(super) async fn every_route(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    for tenant in ["first", "second"] {
        gate.tenant(tenant).await?;
    }
    let owned = belongings(&gate).await?;
    let routes = routes(&gate, &owned).await?;
    let closed: Vec<&Route> = routes.iter().filter(|route| !route.is_public).collect();
    for route in &closed {
        let request = gate.ask(0, route.method.clone(), &route.path);
        let (status, text) = answer(request).await?;
        let Route { method, path, .. } = route;
        ensure!(
            status == StatusCode::UNAUTHORIZED,
            "{method} {path}: {status} {text}"
        );
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
    for scope in ["read", "admin"] {
        let other = gate.key("second", scope).await?;
        for route in &closed {
            let request = gate.ask(0, route.method.clone(), &route.path);
            // What streams does not end by itself.
            if route.path == "/stream" {
                continue;
            }
            let request = request.bearer_auth(&other.key).json(&json!({}));
            let (status, text) = answer(request).await?;
            let Route { method, path, .. } = route;
            let shown = text.replace(path, "");
            ensure!(
                !owned.iter().any(|one| shown.contains(one)) && !text.contains(MARK),
                "{method} {path} with another tenant's key: {status} {text}"
            );
        }
    }
    gate.held(format!(
        "{} routes and {MADE_UP} made-up paths: 401; nothing of the first tenant in any answer to the second",
        closed.len()
    ))
}

/// Makes what the first tenant has; the texts that tell it.
async fn belongings(gate: &Gate) -> Result<Vec<String>> {
    let [write, read] = [
        gate.key("first", "write").await?,
        gate.key("first", "read").await?,
    ];
    let event = json!({ "type": MARK, "userId": MARK, "sessionId": MARK, "eventId": MARK });
    let body = gate.accepted(0, &write.key, &event.to_string()).await?;
    let id = body["ids"][0].as_str().context("no id")?.to_owned();
    gate.stored(&read.key, &id).await?;
    Ok(vec![id, write.id, read.id])
}

/// The routes there are, with what is the first tenant's in their places.
async fn routes(gate: &Gate, owned: &[String]) -> Result<Vec<Route>> {
    let (_, text) = answer(gate.ask(0, Method::GET, "/openapi.json")).await?;
    let described: Value = serde_json::from_str(&text)?;
    let paths = described["paths"].as_object().context("no paths")?;
    let mut routes = Vec::new();
    for (path, operations) in paths {
        for method in METHODS {
            if operations.get(method).is_none() {
                continue;
            }
            let id = match path.as_str() {
                path if path.starts_with("/admin/keys/") => owned[1].clone(),
                path if path.starts_with("/events/") => owned[0].clone(),
                _ => Uuid::new_v4().to_string(),
            };
            let mut filled = path.clone();
            while let (Some(from), Some(to)) = (filled.find('{'), filled.find('}')) {
                filled.replace_range(from..=to, &id);
            }
            let is_public = path.starts_with("/sign-in") || PUBLIC.contains(&path.as_str());
            routes.push(Route {
                method: method.to_uppercase().parse()?,
                path: filled,
                is_public,
            });
        }
    }
    ensure!(routes.iter().any(|route| !route.is_public), "{text}");
    Ok(routes)
}
