//! `[notices]`

use std::fmt;
use std::time::Duration;

use evp_shared::config::{Source, Value};
use http::Uri;

use super::mail::{MailConfig, is_loopback, mailbox};

evp_shared::config_section! {
    /// Notices: what the aggregator tells people by itself when something is wrong.
    pub struct NoticesConfig: keys(source) in "notices" {
        /// Where notices are posted: https, or http on loopback. Redirects are not followed. Whoever
        /// knows the URL can mostly post there too, so better name it in a file. Without it and
        /// `notices.mail_to` a notice is a line of the log.
        webhook_url: Option<WebhookUrl> = "" => reloads;
        /// What is posted: `slack`, `{"text": ...}` as Slack, Mattermost and others take it; or `json`,
        /// with source, state and numbers as fields.
        webhook_format: WebhookFormat = "slack" => reloads;
        /// Addresses that notices are mailed to, by `mail.smtp_url` and from `mail.from`.
        mail_to: Vec<String> = "" => reloads;
        /// How soon a notice of what is still wrong is told again. Lower is a nuisance in a long
        /// outage, higher lets it be forgotten.
        repeat: Duration = "4h", "1m"..="7d" => reloads;
    }
}

evp_shared::choices! {
    /// What is posted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum WebhookFormat {
        /// A text.
        Slack = "slack",
        /// Fields.
        Json = "json",
    }
}

/// Where notices are posted. Shown without its path, which may be all that keeps others from posting.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    /// Hands all of it out.
    pub fn expose(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host().unwrap_or_default();
        write!(
            f,
            "{}://{host}/***",
            self.0.scheme_str().unwrap_or_default()
        )
    }
}

impl Value for WebhookUrl {
    const SECRET: bool = true;
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        let like = "is no address that notices may be posted to: write https://HOST/PATH without a user \
                    name; http only to loopback";
        let uri: Uri = text.parse().map_err(|_| like.to_owned())?;
        let host = uri.host().unwrap_or_default();
        let has_user = uri
            .authority()
            .is_some_and(|all| all.as_str().contains('@'));
        let is_safe = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host),
            _ => false,
        };
        if is_safe && !host.is_empty() && !has_user {
            Ok(Self(uri))
        } else {
            Err(like.to_owned())
        }
    }
}

impl NoticesConfig {
    /// Reads the section, beside that of mail.
    pub fn read(source: &mut Source, mail: &MailConfig) -> Self {
        let config = Self::keys(source);
        for address in &config.mail_to {
            if mailbox(address).is_none() {
                source.problem(
                    "notices.mail_to",
                    format!("has {address:?}: write addresses such as oncall@example.org"),
                );
            }
        }
        if !config.mail_to.is_empty() && mail.smtp_url.is_none() {
            source.problem(
                "notices.mail_to",
                "is set without mail.smtp_url: set both, and mail.from",
            );
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NoticesConfig, String> {
        let mut source = Source::from_text(text, &[]).unwrap();
        let mail = MailConfig::read(&mut source);
        let config = NoticesConfig::read(&mut source, &mail);
        let read = source.finish(config);
        read.map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_webhook_is_https_or_loopback_and_its_path_is_told_to_nobody() {
        for url in [
            "https://hooks.example/services/T0/B0/secret",
            "http://127.0.0.1:9000/secret",
            "http://localhost/secret",
            "http://[::1]:9000/secret",
        ] {
            let config = read(&format!("[notices]\nwebhook_url = {url:?}")).unwrap();
            assert_eq!(config.webhook_url.as_ref().unwrap().expose(), url);
            let shown = format!("{config:?}");
            assert!(!shown.contains("secret"), "{shown}");
        }
        for url in [
            "http://hooks.example/secret",
            "http://localhost.example/secret",
            "https://user:secret@hooks.example/",
            "https:///secret",
            "ftp://127.0.0.1/secret",
            "hooks.example/secret",
            "https://hooks.example/secret\r\nHost: x",
            "https://hooks.example/secret\nx",
        ] {
            let problems = read(&format!("[notices]\nwebhook_url = {url:?}")).unwrap_err();
            assert!(problems.contains("notices.webhook_url"), "{problems}");
            assert!(!problems.contains("secret"), "{problems}");
        }
    }

    #[test]
    fn mails_go_to_addresses_and_by_a_server() {
        let mail = "[mail]\nsmtp_url = \"smtps://h\"\nfrom = \"evp@h.example\"\n";
        let to = |to: &str| format!("[notices]\nmail_to = {to:?}\n");
        let good = read(&format!("{mail}{}", to("a@h.example, Ops <b@h.example>"))).unwrap();
        assert_eq!(good.mail_to, ["a@h.example", "Ops <b@h.example>"]);
        for wrong in [
            "a",
            "a@h.example\r\nBcc: b@h.example",
            "a@h.example\nb",
            "A\r\n B <a@h.example>",
            "a@h.example,@",
        ] {
            let problems = read(&format!("{mail}{}", to(wrong))).unwrap_err();
            assert!(problems.contains("notices.mail_to has"), "{problems}");
        }
        let problems = read(&to("a@h.example")).unwrap_err();
        assert!(problems.contains("mail.smtp_url"), "{problems}");
    }

    #[test]
    fn what_is_not_said_is_not_told_to_anybody() {
        let config = read("").unwrap();
        assert!(config.webhook_url.is_none() && config.mail_to.is_empty());
        assert_eq!(config.repeat, Duration::from_secs(4 * 3_600));
        let problems = read("[notices]\nrepeat = \"10s\"\nwebhook_format = \"xml\"").unwrap_err();
        for key in ["notices.repeat", "notices.webhook_format"] {
            assert!(problems.contains(key), "{problems}");
        }
    }
}
