//! Who is invited, and who says so.

use evp_shared::access::record::Scope;
use evp_shared::access::token::Token;
use reqwest::Method;
use serde_json::{Value, json};

use crate::keys::{CommandLine, KEYS, ask, known, send};
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

#[tokio::test]
async fn an_admin_invites_to_its_own_tenant_and_an_operator_to_all() {
    let service = TestAggregator::start_as(KEYS).await;
    let admin = key(&service.mongo, Some("a"), Scope::Admin).await.1;
    let reader = key(&service.mongo, Some("b"), Scope::Read).await.1;
    let operator = key(&service.mongo, None, Scope::Operator).await.1;
    known(&service, &operator).await;
    let put = (Method::PUT, PATH);
    let jane = json!({ "email": "Jane@Example.org", "role": "viewer" });
    let (status, made) = send(&service, put.clone(), &admin, &jane).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(
        (&made["email"], &made["tenant"]),
        (&json!("jane@example.org"), &json!("a"))
    );
    assert!(
        made["createdAt"].is_string() && made.get("lastSignInAt").is_none(),
        "{made}"
    );
    for body in [
        json!({ "email": "jane@example.org", "role": "admin", "tenant": "b" }),
        json!({ "email": "op@example.org", "role": "operator" }),
    ] {
        let (status, answer) = send(&service, put.clone(), &operator, &body).await;
        assert_eq!(status, 200, "{answer}");
        let (status, answer) = send(&service, put.clone(), &admin, &body).await;
        assert_eq!(
            (status, &answer["code"]),
            (403, &json!("scope_missing")),
            "{body}"
        );
    }
    let of_a = [json!("jane@example.org"), json!("a"), json!("viewer")];
    let of_b = [json!("jane@example.org"), json!("b"), json!("admin")];
    let of_all = [json!("op@example.org"), json!(null), json!("operator")];
    assert_eq!(listed(&service, &admin).await, [of_a.clone()]);
    assert_eq!(
        listed(&service, &operator).await,
        [of_a, of_b.clone(), of_all.clone()]
    );
    assert_eq!(ask(&service, PATH, &reader).await.0, 403);

    for (by, body, parameter) in [
        (&admin, json!({ "email": "x", "role": "viewer" }), "email"),
        (
            &admin,
            json!({ "email": "x@y\r\nz@y", "role": "viewer" }),
            "email",
        ),
        (&admin, json!({ "email": "x@y", "role": "owner" }), "role"),
        (
            &operator,
            json!({ "email": "x@y", "role": "viewer" }),
            "tenant",
        ),
        (
            &operator,
            json!({ "email": "x@y", "role": "viewer", "tenant": "c" }),
            "tenant",
        ),
        (
            &operator,
            json!({ "email": "x@y", "role": "operator", "tenant": "a" }),
            "tenant",
        ),
        (
            &operator,
            json!({ "email": "x@y", "role": "viewer", "name": "" }),
            "name",
        ),
    ] {
        let (status, answer) = send(&service, put.clone(), by, &body).await;
        assert_eq!(
            (status, &answer["parameter"]),
            (400, &json!(parameter)),
            "{body}"
        );
    }

    let delete = async |by: &Token, body: Value| {
        let request = service
            .request(Method::DELETE, PATH)
            .bearer_auth(by.expose());
        request.json(&body).send().await.unwrap().status().as_u16()
    };
    let of_b_too = json!({ "email": "jane@example.org", "tenant": "b" });
    assert_eq!(delete(&admin, of_b_too).await, 403);
    let own = json!({ "email": "JANE@example.org" });
    assert_eq!(delete(&admin, own.clone()).await, 204);
    assert_eq!(delete(&admin, own).await, 404);
    assert_eq!(listed(&service, &operator).await, [of_b, of_all]);
    assert_eq!(
        delete(&operator, json!({ "email": "op@example.org" })).await,
        204
    );
    let jane = json!({ "email": "jane@example.org", "tenant": "b" });
    assert_eq!(delete(&operator, jane).await, 204);
    assert!(listed(&service, &operator).await.is_empty());
    service.stop().await;
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
