//! Query parameters: each known, none repeated but lists. Pure.

use std::borrow::Cow;

use axum::extract::Query;
use evp_shared::event::kind::{check_event_type, check_id};
use evp_shared::event::reject::Rejection;
use evp_shared::outcome::RejectReason;
use http::Uri;

/// The parameters of one request, by the names its resource takes.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
}

/// A parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {name}: {fault}")]
pub struct BadParameter {
    /// Unknown name or wrong value.
    pub reason: RejectReason,
    /// The parameter, as the client wrote it.
    pub name: String,
    /// What to send instead.
    pub fault: Cow<'static, str>,
}

impl BadParameter {
    /// A known parameter with a value it does not take.
    pub fn invalid(name: &str, fault: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: RejectReason::InvalidParameter,
            name: name.to_owned(),
            fault: fault.into(),
        }
    }
}

impl Params {
    /// Splits the query of `uri`.
    ///
    /// # Errors
    /// The first parameter that is not among `known`.
    pub fn parse(uri: &Uri, known: &'static [&'static str]) -> Result<Self, BadParameter> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| BadParameter::invalid("query", "send name=value pairs"))?;
        if let Some((name, _)) = pairs.iter().find(|(name, _)| !known.contains(&&**name)) {
            let fault = match known {
                [] => "this resource takes no parameters".to_owned(),
                _ => format!("this resource takes {}", known.join(", ")),
            };
            return Err(BadParameter {
                reason: RejectReason::UnknownParameter,
                name: name.clone(),
                fault: fault.into(),
            });
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter that is sent at most once.
    ///
    /// # Errors
    /// It is repeated or empty.
    pub fn single(&self, name: &str) -> Result<Option<&str>, BadParameter> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(BadParameter::invalid(name, "send it once"));
        }
        if first.is_some_and(str::is_empty) {
            return Err(BadParameter::invalid(name, "send a value or leave it out"));
        }
        Ok(first)
    }

    /// An id of an event: `userId`, `sessionId`.
    ///
    /// # Errors
    /// It is repeated, or no event can have it.
    pub fn id(&self, name: &'static str) -> Result<Option<String>, BadParameter> {
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
    ) -> Result<Vec<String>, BadParameter> {
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
            return Err(BadParameter::invalid(name, format!("send at most {max}")));
        }
        Ok(types)
    }

    /// `limit`, from 1 to `max`.
    ///
    /// # Errors
    /// It is repeated, or no such number.
    pub fn limit(&self, default: u64, max: u64) -> Result<u64, BadParameter> {
        let Some(text) = self.single("limit")? else {
            return Ok(default);
        };
        let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
        limit.ok_or_else(|| {
            BadParameter::invalid("limit", format!("send a whole number from 1 to {max}"))
        })
    }

    fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let named = self.pairs.iter().filter(move |(found, _)| found == name);
        named.map(|(_, value)| value.as_str())
    }
}

fn invalid_as_event(name: &str, rejection: Rejection) -> BadParameter {
    BadParameter::invalid(name, rejection.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["type", "userId"];

    fn params(query: &str) -> Result<Params, BadParameter> {
        let uri: Uri = format!("/events?{query}").parse().unwrap();
        Params::parse(&uri, KNOWN)
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_known_ones() {
        let error = params("type=a&colour=red").unwrap_err();
        assert_eq!(error.reason, RejectReason::UnknownParameter);
        assert_eq!(error.name, "colour");
        assert_eq!(error.fault, "this resource takes type, userId");
    }

    #[test]
    fn a_single_parameter_is_sent_once_and_not_empty() {
        assert_eq!(params("").unwrap().single("userId"), Ok(None));
        let read = params("userId=a%20b").unwrap();
        assert_eq!(read.single("userId"), Ok(Some("a b")));
        for wrong in ["userId=a&userId=b", "userId=", "userId"] {
            let error = params(wrong).unwrap().single("userId").unwrap_err();
            assert_eq!(error.name, "userId", "{wrong}");
        }
    }

    #[test]
    fn types_are_a_set_however_they_are_written() {
        let written = params("type=b,a&type=c&type=a").unwrap();
        assert_eq!(written.types("type", None, 3).unwrap(), ["a", "b", "c"]);
        assert_eq!(written.types("type", None, 2).unwrap_err().name, "type");
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
