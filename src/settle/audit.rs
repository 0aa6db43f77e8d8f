//! When agent-settle writes which entry of the [audit trail](crate::work::audit). Without the setting it writes none.

use super::answer::Answer;
use super::{Call, Settle};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, SlackTools};
use crate::slack::question::Place;
use crate::telemetry::report::settle::{Ended, TokensUsed};
use crate::time::clock::Clock;
use crate::work::WorkStore;
use crate::work::audit::{Act, AuditEntry};
use crate::work::operations::{self, Claimed, Now};
use crate::work::queue::Queue;
use crate::work::record::{End, Posting, Record};
use crate::work::token::{Token, Tokens};

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Writes an entry before its act. After an error the act must not be made.
    pub(super) async fn audit_before(
        &self,
        act: &Act<'_>,
        place: Option<&Place>,
        call: &Call<'_>,
    ) -> Result<(), StoreError> {
        let Some(rules) = &self.settings.audit else { return Ok(()) };
        let entry = AuditEntry::of(rules, call.key, place, act, self.clock.now());
        match self.store.put_audit(&entry).await {
            // Perhaps it was written. The same entry again has the same answer.
            Err(_) => self.store.put_audit(&entry).await,
            written => written,
        }
    }

    /// Writes down what came of an act. If that fails, the trail says that the act may have been made.
    pub(super) async fn audit_after(&self, act: &Act<'_>, place: Option<&Place>, call: &mut Call<'_>) {
        if let Err(error) = self.audit_before(act, place, call).await {
            call.report.errors.add("audit", &error);
        }
    }

    /// Writes down who asked, before the claim by which somebody begins to work for them. A claim that stands was written down
    /// before.
    pub(super) async fn before_claim(
        &self,
        new: &Token,
        now: Now<'_>,
        call: &Call<'_>,
    ) -> Result<(), StoreError> {
        if self.settings.audit.is_none() {
            return Ok(());
        }
        let claim = operations::claim(call.record.as_ref(), call.token, new, now);
        let (Some(_), Claimed::Yours { attempt, place, .. }) = (claim.write, claim.then) else {
            return Ok(());
        };
        self.audit_before(&Act::Asked { attempt, by: new }, place.as_ref(), call).await
    }

    /// Writes down what is about to be posted, before it is written into the record, from which others post it too.
    pub(super) async fn before_answer(
        &self,
        text: Option<&str>,
        end: &End,
        call: &Call<'_>,
    ) -> Result<(), StoreError> {
        // Nobody else's text is taken, so it is not about to be posted.
        let is_theirs = |record: &&Record| record.flight_of(call.token).is_some();
        let Some(record) = call.record.as_ref().filter(is_theirs) else { return Ok(()) };
        self.audit_before(&Act::Answer { record, text, end }, record.place.as_ref(), call).await
    }

    /// Writes down what is about to be posted on, in case that nobody did when it was written into the record: the trail may have
    /// been switched on since.
    pub(super) async fn before_posting_on(
        &self,
        record: &Record,
        posting: &Posting,
        call: &Call<'_>,
    ) -> Result<(), StoreError> {
        let act = Act::Answer { record, text: Some(&posting.text), end: &posting.end };
        self.audit_before(&act, record.place.as_ref(), call).await
    }

    /// Writes down that a text was not taken that was about to be posted.
    pub(super) async fn audit_not_posted(
        &self,
        text: Option<&str>,
        end: &End,
        why: &str,
        call: &mut Call<'_>,
    ) {
        let Some(record) = call.written_for.take() else { return };
        let act = Act::NotPosted { record: &record, text, end, why };
        self.audit_after(&act, record.place.as_ref(), call).await;
    }

    /// Writes down how the question has ended with this call, if it has, and what the attempt has used.
    pub(super) async fn after_all(&self, used: Option<TokensUsed>, answer: &Answer, call: &mut Call<'_>) {
        if self.settings.audit.is_none() {
            return;
        }
        let place = call.record.as_ref().and_then(|record| record.place.clone());
        let by = call.token;
        // An attempt that goes on says later what it has used. Whoever has no right to the question, and never had, says nothing about
        // it: it would stand there as the asker's.
        let is_theirs = call.has_ended_attempt
            || call.is_usage_counted
            || call.record.as_ref().is_some_and(|record| record.is_by(call.token));
        let used = used.filter(|_| is_theirs && !matches!(answer, Answer::NotAsked { .. }));
        if let Some(TokensUsed { input: input_tokens, output: output_tokens }) = used {
            self.audit_after(&Act::Used { by, input_tokens, output_tokens }, place.as_ref(), call).await;
        }
        let how = match (call.report.ended, answer) {
            (Some(ended), _) => word(ended),
            // The dispatcher has written it down, which has no trail.
            (None, Answer::Cancel { why }) if *why != operations::GONE => why,
            _ => return,
        };
        let why = call.report.why.clone().or_else(|| call.report.failure.clone());
        let ts = match answer {
            Answer::Answered { ts } => ts.as_deref(),
            _ => None,
        };
        self.audit_after(&Act::Ended { how, by, why: why.as_deref(), ts }, place.as_ref(), call).await;
    }
}

/// How a question has ended, as the trail says it.
const fn word(ended: Ended) -> &'static str {
    match ended {
        Ended::Answered => "answered",
        Ended::Told => "told",
        Ended::Untold => "untold",
        Ended::Stopped => "stopped",
        Ended::TurnedAway => "turned_away",
        Ended::OverLimit => "over_limit",
        Ended::Suspended => "suspended",
    }
}
