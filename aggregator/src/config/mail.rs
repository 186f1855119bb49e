//! `[mail]`

use std::net::IpAddr;

use evp_shared::config::{SecretUrl, Source};
use http::Uri;
use lettre::message::Mailbox;
use lettre::{AsyncSmtpTransport, Tokio1Executor};

evp_shared::config_section! {
    /// Mail, by which codes that sign in are sent.
    pub struct MailConfig: keys(source) in "mail" {
        /// The server that takes mail: `smtps://USER:PASSWORD@HOST`, or `smtp://HOST:587?tls=required`.
        /// Without it nobody signs in by a code. What is not encrypted is sent to loopback only.
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
            if from.parse::<Mailbox>().is_err() {
                source.problem(
                    "mail.from",
                    format!("is {from:?}: write EVP <evp@example.org>"),
                );
            }
        }
        config
    }
}

fn is_taken(url: &str) -> bool {
    let Ok(parsed) = url.parse::<Uri>() else {
        return false;
    };
    let host = parsed.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
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
    }
}
