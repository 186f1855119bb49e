//! The cookies of sessions: what they are called, how they are read and written. Pure.

use std::time::Duration;

use evp_shared::outcome::RejectReason;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The cookie of a session.
pub const SESSION: &str = "evp_session";

/// The cookie of a browser that asked for a code.
pub const ATTEMPT: &str = "evp_attempt";

/// How sessions travel.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    is_secure: bool,
}

impl Cookies {
    /// By https, where it `is_secure`: browsers then hold the cookie to this very host, and no page of
    /// a neighbouring one can put another in its place.
    pub const fn new(is_secure: bool) -> Self {
        Self { is_secure }
    }

    /// The text of the cookie `name` in a request.
    ///
    /// # Errors
    /// `conflicting_keys` where it is sent twice, differently.
    pub fn read<'h>(
        &self,
        headers: &'h HeaderMap,
        name: &str,
    ) -> Result<Option<&'h str>, RejectReason> {
        let name = self.full_name(name);
        let sent = headers.get_all(COOKIE).into_iter();
        // One by one: those of neighbours of the host may be of any bytes.
        let pairs = sent.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
        let pairs = pairs.filter_map(|pair| str::from_utf8(pair).ok());
        let mut found = None;
        for (said, value) in pairs.filter_map(|pair| pair.trim().split_once('=')) {
            if said != name {
                continue;
            }
            if found.is_some_and(|other| other != value) {
                return Err(RejectReason::ConflictingKeys);
            }
            found = Some(value);
        }
        Ok(found)
    }

    /// Has a browser keep `text` as `name` for so long; for no time, forget it.
    pub fn write(&self, name: &str, text: &str, kept: Duration) -> Option<HeaderValue> {
        let (name, kept_s) = (self.full_name(name), kept.as_secs());
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie =
            format!("{name}={text}; Path=/; Max-Age={kept_s}; HttpOnly; SameSite=Strict{secure}");
        let mut value = HeaderValue::try_from(cookie).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn full_name(self, name: &str) -> String {
        let prefix = if self.is_secure { "__Host-" } else { "" };
        format!("{prefix}{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(is_secure: bool, sent: &[&str]) -> Result<Option<String>, RejectReason> {
        let sent = sent
            .iter()
            .map(|sent| (COOKIE, HeaderValue::from_bytes(&latin1(sent)).unwrap()));
        let headers = HeaderMap::from_iter(sent);
        let found = Cookies::new(is_secure).read(&headers, "evp_session");
        found.map(|found| found.map(str::to_owned))
    }

    /// A byte for each character.
    fn latin1(text: &str) -> Vec<u8> {
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap());
        bytes.collect()
    }

    #[test]
    fn a_cookie_is_read_by_its_whole_name() {
        let a = Ok(Some("a".to_owned()));
        assert_eq!(read(false, &["evp_session=a"]), a);
        assert_eq!(read(false, &["x=1; evp_session=a; y=2"]), a);
        assert_eq!(read(false, &["x=1", "evp_session=a"]), a);
        assert_eq!(read(true, &["__Host-evp_session=a"]), a);
        assert_eq!(read(false, &["town=Zürich; evp_session=a"]), a);
        assert_eq!(read(false, &["evp_session=a; evp_session=a"]), a);
        // What a neighbour of the host set, or somebody who changes plain HTTP.
        assert_eq!(read(true, &["evp_session=a"]), Ok(None));
        assert_eq!(read(false, &["xevp_session=a; evp_session"]), Ok(None));
        assert_eq!(read(false, &[]), Ok(None));
        let two = read(false, &["evp_session=a; evp_session=b"]);
        assert_eq!(two, Err(RejectReason::ConflictingKeys));
    }

    #[test]
    fn no_script_and_no_other_site_gets_it() {
        let write = |is_secure| {
            let cookies = Cookies::new(is_secure);
            cookies
                .write("evp_session", "t", Duration::from_secs(60))
                .unwrap()
        };
        assert_eq!(
            write(false),
            "evp_session=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
        );
        assert_eq!(
            write(true),
            "__Host-evp_session=t; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(write(true).is_sensitive());
    }
}
