//! What goes wrong in the histories, each by its name. A run in which one of them never happened shows nothing about it, and
//! fails.

use std::collections::BTreeMap;
use std::fmt;

/// Something that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    OneReceiveRunTwice,
    OneInvocationInTwoProcesses,
    InvocationAfterTheDispatcherGaveUp,
    LateWriteOfTheDispatchers,
    LateWriteOfSettles,
    WriteDoneAndItsAnswerLost,
    WriteNotDone,
    ReadFailed,
    QueueCallDoneAndItsAnswerLost,
    QueueCallNotDone,
    FifoHandleDeadASecondLate,
    FifoHandleDead,
    OldHandleStillWorks,
    OldHandleSaysOkAndDoesNothing,
    StandardMessageGivenOutTwice,
    BystandersPutOff,
    OneQuestionInTwoMessages,
    DispatcherDies,
    DispatcherPauses,
    SettleDies,
    SettlePauses,
    SettleKilledAtItsDeadline,
    SettleRunsTwice,
    SettleRunsLate,
    SettleNotInvoked,
    SettlesAnswerLost,
    AgentDiesWithoutSigterm,
    AgentGetsSigterm,
    AgentPauses,
    ClockMinutesOff,
    AgentCoreThrottles,
    AgentCoreInConflict,
    AgentsAnswerLost,
    AgentSaysLater,
    AgentIgnores,
    AgentFails,
    AgentThinksTooLong,
    AgentAnswersByItsOwnTools,
    OldAgentCodeRefuses,
    PostTakenAndItsAnswerLost,
    PostTakesEffectLate,
    PostLostOnTheWay,
    SlackRefuses,
    SlackRefusesForGood,
    SlackLimitsTheRate,
    SlackRefusesTheToken,
    SlackCannotBeAskedNow,
    SlackCannotBeAskedForGood,
    StatusFails,
    PersonCannotBeRead,
    ToolCallTakenAndItsAnswerLost,
    ToolCallTakesEffectLate,
    ToolCallLostOnTheWay,
    StreamCallTakenAndItsAnswerLost,
    StreamCallTakesEffectLate,
    StreamCallLostOnTheWay,
    StreamCallRefused,
    StreamMessageDeleted,
    StreamTakenAway,
    StreamStoppedByUser,
    StreamGoneOnIn,
    ToolNotReached,
    ToolNotCalled,
    QuestionOverTheLimit,
    CallUnknown,
    CallUnderWay,
    CallsHandedOver,
    AnotherCallStands,
    Stop,
    Deletion,
    RetentionReached,
    MaxReceiveCountReached,
    DeadLetterQueueFails,
    LetterSentBack,
}

impl Fault {
    pub(crate) const ALL: [Self; 74] = [
        Self::OneReceiveRunTwice,
        Self::OneInvocationInTwoProcesses,
        Self::InvocationAfterTheDispatcherGaveUp,
        Self::LateWriteOfTheDispatchers,
        Self::LateWriteOfSettles,
        Self::WriteDoneAndItsAnswerLost,
        Self::WriteNotDone,
        Self::ReadFailed,
        Self::QueueCallDoneAndItsAnswerLost,
        Self::QueueCallNotDone,
        Self::FifoHandleDeadASecondLate,
        Self::FifoHandleDead,
        Self::OldHandleStillWorks,
        Self::OldHandleSaysOkAndDoesNothing,
        Self::StandardMessageGivenOutTwice,
        Self::BystandersPutOff,
        Self::OneQuestionInTwoMessages,
        Self::DispatcherDies,
        Self::DispatcherPauses,
        Self::SettleDies,
        Self::SettlePauses,
        Self::SettleKilledAtItsDeadline,
        Self::SettleRunsTwice,
        Self::SettleRunsLate,
        Self::SettleNotInvoked,
        Self::SettlesAnswerLost,
        Self::AgentDiesWithoutSigterm,
        Self::AgentGetsSigterm,
        Self::AgentPauses,
        Self::ClockMinutesOff,
        Self::AgentCoreThrottles,
        Self::AgentCoreInConflict,
        Self::AgentsAnswerLost,
        Self::AgentSaysLater,
        Self::AgentIgnores,
        Self::AgentFails,
        Self::AgentThinksTooLong,
        Self::AgentAnswersByItsOwnTools,
        Self::OldAgentCodeRefuses,
        Self::PostTakenAndItsAnswerLost,
        Self::PostTakesEffectLate,
        Self::PostLostOnTheWay,
        Self::SlackRefuses,
        Self::SlackRefusesForGood,
        Self::SlackLimitsTheRate,
        Self::SlackRefusesTheToken,
        Self::SlackCannotBeAskedNow,
        Self::SlackCannotBeAskedForGood,
        Self::StatusFails,
        Self::PersonCannotBeRead,
        Self::ToolCallTakenAndItsAnswerLost,
        Self::ToolCallTakesEffectLate,
        Self::ToolCallLostOnTheWay,
        Self::StreamCallTakenAndItsAnswerLost,
        Self::StreamCallTakesEffectLate,
        Self::StreamCallLostOnTheWay,
        Self::StreamCallRefused,
        Self::StreamMessageDeleted,
        Self::StreamTakenAway,
        Self::StreamStoppedByUser,
        Self::StreamGoneOnIn,
        Self::ToolNotReached,
        Self::ToolNotCalled,
        Self::QuestionOverTheLimit,
        Self::CallUnknown,
        Self::CallUnderWay,
        Self::CallsHandedOver,
        Self::AnotherCallStands,
        Self::Stop,
        Self::Deletion,
        Self::RetentionReached,
        Self::MaxReceiveCountReached,
        Self::DeadLetterQueueFails,
        Self::LetterSentBack,
    ];
}

/// How often each fault happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<Fault, u64>);

impl Counts {
    pub(crate) fn add_one(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    pub(crate) fn add(&mut self, others: &Self) {
        for (fault, times) in &others.0 {
            *self.0.entry(*fault).or_default() += times;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn missing(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| !self.0.contains_key(fault)).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Fault::ALL.iter().try_for_each(|fault| {
            let times = self.0.get(fault).copied().unwrap_or_default();
            writeln!(f, "  {:<38} {times:>9}", format!("{fault:?}"))
        })
    }
}
