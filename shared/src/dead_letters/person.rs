//! The dead letters of one person.

use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, doc};
use futures::TryStreamExt as _;

use super::{DeadLetterError, DeadLetters};
use crate::document::tags;

/// Letters deleted at once.
const PAGE: usize = 100;

/// What there is of a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfPerson {
    /// Letters of that person's events.
    pub letters: u64,
    /// Entries that do not decode: nobody can say whose they are.
    pub unknown: u64,
}

impl DeadLetters {
    /// Letters of events of `user` of `tenant`; where `erases`, they are deleted.
    ///
    /// # Errors
    /// MongoDB's; repeating is harmless.
    pub async fn of_person(
        &self,
        tenant: &str,
        user: &str,
        erases: bool,
    ) -> Result<OfPerson, DeadLetterError> {
        // An event whose fields could not be read was kept without a tenant.
        let query = doc! { "tenant": { "$in": [tenant, ""] } };
        let letters = self.collection();
        let mut found = letters.find(query).projection(doc! { "raw": 1 }).await?;
        let (mut count, mut due) = (0, Vec::new());
        while let Some(mut letter) = found.try_next().await? {
            if !is_of(&letter, tenant, user) {
                continue;
            }
            count += 1;
            due.extend(letter.remove("_id").filter(|_| erases));
            if due.len() >= PAGE {
                self.delete(&std::mem::take(&mut due)).await?;
            }
        }
        if !due.is_empty() {
            self.delete(&due).await?;
        }
        let unknown = doc! { "tenant": { "$exists": false } };
        Ok(OfPerson {
            letters: count,
            unknown: letters.count_documents(unknown).await?,
        })
    }
}

fn is_of(letter: &Document, tenant: &str, user: &str) -> bool {
    let raw = match letter.get("raw") {
        Some(Bson::Binary(Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        })) => bytes,
        _ => return false,
    };
    match tags(raw) {
        Some(tags) if tags.user_id.is_some() => tags.tenant == tenant && tags.user_id == Some(user),
        // No ingest wrote it: what it says of a user anywhere counts.
        _ => {
            let field = field(user);
            raw.windows(field.len()).any(|bytes| bytes == field)
        }
    }
}

/// The field that names `user`, as BSON has it.
fn field(user: &str) -> Vec<u8> {
    let length = i32::try_from(user.len() + 1).unwrap_or(i32::MAX);
    let parts: [&[u8]; 4] = [
        b"\x02userId\0",
        &length.to_le_bytes(),
        user.as_bytes(),
        b"\0",
    ];
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(raw: &Document, keeps: usize) -> Document {
        let mut bytes = bson::serialize_to_vec(raw).unwrap();
        bytes.truncate(keeps);
        let subtype = BinarySubtype::Generic;
        doc! { "raw": Binary { subtype, bytes } }
    }

    #[test]
    fn an_event_is_its_user_s_whoever_wrote_it_and_however_much_was_kept() {
        let foreign = doc! { "_id": 1, "userId": "jane", "payload": "x".repeat(100) };
        assert!(is_of(&letter(&foreign, usize::MAX), "t", "jane"));
        assert!(is_of(&letter(&foreign, 60), "t", "jane"));
        for other in ["jan", "ane", "john"] {
            assert!(!is_of(&letter(&foreign, usize::MAX), "t", other));
        }
        assert!(!is_of(&doc! { "raw": { "d": "jane" } }, "t", "jane"));
    }
}
