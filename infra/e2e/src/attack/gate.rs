use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use evp_devstack::{Output, ScratchDir, ServiceSpec, free_port};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::fort::Fort;
use crate::system::binary;
use crate::{Node, client, until};

/// Everything that asks for keys, and an operator's key to it.
///
/// Two of each service that is asked, because what holds for one only does not hold.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) ingests: Vec<Node>,
    pub(super) aggregators: Vec<Node>,
    pub(super) processor: Node,
    pub(super) fort: Fort,
    pub(super) http: Client,
    pub(super) logs: ScratchDir,
    pub(super) operator: String,
    has_held: bool,
}

/// An answer: status and text.
pub(super) type Answer = (StatusCode, String);

/// A key as it was made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) key: String,
}

impl Made {
    /// Reads it from the answer.
    pub(super) fn read(answer: &Value) -> Result<Self> {
        let text = |name: &str| answer[name].as_str().map(str::to_owned).context("no key");
        Ok(Self {
            id: text("id")?,
            key: text("key")?,
        })
    }
}

impl Gate {
    /// Starts everything; `env` is set for every service.
    pub(super) async fn start(env: &[(&str, &str)]) -> Result<Self> {
        let (fort, logs, http) = (Fort::build().await?, ScratchDir::new()?, client()?);
        let node = |service| node(service, &fort, &logs, &http, env);
        let mut gate = Self {
            ingests: vec![node("ingest")?, node("ingest")?],
            aggregators: vec![node("aggregator")?, node("aggregator")?],
            processor: node("processor")?,
            operator: String::new(),
            has_held: false,
            fort,
            http,
            logs,
        };
        gate.operator = gate.first_key().await?;
        gate.processor.await_ready().await?;
        for node in gate.ingests.iter_mut().chain(&mut gate.aggregators) {
            node.await_ready().await?;
        }
        gate.in_force(&gate.operator, "/admin/tenants").await?;
        Ok(gate)
    }

    /// Starts one more, which is not waited for.
    pub(super) fn another(&self, service: &str, env: &[(&str, &str)]) -> Result<Node> {
        node(service, &self.fort, &self.logs, &self.http, env)
    }

    /// Ends an attack that came to nothing.
    pub(super) fn held(mut self, seen: String) -> Result<String> {
        self.has_held = true;
        Ok(seen)
    }

    /// Makes the operator's key, as one is made the first time.
    async fn first_key(&self) -> Result<String> {
        let arguments = ["key", "create", "attacks", "--scope", "operator"];
        let text = self.access(&arguments).await?;
        let key = text.lines().find(|line| line.starts_with("evp_sec_"));
        Ok(key.context("no key")?.to_owned())
    }

    /// What `evp-aggregator access` prints.
    pub(super) async fn access(&self, arguments: &[&str]) -> Result<String> {
        let output = tokio::process::Command::new(binary("aggregator")?)
            .arg("access")
            .args(arguments)
            .envs(self.fort.env_of("aggregator"))
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Waits until every aggregator answers `key` at `path`.
    pub(super) async fn in_force(&self, key: &str, path: &str) -> Result<()> {
        for index in 0..self.aggregators.len() {
            until("the key is in force", async || {
                let answer = self.get(index, path, key).await;
                answer.is_ok_and(|(status, _)| status == StatusCode::OK)
            })
            .await?;
        }
        Ok(())
    }

    /// A request to an aggregator, without a credential.
    pub(super) fn ask(&self, index: usize, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.aggregators[index].url());
        self.http.request(method, url)
    }

    /// What an aggregator answers `key`.
    pub(super) async fn get(&self, index: usize, path: &str, key: &str) -> Result<Answer> {
        answer(self.ask(index, Method::GET, path).bearer_auth(key)).await
    }

