//! The rules of the protocol that keep the promise. Each can be switched off, by what the store, the queue, Slack or a clock does
//! or says, and the ledger has to notice.

use slack_ingress::slack::scope::Scope;
use slack_ingress::work::approval::Who;
use slack_ingress::work::usage::Limits;
use std::time::Duration;

use super::settings::{Settings, SlackSearch};

/// A rule of the protocol. Each doc comment says what happens instead while the rule is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A write takes effect only if nobody has written since the record was read. Off: it always does.
    WritesAreConditional,
    /// Who finds a post's outcome unknown waits before Slack is asked. Off: nobody waits.
    WaitBeforeAsking,
    /// Only the next receive of the message that saw the unknown post first may ask Slack. Off: any message may, at once.
    SameMessageOnly,
    /// A post carries a nonce by which it is found again. Off: it is never found.
    NonceInThePost,
    /// The nonce of a post is written down before the post. Off: it is written down without.
    NonceInTheRecord,
    /// A beat renews the lease and the visibility. Off: neither.
    BeatsRenew,
    /// The stop is read when an answer is written down. Off: it is not.
    StopReadAtIntent,
    /// The claimer's own token takes the place of the dispatcher's. Off: the dispatcher's stays.
    ClaimsHaveTheirOwnToken,
    /// The record of a question that nobody answers says which message becomes the dead letter. Off: it says none.
    ToldForItsMessage,
    /// What is given back has not used an attempt. Off: it has.
    GivenBackIsNoAttempt,
    /// A message that comes again while somebody works leaves its new handle in the record. Off: the old one stays.
    NewHandleIsLeft,
    /// A message is done only when its question is. Off: it is done when the agent has it.
    NotDoneWhileAtWork,
    /// agent-settle deletes the message when the answer stands, and makes it visible when there is none. Off: it deletes it in
    /// both cases.
    ToldMakesVisible,
    /// Of those that begin the call under one number, one does. Off: each does.
    OneBeginsACall,
    /// Whoever reads the journal closes what was counted and not begun. Off: it stays open, to be begun later.
    JournalIsClosed,
    /// The message of a stream is written down before anything is appended to it. Off: it is not.
    StreamIsWrittenDown,
    /// A call whose outcome is unknown is not made again. Off: the model makes it again.
    UnknownIsNotRepeated,
    /// Whether somebody may ask is found out before the agent is called. Off: everybody may.
    AskersAreAdmitted,
    /// Of all questions of a day one tells the asker that they may not ask. Off: each does.
    OneTellingADay,
    /// An attempt takes what it may use before it begins. Off: it takes nothing.
    AttemptsTake,
    /// Nothing is taken that would get over a limit. Off: it is.
    LimitsHold,
    /// A call of a tool is taken before it is made. Off: it is not.
    ToolCallsAreTaken,
    /// Who asks stands in the trail before somebody works for them. Off: it does not.
    TrailHasWhoAsks,
    /// A call of a tool stands in the trail before it is made. Off: it does not.
    TrailHasCalls,
    /// A text stands in the trail before it is posted. Off: it does not.
    TrailHasAnswers,
    /// A tool that is marked asks a person first. Off: it asks nobody.
    CallsAreAskedFirst,
    /// Only those decide who may. Off: everybody does.
    OnlyApproversDecide,
    /// The first decision stands. Off: each later one takes its place.
    FirstDecisionStands,
    /// A click after the time for it decides nothing. Off: it does.
    LateClicksDecideNothing,
    /// What is called is what was shown, to the letter. Off: an approval holds for any call under its number.
    ShownIsCalled,
    /// What was refused, or has lapsed, is not called. Off: whoever asks for it again makes it.
    RefusedIsNotCalled,
    /// A call that was approved is made once. Off: whoever asks for it again makes it again.
    ApprovedIsCalledOnce,
    /// Something says when nobody has decided in time. Off: nothing does.
    LapseIsScheduled,
    /// While a person is asked the question's message is deleted. Off: it comes again and again.
    SuspensionHoldsNothing,
    /// Whoever answers other questions, too, writes that down with the answer. Off: they stay as they were.
    OthersAreJoined,
    /// Nobody's question is joined who works on it. Off: it is, whatever it was.
    OnlyTheFreeAreJoined,
}

impl Rule {
    pub(crate) const ALL: [Self; 36] = [
        Self::WritesAreConditional,
        Self::WaitBeforeAsking,
        Self::SameMessageOnly,
        Self::NonceInThePost,
        Self::NonceInTheRecord,
        Self::BeatsRenew,
        Self::StopReadAtIntent,
        Self::ClaimsHaveTheirOwnToken,
        Self::ToldForItsMessage,
        Self::GivenBackIsNoAttempt,
        Self::NewHandleIsLeft,
        Self::NotDoneWhileAtWork,
        Self::ToldMakesVisible,
        Self::OneBeginsACall,
        Self::JournalIsClosed,
        Self::StreamIsWrittenDown,
        Self::UnknownIsNotRepeated,
        Self::AskersAreAdmitted,
        Self::OneTellingADay,
        Self::AttemptsTake,
        Self::LimitsHold,
        Self::ToolCallsAreTaken,
        Self::TrailHasWhoAsks,
        Self::TrailHasCalls,
        Self::TrailHasAnswers,
        Self::CallsAreAskedFirst,
        Self::OnlyApproversDecide,
        Self::FirstDecisionStands,
        Self::LateClicksDecideNothing,
        Self::ShownIsCalled,
        Self::RefusedIsNotCalled,
        Self::ApprovedIsCalledOnce,
        Self::LapseIsScheduled,
        Self::SuspensionHoldsNothing,
        Self::OthersAreJoined,
        Self::OnlyTheFreeAreJoined,
    ];

