//! What an append came to: the word that the answer, the metrics and who appends share.

evp_shared::choices! {
    /// What became of a request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum AppendOutcome {
        /// It is on the stream, as durable as configured.
        Appended = "appended",
        /// Nothing of it was stored, and nothing will be.
        NotAccepted = "not_accepted",
        /// It may be stored or not.
        NotConfirmed = "not_confirmed",
    }
}
