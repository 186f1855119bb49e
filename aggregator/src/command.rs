//! `evp-aggregator access`: tenants, keys and links, straight in MongoDB. It is how the first of them are
//! made.

mod limits;
mod list;
mod people;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use evp_shared::access::projector::{COMPARE_MAX, Projector};
use evp_shared::access::record::{Key, Scope, TenantId, TenantState};
use evp_shared::access::store::{AccessError, AccessStore, Change, NewKey, NewTenant};
use evp_shared::access::token::{KeyKind, Token};
use evp_shared::audit::Actor;
use evp_shared::choice::Choice as _;
use evp_shared::clock::Clock;
use evp_shared::command::{Done, FAILED, run_to_end};
use evp_shared::config::Value as _;
use evp_shared::keys::Keys;
use evp_shared::redis::{connect, connected};
use evp_shared::store;
use evp_shared::stream::Stream;
use mongodb::error::Error as MongoError;
use tokio::time::timeout;

use self::limits::Limits;
use self::list::{list_keys, list_tenants};
use self::people::{
    LinkCommand, MemberCommand, SessionCommand, change_member, change_sessions, make_link,
};
use crate::config::AggregatorConfig;
use crate::sign_in::members::Members;

const CONNECTIONS: u32 = 2;
/// Longest time MongoDB may take to answer, the way there included.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The subcommand `access`.
#[derive(Debug, Args)]
pub struct AccessCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tenants: whose events are whose
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Keys: who may send or see them
    #[command(subcommand)]
    Key(KeyCommand),
    /// Members: people who may sign in by a code sent to them
    #[command(subcommand)]
    Member(MemberCommand),
    /// Sessions of people who signed in
    #[command(subcommand)]
    Session(SessionCommand),
    /// Print a link that signs somebody in to the dashboard, once, within ten minutes
    Link(LinkCommand),
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Make a tenant
    Add {
        /// 1 to 32 of a-z, 0-9 and "-"; never changed, and never given again
        id: TenantId,
        /// What people call it [default: its id]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        counted: Counted,
    },
    /// List all tenants
    List,
    /// Let its keys work again
    Enable { id: TenantId },
    /// Refuse all its keys; what is stored stays
    Disable { id: TenantId },
    /// Say what all its keys together may send; what is left out has no limit
    Limit {
        id: TenantId,
        #[command(flatten)]
        limits: Limits,
        /// Events in a UTC day, over all instances
        #[arg(long, value_name = "N")]
        events_per_day: Option<u64>,
    },
    /// Say what is counted of its events; what is left out stays
    Count {
        id: TenantId,
        #[command(flatten)]
        counted: Counted,
    },
}

/// What is counted of a tenant's events.
#[derive(Debug, Clone, Copy, Args)]
struct Counted {
    /// Types that are counted by name; all tenants together may have 20,000 [default: 200]
    #[arg(long, value_name = "N")]
    types: Option<u32>,
    /// Whether /analytics knows its unique and top users: 32 tenants may have that [default: false]
    #[arg(long, value_name = "BOOL")]
    analytics: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it, once
    Create(Create),
    /// List all keys, without their text
    List {
        /// Only those of this tenant
        #[arg(long)]
        tenant: Option<TenantId>,
    },
    /// Make a key like this one, which ends after the overlap
    Rotate {
        id: String,
        /// How long the old key stays good, 0s to 30d
        #[arg(long, default_value = "24h", value_parser = Duration::parse)]
        overlap: Duration,
    },
    /// Refuse this key from now on
    Revoke { id: String },
}