    /// What the ledger's violations begin with, one of which has to come up while the rule is off.
    pub(crate) fn broken(self) -> &'static [&'static str] {
        match self {
            Self::WritesAreConditional
            | Self::WaitBeforeAsking
            | Self::SameMessageOnly
            | Self::NonceInThePost
            | Self::NonceInTheRecord => &["twice"],
            Self::BeatsRenew | Self::ClaimsHaveTheirOwnToken => &["alone"],
            Self::StopReadAtIntent => &["stop"],
            Self::ToldForItsMessage | Self::ToldMakesVisible => &["letter"],
            Self::GivenBackIsNoAttempt => &["attempts"],
            Self::NewHandleIsLeft => &["quiet"],
            Self::StreamIsWrittenDown => &["stream"],
            Self::NotDoneWhileAtWork => &["answered"],
            Self::OneBeginsACall | Self::JournalIsClosed | Self::UnknownIsNotRepeated => &["done"],
            Self::AskersAreAdmitted | Self::OneTellingADay => &["asker"],
            Self::AttemptsTake | Self::LimitsHold | Self::ToolCallsAreTaken => &["limits"],
            Self::TrailHasWhoAsks | Self::TrailHasCalls | Self::TrailHasAnswers => &["trail"],
            Self::CallsAreAskedFirst
            | Self::OnlyApproversDecide
            | Self::FirstDecisionStands
            | Self::LateClicksDecideNothing
            | Self::ShownIsCalled
            | Self::RefusedIsNotCalled
            | Self::ApprovedIsCalledOnce => &["approval"],
            Self::LapseIsScheduled => &["answered"],
            Self::SuspensionHoldsNothing => &["held"],
            Self::OthersAreJoined | Self::OnlyTheFreeAreJoined => &["together"],
        }
    }

    /// Has the history be one in which the rule is needed more often than in others.
    pub(crate) fn make_it_matter(self, settings: &mut Settings) {
        match self {
            Self::SameMessageOnly => {
                settings.in_two_messages = 1000;
                settings.wrong_clocks = 1000;
                settings.slack = 500;
                settings.posts_are_late = true;
                settings.fifo = false;
                // Without the rule the clocks of the dispatcher and of agent-settle have to be ahead at once.
                // A run of an earlier receive, with such a clock, asks too early even with the rule.
                settings.twice = 0;
                settings.asking = SlackSearch::Works;
                settings.token_put_at = Duration::ZERO;
            }
            Self::NewHandleIsLeft => {
                settings.fifo = true;
                settings.queue = 0;
                settings.store = 0;
                settings.wrong_clocks = 0;
                settings.in_two_messages = 0;
                settings.long_thoughts = 400;
                settings.agent_core = 300;
            }
            Self::BeatsRenew | Self::ClaimsHaveTheirOwnToken => {
                settings.wrong_clocks = 0;
                settings.long_thoughts = 400;
                settings.twice = 200;
            }
            Self::OneBeginsACall | Self::UnknownIsNotRepeated => settings.tools = 1000,
            Self::AskersAreAdmitted | Self::OneTellingADay => settings.guests = 500,
            Self::AttemptsTake | Self::LimitsHold | Self::ToolCallsAreTaken => {
                settings.tools = 1000;
                let most = Limits { questions: Some(4), tokens: None, tool_calls: Some(3) };
                settings.limits.scopes = vec![(Scope::Workspace, most)];
            }
            Self::TrailHasWhoAsks | Self::TrailHasCalls | Self::TrailHasAnswers => {
                settings.audit = true;
                settings.tools = 1000;
            }
            Self::CallsAreAskedFirst
            | Self::OnlyApproversDecide
            | Self::FirstDecisionStands
            | Self::LateClicksDecideNothing
            | Self::ShownIsCalled
            | Self::RefusedIsNotCalled
            | Self::ApprovedIsCalledOnce
            | Self::LapseIsScheduled => {
                settings.tools = 1000;
                settings.approvals.get_or_insert(Who::Asker);
            }
            Self::SuspensionHoldsNothing => {
                settings.tools = 1000;
                settings.approvals.get_or_insert(Who::Asker);
                settings.queue = 0;
                settings.store = 0;
                settings.settle = 0;
                settings.deaths = 0;
                settings.pauses = 0;
                settings.twice = 0;
                settings.wrong_clocks = 0;
            }
            Self::OthersAreJoined | Self::OnlyTheFreeAreJoined => {
                settings.together = true;
                settings.threads = 2;
            }
            Self::StreamIsWrittenDown => settings.streams = 1000,
            Self::JournalIsClosed => {
                settings.tools = 1000;
                settings.store = 0;
                settings.settle = 0;
                settings.pauses = 500;
                settings.agent_deaths = 900;
            }
            _ => {}
        }
    }
}
