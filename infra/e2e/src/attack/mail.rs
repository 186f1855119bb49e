//! Codes by mail, over a mail server of npm's.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::{Output, ScratchDir, Service, ServiceSpec};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::Answer;
use super::sessions::session_of;
use crate::scenario::Size;
use crate::{Node, until};

const SERVER: &str = include_str!("mail.js");
const PACKAGE: &str = "smtp-server@3.21.6";
const INVITED: &str = "ann@example.org";
/// After so many wrong ones a code is of no use.
const TRIES: usize = 5;

pub(super) async fn codes(_: Size) -> Result<String> {
    let mail = MailServer::start().await?;
    let gate = Gate::start(&[]).await?;
    gate.tenant("a").await?;
    let member = json!({ "email": INVITED, "role": "viewer", "tenant": "a" });
    gate.manage(Method::PUT, "/admin/members", member).await?;
    let (url, from) = (format!("smtp://127.0.0.1:{}", mail.port), "evp@example.org");
    let env = [("EVP__MAIL__SMTP_URL", &*url), ("EVP__MAIL__FROM", from)];
    let mut node = gate.another("aggregator", &env)?;
    node.await_ready().await?;
    let door = Asked { gate: &gate, node };

    // Nobody that was invited, and what is no address: no mail, and one answer for all.
    let stranger = door.ask("eve@example.org").await?;
    ensure!(stranger.1.0 == StatusCode::ACCEPTED, "{:?}", stranger.1);
    let two = door.ask("ann@example.org\r\nBcc: eve@example.org").await?;
    ensure!(two.1.0 != StatusCode::INTERNAL_SERVER_ERROR, "{:?}", two.1);
    let (attempt, said) = door.ask(INVITED).await?;
    ensure!(
        said == stranger.1,
        "answers differ: {said:?} {:?}",
        stranger.1
    );
    let code = mail.code().await?;

    let (other, _) = door.ask("eve@example.org").await?;
    let elsewhere = door.confirm(&other, &code).await?;
    ensure!(
        elsewhere.status() == StatusCode::UNAUTHORIZED,
        "in another browser"
    );
    let first = door.confirm(&attempt, &code).await?;
    session_of(&first)?;
    let again = door.confirm(&attempt, &code).await?;
    ensure!(
        again.status() == StatusCode::UNAUTHORIZED,
        "a code twice: {}",
        again.status()
    );

    let (attempt, _) = door.ask(INVITED).await?;
    let code = mail.code().await?;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..TRIES {
        let tried = door.confirm(&attempt, wrong).await?;
        ensure!(
            tried.status() == StatusCode::UNAUTHORIZED,
            "{}",
            tried.status()
        );
    }
    let sixth = door.confirm(&attempt, &code).await?;
    ensure!(sixth.status() != StatusCode::OK, "the sixth try");
    let mails = mail.mails()?;
    let is_to_ann = |mail: &Value| mail["to"] == json!([INVITED]);
    ensure!(mails.len() == 2 && mails.iter().all(is_to_ann), "{mails:?}");
    gate.held(
        "one mail a code, which works once; the sixth try, another browser, an unknown address and CR LF: \
         refused, no mail"
            .to_owned(),
    )
}

/// An aggregator that sends mail.
struct Asked<'a> {
    gate: &'a Gate,
    node: Node,
}

impl Asked<'_> {
    /// Asks for a code; the cookie that binds the browser, and the answer.
    async fn ask(&self, email: &str) -> Result<(String, Answer)> {
        let url = format!("{}/sign-in/code", self.node.url());
        let request = self.gate.http.post(url).json(&json!({ "email": email }));
        let response = request.send().await?;
        let set = response.headers().get(SET_COOKIE);
        let set = set.map_or(Ok(""), |value| value.to_str())?.to_owned();
        let cookie = set.split(';').next().unwrap_or_default().to_owned();
        Ok((cookie, (response.status(), response.text().await?)))
    }

    async fn confirm(&self, cookie: &str, code: &str) -> Result<reqwest::Response> {
        let url = format!("{}/sign-in/code/confirm", self.node.url());
        let request = self.gate.http.post(url).header(COOKIE, cookie);
        Ok(request.json(&json!({ "code": code })).send().await?)
    }
}

/// npm's `smtp-server`, in a process of its own.
struct MailServer {
    port: u64,
    output: PathBuf,
    seen: std::cell::Cell<usize>,
    _service: Service,
    _folder: ScratchDir,
}

impl MailServer {
    async fn start() -> Result<Self> {
        let folder = ScratchDir::new()?;
        let install = tokio::process::Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--prefix"])
            .arg(folder.path())
            .arg(PACKAGE)
            .stdin(Stdio::null())
            .output()
            .await
            .context("npm")?;
        let said = String::from_utf8_lossy(&install.stderr);
        ensure!(install.status.success(), "{PACKAGE}: {said}");
        std::fs::write(folder.path().join("mail.js"), SERVER)?;
        let output = folder.path().join("mails");
        let spec = ServiceSpec::new("mail", "node")
            .args([folder.path().join("mail.js").display().to_string()])
            .output(Output::File(output.clone()));
        let mut server = Self {
            port: 0,
            output,
            seen: std::cell::Cell::new(0),
            _service: Service::start(spec)?,
            _folder: folder,
        };
        until("the mail server listens", async || {
            server.lines().is_ok_and(|lines| !lines.is_empty())
        })
        .await?;
        server.port = server.lines()?[0]["port"].as_u64().context("no port")?;
        Ok(server)
    }

    /// What it wrote, as far as lines are whole.
    fn lines(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.output)?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn mails(&self) -> Result<Vec<Value>> {
        Ok(self.lines()?.into_iter().skip(1).collect())
    }

    /// The code of the next mail.
    async fn code(&self) -> Result<String> {
        until("a mail comes", async || {
            self.mails()
                .is_ok_and(|mails| mails.len() > self.seen.get())
        })
        .await?;
        let mail = self.mails()?.swap_remove(self.seen.get());
        self.seen.set(self.seen.get() + 1);
        let text = mail["text"].as_str().context("no text")?;
        let is_code =
            |word: &&str| word.len() == 6 && word.bytes().all(|byte| byte.is_ascii_digit());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let code = body.split_whitespace().find(is_code);
        Ok(code.context("no code")?.to_owned())
    }
}
