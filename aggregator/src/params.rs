//! Query parameters: each known, none repeated but lists. Pure.

use axum::extract::Query;
use evp_shared::event::kind::{check_event_type, check_id};
use evp_shared::event::reject::Rejection;
use evp_shared::http::problem::Problem;
use evp_shared::outcome::RejectReason;
use http::Uri;

use crate::error::bad_parameter;

/// The parameters of one request, by the names its resource takes.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// Splits the query of `uri`.
    ///
    /// # Errors
    /// The first parameter that is not among `known`.
    pub fn parse(uri: &Uri, known: &'static [&'static str]) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| bad_parameter("query", "send name=value pairs"))?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            let fault = match known {
                [] => "this resource takes no parameters".to_owned(),
                _ => format!("this resource takes {}", known.join(", ")),
            };
            let problem = Problem::from(RejectReason::UnknownParameter).detail(fault);
            return Err(problem.with("parameter", name.as_str()));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter that is sent at most once.
    ///
    /// # Errors
    /// It is repeated or empty.
    pub fn single(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(bad_parameter(name, "send it once"));
        }
        if first.is_some_and(str::is_empty) {
            return Err(bad_parameter(name, "send a value or leave it out"));
        }
        Ok(first)
    }

    /// The value of a parameter that is sent at most once, as `parse` reads it.
    ///
    /// # Errors
    /// It is repeated, empty, or not read: `hint` says what to send.
    pub fn parsed<T>(
        &self,
        name: &str,
        hint: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let parsed = self.single(name)?.map(parse);
        let parsed = parsed.map(|value| value.ok_or_else(|| bad_parameter(name, hint)));
        parsed.transpose()
    }

    /// An id of an event: `userId`, `sessionId`.
    ///
    /// # Errors
    /// It is repeated, or no event can have it.
    pub fn id(&self, name: &'static str) -> Result<Option<String>, Problem> {
        let Some(id) = self.single(name)? else {
            return Ok(None);
        };
        check_id(name, id).map_err(|rejection| invalid_as_event(name, rejection))?;
        Ok(Some(id.to_owned()))
    }

    /// Event types, repeated or separated by commas, sorted and without repeats; `also` is taken
    /// besides what events can have.
    ///
    /// # Errors
    /// One of them is no event type, or there are more than `max`.
    pub fn types(
        &self,
        name: &'static str,
        also: Option<&str>,
        max: usize,
    ) -> Result<Vec<String>, Problem> {
        let mut types = Vec::new();
        for text in self.values(name).flat_map(|value| value.split(',')) {
            if also != Some(text) {
                check_event_type(text).map_err(|rejection| invalid_as_event(name, rejection))?;
            }
            types.push(text.to_owned());
        }
        types.sort_unstable();
        types.dedup();
        if types.len() > max {
            return Err(bad_parameter(name, format!("send at most {max}")));
        }
        Ok(types)
    }

    /// A whole number from 1 to `max`.
    ///
    /// # Errors
    /// It is repeated, or no such number.
    pub fn number(&self, name: &str, default: u64, max: u64) -> Result<u64, Problem> {
        let hint = format!("send a whole number from 1 to {max}");
        let parse = |text: &str| text.parse().ok().filter(|it| (1..=max).contains(it));
        Ok(self.parsed(name, &hint, parse)?.unwrap_or(default))
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.pairs.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }
}

fn invalid_as_event(name: &str, rejection: Rejection) -> Problem {
    bad_parameter(name, rejection.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["type", "userId"];

    fn params(query: &str) -> Result<Params, Problem> {
        let uri: Uri = format!("/events?{query}").parse().unwrap();
        Params::parse(&uri, KNOWN)
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_known_ones() {
        let error = params("type=a&colour=red").unwrap_err();
        assert_eq!(error.code(), RejectReason::UnknownParameter.as_str());
        assert_eq!(error.member("parameter"), "colour");
        assert_eq!(error.member("detail"), "this resource takes type, userId");
    }

    #[test]
    fn a_single_parameter_is_sent_once_and_not_empty() {
        assert_eq!(params("").unwrap().single("userId"), Ok(None));
        let read = params("userId=a%20b").unwrap();
        assert_eq!(read.single("userId"), Ok(Some("a b")));
        for wrong in ["userId=a&userId=b", "userId=", "userId"] {
            let error = params(wrong).unwrap().single("userId").unwrap_err();
            assert_eq!(error.member("parameter"), "userId", "{wrong}");
        }
    }

    #[test]
    fn types_are_a_set_however_they_are_written() {
        let written = params("type=b,a&type=c&type=a").unwrap();
        assert_eq!(written.types("type", None, 3).unwrap(), ["a", "b", "c"]);
        let error = written.types("type", None, 2).unwrap_err();
        assert_eq!(error.member("parameter"), "type");
        assert!(
            params("")
                .unwrap()
                .types("type", None, 2)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_type_no_event_can_have_is_refused() {
        for wrong in ["type=", "type=a,", "type=%24ne", "type=__other__"] {
            assert!(
                params(wrong).unwrap().types("type", None, 9).is_err(),
                "{wrong}"
            );
        }
        let other = params("type=__other__").unwrap();
        assert!(other.types("type", Some("__other__"), 9).is_ok());
    }
}
