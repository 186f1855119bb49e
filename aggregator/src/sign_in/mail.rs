//! Mail, by which codes are sent.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::member::Email;
use crate::config::mail::MailConfig;

/// Longest time in which a server takes a mail.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Sends mails.
#[derive(Debug)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// Where people sign in.
    base_url: String,
}

impl Mailer {
    /// As configured; `None` where it is not. Mails say that they are for `base_url`.
    pub fn new(config: &MailConfig, base_url: String) -> Option<Self> {
        let url = config.smtp_url.as_ref()?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url.expose()).ok()?;
        Some(Self {
            transport: transport.timeout(Some(SEND_MAX)).build(),
            from: config.from.as_deref()?.parse().ok()?,
            base_url,
        })
    }

    /// Sends `code` to `to`.
    ///
    /// # Errors
    /// What is wrong, without addresses and without the words of the server, which may repeat them.
    pub(super) async fn send(&self, to: &Email, code: &str) -> Result<(), String> {
        let to = to.as_str().parse::<Mailbox>();
        let to = to.map_err(|_| "the address cannot be written to".to_owned())?;
        let body = format!(
            "{code} is your code to sign in to EVP at {}.\n\nIt is good for five minutes, in the \
             browser that asked for it. If you did not ask for it, somebody else gave your address; \
             without the code nobody gets in.\n",
            self.base_url
        );
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject("Your code to sign in to EVP")
            .header(ContentType::TEXT_PLAIN)
            .body(body)
            .map_err(|_| "the mail cannot be written".to_owned())?;
        match tokio::time::timeout(SEND_MAX, self.transport.send(message)).await {
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
