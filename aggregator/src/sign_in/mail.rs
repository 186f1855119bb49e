//! The mails by which codes are sent.

use std::time::Duration;

use lettre::message::Mailbox;

use super::member::Email;
use crate::config::mail::MailConfig;
use crate::mail::Sender;

/// Longest time in which a server takes a mail.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Sends codes.
#[derive(Debug)]
pub struct Mailer {
    sender: Sender,
    /// Where people sign in.
    base_url: String,
}

impl Mailer {
    /// As configured; `None` where it is not. Mails say that they are for `base_url`.
    pub fn new(config: &MailConfig, base_url: String) -> Option<Self> {
        let sender = Sender::new(config, SEND_MAX)?;
        Some(Self { sender, base_url })
    }

    /// Sends `code` to `to`.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub(super) async fn send(&self, to: &Email, code: &str) -> Result<(), String> {
        let to = to.as_str().parse::<Mailbox>();
        let to = to.map_err(|_| "the address cannot be written to".to_owned())?;
        let body = format!(
            "{code} is your code to sign in to EVP at {}.\n\nIt is good for five minutes, in the \
             browser that asked for it. If you did not ask for it, somebody else gave your address; \
             without the code nobody gets in.\n",
            self.base_url
        );
        let subject = "Your code to sign in to EVP";
        self.sender.send(&[to], subject, body).await
    }
}
