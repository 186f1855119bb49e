//! Servers that let in the users of `infra/redis/users.acl` and `infra/mongo/roles.js`, and nobody else.

use anyhow::{Context as _, Result};
use bson::{Document, doc};
use evp_devstack::{MongoOptions, RedisOptions, ScratchDir};
use evp_shared::store::ACCESS_SUFFIX;
use mongodb::{Client, Database};
use serde::Deserialize;

const USERS: &str = include_str!("../../redis/users.acl");
const ROLES: &str = include_str!("../../mongo/roles.js");
/// Of everybody: the servers are gone with the scenario.
pub(crate) const PASSWORD: &str = "a-password-of-a-user";
/// Who may do everything, on both servers.
pub(crate) const OPERATOR: &str = "operator";

/// What such servers are started with.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) redis: RedisOptions,
    pub(crate) mongo: MongoOptions,
    /// Holds the file of users.
    _scratch: ScratchDir,
}

/// A line of `roles.js`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Right {
    user: String,
    r#in: String,
    collection: Option<String>,
    actions: Vec<String>,
}

impl Guard {
    /// Redis' users may touch what begins with `prefix`, a pattern, instead of `evp`.
    pub(crate) fn new(prefix: &str) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let file = scratch.path().join("users.acl");
        std::fs::write(&file, users(prefix))?;
        let options = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Ok(Self {
            redis: RedisOptions {
                extra: options(&["--aclfile", &file.display().to_string()]),
                ..RedisOptions::default()
            },
            mongo: MongoOptions {
                extra: options(&["--auth"]),
                ..MongoOptions::default()
            },
            _scratch: scratch,
        })
    }
}

/// The URL of a server as `user`.
#[must_use]
pub fn url_as(user: &str, url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    format!("{scheme}://{user}:{PASSWORD}@{address}")
}

/// `users.acl` as an operator keeps it: with passwords.
fn users(prefix: &str) -> String {
    let password = format!(" on >{PASSWORD} ");
    USERS
        .replace(" on ", &password)
        .replace("~evp:", &format!("~{prefix}:"))
}

/// Makes the first user of the mongod at `uri`, which only a connection from its own machine may do.
pub(crate) async fn found(uri: &str) -> Result<()> {
    let admin = Client::with_uri_str(uri).await?.database("admin");
    let user = doc! { "createUser": OPERATOR, "pwd": PASSWORD, "roles": ["root"] };
    admin.run_command(user).await?;
    Ok(())
}

/// Does to mongod what `roles.js` does, for the events in `database`.
pub(crate) async fn admit(database: &Database) -> Result<()> {
    let admin = database.client().database("admin");
    let rights = rights()?;
    for user in ["processor", "aggregator"] {
        let own = rights.iter().filter(|right| right.user == user);
        let privileges: Vec<Document> = own
            .map(|right| right.privilege(database.name()))
            .collect::<Result<_>>()?;
        let role = format!("evp_{user}");
        let no_roles: [&str; 0] = [];
        let create = doc! { "createRole": &role, "privileges": privileges, "roles": &no_roles[..] };
        admin.run_command(create).await?;
        let login = doc! { "createUser": user, "pwd": PASSWORD, "roles": [{ "role": role, "db": "admin" }] };
        admin.run_command(login).await?;
    }
    Ok(())
}

fn rights() -> Result<Vec<Right>> {
    let text = ROLES.split_once("const RIGHTS = ");
    let text = text.and_then(|(_, rest)| rest.split_once("];"));
    let (text, _) = text.context("roles.js has no RIGHTS")?;
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let json: String = lines.chain(["]"]).collect();
    Ok(serde_json::from_str(&json)?)
}

impl Right {
    fn privilege(&self, events: &str) -> Result<Document> {
        let resource = match (self.r#in.as_str(), &self.collection) {
            ("events", Some(collection)) => doc! { "db": events, "collection": collection },
            ("access", Some(collection)) => {
                doc! { "db": format!("{events}{ACCESS_SUFFIX}"), "collection": collection }
            }
            ("config", Some(collection)) => doc! { "db": "config", "collection": collection },
            ("cluster", None) => doc! { "cluster": true },
            (other, _) => anyhow::bail!("roles.js has rights in {other}"),
        };
        Ok(doc! { "resource": resource, "actions": &self.actions })
    }
}
