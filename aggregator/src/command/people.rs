//! People: who is invited, and links that sign in.

use bson::doc;
use clap::{Args, Subcommand};
use evp_shared::access::record::TenantId;
use evp_shared::access::store::{AccessError, AccessStore};
use evp_shared::access::token::Token;
use evp_shared::audit::{Action, Actor, Audit, Outcome};
use evp_shared::choice::Choice as _;
use evp_shared::clock::Clock;
use evp_shared::command::{show_time, table};
use mongodb::Database;

use super::CommandError;
use crate::config::AggregatorConfig;
use crate::sign_in::links::{Link, Links};
use crate::sign_in::member::{Email, Member};
use crate::sign_in::members::Members;
use crate::sign_in::role::Role;

#[derive(Debug, Subcommand)]
pub(super) enum MemberCommand {
    /// Invite somebody, or say anew as what
    Add {
        email: Email,
        #[command(flatten)]
        what: LinkCommand,
    },
    /// Take that back; sessions that began with it end
    Remove {
        email: Email,
        /// Of which tenant
        #[arg(long, required_unless_present = "operator")]
        tenant: Option<TenantId>,
        /// As an operator
        #[arg(long, conflicts_with = "tenant")]
        operator: bool,
    },
    /// List all members
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// End all sessions of a person
    End {
        /// As the audit calls who signed in: link_0123456789ab, jane@example.org
        person: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct LinkCommand {
    /// Whose data is seen
    #[arg(long, required_unless_present = "operator")]
    tenant: Option<TenantId>,
    /// As what: viewer, admin
    #[arg(long, value_parser = role, required_unless_present = "operator")]
    role: Option<Role>,
    /// All of it, of all tenants
    #[arg(long, conflicts_with_all = ["tenant", "role"])]
    operator: bool,
}

fn role(text: &str) -> Result<Role, String> {
    let role = Role::named(text).filter(|role| *role != Role::Operator);
    role.ok_or_else(|| "viewer or admin".to_owned())
}

pub(super) async fn change_member(
    members: &Members,
    store: &AccessStore,
    command: &MemberCommand,
) -> Result<String, CommandError> {
    let actor = Actor::of_process();
    Ok(match command {
        MemberCommand::Add { email, what } => {
            if let Some(tenant) = &what.tenant {
                must_exist(store, tenant).await?;
            }
            let role = what.role.unwrap_or(Role::Operator);
            members
                .put(&actor, email, (what.tenant.as_ref(), role))
                .await?;
            format!("{email} may sign in by a code, as {role}")
        }
        MemberCommand::Remove { email, tenant, .. } => {
            members.remove(&actor, email, tenant.as_ref()).await?;
            format!("{email} is no longer invited to that")
        }
        MemberCommand::List => list_members(&members.all().await?),
    })
}

pub(super) async fn change_sessions(
    members: &Members,
    SessionCommand::End { person }: &SessionCommand,
) -> Result<String, CommandError> {
    let ended = members.end_sessions(&Actor::of_process(), person).await?;
    Ok(format!("{ended} sessions of {person} ended"))
}

async fn must_exist(store: &AccessStore, tenant: &TenantId) -> Result<(), AccessError> {
    let tenants = store.tenants().await?;
    if tenants.iter().all(|one| one.id != *tenant) {
        return Err(AccessError::NoTenant { id: tenant.clone() });
    }
    Ok(())
}

fn list_members(members: &[Member]) -> String {
    let head = ["email", "tenant", "role", "made", "last sign-in"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(members.iter().flat_map(|member| {
        member.memberships().map(move |(tenant, membership)| {
            let last = membership.signed_in_ms;
            vec![
                member.email.to_string(),
                tenant.map_or("-", TenantId::as_str).to_owned(),
                membership.role.to_string(),
                show_time(membership.created_ms),
                last.map_or_else(|| "-".to_owned(), show_time),
            ]
        })
    }));
    table(&rows)
}

/// Makes a link; nothing of it is kept that could sign in.
pub(super) async fn make_link(
    config: &AggregatorConfig,
    database: &Database,
    store: &AccessStore,
    asked: &LinkCommand,
) -> Result<String, CommandError> {
    let tenant = asked.tenant.clone();
    let tenant = tenant.unwrap_or_else(TenantId::default_tenant);
    must_exist(store, &tenant).await?;
    let role = asked.role.unwrap_or(Role::Operator);
    let said = doc! { "role": role.as_str() };
    let action = Action::of("link.make", asked.tenant.as_ref(), said);
    let links = Links::new(database, Clock::system(), config.query.time_limit);
    let made = |(link, _): &(Link, Token)| Outcome::done(doc! { "link": &link.id });
    let audit = Audit::new(database);
    let actor = Actor::of_process();
    let made = audit.around(&actor, action, links.make(tenant, role), made);
    let (link, token) = made.await?;
    let (base, token) = (config.base_url(), token.expose());
    // The text stands in the fragment, which browsers send nowhere.
    Ok(format!(
        "{}, for one sign-in within ten minutes, shown this once:\n{base}/#sign-in={token}",
        link.id
    ))
}
