//! How many Slack apps send their requests to this function.

/// Whether the function serves one app or several.
///
/// Slack gives one message the same `event_id` for every app that gets it. With one app the `event_id` therefore names an event;
/// with several apps it names one only together with the app's id.
///
/// It is decided when the signing secrets are read for the first time, and stays for the life of the process
/// ([`SigningSecrets::apps`](super::secrets::SigningSecrets::apps)). To go from one app to several, or back, is a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apps {
    /// One app, however many secrets it has: several plain secrets are one app's rotation.
    One,
    /// Several apps, each with a secret of its own: the JSON form of the signing secret names more than one app.
    Several,
}
