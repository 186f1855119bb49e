//! Values that must not reach a log.

use std::fmt;

use super::value::Value;

/// A URL that may carry a user name and password: shown without them, `redis://***@host:6379`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes over a URL that is not read from the configuration.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// Hands the whole URL out, password included.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL's scheme, such as `redis` or `mongodb+srv`.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // A password may hold an unescaped "/", "?" or "@": what stands before the last "@"
        // is hidden, even where that also hides a part of the path.
        let rest = rest
            .rsplit_once('@')
            .map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
        // Options may carry secrets of their own (authMechanismProperties, tlsCertificateKeyFile).
        let (place, options) = rest
            .split_once('?')
            .map_or((rest.as_str(), ""), |(place, _)| (place, "?***"));
        write!(f, "{scheme}://{place}{options}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for SecretUrl {
    const SECRET: bool = true;
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err("is no URL: write scheme://host:port".to_owned()),
        }
    }
}

/// A text such as a token or password: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes over a text that is not read from the configuration.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Hands the text out.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Value for Secret {
    const SECRET: bool = true;
    const KIND: &'static str = "secret text";

    fn parse(text: &str) -> Result<Self, String> {
        String::parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_credentials_and_options() {
        let table = [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:pw@10.0.0.1:6379/0", "redis://***@10.0.0.1:6379/0"),
            ("rediss://user:p@ss/w?rd@host:1", "rediss://***@host:1"),
            (
                "mongodb://u:p@a:1,b:2/?tls=true",
                "mongodb://***@a:1,b:2/?***",
            ),
            ("mongodb://a:1/?x=y@z", "mongodb://***@z"),
        ];
        for (url, shown) in table {
            let url = SecretUrl::parse(url).unwrap();
            assert_eq!(
                (format!("{url:?}"), url.to_string()),
                (shown.to_owned(), shown.to_owned())
            );
        }
        assert!(SecretUrl::parse("localhost:6379").is_err());
        assert_eq!(format!("{:?}", Secret::parse("hunter2").unwrap()), "***");
    }
}