#[derive(Debug, Args)]
struct Create {
    /// What people call it
    name: String,
    /// What it may do: write, read, admin, operator
    #[arg(long, value_parser = scope)]
    scope: Scope,
    /// Whose it is [default: default, and nobody for an operator]
    #[arg(long)]
    tenant: Option<TenantId>,
    /// It may stand in a page: it only writes
    #[arg(long)]
    public: bool,
    /// It ends after this time, such as 90d
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    expires: Option<Duration>,
    /// It sends only events of this type (repeat it)
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Pages of this origin may use it (repeat it)
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    #[command(flatten)]
    limits: Limits,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::named(text).ok_or_else(|| "write, read, admin or operator".to_owned())
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error("mongo.uri cannot be used: {0}")]
    Uri(#[from] MongoError),
    #[error("{0}")]
    Access(#[from] AccessError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Does what the command line asks for, and exits.
pub fn main(config_file: Option<&Path>, command: &AccessCommand) -> ExitCode {
    run_to_end(
        "evp-aggregator",
        config_file,
        FAILED,
        async |config: &AggregatorConfig| run(config, command).await,
    )
}

async fn run(config: &AggregatorConfig, command: &AccessCommand) -> Result<Done, CommandError> {
    let database = store::connect(&config.mongo, CONNECTIONS).await?;
    let store = AccessStore::new(&database);
    let now_ms = Clock::system().now_ms();
    let members = Members::new(&database, Clock::system(), ANSWER_MAX);
    let (mut text, is_change) = match &command.what {
        What::Tenant(tenant) => change_tenant(&store, tenant, now_ms).await?,
        What::Key(key) => change_key(&store, key, now_ms).await?,
        What::Member(member) => (change_member(&members, &store, member).await?, false),
        What::Session(session) => (change_sessions(&members, session).await?, false),
        What::Link(link) => (make_link(config, &database, &store, link).await?, false),
    };
    if is_change {
        text.push('\n');
        text.push_str(&in_force(config, store).await);
    }
    Ok(Done {
        text,
        complete: true,
    })
}

/// Has Redis say it at once, where it is there; an aggregator does so otherwise.
async fn in_force(config: &AggregatorConfig, store: AccessStore) -> String {
    let project = async {
        let client = connect(&config.redis)?;
        connected(&client, config.redis.connect_timeout).await?;
        let keys = Keys::new(config.redis.key_prefix.as_str());
        let stream = Stream::new(client, &keys, config.redis.partitions.get());
        let projector = Projector::new(store, stream);
        Ok::<_, Box<dyn Error>>(timeout(COMPARE_MAX, projector.project()).await??)
    };
    match project.await {
        Ok(_) => "in force within a second".to_owned(),
        Err(error) => format!("kept, and in force once Redis and an aggregator run: {error}"),
    }
}

async fn change_tenant(
    store: &AccessStore,
    command: &TenantCommand,
    now_ms: u64,
) -> Result<(String, bool), CommandError> {
    let changes = store.by(Actor::of_process());
    let state = |state| Change {
        state: Some(state),
        ..Change::default()
    };
    let (id, change) = match command {
        TenantCommand::Add { id, name, counted } => {
            let new = NewTenant {
                name: name.clone().unwrap_or_else(|| id.to_string()),
                id: id.clone(),
                types: counted.types,
                analytics: counted.analytics,
            };
            let tenant = changes.add_tenant(new, now_ms).await?;
            return Ok((format!("tenant {} made", tenant.id), true));
        }
        TenantCommand::List => return Ok((list_tenants(&store.tenants().await?), false)),
        TenantCommand::Enable { id } => (id, state(TenantState::Active)),
        TenantCommand::Disable { id } => (id, state(TenantState::Disabled)),
        TenantCommand::Limit {
            id,
            limits,
            events_per_day,
        } => {
            let change = Change {
                limits: Some(limits.read()),
                events_per_day: Some(events_per_day.unwrap_or(0)),
                ..Change::default()
            };
            (id, change)
        }
        TenantCommand::Count { id, counted } => {
            let change = Change {
                types: counted.types,
                analytics: counted.analytics,
                ..Change::default()
            };
            (id, change)
        }
    };
    changes.change(id, &change).await?;
    Ok((format!("tenant {id} is changed"), true))
}

async fn change_key(
    store: &AccessStore,
    command: &KeyCommand,
    now_ms: u64,
) -> Result<(String, bool), CommandError> {
    let made = |(key, token): (Key, Token)| {
        // The key alone on a line of its own, for whoever takes it from here.
        let about = format!("{} ({}), shown this once:", key.id, key.name);
        format!("{about}\n{}", token.expose())
    };
    Ok(match command {
        KeyCommand::Create(create) => {
            let new = create.new_key(now_ms);
            (
                made(store.by(Actor::of_process()).add_key(new, now_ms).await?),
                true,
            )
        }
        KeyCommand::List { tenant } => {
            let keys = store.records().await?.keys;
            let wanted = |key: &&Key| tenant.is_none() || key.tenant == *tenant;
            (list_keys(keys.iter().filter(wanted)), false)
        }
        KeyCommand::Rotate { id, overlap } => {
            let old = store.key(id).await?;
            let changes = store.by(Actor::of_process());
            let new = changes.rotate_key(&old, *overlap, now_ms).await?;
            (made(new), true)
        }
        KeyCommand::Revoke { id } => {
            let key = store.key(id).await?;
            store
                .by(Actor::of_process())
                .revoke_key(&key, now_ms)
                .await?;
            (format!("{id} is revoked"), true)
        }
    })
}

impl Create {
    fn new_key(&self, now_ms: u64) -> NewKey {
        let kind = if self.public {
            KeyKind::Public
        } else {
            KeyKind::Secret
        };
        let after_ms = |after: Duration| u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        let default = (self.scope != Scope::Operator).then(TenantId::default_tenant);
        NewKey {
            name: self.name.clone(),
            kind,
            scope: self.scope,
            tenant: self.tenant.clone().or(default),
            types: self.types.clone(),
            origins: self.origins.clone(),
            limits: self.limits.read(),
            expires_ms: self
                .expires
                .map(|after| now_ms.saturating_add(after_ms(after))),
        }
    }
}
