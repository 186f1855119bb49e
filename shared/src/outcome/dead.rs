//! Why something is a dead letter.

crate::choices! {
    /// Why an entry or an event cannot be stored and is kept among the dead letters instead.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum DeadReason {
        /// The stream entry does not decode: another version, a bad checksum, a bad length.
        Undecodable = "undecodable",
        /// MongoDB will never take the document (a validator, its size, its nesting).
        RefusedByStore = "refused_by_store",
        /// Another event, with another tenant or `eventId`, has the same canonical id.
        IdCollision = "id_collision",
    }
}
