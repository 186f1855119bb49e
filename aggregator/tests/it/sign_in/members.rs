//! Who is invited, and who says so.

use bson::{Document, doc};
use evp_shared::access::record::Scope;
use evp_shared::access::token::Token;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::keys::{CommandLine, KEYS, ask, known};
use crate::managing::send;
use crate::service::{TestAggregator, key};

const PATH: &str = "/admin/members";

async fn listed(service: &TestAggregator, by: &Token) -> Vec<[Value; 3]> {
    let (status, text) = ask(service, PATH, by).await;
    assert_eq!(status, 200, "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    let members = list["members"].as_array().unwrap().iter();
    let said = |one: &Value| ["email", "tenant", "role"].map(|name| one[name].clone());
    members.map(said).collect()
}

/// A service, an admin of `a`, and an operator; there is `b` too.
struct World {
    service: TestAggregator,
    admin: Token,
    operator: Token,
    reader: Token,
}

impl World {
    async fn new() -> Self {
        let service = TestAggregator::start_as(KEYS).await;
        let admin = key(&service.mongo, Some("a"), Scope::Admin).await.1;
        let reader = key(&service.mongo, Some("b"), Scope::Read).await.1;
        let operator = key(&service.mongo, None, Scope::Operator).await.1;
        known(&service, &operator).await;
        Self {
            service,
            admin,
            operator,
            reader,
        }
    }

    async fn put(&self, by: &Token, body: &Value) -> (u16, Value) {
        send(&self.service, (Method::PUT, PATH), by, body).await
    }

    async fn delete(&self, by: &Token, body: &Value) -> u16 {
        let request = self.service.request(Method::DELETE, PATH);
        let request = request.bearer_auth(by.expose()).json(body);
        request.send().await.unwrap().status().as_u16()
    }

    async fn listed(&self, by: &Token) -> Value {
        json!(listed(&self.service, by).await)
    }
}

#[tokio::test]
async fn an_admin_invites_to_its_own_tenant_and_an_operator_to_all() {
    let world = World::new().await;
    let (admin, operator) = (&world.admin, &world.operator);
    let jane = json!({ "email": "Jane@Example.org", "role": "viewer" });
    let (status, made) = world.put(admin, &jane).await;
    assert_eq!(status, 200, "{made}");
    let found = [&made["email"], &made["tenant"]];
    assert_eq!(json!(found), json!(["jane@example.org", "a"]));
    assert!(made["createdAt"].is_string(), "{made}");
    assert!(made.get("lastSignInAt").is_none(), "{made}");
    for body in [
        json!({ "email": "jane@example.org", "role": "admin", "tenant": "b" }),
        json!({ "email": "op@example.org", "role": "operator" }),
    ] {
        let (status, answer) = world.put(operator, &body).await;
        assert_eq!(status, 200, "{answer}");
        let (status, answer) = world.put(admin, &body).await;
        assert_eq!((status, &answer["code"]), (403, &json!("scope_missing")));
    }
    let of_a = json!(["jane@example.org", "a", "viewer"]);
    let of_b = json!(["jane@example.org", "b", "admin"]);
    let of_all = json!(["op@example.org", null, "operator"]);
    assert_eq!(world.listed(admin).await, json!([of_a]));
    assert_eq!(world.listed(operator).await, json!([of_a, of_b, of_all]));
    assert_eq!(ask(&world.service, PATH, &world.reader).await.0, 403);

    let of_b_too = json!({ "email": "jane@example.org", "tenant": "b" });
    assert_eq!(world.delete(admin, &of_b_too).await, 403);
    let own = json!({ "email": "JANE@example.org" });
    assert_eq!(world.delete(admin, &own).await, 204);
    assert_eq!(world.delete(admin, &own).await, 404);
    assert_eq!(world.listed(operator).await, json!([of_b, of_all]));
    let op = json!({ "email": "op@example.org" });
    assert_eq!(world.delete(operator, &op).await, 204);
    assert_eq!(world.delete(operator, &of_b_too).await, 204);
    assert_eq!(world.listed(operator).await, json!([]));
    world.service.stop().await;
}

#[tokio::test]
async fn one_tenant_leaves_places_to_the_others() {
    let world = World::new().await;
    let by = &world;
    let members = world.service.mongo.access();
    let members = members.collection::<Document>("members");
    let of_a = (0..249).map(|number| {
        let membership = doc! { "role": "viewer", "createdMs": 1_i64 };
        doc! { "_id": format!("x{number}@example.org"), "tenants": { "a": membership } }
    });
    members.insert_many(of_a).await.unwrap();
    let invite = |number| async move {
        let email = format!("new{number}@example.org");
        let body = json!({ "email": email, "role": "viewer" });
        by.put(&by.admin, &body).await
    };
    // All at once: there is one place.
    let answers = join_all((0..8).map(invite)).await;
    let (taken, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!((taken.len(), refused.len()), (1, 7));
    for (status, answer) in refused {
        assert_eq!((status, &answer["parameter"]), (400, &json!("email")));
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains("250"), "{detail}");
    }
    // Who is there may be another thing there, and others have room.
    let known = json!({ "email": "x1@example.org", "role": "admin" });
    assert_eq!(world.put(&world.admin, &known).await.0, 200);
    let of_b = json!({ "email": "jane@example.org", "role": "viewer", "tenant": "b" });
    assert_eq!(world.put(&world.operator, &of_b).await.0, 200);
    world.service.stop().await;
}

#[tokio::test]
async fn what_is_wrong_with_an_invitation_is_named() {
    let world = World::new().await;
    let (admin, operator) = (&world.admin, &world.operator);
    for (by, body, parameter) in [
        (admin, json!({ "email": "x", "role": "viewer" }), "email"),
        (
            admin,
            json!({ "email": "x@y\r\nz@y", "role": "viewer" }),
            "email",
        ),
        (admin, json!({ "email": "x@y", "role": "owner" }), "role"),
        (
            operator,
            json!({ "email": "x@y", "role": "viewer" }),
            "tenant",
        ),
        (
            operator,
            json!({ "email": "x@y", "role": "viewer", "tenant": "c" }),
            "tenant",
        ),
        (
            operator,
            json!({ "email": "x@y", "role": "operator", "tenant": "a" }),
            "tenant",
        ),
        (
            operator,
            json!({ "email": "x@y", "role": "viewer", "name": "" }),
            "name",
        ),
    ] {
        let (status, answer) = world.put(by, &body).await;
        let found = (status, &answer["parameter"]);
        assert_eq!(found, (400, &json!(parameter)), "{body}");
    }
    assert_eq!(world.listed(operator).await, json!([]));
    world.service.stop().await;
}

#[tokio::test]
async fn the_first_members_are_invited_by_the_command() {
    let service = TestAggregator::start().await;
    let command = CommandLine {
        redis: &service.redis,
        mongo: &service.mongo,
    };
    command.ok(&["tenant", "add", "acme"]).await;
    let jane = ["member", "add", "Jane@example.org"];
    command
        .ok(&[&jane[..], &["--tenant", "acme", "--role", "viewer"]].concat())
        .await;
    command
        .ok(&["member", "add", "op@example.org", "--operator"])
        .await;
    let list = command.ok(&["member", "list"]).await;
    for said in [
        "jane@example.org",
        "acme",
        "viewer",
        "op@example.org",
        "operator",
    ] {
        assert!(list.contains(said), "{list}");
    }
    command
        .ok(&["member", "remove", "jane@example.org", "--tenant", "acme"])
        .await;
    let list = command.ok(&["member", "list"]).await;
    assert!(!list.contains("jane"), "{list}");
    for (arguments, named) in [
        (
            &["member", "add", "jane", "--operator"][..],
            "jane@example.org",
        ),
        (
            &[
                "member", "add", "x@y", "--tenant", "none", "--role", "viewer",
            ],
            "none",
        ),
        (&["member", "remove", "x@y", "--operator"], "no such member"),
        (&["member", "add", "x@y"], "--tenant"),
    ] {
        let (is_done, text) = command.run(arguments).await;
        assert!(!is_done && text.contains(named), "{arguments:?}: {text}");
    }
    service.stop().await;
}
