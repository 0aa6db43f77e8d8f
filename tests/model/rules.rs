//! The rules of the protocol, each of which can be switched off to show that the checker then finds the way to what it prevents.
//!
//! The functions of this file call the real ones of `work::receive` and `work::operations`. While a rule is off, the wrapper
//! changes what goes into the real function or what comes out of it, as if the rule were not in there. The rules that are no
//! condition of a function, but something that is assumed of the world, are asked for in `step.rs`.

use slack_ingress::slack::question::SlackTs;
use slack_ingress::work::operations::{self, Beat, Claimed, Intent, Now, Posted};
use slack_ingress::work::receive::{self, Errand, Limits, Received};
use slack_ingress::work::record::{End, Flight, Posting, Receive, Record, State, Via};
use slack_ingress::work::token::Token;
use slack_ingress::work::transition::Transition;
use std::time::Duration;

use super::world::NOW;

/// A rule. Each doc comment says what happens instead while the rule is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A write takes effect only if nobody has written since the record was read. Off: it always does.
    WritesAreConditional,
    /// A claim puts the claimer's own token in the place of the dispatcher's. Off: the token stays.
    ClaimsHaveTheirOwnToken,
    /// Only who has the record's token is told to go on. Off: anybody is, while somebody works.
    BeatsNeedTheToken,
    /// A text is written down only for a question that is in flight. Off: also for one that is being posted or has ended.
    IntentNeedsAFlight,
    /// What is to be posted is written down before it is posted. Off: afterwards.
    IntentBeforePost,
    /// A post begins only if none is under way. Off: it begins anyway.
    StartNeedsNoNonce,
    /// Whoever finds a nonce waits before Slack is asked. Off: Slack is asked at the next receive.
    WaitBeforeAsking,
    /// Assumed: a call is over when the wait is, because agent-settle lives for 30 s, begins no call after 15 s, and the Gateway
    /// ends a call. Off: it may land later.
    CallsEnd,
    /// Only the message that saw the nonce asks Slack, at a later receive, so that SQS's clock has measured the wait, too. Off:
    /// any receive may, by the machine's clock alone.
    OnlyTheSameMessageAsks,
    /// A refusal clears only the nonce that was refused. Off: whichever is there.
    ClearingNeedsTheNonce,
    /// A post that stands counts only for its own nonce. Off: for the part that is under way.
    StandingNeedsTheNonce,
    /// A nonce that stands is found before the text is posted again. Off: Slack is not asked, and is taken to have nothing.
    SlackIsAsked,
    /// The intent reads the last stop. Off: it does not.
    StopsAreRead,
    /// A deletion leaves alone what is being posted. Off: it ends that, too.
    DeletionsSparePosts,
    /// A message leaves the queue when its question has ended. Off: when the agent was called.
    MessagesStay,
    /// A lease ends. Off: it never does.
    LeasesEnd,
    /// The wait begins anew for another message when the one that saw the nonce does not come back. Off: nobody else may ask.
    LostSightsAreReplaced,
    /// A question that has used up its attempts or its time is told so. Off: it is tried again.
    GivesUp,
    /// What cannot be posted ends when the time is up. Off: it is tried again.
    UntoldEnds,
    /// The message of a question that was told becomes a dead letter. Off: it is done.
    ToldIsALetter,
    /// Assumed: SQS hands a message out again when its visibility is over. Off: it does not.
    VisibilityEnds,
}

/// The rules that hold: all but the one that is off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) off: Option<Rule>,
}

impl Rules {
    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    pub(crate) fn limits(self, max_attempts: u32) -> Limits {
        let post_wait = super::world::POST_WAIT;
        Limits {
            max_attempts: if self.hold(Rule::GivesUp) { max_attempts } else { u32::MAX },
            give_up_after: if self.hold(Rule::GivesUp) { super::world::GIVE_UP_AFTER } else { Duration::MAX },
            post_wait: if self.hold(Rule::WaitBeforeAsking) { post_wait } else { Duration::ZERO },
        }
    }

