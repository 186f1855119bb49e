//! The description of all public routes, ingest's too, as OpenAPI 3.1.
//!
//! Made from the handlers and the structs they answer with. Ingest is another service, which this
//! one never sees: its routes are described in [`ingest`] by hand, and held to it by schemathesis
//! (`.ci/run`).

pub mod ingest;

use utoipa::OpenApi;
use utoipa::openapi::server::Server;

use crate::routes::{admin, analytics, docs, events, metrics, sign_in, stream, usage};

/// All routes.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "EVP",
        description = "Stores events exactly once, counts them exactly and shows them live. \
                       docs/API.md explains what this page lists.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        ingest::accept,
        events::list,
        events::one,
        metrics::now,
        metrics::series,
        analytics::analytics,
        stream::stream,
        usage::usage,
        sign_in::methods,
        sign_in::by_key,
        sign_in::by_link,
        sign_in::code::ask,
        sign_in::code::confirm,
        sign_in::session::show,
        sign_in::session::end,
        sign_in::session::change_tenant,
        admin::info,
        admin::pipeline,
        admin::dead_letters::list,
        admin::dead_letters::one,
        admin::dead_letters::replay,
        admin::dead_letters::purge,
        admin::tenants::tenants,
        admin::tenants::add_tenant,
        admin::tenants::change_tenant,
        admin::keys::keys,
        admin::keys::add_key,
        admin::keys::rotate_key,
        admin::keys::revoke_key,
        admin::members::members,
        admin::members::put,
        admin::members::remove,
        admin::audit::audit,
        docs::livez,
        docs::openapi,
    ),
    tags(
        (name = "ingest", description = "Taking events"),
        (name = "query", description = "Events and counts"),
        (name = "live", description = "Events as they come"),
        (name = "sign-in", description = "Sessions"),
        (name = "admin", description = "For whoever runs EVP"),
        (name = "service", description = "The services themselves"),
    )
)]
struct Description;

/// The description, with ingest at `ingest_url`.
pub fn describe(ingest_url: &str) -> utoipa::openapi::OpenApi {
    let mut description = Description::openapi();
    description.servers = Some(vec![server("/", "aggregator")]);
    let ingest = || server(ingest_url, "ingest");
    let paths = &mut description.paths.paths;
    if let Some(post) = paths.get_mut("/events").and_then(|item| item.post.as_mut()) {
        post.servers = Some(vec![ingest()]);
    }
    if let Some(get) = paths.get_mut("/livez").and_then(|item| item.get.as_mut()) {
        get.servers = Some(vec![server("/", "aggregator"), ingest()]);
    }
    description
}

fn server(url: &str, name: &str) -> Server {
    let mut server = Server::new(url);
    server.description = Some(name.to_owned());
    server
}

/// As it is served, and kept in docs/openapi.json.
pub fn render(ingest_url: &str) -> String {
    // Maps of texts always serialise.
    let mut text = describe(ingest_url).to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
