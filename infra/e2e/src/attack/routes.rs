//! The routes of `/openapi.json`, filled in with what is the first tenant's.

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::Gate;
use super::gate::{Made, answer};

/// The tenant that is attacked. It stands in every event, letter, key and member of its own.
pub(super) const MARK: &str = "marked-as-the-first";
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// What everybody may ask for, and the ways to sign in.
const PUBLIC: [&str; 3] = ["/livez", "/docs", "/openapi.json"];

/// What the first tenant has.
pub(super) struct Owned {
    pub(super) write: Made,
    pub(super) admin: Made,
    /// A canonical id.
    pub(super) event: String,
    pub(super) letter: String,
    /// Of its list of events.
    pub(super) cursor: String,
}

impl Owned {
    /// What tells it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let ids = [&self.write.id, &self.admin.id, &self.event, &self.letter];
        ids.into_iter().map(String::as_str).chain([MARK])
    }
}

/// A route that is not for everybody.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) template: String,
    pub(super) path: String,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    /// A request for it, without a credential.
    pub(super) fn request(&self, gate: &Gate) -> RequestBuilder {
        gate.ask(0, self.method.clone(), &self.path)
    }

    pub(super) fn is_signing_out(&self) -> bool {
        self.template == "/session" && self.method == Method::DELETE
    }

    /// Whether it only shows something, and is over then.
    pub(super) fn ends_with_its_answer(&self) -> bool {
        self.method == Method::GET && self.template != "/stream"
    }

    /// A body that asks for what is the first tenant's.
    pub(super) fn body(&self, owned: &Owned) -> Value {
        let email = format!("{MARK}@example.org");
        match (&*self.template, self.method.as_str()) {
            ("/admin/keys", _) => json!({ "name": "mine", "scope": "read", "tenant": MARK }),
            ("/admin/keys/{id}/rotate", _) => json!({ "overlapSeconds": 0 }),
            ("/admin/members", "PUT") => {
                json!({ "email": email, "role": "admin", "tenant": MARK })
            }
            ("/admin/members", _) => json!({ "email": email, "tenant": MARK }),
            ("/admin/tenants", _) => json!({ "id": "third" }),
            ("/admin/tenants/{id}", _) => json!({ "state": "disabled" }),
            ("/admin/dead-letters/replay" | "/admin/dead-letters/purge", _) => {
                json!({ "ids": [owned.letter], "dryRun": false })
            }
            ("/session/tenant", _) => json!({ "tenant": MARK }),
            _ => json!({}),
        }
    }

    /// What may be answered to another tenant that asks so. A list is its own, and of its letters
    /// none has such an id.
    pub(super) fn refusals(&self) -> &'static [u16] {
        match (&*self.template, self.method.as_str()) {
            (path, _) if path.contains("{id}") => &[403, 404],
            ("/events?cursor", _) => &[400],
            (_, "GET") | ("/admin/dead-letters/replay" | "/admin/dead-letters/purge", _) => {
                &[200, 403]
            }
            ("/session" | "/session/tenant", _) => &[400],
            // Ingest's, which this service has not.
            ("/events", _) => &[405],
            _ => &[403],
        }
    }
}

/// The routes there are for who may come in.
pub(super) async fn routes(gate: &Gate, owned: &Owned) -> Result<Vec<Route>> {
    let (_, text) = answer(gate.ask(0, Method::GET, "/openapi.json")).await?;
    let described: Value = serde_json::from_str(&text)?;
    let paths = described["paths"].as_object().context("no paths")?;
    let mut routes = vec![Route {
        method: Method::GET,
        template: "/events?cursor".to_owned(),
        path: format!("/events?cursor={}", owned.cursor),
    }];
    for (template, operations) in paths {
        let is_public = template.starts_with("/sign-in") || PUBLIC.contains(&template.as_str());
        let methods = METHODS.iter().filter(|_| !is_public);
        for method in methods.filter(|method| operations.get(method).is_some()) {
            routes.push(Route {
                method: method.to_uppercase().parse()?,
                template: template.clone(),
                path: filled(template, owned)?,
            });
        }
    }
    ensure!(routes.len() > 1, "{text}");
    Ok(routes)
}

fn filled(template: &str, owned: &Owned) -> Result<String> {
    let id = match template {
        path if path.starts_with("/admin/keys/") => &owned.write.id,
        path if path.starts_with("/admin/dead-letters/") => &owned.letter,
        path if path.starts_with("/admin/tenants/") => MARK,
        path if path.starts_with("/events/") => &owned.event,
        path => {
            ensure!(!path.contains('{'), "of what is {path}?");
            path
        }
    };
    Ok(template.replace("{id}", id))
}
