//! What takes mail, and who mails are from.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::mail::MailConfig;

/// Sends mails.
#[derive(Debug)]
pub struct Sender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    patience: Duration,
}

impl Sender {
    /// As configured, waiting for the server for at most `patience`; `None` where it is not configured.
    pub fn new(config: &MailConfig, patience: Duration) -> Option<Self> {
        let url = config.smtp_url.as_ref()?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose()).ok()?;
        Some(Self {
            transport: transport.timeout(Some(patience)).build(),
            from: config.from.as_deref()?.parse().ok()?,
            patience,
        })
    }

    /// Sends one mail to all of `to`.
    ///
    /// # Errors
    /// What is wrong, without addresses and without the words of the server, which may repeat them.
    pub async fn send(
        &self,
        to: &[Mailbox],
        subject: impl Into<String>,
        body: String,
    ) -> Result<(), String> {
        let mail = Message::builder().from(self.from.clone()).subject(subject);
        let mail = to.iter().cloned().fold(mail, |mail, one| mail.to(one));
        let mail = mail.header(ContentType::TEXT_PLAIN).body(body);
        let mail = mail.map_err(|_| "the mail cannot be written".to_owned())?;
        match tokio::time::timeout(self.patience, self.transport.send(mail)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(describe(&error)),
            Err(_) => Err("the mail server does not answer".to_owned()),
        }
    }
}

fn describe(error: &SmtpError) -> String {
    match error.status() {
        Some(code) => format!("the mail server refused with {code}"),
        None if error.is_tls() => "the mail server's TLS is refused".to_owned(),
        None => "the mail server cannot be reached, or does not speak SMTP".to_owned(),
    }
}
