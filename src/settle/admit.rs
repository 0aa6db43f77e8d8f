//! Whether somebody may ask: what the message says, what the table remembers, or else Slack. Who may not is told so, once a day, and
//! the question is done.

use serde_json::{Map, Value};

use super::answer::Answer;
use super::request::Invalid;
use super::{Call, Settle};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, PersonOutcome, Retry, SlackTools};
use crate::slack::answer_text;
use crate::slack::asker::{Asker, AskerKind, Home, WhoMayAsk};
use crate::slack::question::Place;
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::askers::AskerKey;
use crate::work::queue::Queue;
use crate::work::record::{Declined, End, State};
use crate::work::token::Tokens;

/// "May this asker ask?"
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Who may.
    pub who_may_ask: WhoMayAsk,
    /// What the message says of the asker.
    pub asker: Asker,
}

impl Admission {
    /// Reads the fields of a request.
    ///
    /// # Errors
    /// When one is missing or wrong; the text names it.
    pub(super) fn read(fields: &Map<String, Value>) -> Result<Self, Invalid> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let who_may_ask = text("who_may_ask").and_then(|value| WhoMayAsk::read(value).ok());
        let home = match text("home") {
            Some("ours") => Home::Ours,
            Some("another") => Home::Another,
            Some("unknown") => Home::Unknown,
            _ => return Err(Invalid("home must be ours, another or unknown")),
        };
        let is_bot = fields.get("is_bot").and_then(Value::as_bool);
        let installation = fields.get("installation").and_then(Value::as_array);
        let installation = installation.ok_or(Invalid("installation must be a list of ids"))?;
        Ok(Self {
            who_may_ask: who_may_ask.ok_or(Invalid("who_may_ask must be a value of WHO_MAY_ASK"))?,
            asker: Asker {
                is_bot: is_bot.ok_or(Invalid("is_bot must be true or false"))?,
                home,
                installation: installation.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            },
        })
    }
}

/// What is known of an asker.
enum Known {
    /// This.
    Kind(AskerKind),
    /// Slack knows nobody of that name.
    Nobody(String),
    /// It can be asked later, or when somebody has put a token or added a scope.
    Later(String),
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    pub(super) async fn admit(
        &self,
        admission: &Admission,
        call: &mut Call<'_>,
    ) -> Result<Answer, StoreError> {
        let Some(record) = self.read(call).await? else { return Ok(Answer::Gone) };
        let is_ours = match &record.state {
            // It is the dispatcher's question, before the agent has it.
            State::InFlight(flight) => {
                flight.claimed_from.is_none() && flight.token.as_ref() == Some(call.token)
            }
            _ => false,
        };
        if !is_ours {
            return Ok(Answer::Gone);
        }
        let Some(place) = &record.place else {
            return Ok(self.not_known("no_place".to_owned(), call));
        };
        let kind = match self.who_asks(admission, place, call).await? {
            Known::Kind(kind) if admission.who_may_ask.may(kind) => return Ok(Answer::Admitted),
            Known::Kind(kind) => Some(kind),
            Known::Nobody(why) => {
                call.report.why = Some(why);
                None
            }
            Known::Later(why) => return Ok(self.not_known(why, call)),
        };
        if let Some(kind) = kind {
            call.report.why = Some(kind.as_str().to_owned());
        }
        let text = match (answer_text::turned_away(kind), AskerKey::of(place)) {
            (Some(text), Some(key)) => {
                let may_tell = self.store.may_tell(&key, call.key.question_id(), self.clock.now()).await?;
                may_tell.then_some(text)
            }
            // Of somebody whom the message does not name nobody knows whether they were told: each of their questions tells it.
            (text, _) => text,
        };
        Ok(match self.end(text, End::Declined(Declined::Asker), call).await? {
            Answer::Answered { .. } => Answer::TurnedAway,
            other => other,
        })
    }

    /// The asker has been told that they may not ask. The day until they are told again begins when that stands in Slack, and not when
    /// it was decided.
    pub(super) async fn is_told_now(&self, place: &Place, call: &mut Call<'_>) {
        let Some(key) = AskerKey::of(place) else { return };
        if let Err(error) = self.store.may_tell(&key, call.key.question_id(), self.clock.now()).await {
            call.report.errors.add("asker", &error);
        }
    }

    /// Nobody can say now who asks. The question waits, and the failure is counted by its reason.
    fn not_known(&self, why: String, call: &mut Call<'_>) -> Answer {
        call.report.why = Some(why.clone());
        call.report.failure = Some(why.clone());
        Answer::Unreadable { why, again: true }
    }

    async fn who_asks(
        &self,
        admission: &Admission,
        place: &Place,
        call: &Call<'_>,
    ) -> Result<Known, StoreError> {
        match (admission.asker.is_bot, admission.asker.home) {
            (true, _) => return Ok(Known::Kind(AskerKind::Bot)),
            (false, Home::Another) => return Ok(Known::Kind(AskerKind::External)),
            (false, Home::Ours | Home::Unknown) => {}
        }
        let (Some(key), Some(user)) = (AskerKey::of(place), place.user.as_deref()) else {
            return Ok(Known::Nobody("nobody_asked".to_owned()));
        };
        if let Some(kind) = self.store.kind(&key, self.clock.now()).await? {
            return Ok(Known::Kind(kind));
        }
        match self.slack.person(place.tenant.as_deref(), user, call.until()).await {
            PersonOutcome::Known(person) => {
                let kind = person.kind(&admission.asker.installation);
                self.store.remember(&key, kind, self.clock.now()).await?;
                Ok(Known::Kind(kind))
            }
            PersonOutcome::Unknown { reason, retry: Retry::Never } => Ok(Known::Nobody(reason)),
            PersonOutcome::Unknown { reason, retry: Retry::Later | Retry::AfterChange } => {
                Ok(Known::Later(reason))
            }
        }
    }
}