    /// Has the first aggregator do something as the operator.
    pub(super) async fn manage(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let request = self.ask(0, method, path).bearer_auth(&self.operator);
        let (status, text) = answer(request.json(&body)).await?;
        ensure!(status.is_success(), "{path} {body}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Makes a tenant.
    pub(super) async fn tenant(&self, id: &str) -> Result<()> {
        let body = json!({ "id": id });
        self.manage(Method::POST, "/admin/tenants", body).await?;
        Ok(())
    }

    /// Makes a key of `tenant`, which is in force.
    pub(super) async fn key(&self, tenant: &str, scope: &str) -> Result<Made> {
        let body = json!({ "name": format!("of {tenant}"), "tenant": tenant, "scope": scope });
        let made = Made::read(&self.manage(Method::POST, "/admin/keys", body).await?)?;
        match scope {
            "write" => self.sends(&made.key).await?,
            "read" => self.in_force(&made.key, "/events").await?,
            _ => self.in_force(&made.key, "/admin/keys").await?,
        }
        Ok(made)
    }

    /// Waits until every ingest takes events of `key`.
    pub(super) async fn sends(&self, key: &str) -> Result<()> {
        for index in 0..self.ingests.len() {
            // No event of its own: an empty list is refused behind the door.
            until("the key may send", async || {
                let answer = self.post(index, key, "[]").await;
                answer.is_ok_and(|(status, _)| status != StatusCode::UNAUTHORIZED)
            })
            .await?;
        }
        Ok(())
    }

    /// Sends `body` to an ingest.
    pub(super) async fn post(&self, index: usize, key: &str, body: &str) -> Result<Answer> {
        let url = format!("{}/events", self.ingests[index].url());
        let request = self.http.post(url).bearer_auth(key);
        let typed = request.header("content-type", "application/json");
        answer(typed.body(body.to_owned())).await
    }

    /// Sends `body`, which is taken as a whole.
    pub(super) async fn accepted(&self, index: usize, key: &str, body: &str) -> Result<Value> {
        let (status, text) = self.post(index, key, body).await?;
        ensure!(status == StatusCode::ACCEPTED, "{body}: {status} {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the reader `key` finds `event` by its canonical id.
    pub(super) async fn stored(&self, key: &str, id: &str) -> Result<()> {
        let path = format!("/events/{id}");
        until("the event is stored", async || {
            let answer = self.get(0, &path, key).await;
            answer.is_ok_and(|(status, _)| status == StatusCode::OK)
        })
        .await
    }

    /// Folders of the servers' files and of the services' logs.
    pub(super) fn folders(&self) -> [PathBuf; 3] {
        [
            self.fort.redis.dir().to_owned(),
            self.fort.mongo.dir().to_owned(),
            self.logs.path().to_owned(),
        ]
    }

    /// All services.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let asked = self.ingests.iter().chain(&self.aggregators);
        asked.chain([&self.processor])
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if self.has_held {
            return;
        }
        for node in self.nodes() {
            crate::system::say(&format!("{}\n{}", node.name(), node.log_tail())).ok();
        }
    }
}

fn node(
    service: &str,
    fort: &Fort,
    logs: &ScratchDir,
    http: &Client,
    env: &[(&str, &str)],
) -> Result<Node> {
    let (public, admin) = (free_port()?, free_port()?);
    let name = format!("{service}-{admin}");
    let log = logs.path().join(format!("{name}.log"));
    let mut spec = ServiceSpec::new(&name, binary(service)?)
        .output(Output::File(log.clone()))
        .env("EVP__ADMIN__LISTEN", format!("127.0.0.1:{admin}"));
    if service != "processor" {
        spec = spec.env("EVP__SERVER__LISTEN", format!("127.0.0.1:{public}"));
    }
    let env = env.iter().map(|(name, value)| (*name, (*value).to_owned()));
    for (variable, value) in fort.env_of(service).into_iter().chain(env) {
        spec = spec.env(variable, value);
    }
    Node::start(spec, log, (public, admin), http.clone())
}

/// Sends a request and reads its whole answer.
pub(super) async fn answer(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    Ok((response.status(), response.text().await?))
}

/// The code of a problem.
pub(super) fn code(text: &str) -> String {
    let problem: Value = serde_json::from_str(text).unwrap_or_default();
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// That `answer` refuses with `status` and `expected`.
pub(super) fn refuses(answer: &Answer, status: StatusCode, expected: &str) -> Result<()> {
    let (found, text) = answer;
    if *found != status || code(text) != expected {
        bail!("{status} {expected} expected: {found} {text}");
    }
    Ok(())
}
