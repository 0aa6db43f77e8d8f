//! A command or an interaction, as the rules see it.

use serde_json::Value;

use crate::slack::payload::{self, Fields};
use crate::slack::signature::{SignatureHeaders, Verified};

/// A form that Slack has signed: a request that may be answered by a rule. What a rule reads of it is signed. `Debug` shows nothing
/// that a person wrote.
pub struct SignedForm {
    /// The name of a command, such as `/weather`; of an interaction its type, such as `view_submission`.
    pub(super) name: String,
    /// The fields of a command, or the payload of an interaction.
    pub(super) fields: Value,
    /// The app whose secret signed it, if it is clear whose that is.
    signed_for: Option<String>,
    /// The bytes that Slack signed. They are a form, which is text.
    pub(super) body: String,
    /// The headers that Slack signed them with, and the content type: all that is needed to verify the request once more.
    pub(super) headers: Vec<(&'static str, String)>,
}

impl SignedForm {
    /// Reads a form. `None` if it is neither a command nor an interaction, or cannot be read as JSON whole: [`classify`](payload::classify)
    /// reads only the fields that decide something, and takes more.
    pub fn read(
        verified: &Verified,
        headers: SignatureHeaders<'_>,
        content_type: Option<&str>,
    ) -> Option<Self> {
        let (name, fields) = match payload::fields(verified)? {
            Fields::Command(fields) => (fields.get("command")?.as_str()?.to_owned(), fields),
            Fields::Interaction(fields) => (fields.get("type")?.as_str()?.to_owned(), fields),
        };
        let body = String::from_utf8(verified.body().to_vec()).ok()?;
        let headers = [
            ("content-type", content_type),
            ("x-slack-signature", headers.signature),
            ("x-slack-request-timestamp", headers.timestamp),
        ];
        let headers =
            headers.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
        let signed_for = verified.signer().sole_app().map(str::to_owned);
        Some(Self { name, fields, signed_for, body, headers })
    }

    /// What was typed into the menu that asks for its options.
    pub(super) fn typed(&self) -> &str {
        self.text("/value").unwrap_or_default()
    }

    /// The text at one of these places, the first that is there.
    fn first(&self, places: &[&str]) -> Option<&str> {
        places.iter().find_map(|place| self.text(place))
    }

    fn text(&self, place: &str) -> Option<&str> {
        self.fields.pointer(place).and_then(Value::as_str)
    }

    pub(super) fn callback_id(&self) -> Option<&str> {
        self.first(&["/view/callback_id", "/callback_id"])
    }

    pub(super) fn action_id(&self) -> Option<&str> {
        self.first(&["/action_id", "/actions/0/action_id"])
    }

    pub(super) fn block_id(&self) -> Option<&str> {
        self.first(&["/block_id", "/actions/0/block_id"])
    }

    /// The app that it is for. Shortcuts and what is of the old style name none; theirs is the one whose secret signed them.
    pub(super) fn api_app_id(&self) -> Option<&str> {
        self.text("/api_app_id").or(self.signed_for.as_deref())
    }

    pub(super) fn trigger_id(&self) -> Option<&str> {
        self.text("/trigger_id")
    }
}

impl std::fmt::Debug for SignedForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignedForm({})", self.name)
    }
}

/// Why no rule was asked about a request.
#[derive(Debug)]
pub struct Unreadable;

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the payload is no JSON that the rules can read")
    }
}

impl std::error::Error for Unreadable {}
