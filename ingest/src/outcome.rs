//! What an append came to: the word that the answer, the metrics and who appends share.

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AppendOutcome {
    /// It is on the stream, as durable as configured.
    Appended,
    /// Nothing of it was stored, and nothing will be.
    NotAccepted,
    /// It may be stored or not.
    NotConfirmed,
}
