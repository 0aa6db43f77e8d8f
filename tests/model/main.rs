//! The core of the protocol behind the queue, checked exhaustively in small worlds: one question, one or two messages that bring
//! it, everything that the dispatcher, the agents and agent-settle may do about it in any order, and up to a few faults of any
//! kind at any point. Every decision is made by the real functions of `slack_ingress::work`, on real records.
//!
//! ```sh
//! cargo test --all-features --test model -- --nocapture
//! ```
//!
//! What is checked: no part of an answer is posted twice, and the parts are posted in their order; nothing is posted after a stop
//! or a deletion that whoever posts could see; one process at most is told to go on; a message leaves the queue only when its
//! question has ended; what the record says to stand stands; and from every state that can be reached, when no further faults
//! happen, the question is answered, told or withdrawn (`liveness.rs` says what that means exactly).
//!
//! What is assumed: a conditional write is atomic. A call of Slack's is over when the wait is. A handle counts until the
//! visibility of its receive is over. A message comes again when its visibility is over. All but the first can be switched off,
//! as can every rule of the protocol (`rules.rs`): then the checker finds the way to two posts, or to silence.
//!
//! What is not in it: the length of time (a lease may end at any moment, as if every clock were wrong; only the wait before Slack
//! is asked is a real one), back-off, several questions, the sign, and what the text says.
//!
//! `world.rs` is the state, `step.rs` what can happen, `rules.rs` the rules, `liveness.rs` the end of everything.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a check that cannot go on has failed"
)]

mod liveness;
mod rules;
mod step;
mod world;

use rules::{Rule, Rules};
use stateright::{Checker, Model};
use step::{Event, Fault, Protocol};

/// The world that the others differ from.
fn small(name: &'static str) -> Protocol {
    Protocol {
        name,
        rules: Rules::default(),
        messages: 1,
        parts: 1,
        max_attempts: 1,
        processes: 2,
        faults: 2,
        kinds: &[],
        events: &[],
        is_stop: false,
        memo: liveness::Memo::default(),
    }
}

/// Runs and writes that come twice, late or not at all.
const WORK: &[Fault] = &[
    Fault::TwoRuns,
    Fault::TwoProcesses,
    Fault::TwoAnswers,
    Fault::NotReached,
    Fault::LateGiveBack,
    Fault::LateWrite,
    Fault::Pause,
    Fault::LostAnswer,
    Fault::Death,
    Fault::ThinkingFails,
    Fault::SigTerm,
    Fault::Unknown,
    Fault::Refusal,
];

/// What happens to posts.
const POSTS: &[Fault] = &[
    Fault::TwoRuns,
    Fault::TwoAnswers,
    Fault::LateWrite,
    Fault::LostAnswer,
    Fault::Death,
    Fault::Unknown,
    Fault::Refusal,
    Fault::NoTime,
];

fn work() -> Protocol {
    Protocol { kinds: WORK, ..small("work on one question") }
}

fn crowded() -> Protocol {
    Protocol { processes: 3, faults: 1, kinds: WORK, ..small("three at work on one question") }
}

fn attempts() -> Protocol {
    Protocol {
        max_attempts: 2,
        kinds: &[Fault::Death, Fault::LateWrite, Fault::TwoProcesses, Fault::TimeIsUp, Fault::Unknown],
        ..small("two attempts, and the time is up")
    }
}

fn posts() -> Protocol {
    Protocol { faults: 3, kinds: POSTS, ..small("posts") }
}

fn parts() -> Protocol {
    Protocol { parts: 2, kinds: POSTS, ..small("an answer of two parts") }
}

fn two_messages() -> Protocol {
    Protocol {
        messages: 2,
        processes: 2,
        kinds: &[Fault::Death, Fault::LateWrite, Fault::Unknown, Fault::Refusal, Fault::Retention],
        ..small("two messages of one question")
    }
}

fn withdrawn() -> Protocol {
    Protocol {
        kinds: &[Fault::Death, Fault::LateWrite, Fault::LostAnswer, Fault::Unknown, Fault::Refusal],
        events: &[Event::Stop, Event::Deletion],
        ..small("a stop and a deletion")
    }
}

fn letters() -> Protocol {
    Protocol {
        kinds: &[
            Fault::Death,
            Fault::Unknown,
            Fault::LostAnswer,
            Fault::Refusal,
            Fault::RefusalForGood,
            Fault::ThinkingFails,
            Fault::TimeIsUp,
            Fault::CannotAsk,
            Fault::CannotAskForGood,
            Fault::Respond,
        ],
        events: &[Event::SendBack],
        ..small("letters, one of which is sent back")
    }
}

fn own_tools() -> Protocol {
    Protocol {
        kinds: &[Fault::Death, Fault::TwoProcesses, Fault::LateWrite, Fault::LostAnswer],
        events: &[Event::OwnTools],
        ..small("an agent that answers with tools of its own")
    }
}

