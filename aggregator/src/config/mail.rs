//! `[mail]`

use std::net::IpAddr;

use evp_shared::config::{SecretUrl, Source};
use http::Uri;
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};

evp_shared::config_section! {
    /// Mail, by which codes that sign in and notices are sent.
    pub struct MailConfig: keys(source) in "mail" {
        /// The server that takes mail: `smtps://USER:PASSWORD@HOST`, or `smtp://HOST:587?tls=required`.
        /// Without it nobody signs in by a code, and no notice is mailed. What is not encrypted is sent to loopback only.
        smtp_url: Option<SecretUrl> = "";
        /// Who mails are from, such as `EVP <evp@example.org>`.
        from: Option<String> = "";
    }
}

impl MailConfig {
    /// Reads the section.
    pub fn read(source: &mut Source) -> Self {
        let config = Self::keys(source);
        if let Some(url) = &config.smtp_url {
            if !is_taken(url.expose()) {
                source.problem(
                    "mail.smtp_url",
                    "is no address of a mail server that codes can be sent to: write \
                     smtps://USER:PASSWORD@HOST or smtp://HOST:587?tls=required; without TLS only \
                     to loopback",
                );
            }
            let from = config.from.as_deref().unwrap_or_default();
            if mailbox(from).is_none() {
                source.problem(
                    "mail.from",
                    format!("is {from:?}: write EVP <evp@example.org>"),
                );
            }
        }
        config
    }
}

/// Who an address of mail is, unless it is none, or would add lines to the head of a mail.
pub(crate) fn mailbox(address: &str) -> Option<Mailbox> {
    if address.contains(char::is_control) {
        return None;
    }
    address.parse().ok()
}

/// Whether the host of a URL is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn is_taken(url: &str) -> bool {
    let Ok(parsed) = url.parse::<Uri>() else {
        return false;
    };
    let is_loopback = is_loopback(parsed.host().unwrap_or_default());
    let is_required = || parsed.query().is_some_and(|query| query == "tls=required");
    let is_safe = match parsed.scheme_str() {
        Some("smtps") => true,
        Some("smtp") => is_loopback || is_required(),
        _ => false,
    };
    is_safe && AsyncSmtpTransport::<Tokio1Executor>::from_url(url).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_leave_the_machine_encrypted() {
        for (url, expected) in [
            ("smtps://user:pass@mail.example", true),
            ("smtp://mail.example:587?tls=required", true),
            ("smtp://127.0.0.1:1025", true),
            ("smtp://localhost", true),
            ("smtp://[::1]:25", true),
            ("smtp://mail.example", false),
            ("smtp://mail.example?tls=opportunistic", false),
            ("http://mail.example", false),
            ("smtps://", false),
        ] {
            assert_eq!(is_taken(url), expected, "{url}");
        }
    }

    #[test]
    fn mail_is_judged_only_where_it_is_configured() {
        let read = |text: &str| {
            let mut source = Source::from_text(text, &[]).unwrap();
            let config = MailConfig::read(&mut source);
            source
                .finish(config)
                .err()
                .map(|problems| problems.to_string())
        };
        assert_eq!(read(""), None);
        let good = "[mail]\nsmtp_url = \"smtps://u:p@h\"\nfrom = \"EVP <evp@h.example>\"";
        assert_eq!(read(good), None);
        let bad = read("[mail]\nsmtp_url = \"smtp://u:secret@h\"\nfrom = \"x\"").unwrap();
        assert!(
            bad.contains("mail.smtp_url") && bad.contains("mail.from"),
            "{bad}"
        );
        assert!(!bad.contains("secret"), "{bad}");
        for from in [
            "evp@h.example\r\nBcc: x@h.example",
            "E\r\n V <evp@h.example>",
        ] {
            let text = format!("[mail]\nsmtp_url = \"smtps://h\"\nfrom = {from:?}");
            assert!(read(&text).unwrap().contains("mail.from"), "{from:?}");
        }
    }
}
