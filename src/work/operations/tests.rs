use super::*;
use crate::work::receive::give_back;
use crate::work::record::{ApprovalRef, Sight};
use crate::work::transition::Transition;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
const OURS: u128 = 1;
const FORMER: u128 = 2;
const NONCE: u128 = 3;
const FOREIGN: u128 = 99;

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

fn at(stopped_at: Option<&SlackTs>) -> Now<'_> {
    Now { now: NOW, stopped_at }
}

fn place() -> Place {
    Place {
        tenant: None,
        api_app_id: Some("A1".to_owned()),
        team_id: None,
        channel: "C1".to_owned(),
        thread_ts: None,
        user: None,
        asked_at: SlackTs::parse("1799999000.000100").unwrap(),
        response_url: None,
    }
}

fn receive() -> Receive {
    Receive { message_id: "m1".to_owned(), handle: "h1".to_owned() }
}

fn record(state: State) -> Record {
    Record { attempts: 1, ..Record::new(Some(place()), NOW).with(state) }
}

fn in_flight(claimed_from: Option<u128>) -> State {
    let lease_until = NOW.after(LEASE);
    let (token, claimed_from) = (Some(token(OURS)), claimed_from.map(token));
    State::InFlight(Flight { token, claimed_from, lease_until, receive: receive() })
}

fn posting(nonce: Option<u128>, part: u32) -> State {
    State::Posting(Posting {
        token: token(OURS),
        receive: receive(),
        text: "42".to_owned(),
        end: End::Answered,
        part,
        nonce: nonce.map(token),
        intent_at: NOW,
        via: Via::Channel,
        sight: nonce.map(|nonce| Sight {
            nonce: token(nonce),
            receive: receive(),
            receives: 1,
            at: NOW,
            has_waited: true,
        }),
    })
}

fn answered() -> State {
    State::Answered { ts: Some("1.2".to_owned()), token: Some(token(OURS)) }
}

fn told(told_for: Option<&str>) -> State {
    let told_for = told_for.map(str::to_owned);
    State::Told { why: "gave_up".to_owned(), told_for, token: Some(token(OURS)) }
}

fn states() -> Vec<State> {
    vec![
        State::Free,
        in_flight(None),
        in_flight(Some(FORMER)),
        posting(None, 0),
        posting(Some(NONCE), 0),
        posting(Some(NONCE), 1),
        answered(),
        told(Some("m1")),
        told(None),
    ]
}

#[test]
fn a_claim_counts_once_and_its_repetition_is_answered_as_the_first_time() {
    let before = record(in_flight(None));
    let claimed = claim(Some(&before), &token(OURS), &token(7), at(None));
    let yours = Claimed::Yours { attempt: 2, place: Some(place()), tool_calls: 0, shorten: None };
    assert_eq!(claimed.then, yours);
    let after = claimed.write.unwrap();
    assert_eq!(claim(Some(&after), &token(OURS), &token(7), at(None)), Transition::only(yours));
    // Another process with the same call finds the token gone.
    let gone = Transition::only(Claimed::Gone { visible: None });
    assert_eq!(claim(Some(&after), &token(OURS), &token(8), at(None)), gone);
}

#[test]
fn a_beat_renews_every_third_time() {
    for (left, renews) in [(90, false), (65, false), (64, true), (0, true)] {
        let State::InFlight(flight) = in_flight(None) else { panic!() };
        let lease_until = NOW.after(Duration::from_secs(left));
        let before = record(State::InFlight(Flight { lease_until, ..flight }));
        let decision = beat(Some(&before), &token(OURS), at(None));
        assert_eq!(decision.then, Beat::GoOn { renew: renews.then(receive) }, "{left}");
        assert_eq!(decision.write, renews.then(|| record(in_flight(None))));
    }
}