    pub(crate) fn on_receive(
        self,
        record: Option<&Record>,
        received: &Received<'_>,
        limits: Limits,
    ) -> Transition<Errand> {
        let decided = if !self.hold(Rule::OnlyTheSameMessageAsks)
            && let Some(Record { state: State::Posting(posting), .. }) = record
            && let Some(sight) = &posting.sight
            && sight.receive != *received.receive
        {
            let receive =
                Receive { message_id: sight.receive.message_id.clone(), ..received.receive.clone() };
            let received = Received {
                receive: &receive,
                receives: sight.receives.saturating_add(1),
                ..received.clone()
            };
            receive::on_receive(record, &received, limits)
        } else if !self.hold(Rule::UntoldEnds)
            && let Some(record @ Record { state: State::Posting(_), .. }) = record
        {
            let young = Record { since: NOW, ..record.clone() };
            let mut decided = receive::on_receive(Some(&young), received, limits);
            if let Some(write) = &mut decided.write {
                write.since = record.since;
            }
            decided
        } else {
            receive::on_receive(record, received, limits)
        };
        match (&decided.then, record) {
            (Errand::DeadLetter { .. }, _) if !self.hold(Rule::ToldIsALetter) => {
                Transition { then: Errand::Done(receive::Done::Told), ..decided }
            }
            (
                Errand::PutOff(_),
                Some(Record { state: State::Posting(Posting { sight: Some(_), .. }), .. }),
            ) if !self.hold(Rule::LostSightsAreReplaced) => Transition { write: None, ..decided },
            _ => decided,
        }
    }

    pub(crate) fn on_deletion(self, record: Option<&Record>) -> Transition<Option<Receive>> {
        if self.hold(Rule::DeletionsSparePosts) {
            return receive::on_deletion(record, NOW);
        }
        let free = record.map(|record| record.with(State::Free));
        receive::on_deletion(free.as_ref(), NOW)
    }

    pub(crate) fn claim(
        self,
        record: Option<&Record>,
        token: &Token,
        new: &Token,
        stop: Option<&SlackTs>,
    ) -> Transition<Claimed> {
        let new = if self.hold(Rule::ClaimsHaveTheirOwnToken) { new } else { token };
        operations::claim(record, token, new, at(stop))
    }

    pub(crate) fn beat(
        self,
        record: Option<&Record>,
        token: &Token,
        stop: Option<&SlackTs>,
    ) -> Transition<Beat> {
        match record {
            Some(Record { state: State::InFlight(Flight { token: Some(current), .. }), .. })
                if !self.hold(Rule::BeatsNeedTheToken) =>
            {
                operations::beat(record, current, at(stop))
            }
            _ => operations::beat(record, token, at(stop)),
        }
    }

    pub(crate) fn intend(
        self,
        record: Option<&Record>,
        token: &Token,
        text: Option<&str>,
        end: &End,
        nonce: &Token,
        stop: Option<&SlackTs>,
    ) -> Transition<Intent> {
        let stop = stop.filter(|_| self.hold(Rule::StopsAreRead));
        let mut forced = record.cloned();
        if !self.hold(Rule::IntentNeedsAFlight)
            && let Some(record) = &mut forced
            && !matches!(record.state, State::InFlight(_))
        {
            let receive = record.receive().cloned();
            record.state = State::InFlight(Flight {
                token: Some(token.clone()),
                claimed_from: None,
                lease_until: NOW,
                receive: receive.unwrap_or_else(|| Receive { message_id: "0".into(), handle: "0".into() }),
            });
        }
        operations::intend(forced.as_ref(), token, text, end, nonce, at(stop))
    }

    pub(crate) fn start(
        self,
        record: Option<&Record>,
        token: &Token,
        nonce: &Token,
        via: Via,
    ) -> Transition<Option<Record>> {
        if self.hold(Rule::StartNeedsNoNonce) {
            return operations::start(record, token, nonce, via, NOW);
        }
        let without = record.map(|record| match &record.state {
            State::Posting(posting) => {
                record.with(State::Posting(Posting { nonce: None, sight: None, ..posting.clone() }))
            }
            _ => record.clone(),
        });
        operations::start(without.as_ref(), token, nonce, via, NOW)
    }

    pub(crate) fn refused(self, record: Option<&Record>, nonce: &Token) -> Transition<Option<Record>> {
        let nonce = if self.hold(Rule::ClearingNeedsTheNonce) { Some(nonce) } else { nonce_of(record) };
        nonce.map_or(Transition::only(None), |nonce| operations::refused(record, nonce))
    }

    pub(crate) fn posted(
        self,
        record: Option<&Record>,
        token: &Token,
        nonce: &Token,
        parts: usize,
        next: Option<&Token>,
    ) -> Transition<Posted> {
        let nonce = if self.hold(Rule::StandingNeedsTheNonce) { Some(nonce) } else { nonce_of(record) };
        let Some(nonce) = nonce else { return Transition::only(Posted::Gone) };
        operations::posted(record, token, nonce, Some("1.0"), parts, next, NOW)
    }

    pub(crate) fn may_look_for(self, record: &Record, token: &Token) -> Option<Token> {
        operations::may_look_for(record, token, self.limits(1).post_wait, NOW)
    }
}

fn at(stopped_at: Option<&SlackTs>) -> Now<'_> {
    Now { now: NOW, stopped_at }
}

fn nonce_of(record: Option<&Record>) -> Option<&Token> {
    match &record?.state {
        State::Posting(posting) => posting.nonce.as_ref(),
        _ => None,
    }
}
