//! Codes by mail, over a mail server of npm's.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use evp_devstack::{Output, ScratchDir, Service, ServiceSpec, find};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Gate;
use super::gate::{Answer, refuses};
use super::sessions::session_of;
use crate::scenario::Size;
use crate::{Node, until};

const SERVER: &str = include_str!("mail.js");
const INVITED: &str = "ann@example.org";
/// Of the aggregator, at the mail server.
pub(super) const SMTP_PASSWORD: &str = "a-password-of-mail";
/// After so many wrong ones a code is of no use.
const TRIES: usize = 5;

pub(super) async fn codes(_: Size) -> Result<String> {
    let gate = Gate::start(&[]).await?;
    let door = Asked::start(&gate, &[]).await?;
    let (attempt, code) = one_answer(&door).await?;
    // Another browser of the same person, and none.
    let (other, others) = door.asked().await?;
    for (cookie, code) in [(&*other, &code), (&*attempt, &others), ("", &code)] {
        door.refuses(cookie, code, "in another browser").await?;
    }
    session_of(&door.confirm(&attempt, &code).await?)?;
    door.refuses(&attempt, &code, "a code twice").await?;

    let (attempt, code) = door.asked().await?;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..TRIES {
        door.refuses(&attempt, wrong, "a wrong code").await?;
    }
    door.refuses(&attempt, &code, "the sixth try").await?;
    let mails = door.mail.mails()?;
    let is_to_ann = |mail: &Value| mail["to"] == json!([INVITED]);
    ensure!(mails.len() == 3 && mails.iter().all(is_to_ann), "{mails:?}");
    gate.held(
        "one mail a code, which works once; the sixth try, another browser of the same person, none, an \
         unknown address and CR LF: refused, no mail"
            .to_owned(),
    )
}

/// Who was not invited is answered as who was, and gets no mail; what is no address is refused. The code of
/// who was, with what its browser holds.
async fn one_answer(door: &Asked) -> Result<(String, String)> {
    let (_, stranger) = door.ask("eve@example.org").await?;
    ensure!(stranger.0 == StatusCode::ACCEPTED, "{stranger:?}");
    for two in [
        "ann@example.org\r\nBcc: eve@example.org",
        "ann@example.org\nx",
    ] {
        let (cookie, answer) = door.ask(two).await?;
        refuses(&answer, StatusCode::BAD_REQUEST, "invalid_parameter")?;
        ensure!(cookie.is_empty(), "{cookie}");
    }
    let (attempt, said) = door.ask(INVITED).await?;
    ensure!(said == stranger, "answers differ: {said:?} {stranger:?}");
    Ok((attempt, door.mail.code().await?))
}

/// An aggregator that sends mail to one member.
pub(super) struct Asked {
    pub(super) node: Node,
    mail: MailServer,
    http: Client,
}

impl Asked {
    /// Starts it, and invites the member; `env` is set besides.
    pub(super) async fn start(gate: &Gate, env: &[(&str, &str)]) -> Result<Self> {
        let mail = MailServer::start().await?;
        gate.tenant("mailed").await?;
        let member = json!({ "email": INVITED, "role": "viewer", "tenant": "mailed" });
        gate.manage(Method::PUT, "/admin/members", member).await?;
        let url = format!("smtp://evp:{SMTP_PASSWORD}@127.0.0.1:{}", mail.port);
        let of_mail = [
            ("EVP__MAIL__SMTP_URL", &*url),
            ("EVP__MAIL__FROM", "evp@example.org"),
        ];
        let mut node = gate.another("aggregator", &[&of_mail, env].concat())?;
        node.await_ready().await?;
        let http = gate.http.clone();
        Ok(Self { node, mail, http })
    }

    /// Asks for a code and waits for it; with what binds the browser.
    pub(super) async fn asked(&self) -> Result<(String, String)> {
        let (attempt, _) = self.ask(INVITED).await?;
        Ok((attempt, self.mail.code().await?))
    }

    /// Asks for a code; the cookie that binds the browser, and the answer.
    async fn ask(&self, email: &str) -> Result<(String, Answer)> {
        let url = format!("{}/sign-in/code", self.node.url());
        let request = self.http.post(url).json(&json!({ "email": email }));
        let response = request.send().await?;
        let set = response.headers().get(SET_COOKIE);
        let set = set.map_or(Ok(""), |value| value.to_str())?.to_owned();
        let cookie = set.split(';').next().unwrap_or_default().to_owned();
        Ok((cookie, (response.status(), response.text().await?)))
    }

    pub(super) async fn confirm(&self, cookie: &str, code: &str) -> Result<Response> {
        let url = format!("{}/sign-in/code/confirm", self.node.url());
        let mut request = self.http.post(url);
        if !cookie.is_empty() {
            request = request.header(COOKIE, cookie);
        }
        Ok(request.json(&json!({ "code": code })).send().await?)
    }

    async fn refuses(&self, cookie: &str, code: &str, what: &str) -> Result<()> {
        let status = self.confirm(cookie, code).await?.status();
        ensure!(status == StatusCode::UNAUTHORIZED, "{what}: {status}");
        Ok(())
    }
}

/// npm's `smtp-server`, in a process of its own.
pub(crate) struct MailServer {
    port: u64,
    output: PathBuf,
    seen: std::cell::Cell<usize>,
    _service: Service,
    _folder: ScratchDir,
}

impl MailServer {
    pub(crate) async fn start() -> Result<Self> {
        let (modules, folder) = (find::smtp_server().await?, ScratchDir::new()?);
        std::fs::write(folder.path().join("mail.js"), SERVER)?;
        let output = folder.path().join("mails");
        let spec = ServiceSpec::new("mail", "node")
            .args([folder.path().join("mail.js").display().to_string()])
            .env(
                "NODE_PATH",
                modules.join("node_modules").display().to_string(),
            )
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

    /// The port it listens on.
    pub(crate) fn port(&self) -> u64 {
        self.port
    }

    /// The mails it was sent, `to` and `text` of each.
    pub(crate) fn mails(&self) -> Result<Vec<Value>> {
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