#[test]
fn a_stop_ends_the_work_at_the_claim_the_beat_and_the_intent_and_nothing_is_posted() {
    let stop = SlackTs::parse("1799999000.000100").unwrap();
    let before = record(in_flight(None));
    let (ours, visible) = (token(OURS), Some(receive()));
    let claimed = claim(Some(&before), &ours, &token(7), at(Some(&stop)));
    assert_eq!(claimed.then, Claimed::Gone { visible: visible.clone() });
    let beaten = beat(Some(&before), &ours, at(Some(&stop)));
    assert_eq!(beaten.then, Beat::Cancel { why: STOPPED, visible: visible.clone() });
    let intended = intend(Some(&before), &ours, Some("42"), &End::Answered, &token(NONCE), at(Some(&stop)));
    assert_eq!(intended.then, Intent::Gone { visible });
    for written in [claimed.write, beaten.write, intended.write] {
        assert!(matches!(written.unwrap().state, State::Told { why, told_for: None, .. } if why == STOPPED));
    }
    let earlier = SlackTs::parse("1799999000.000099").unwrap();
    assert_eq!(beat(Some(&before), &ours, at(Some(&earlier))).then, Beat::GoOn { renew: None });
}

#[test]
fn an_intent_written_twice_by_one_call_posts_once_and_by_two_is_taken_over() {
    let before = record(in_flight(Some(FORMER)));
    let intend = |record: &Record, nonce| {
        intend(Some(record), &token(OURS), Some("42"), &End::Answered, &token(nonce), at(None))
    };
    let first = intend(&before, NONCE);
    let after = first.write.unwrap();
    assert_eq!(first.then, Intent::Post(Box::new(after.clone())));
    assert_eq!(intend(&after, NONCE), Transition::only(Intent::Post(Box::new(after.clone()))));
    assert_eq!(intend(&after, 8), Transition::only(Intent::TakenOver));
    let stands = Intent::Stands { end: End::Answered, ts: Some("1.2".to_owned()) };
    assert_eq!(intend(&record(answered()), 8), Transition::only(stands));
}

#[test]
fn a_part_that_stands_is_followed_by_the_next_and_the_last_by_the_end() {
    let (ours, nonce, next) = (token(OURS), token(NONCE), token(8));
    let first = record(posting(Some(NONCE), 0));
    let decision = posted(Some(&first), &ours, &nonce, Some("1.2"), 2, Some(&next), NOW);
    let after = decision.write.unwrap();
    assert_eq!(decision.then, Posted::Next(Box::new(after.clone())));
    // The answer to that write was lost.
    let again = posted(Some(&after), &ours, &nonce, Some("1.2"), 2, Some(&next), NOW);
    assert_eq!(again, Transition::only(Posted::Next(Box::new(after))));
    // Somebody else's token, or no time: others post the rest.
    for (by, next) in [(token(FOREIGN), Some(&next)), (ours.clone(), None)] {
        let left = posted(Some(&first), &by, &nonce, Some("1.2"), 2, next, NOW);
        assert_eq!(left.then, Posted::Left { visible: receive() });
        assert!(matches!(left.write.unwrap().state, State::Posting(Posting { part: 1, nonce: None, .. })));
    }
    let last = record(posting(Some(NONCE), 1));
    let ended = posted(Some(&last), &ours, &nonce, Some("1.2"), 2, Some(&next), NOW);
    assert_eq!(ended.then, Posted::Ended { end: End::Answered, receive: receive() });
    assert_eq!(ended.write, Some(record(answered())));
}

proptest! {
    /// Whoever has neither the record's token nor its nonce changes nothing, and only a claim makes attempts more.
    #[test]
    fn a_foreign_token_changes_nothing_and_only_a_claim_counts(
        state in prop::sample::select(states()),
        bits in prop::sample::select(vec![OURS, FORMER, NONCE, FOREIGN]),
        is_stopped: bool,
    ) {
        let before = record(state);
        let stop = SlackTs::parse("1799999001.000000").unwrap();
        let now = at(is_stopped.then_some(&stop));
        let (some, by) = (Some(&before), token(bits));
        let others = [
            beat(some, &by, now).write,
            intend(some, &by, Some("x"), &End::Answered, &token(50), now).write,
            intend(some, &by, None, &End::Answered, &token(50), now).write,
            start(some, &by, &token(50), Via::Channel, NOW).write,
            tell_instead(some, &by, ("no", "cannot_be_asked"), &token(50), Via::Channel, NOW).write,
            posted(some, &by, &by, None, 2, Some(&token(50)), NOW).write,
            refused(some, &by).write,
            asked_in_vain(some, &by, &token(NONCE)).write,
            end_untold(some, &by, Some(&token(NONCE))).write,
            end_untold(some, &by, None).write,
            release(some, &by).write,
            give_back(some, &by).write,
        ];
        for written in others.iter().flatten() {
            prop_assert!(written.attempts <= before.attempts);
        }
        let claimed = claim(some, &by, &token(50), now).write;
        prop_assert!(claimed.as_ref().is_none_or(|after| after.attempts <= before.attempts + 1));
        if bits == FOREIGN || bits == FORMER {
            prop_assert!(others.iter().all(Option::is_none) && claimed.is_none());
        }
    }
}

