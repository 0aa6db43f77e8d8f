//! Shows in Slack that somebody works on a question, and takes it back: the status of Slack's session. Nothing depends on whether
//! that succeeds.

use super::answer::Answer;
use super::{Call, Settle, since_asked};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, SessionStatus, SlackTools, StatusOutcome, StatusPlace};
use crate::slack::question::{self, Place};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::queue::Queue;
use crate::work::receive::{DELETED, STOPPED};
use crate::work::record::State;
use crate::work::token::Tokens;

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Shows that somebody works, and takes it back if the question has ended: before, or while it was shown.
    pub(super) async fn sign(&self, title: Option<&str>, call: &mut Call<'_>) -> Result<Answer, StoreError> {
        let Some(record) = self.read(call).await? else { return Ok(Answer::NotShown) };
        let Some(place) = &record.place else { return Ok(Answer::NotShown) };
        // A free record is one that was given back: whoever takes the question next shows the sign anew.
        let waits_for_another =
            self.settings.together.is_some() && record.state == State::Free && record.deferrals > 0;
        if waits_for_another {
            // The agent works on another question of the thread, whose sign it is.
            return Ok(Answer::NotShown);
        }
        if record.has_ended() || record.state == State::Free {
            if let State::Told { why, .. } = &record.state {
                // The dispatcher, which has no Slack, may have ended it.
                self.close_stream(&record, call).await;
                if [STOPPED, DELETED].contains(&why.as_str()) {
                    self.forget_withdrawn(&record, why, call).await?;
                }
            }
            self.take_sign_back(place, call).await;
            return Ok(Answer::Ended);
        }
        let is_at_work = match &record.state {
            State::InFlight(flight) => {
                [&flight.token, &flight.claimed_from].iter().any(|token| token.as_ref() == Some(call.token))
            }
            _ => false,
        };
        // Late in the invocation there may be no time left to take it back.
        if !is_at_work || !self.has_time(call) || !self.show_sign(place, title, call).await {
            return Ok(Answer::NotShown);
        }
        call.report.time_to_first_sign = Some(since_asked(place, self.clock.now()));
        if self.read(call).await?.is_some_and(|record| record.has_ended()) {
            self.take_sign_back(place, call).await;
            return Ok(Answer::Ended);
        }
        Ok(Answer::Shown)
    }

    async fn show_sign(&self, place: &Place, title: Option<&str>, call: &mut Call<'_>) -> bool {
        // Whoever works on the question could give any title, so it is cut here too.
        let title = title.filter(|_| self.settings.session_titles).and_then(question::title);
        self.set_status(place, SessionStatus::Processing, title.as_deref(), call).await
    }

    /// Nobody comes again to take the sign back, so this is tried also when it is too late to post.
    pub(super) async fn take_sign_back(&self, place: &Place, call: &mut Call<'_>) {
        self.set_status(place, SessionStatus::Active, None, call).await;
    }

    /// What is left to do when a question has ended of which Slack takes nothing.
    pub(super) async fn take_sign_back_of_record(&self, call: &mut Call<'_>) {
        match self.read(call).await {
            Ok(Some(record)) => {
                self.close_stream(&record, call).await;
                if let Some(place) = &record.place {
                    self.take_sign_back(place, call).await;
                }
            }
            Ok(None) => {}
            Err(error) => call.report.errors.add("sign", &error),
        }
    }

    /// Sets the status of the Slack session. Nothing depends on whether that succeeds.
    pub(super) async fn set_status(
        &self,
        place: &Place,
        status: SessionStatus,
        title: Option<&str>,
        call: &mut Call<'_>,
    ) -> bool {
        let Some(thread_ts) = place.session_thread() else { return false };
        let tenant = place.tenant.as_deref();
        let session = StatusPlace { tenant, channel: &place.channel, thread_ts: &thread_ts, title };
        match self.slack.set_status(&session, status, call.until()).await {
            StatusOutcome::Shown => true,
            StatusOutcome::NotShown { reason } => {
                call.report.not_shown = Some(reason);
                false
            }
        }
    }
}
