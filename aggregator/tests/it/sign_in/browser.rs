//! A browser, as far as it concerns cookies and origins.

use evp_shared::access::token::Token;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::service::TestAggregator;

/// Keeps the cookies it is sent.
#[derive(Debug, Default, Clone)]
pub(crate) struct Browser {
    session: String,
    attempt: String,
    set_cookie: String,
    origin: Option<String>,
    is_secure: bool,
}

impl Browser {
    /// With this session.
    pub(crate) fn with(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            ..Self::default()
        }
    }

    /// On a page of `origin`, by https.
    pub(crate) fn at(origin: &str) -> Self {
        Self {
            origin: Some(origin.to_owned()),
            is_secure: true,
            ..Self::default()
        }
    }

    /// With the same cookies, on a page of another origin.
    pub(crate) fn of_page(&self, origin: &str) -> Self {
        Self {
            origin: Some(origin.to_owned()),
            ..self.clone()
        }
    }

    /// The text of its session.
    pub(crate) fn text(&self) -> &str {
        &self.session
    }

    /// The text of its attempt to sign in by a code.
    pub(crate) fn attempt(&self) -> &str {
        &self.attempt
    }

    /// The last cookie of a session, as it was sent.
    pub(crate) fn set_cookie(&self) -> &str {
        &self.set_cookie
    }

    pub(crate) fn request(
        &self,
        service: &TestAggregator,
        method: Method,
        path: &str,
    ) -> RequestBuilder {
        let mut request = service.request(method, path);
        if let Some(origin) = &self.origin {
            request = request
                .header("host", "evp.example")
                .header("origin", origin);
        }
        let prefix = if self.is_secure { "__Host-" } else { "" };
        for (name, text) in [("session", &self.session), ("attempt", &self.attempt)] {
            if !text.is_empty() {
                request = request.header("cookie", format!("{prefix}evp_{name}={text}"));
            }
        }
        request
    }

    pub(crate) async fn get(&self, service: &TestAggregator, path: &str) -> (u16, Value) {
        let request = self.request(service, Method::GET, path);
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn post(
        &mut self,
        service: &TestAggregator,
        path: &str,
        body: &Value,
    ) -> (u16, Value) {
        self.send(service, Method::POST, path, Some(body)).await
    }

    pub(crate) async fn send(
        &mut self,
        service: &TestAggregator,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut request = self.request(service, method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            self.keep(cookie.to_str().unwrap());
        }
        read(response).await
    }

    fn keep(&mut self, cookie: &str) {
        let (name, rest) = cookie.split_once('=').unwrap();
        let text = rest.split(';').next().unwrap().to_owned();
        if name.ends_with("evp_session") {
            self.session = text;
            self.set_cookie = cookie.to_owned();
        } else {
            self.attempt = text;
        }
    }

    pub(crate) async fn sign_in(&mut self, service: &TestAggregator, key: &Token) -> (u16, Value) {
        let body = json!({ "key": key.expose() });
        self.post(service, "/sign-in/key", &body).await
    }
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}
