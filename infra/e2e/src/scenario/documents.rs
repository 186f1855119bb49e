//! Documents that ingest lets nobody send, made by changing the bytes of one that it does.

/// Where the fields behind the fixed ones begin, first of them the tenant.
const TENANT_OFFSET: usize = 64;
/// The largest document `MongoDB` takes.
pub(super) const MONGO_MAX: usize = 16 * 1024 * 1024;

/// `document` with `element` as its last field.
pub(super) fn ending_in(document: &[u8], element: &[u8]) -> Vec<u8> {
    with_at(document, document.len() - 1, element)
}

/// `document` with `element` before the fields that say whose it is.
pub(super) fn before_tags(document: &[u8], element: &[u8]) -> Vec<u8> {
    with_at(document, TENANT_OFFSET, element)
}

/// `document` grown to `bytes` by a text.
pub(super) fn grown_to(document: &[u8], bytes: usize) -> Vec<u8> {
    let frame = text_of(b"text", 0).len();
    ending_in(document, &text_of(b"text", bytes - document.len() - frame))
}

/// A field of `levels` documents inside each other.
pub(super) fn nested(levels: usize) -> Vec<u8> {
    let innermost = vec![5, 0, 0, 0, 0];
    let inside = |inner: Vec<u8>, _| closed(&field(3, b"in", &inner));
    field(3, b"payload", &(1..levels).fold(innermost, inside))
}

/// A text whose name has a NUL in it, where the name then ends for a reader: what follows is no
/// value.
pub(super) fn nul_in_key() -> Vec<u8> {
    text_of(b"page\0number", 4)
}

/// The user that scenarios have `MongoDB` refuse.
pub(super) fn refused_user() -> Vec<u8> {
    field(2, b"userId", b"\x08\0\0\0refused\0")
}

fn text_of(name: &[u8], bytes: usize) -> Vec<u8> {
    let mut value = i32::try_from(bytes + 1)
        .unwrap_or(i32::MAX)
        .to_le_bytes()
        .to_vec();
    value.resize(value.len() + bytes, b'x');
    value.push(0);
    field(2, name, &value)
}

fn field(kind: u8, name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[kind], name, &[0], value].concat()
}

fn closed(fields: &[u8]) -> Vec<u8> {
    let mut document = [&[0; 4], fields, &[0]].concat();
    patch_len(&mut document);
    document
}

fn with_at(document: &[u8], offset: usize, element: &[u8]) -> Vec<u8> {
    let (before, after) = document.split_at(offset);
    let mut document = [before, element, after].concat();
    patch_len(&mut document);
    document
}

fn patch_len(document: &mut [u8]) {
    let len = i32::try_from(document.len()).unwrap_or(i32::MAX);
    document[..4].copy_from_slice(&len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc};

    use super::*;

    fn parsed(bytes: &[u8]) -> Option<Document> {
        bson::deserialize_from_slice(bytes).ok()
    }

    #[test]
    fn they_are_what_they_say() {
        let plain = bson::serialize_to_vec(&doc! { "a": 1 }).unwrap();
        let nested = parsed(&ending_in(&plain, &nested(3)));
        assert_eq!(
            nested,
            Some(doc! { "a": 1, "payload": { "in": { "in": {} } } })
        );
        let user = parsed(&ending_in(&plain, &refused_user()));
        assert_eq!(user, Some(doc! { "a": 1, "userId": "refused" }));
        let grown = grown_to(&plain, 1_000);
        assert_eq!((grown.len(), parsed(&grown).is_some()), (1_000, true));
        assert_eq!(parsed(&ending_in(&plain, &nul_in_key())), None);
    }
}