fn clocks() -> Protocol {
    Protocol {
        messages: 2,
        kinds: &[Fault::WrongClock, Fault::Unknown, Fault::Death],
        ..small("a clock that is wrong")
    }
}

fn stop_message() -> Protocol {
    Protocol {
        is_stop: true,
        kinds: &[Fault::Death, Fault::LostAnswer, Fault::LateWrite, Fault::Unknown, Fault::Refusal],
        ..small("the message of a stop")
    }
}

/// Explores a world. The answer has the names of the properties for which a counterexample was found.
fn broken(protocol: Protocol) -> Vec<&'static str> {
    let (name, rules) = (protocol.name, protocol.rules);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checker = protocol.checker().threads(threads);
    let checker = match rules.off {
        None => checker,
        Some(_) => checker.finish_when(stateright::HasDiscoveries::AnyFailures),
    };
    let start = world::stopwatch();
    let checker = match std::env::var("MODEL_SECONDS").ok().and_then(|seconds| seconds.parse().ok()) {
        Some(seconds) => checker.timeout(std::time::Duration::from_secs(seconds)),
        None => checker,
    };
    let checker = checker.spawn_bfs().join();
    let seconds = start.elapsed().as_secs_f64();
    let states = checker.unique_state_count();
    let off = rules.off.map_or_else(String::new, |rule| format!(" without {rule:?}"));
    println!("{name}{off}: {states} states, {seconds:.1} s");
    let mut broken = Vec::new();
    for (property, path) in checker.discoveries() {
        println!("  {property}:");
        for (state, action) in path.into_vec() {
            println!(
                "    {action:?} {}",
                if std::env::var_os("STATES").is_some() { format!("{state:?}") } else { String::new() }
            );
        }
        broken.push(property);
    }
    broken
}

/// One test for each world: with all rules on, nothing is broken in it.
macro_rules! holds {
    ($($world:ident)*) => {
        mod holds {
            $(
                #[test]
                fn $world() {
                    assert_eq!(super::broken(super::$world()), [""; 0]);
                }
            )*
        }
    };
}

holds!(work crowded attempts parts two_messages withdrawn letters own_tools clocks stop_message);

/// Explores a world without a rule, and returns what is broken then.
fn without(rule: Rule, world: Protocol) -> Vec<&'static str> {
    broken(Protocol { rules: Rules { off: Some(rule) }, ..world })
}

const TWICE: &str = "no part is posted twice";
const TWO_AT_WORK: &str = "one process at most is told to go on";
const STANDS: &str = "what is said to stand stands";
const FORBIDDEN: &str = "nothing happens that must not";
const SILENCE: &str = "when faults end, all is answered or told";

/// One test for each rule: without it, one of the properties is broken in that world.
macro_rules! is_needed {
    ($($name:ident: $rule:ident in $world:expr => $broken:expr;)*) => {
        mod is_needed {
            use super::*;

            /// Every rule is in the list, or this does not compile.
            #[allow(dead_code, reason = "it is for the compiler")]
            fn all_are_listed(rule: Rule) {
                match rule { $(Rule::$rule => {})* }
            }

            $(
                #[test]
                fn $name() {
                    let broken = without(Rule::$rule, $world);
                    assert!(broken.contains(&$broken), "{broken:?}");
                }
            )*
        }
    };
}

is_needed! {
    writes_are_conditional: WritesAreConditional in work() => TWICE;
    claims_have_their_own_token: ClaimsHaveTheirOwnToken in work() => TWO_AT_WORK;
    beats_need_the_token: BeatsNeedTheToken in attempts() => TWO_AT_WORK;
    intent_needs_a_flight: IntentNeedsAFlight in work() => TWICE;
    intent_before_post: IntentBeforePost in work() => TWICE;
    start_needs_no_nonce: StartNeedsNoNonce in posts() => TWICE;
    wait_before_asking: WaitBeforeAsking in posts() => TWICE;
    calls_end: CallsEnd in posts() => TWICE;
    only_the_same_message_asks: OnlyTheSameMessageAsks in clocks() => TWICE;
    clearing_needs_the_nonce: ClearingNeedsTheNonce in posts() => TWICE;
    standing_needs_the_nonce: StandingNeedsTheNonce in parts() => STANDS;
    slack_is_asked: SlackIsAsked in posts() => TWICE;
    stops_are_read: StopsAreRead in withdrawn() => FORBIDDEN;
    deletions_end_questions: DeletionsEndQuestions in withdrawn() => FORBIDDEN;
    messages_stay: MessagesStay in work() => FORBIDDEN;
    leases_end: LeasesEnd in work() => SILENCE;
    lost_sights_are_replaced: LostSightsAreReplaced in two_messages() => SILENCE;
    gives_up: GivesUp in attempts() => SILENCE;
    untold_ends: UntoldEnds in letters() => SILENCE;
    told_is_a_letter: ToldIsALetter in letters() => SILENCE;
    letters_start_over: LettersStartOver in letters() => SILENCE;
    visibility_ends: VisibilityEnds in work() => SILENCE;
}