#[test]
fn a_post_is_looked_for_by_a_token_that_was_taken_after_the_wait() {
    let wait = Duration::from_secs(90);
    let later = NOW.after(wait);
    let looks = |change: &dyn Fn(&mut Posting), by: u128, now| {
        let mut state = posting(Some(NONCE), 0);
        if let State::Posting(posting) = &mut state {
            change(posting);
        }
        may_look_for(&record(state), &token(by), wait, now)
    };
    assert_eq!(looks(&|_| {}, OURS, later), Some(token(NONCE)));
    assert_eq!(looks(&|_| {}, FOREIGN, later), None);
    let early = UnixMillis::from_millis(later.as_millis() - 1);
    assert_eq!(looks(&|_| {}, OURS, early), None);
    // Whoever began the post, run a second time by a clock that is minutes ahead.
    let began = |posting: &mut Posting| {
        if let Some(sight) = &mut posting.sight {
            sight.has_waited = false;
        }
    };
    assert_eq!(looks(&began, OURS, later), None);
    assert_eq!(looks(&|posting| posting.sight = None, OURS, later), None);
    assert_eq!(looks(&|posting| posting.nonce = Some(token(7)), OURS, later), None);
    assert_eq!(may_look_for(&record(posting(None, 0)), &token(OURS), wait, later), None);
}

#[test]
fn a_claim_of_a_long_lease_has_the_message_put_off_for_no_longer_than_its_own() {
    for (left, shorten) in [(LEASE, None), (LEASE * 10, Some(receive()))] {
        let mut before = record(in_flight(None));
        if let State::InFlight(flight) = &mut before.state {
            flight.lease_until = NOW.after(left);
        }
        let claimed = claim(Some(&before), &token(OURS), &token(7), at(None));
        let yours = Claimed::Yours { attempt: 2, place: Some(place()), tool_calls: 0, shorten };
        assert_eq!(claimed.then, yours, "{left:?}");
    }
}

#[test]
fn a_text_that_says_that_nobody_is_asked_takes_the_place_of_the_one_that_asks_and_of_no_other() {
    let asking = ApprovalRef { number: 1, approval: token(6) };
    let waits = |nonce, end: End| {
        let State::Posting(waiting) = posting(nonce, 0) else { panic!() };
        record(State::Posting(Posting { end, ..waiting }))
    };
    let tell = |before: &Record, by| {
        tell_instead(Some(before), &token(by), ("no", "cannot_be_asked"), &token(7), Via::ResponseUrl, NOW)
    };
    let asks = waits(None, End::Suspended(asking.clone()));
    let told = tell(&asks, OURS);
    let written = told.write.unwrap();
    let State::Posting(posting) = &written.state else { panic!() };
    let why = "cannot_be_asked".to_owned();
    assert_eq!((posting.text.as_str(), &posting.end), ("no", &End::Told { why }));
    assert_eq!((posting.via, posting.nonce.as_ref()), (Via::ResponseUrl, Some(&token(7))));
    // The same again, because the answer of the write was lost.
    assert_eq!(tell(&written, OURS), Transition::only(Some(written.clone())));
    // Others post it by now; or the message is on its way, and may be taken.
    assert_eq!(tell(&asks, FOREIGN), Transition::only(None));
    assert_eq!(tell(&waits(Some(NONCE), End::Suspended(asking)), OURS), Transition::only(None));
    assert_eq!(tell(&waits(None, End::Answered), OURS), Transition::only(None));
}
