use super::*;
use crate::work::record::{End, Via};
use crate::work::together::Other;
use crate::work::transition::Transition;

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
const WAIT: Duration = Duration::from_secs(90);
const LIMITS: Limits =
    Limits { max_attempts: 3, give_up_after: Duration::from_secs(86_400), post_wait: WAIT };

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

fn ago(duration: Duration) -> UnixMillis {
    UnixMillis::from_millis(NOW.as_millis() - u64::try_from(duration.as_millis()).unwrap())
}

fn receive(message_id: &str, handle: &str) -> Receive {
    Receive { message_id: message_id.to_owned(), handle: handle.to_owned() }
}

fn ts(text: &str) -> SlackTs {
    SlackTs::parse(text).unwrap()
}

fn place() -> Place {
    Place {
        tenant: None,
        api_app_id: Some("A1".to_owned()),
        team_id: Some("T1".to_owned()),
        channel: "C1".to_owned(),
        thread_ts: None,
        user: Some("U1".to_owned()),
        asked_at: ts("1799999000.000100"),
        response_url: None,
    }
}

fn free() -> Record {
    Record::new(Some(place()), NOW)
}

fn in_flight(lease_until: UnixMillis) -> Record {
    free().with(State::InFlight(Flight {
        token: Some(token(1)),
        claimed_from: Some(token(2)),
        lease_until,
        receive: receive("m1", "h1"),
    }))
}

fn posting(nonce: Option<Token>, sight: Option<Sight>) -> Record {
    free().with(State::Posting(Posting {
        token: token(1),
        receive: receive("m1", "h1"),
        text: "42".to_owned(),
        end: End::Answered,
        part: 0,
        nonce,
        intent_at: NOW,
        via: Via::Channel,
        sight,
    }))
}

/// The handles of these tests are numbered as SQS counts receives.
fn receives(receive: &Receive) -> u32 {
    receive.handle.trim_start_matches('h').parse().unwrap()
}

fn seen_by(message_id: &str, handle: &str, at: UnixMillis) -> Record {
    let receive = receive(message_id, handle);
    let sight = Sight { nonce: token(9), receives: receives(&receive), receive, at, has_waited: false };
    posting(Some(token(9)), Some(sight))
}

fn told(why: &str, told_for: Option<&str>) -> Record {
    free().with(State::Told {
        why: why.to_owned(),
        told_for: told_for.map(str::to_owned),
        token: Some(token(1)),
    })
}

fn answered() -> Record {
    free().with(State::Answered { ts: Some("1.2".to_owned()), token: Some(token(1)) })
}

/// A question that was called for so often in vain before, and once more now: the lease of that call is over.
fn called_in_vain(before: u32) -> Record {
    let flight = Flight {
        token: Some(token(1)),
        claimed_from: None,
        lease_until: ago(Duration::from_millis(1)),
        receive: receive("m1", "h1"),
    };
    Record { calls_in_vain: before, ..free().with(State::InFlight(flight)) }
}

/// One receive, by default by a run with a token of its own, nine minutes before anything ends.
#[derive(Clone)]
struct Case<'a> {
    receive: Receive,
    token: Token,
    stopped_at: Option<&'a SlackTs>,
    was_dead_letter: bool,
    resumes: Option<Token>,
    tenant: Option<&'a str>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            receive: receive("m1", "h2"),
            token: token(7),
            stopped_at: None,
            was_dead_letter: false,
            resumes: None,
            tenant: None,
        }
    }
}

fn decide(record: Option<&Record>, case: &Case<'_>) -> Transition<Errand> {
    let place = Place { tenant: case.tenant.map(str::to_owned), ..place() };
    let received = Received {
        receive: &case.receive,
        receives: receives(&case.receive),
        now: NOW,
        lease_until: NOW.after(Duration::from_secs(100)),
        token: &case.token,
        place: Some(&place),
        files: &[],
        for_agent: true,
        stopped_at: case.stopped_at,
        trace_id: None,
        conversation: None,
        app_users: &[],
        resumes: case.resumes.as_ref(),
        is_lapse: false,
        was_dead_letter: case.was_dead_letter,
    };
    on_receive(record, &received, LIMITS)
}

fn of(message_id: &str, handle: &str) -> Case<'static> {
    Case { receive: receive(message_id, handle), ..Case::default() }
}

/// What was written when the question was taken by `case`.
fn taken(record: &Record, case: &Case<'_>) -> Record {
    record.with(State::InFlight(Flight {
        token: Some(case.token.clone()),
        claimed_from: None,
        lease_until: NOW.after(Duration::from_secs(100)),
        receive: case.receive.clone(),
    }))
}

/// How long the lease lasts with which this record is taken, and how many calls were in vain by then.
fn next_lease(record: &Record) -> (Duration, u32) {
    let taken = decide(Some(record), &Case::default()).write.expect("it is taken");
    let State::InFlight(flight) = taken.state else { panic!("{taken:?}") };
    (NOW.until(flight.lease_until), taken.calls_in_vain)
}

const PLAIN_LEASE: Duration = Duration::from_secs(100);

#[test]
fn the_lease_grows_with_each_call_of_which_nothing_came() {
    let seconds = Duration::from_secs;
    for (before, lease) in [(0, 190), (1, 370), (2, 730), (3, 1300), (30, 1300), (u32::MAX, 1300)] {
        assert_eq!(next_lease(&called_in_vain(before)), (seconds(lease), before.saturating_add(1)));
    }
    // However often it was put off.
    let put_off = Record { deferrals: 9, ..called_in_vain(0) };
    assert_eq!(next_lease(&put_off), (seconds(190), 1));
    // Whoever has claimed a question and died gets no longer one, nor the record of a dispatcher before work records.
    let mut old = called_in_vain(0);
    if let State::InFlight(flight) = &mut old.state {
        flight.token = None;
    }
    for record in [in_flight(ago(WAIT)), Record { deferrals: 9, ..free() }, old] {
        assert_eq!(next_lease(&record), (PLAIN_LEASE, 0));
    }
    // What was given back was not reached, and the row is broken.
    let flying = decide(Some(&called_in_vain(2)), &Case::default()).write.unwrap();
    let given_back = give_back(Some(&flying), &Case::default().token).write.unwrap();
    assert_eq!(next_lease(&given_back), (PLAIN_LEASE, 0));
}

#[test]
fn only_calls_of_the_agent_make_a_lease_longer() {
    let given_up = Record { attempts: LIMITS.max_attempts, ..called_in_vain(2) };
    assert_eq!(next_lease(&given_up).0, PLAIN_LEASE);
    let (place, receive, token) = (place(), receive("m1", "h2"), token(7));
    let received = Received {
        receive: &receive,
        receives: 2,
        now: NOW,
        lease_until: NOW.after(PLAIN_LEASE),
        token: &token,
        place: Some(&place),
        files: &[],
        for_agent: true,
        stopped_at: None,
        trace_id: None,
        conversation: None,
        app_users: &[],
        resumes: None,
        is_lapse: false,
        was_dead_letter: false,
    };
    let stop = on_stop(Some(&called_in_vain(2)), 1, &received, LIMITS).write.unwrap();
    let State::InFlight(flight) = stop.state else { panic!("{stop:?}") };
    assert_eq!(flight.lease_until, NOW.after(PLAIN_LEASE));
}

#[test]
fn a_question_that_nobody_works_on_is_taken() {
    let case = Case::default();
    let past = in_flight(ago(Duration::from_millis(1)));
    for record in [None, Some(free()), Some(past)] {
        let decision = decide(record.as_ref(), &case);
        let before = record.unwrap_or_else(free);
        assert_eq!(decision, Transition::write(taken(&before, &case), Errand::Call), "{before:?}");
    }
}

#[test]
fn a_live_lease_keeps_others_away_to_its_last_millisecond() {
    let second = Duration::from_secs(1);
    for (lease_until, rest) in [(NOW, second), (NOW.after(WAIT), WAIT + second)] {
        let record = in_flight(lease_until);
        // Lambda has run the receive a second time.
        assert_eq!(decide(Some(&record), &of("m1", "h1")), Transition::only(Errand::Leave));
        // Another message.
        assert_eq!(decide(Some(&record), &of("m2", "h1")), Transition::only(Errand::PutOff(rest + LEASE)));
        // The same message, whose visibility is over: the next beat finds the handle that counts.
        let State::InFlight(flight) = record.state.clone() else { panic!() };
        let renewed = record.with(State::InFlight(Flight { receive: receive("m1", "h2"), ..flight }));
        assert_eq!(
            decide(Some(&record), &of("m1", "h2")),
            Transition::write(renewed.clone(), Errand::PutOff(rest))
        );
        // That write again.
        assert_eq!(decide(Some(&renewed), &of("m1", "h2")).write, None);
    }
}

#[test]
fn attempts_and_time_that_are_used_up_end_in_giving_up_and_are_no_attempt() {
    let second = Duration::from_secs(1);
    for (attempts, since, errand) in [
        (0, NOW, Errand::Call),
        (2, NOW, Errand::Call),
        (3, NOW, Errand::GiveUp),
        (4, NOW, Errand::GiveUp),
        (0, ago(LIMITS.give_up_after - second), Errand::Call),
        (0, ago(LIMITS.give_up_after), Errand::GiveUp),
    ] {
        for state in [free().state, in_flight(ago(second)).state] {
            let record = Record { attempts, since, state, ..free() };
            let case = Case::default();
            let decision = decide(Some(&record), &case);
            assert_eq!(decision, Transition::write(taken(&record, &case), errand.clone()));
            // The answer to that write was lost.
            assert_eq!(decide(decision.write.as_ref(), &case), Transition::only(errand.clone()));
        }
    }
}

#[test]
fn a_question_is_stopped_if_it_was_asked_no_later_than_the_stop() {
    for (stopped_at, is_stopped) in
        [("1799998999.999999", false), ("1799999000.000100", true), ("1799999000.000101", true)]
    {
        let stopped_at = ts(stopped_at);
        let case = Case { stopped_at: Some(&stopped_at), ..Case::default() };
        let past = in_flight(ago(Duration::from_millis(1)));
        for record in [None, Some(&free()), Some(&past)] {
            let decision = decide(record, &case);
            if is_stopped {
                let state = State::Told { why: STOPPED.to_owned(), told_for: None, token: None };
                let expected = Transition::write(free().with(state), Errand::Done(Done::Stopped));
                assert_eq!(decision, expected);
                // Found again, it is still stopped.
                let again = decide(decision.write.as_ref(), &case);
                assert_eq!(again, Transition::only(Errand::Done(Done::Stopped)));
            } else {
                assert_eq!(decision.then, Errand::Call);
            }
        }
        // Whoever works on it hears of it at the next beat, and what is being posted is posted.
        assert_eq!(decide(Some(&in_flight(NOW)), &case).then, Errand::PutOff(Duration::from_secs(1)));
        assert_eq!(decide(Some(&posting(None, None)), &case).then, Errand::Post);
    }
}

#[test]
fn a_text_that_was_certainly_not_posted_is_posted_on_by_whoever_comes_next() {
    for case in [of("m1", "h2"), of("m2", "h1")] {
        let decision = decide(Some(&posting(None, None)), &case);
        assert_eq!(decision.then, Errand::Post);
        let written = decision.write.unwrap();
        let State::Posting(Posting { token: by, receive, nonce, .. }) = &written.state else { panic!() };
        assert_eq!((by, receive, nonce), (&case.token, &case.receive, &None));
        // The answer to that write was lost.
        assert_eq!(decide(Some(&written), &case), Transition::only(Errand::Post));
    }
    // The receive that is held by whoever posts, run twice.
    assert_eq!(decide(Some(&posting(None, None)), &of("m1", "h1")), Transition::only(Errand::Leave));
}

#[test]
fn a_text_that_nobody_could_post_in_time_ends_in_a_dead_letter() {
    let overdue = Record { since: ago(LIMITS.give_up_after), ..posting(None, None) };
    let case = of("m2", "h1");
    let decision = decide(Some(&overdue), &case);
    let letter = Errand::DeadLetter { why: UNTOLD.to_owned() };
    assert_eq!(decision.then, letter);
    // The letter could not be sent: the same message sends it at its next receive, and no other does.
    assert_eq!(decide(decision.write.as_ref(), &of("m2", "h2")), Transition::only(letter));
    assert_eq!(decide(decision.write.as_ref(), &of("m1", "h2")).then, Errand::Done(Done::Told));
}

#[test]
fn the_first_to_see_a_nonce_writes_that_down_and_waits() {
    let other_nonce =
        Sight { nonce: token(8), receive: receive("m1", "h2"), receives: 2, at: ago(WAIT), has_waited: true };
    for record in [posting(Some(token(9)), None), posting(Some(token(9)), Some(other_nonce))] {
        for case in [of("m1", "h2"), of("m2", "h1")] {
            let decision = decide(Some(&record), &case);
            assert_eq!(decision.then, Errand::PutOff(WAIT));
            let State::Posting(posting) = decision.write.unwrap().state else { panic!() };
            let receives = receives(&case.receive);
            let sight = Sight {
                nonce: token(9),
                receive: case.receive.clone(),
                receives,
                at: NOW,
                has_waited: false,
            };
            assert_eq!(posting.sight, Some(sight));
            // The right to post stays where it is: its holder may still be at it.
            assert_eq!((posting.token, posting.receive), (token(1), receive("m1", "h1")));
        }
    }
}

#[test]
fn a_nonce_is_seen_no_earlier_than_it_was_written_down() {
    let mut record = posting(Some(token(9)), None);
    let intent_at = NOW.after(Duration::from_secs(60));
    if let State::Posting(posting) = &mut record.state {
        posting.intent_at = intent_at;
    }
    let seen = decide(Some(&record), &of("m1", "h2")).write.unwrap();
    let State::Posting(Posting { sight: Some(sight), .. }) = seen.state else { panic!("{seen:?}") };
    assert_eq!(sight.at, intent_at);
}

#[test]
fn only_the_same_message_at_a_later_receive_after_the_wait_looks_for_the_post() {
    let milli = Duration::from_millis(1);
    for (waited, case, errand) in [
        (WAIT, of("m1", "h3"), Errand::Post),
        (WAIT * 100, of("m1", "h3"), Errand::Post),
        (WAIT - milli, of("m1", "h3"), Errand::PutOff(Duration::from_secs(1))),
        (Duration::ZERO, of("m1", "h3"), Errand::PutOff(WAIT)),
        // The receive that saw it, run twice.
        (WAIT, of("m1", "h2"), Errand::PutOff(WAIT)),
        // Another message, which is not received each second meanwhile.
        (WAIT, of("m2", "h3"), Errand::PutOff(WAIT)),
        (WAIT * 10 - milli, of("m2", "h3"), Errand::PutOff(WAIT)),
    ] {
        let decision = decide(Some(&seen_by("m1", "h2", ago(waited))), &case);
        assert_eq!(decision.then, errand, "{waited:?} {:?}", case.receive);
        assert_eq!(decision.write.is_some(), errand == Errand::Post);
        if let Some(State::Posting(posting)) = decision.write.map(|record| record.state) {
            assert_eq!((posting.token, posting.nonce), (case.token, Some(token(9))));
            assert!(posting.sight.is_some_and(|sight| sight.has_waited));
        }
    }
}

#[test]
fn a_late_run_of_an_earlier_receive_does_not_look_for_the_post() {
    // Its clock may be minutes ahead.
    let decision = decide(Some(&seen_by("m1", "h3", ago(WAIT))), &of("m1", "h2"));
    assert_eq!(decision, Transition::only(Errand::PutOff(WAIT)));
}

#[test]
fn another_message_takes_the_place_of_one_that_does_not_come_back() {
    // That Slack was asked in vain is not forgotten, or two messages could take turns for ever.
    let lost = Record { deferrals: 2, ..seen_by("m1", "h2", ago(WAIT * 10)) };
    let decision = decide(Some(&lost), &of("m2", "h3"));
    assert_eq!(decision.then, Errand::PutOff(WAIT));
    assert_eq!(decision.write, Some(Record { deferrals: 2, ..seen_by("m2", "h3", NOW) }));
}

#[test]
fn a_clock_that_is_behind_makes_the_wait_longer_and_never_shorter() {
    let ahead = seen_by("m1", "h2", NOW.after(Duration::from_secs(60)));
    assert_eq!(decide(Some(&ahead), &of("m1", "h3")), Transition::only(Errand::PutOff(WAIT)));
}

#[test]
fn slack_is_asked_at_least_once_however_often_it_refused_before() {
    let since = ago(LIMITS.give_up_after);
    let refused_before = Record { deferrals: 5, since, ..posting(Some(token(9)), None) };
    let seen = decide(Some(&refused_before), &of("m1", "h2")).write.unwrap();
    let State::Posting(mut posting) = seen.state.clone() else { panic!() };
    posting.sight.as_mut().unwrap().at = ago(WAIT);
    let waited = seen.with(State::Posting(posting));
    assert_eq!(decide(Some(&waited), &of("m1", "h3")).then, Errand::Post);
    // It could not be asked, and the time is up.
    let in_vain = Record { deferrals: 1, ..waited };
    let errand = decide(Some(&in_vain), &of("m1", "h3")).then;
    assert_eq!(errand, Errand::DeadLetter { why: OUTCOME_UNKNOWN.to_owned() });
    // While there is time, it is asked again.
    let early = Record { since: NOW, ..in_vain };
    assert_eq!(decide(Some(&early), &of("m1", "h3")).then, Errand::Post);
}

#[test]
fn what_has_ended_is_done_for_every_message_but_the_one_that_becomes_the_letter() {
    let letter = Errand::DeadLetter { why: GAVE_UP.to_owned() };
    for (record, message_id, errand) in [
        (answered(), "m1", Errand::Done(Done::Answered)),
        (answered(), "m2", Errand::Done(Done::Answered)),
        (told(GAVE_UP, Some("m1")), "m1", letter),
        (told(GAVE_UP, Some("m1")), "m2", Errand::Done(Done::Told)),
        (told(GAVE_UP, None), "m1", Errand::Done(Done::Told)),
        (told(STOPPED, None), "m1", Errand::Done(Done::Stopped)),
        (told(DELETED, None), "m1", Errand::Done(Done::Deleted)),
    ] {
        assert_eq!(decide(Some(&record), &of(message_id, "h9")), Transition::only(errand), "{record:?}");
    }
}

#[test]
fn a_letter_that_was_sent_back_starts_over_once() {
    let old = Record { attempts: 3, since: ago(LIMITS.give_up_after), ..told(GAVE_UP, Some("m1")) };
    let case = Case { was_dead_letter: true, ..of("m2", "h1") };
    let decision = decide(Some(&old), &case);
    assert_eq!(decision, Transition::write(taken(&free(), &case), Errand::Call));
    // What a click's letter does not say stays known, and so does what the tools have done.
    let file = File { id: "F1".to_owned(), name: None, mimetype: None, size: None, url: None };
    let known = Record {
        tool_calls: 2,
        suspensions: 1,
        conversation: Some("T1:C1".to_owned()),
        files: vec![file],
        app_users: vec!["U0APP".to_owned()],
        ..free()
    };
    let decision = decide(Some(&known.with(old.state)), &Case { resumes: Some(token(5)), ..case.clone() });
    let again = decision.write.unwrap();
    assert_eq!(again.with(State::Free), known);
    // An answered question, and one that was withdrawn, are not asked again.
    for (record, done) in [
        (answered(), Done::Answered),
        (told(STOPPED, None), Done::Stopped),
        (told(DELETED, None), Done::Deleted),
    ] {
        assert_eq!(decide(Some(&record), &case), Transition::only(Errand::Done(done)));
    }
    // It was told for this very letter: that one becomes a letter again.
    let told_again = decide(Some(&told(GAVE_UP, Some("m2"))), &case);
    assert_eq!(told_again, Transition::only(Errand::DeadLetter { why: GAVE_UP.to_owned() }));
}

#[test]
fn a_record_of_the_dispatcher_before_work_records_is_waited_for_and_gets_a_place() {
    let old = |lease_until| Record {
        place: None,
        ..free().with(State::InFlight(Flight {
            token: None,
            claimed_from: None,
            lease_until,
            receive: receive("", ""),
        }))
    };
    let put_off = Errand::PutOff(Duration::from_secs(1));
    assert_eq!(decide(Some(&old(NOW)), &Case::default()), Transition::only(put_off));
    let decision = decide(Some(&old(ago(Duration::from_millis(1)))), &Case::default());
    assert_eq!(decision, Transition::write(taken(&free(), &Case::default()), Errand::Call));
}

/// The trace is for people who look for it, and changes nothing else.
#[test]
fn a_question_that_is_taken_keeps_the_trace_that_it_was_brought_in_last() {
    let (receive, token) = (receive("m1", "h2"), token(7));
    let taken_in = |record: &Record, trace_id| {
        let received = Received {
            receive: &receive,
            receives: 2,
            now: NOW,
            lease_until: NOW.after(Duration::from_secs(100)),
            token: &token,
            place: None,
            files: &[],
            for_agent: true,
            stopped_at: None,
            trace_id,
            conversation: None,
            app_users: &[],
            resumes: None,
            is_lapse: false,
            was_dead_letter: false,
        };
        let decision = on_receive(Some(record), &received, LIMITS);
        let written = decision.write.unwrap();
        assert_eq!((decision.then, &written.with(State::Free).place), (Errand::Call, &record.place));
        written.trace_id
    };
    let first = Record { trace_id: Some("1-a-b".to_owned()), ..free() };
    assert_eq!(taken_in(&free(), Some("1-c-d")).as_deref(), Some("1-c-d"));
    assert_eq!(taken_in(&first, Some("1-c-d")).as_deref(), Some("1-c-d"));
    assert_eq!(taken_in(&first, None).as_deref(), Some("1-a-b"));
    assert_eq!(taken_in(&free(), None), None);
}

#[test]
fn a_deletion_ends_what_nobody_posts_yet() {
    for (record, visible) in
        [(None, None), (Some(free()), None), (Some(in_flight(NOW)), Some(receive("m1", "h1")))]
    {
        let decision = on_deletion(record.as_ref(), NOW);
        assert_eq!(decision.then, visible);
        let written = decision.write.unwrap();
        assert!(matches!(&written.state, State::Told { why, told_for: None, .. } if why == DELETED));
        // The same again.
        assert_eq!(on_deletion(Some(&written), NOW), Transition::only(None));
    }
    // Its letter lies in the dead-letter queue. It may be sent back, and is not answered then.
    let decision = on_deletion(Some(&told(GAVE_UP, Some("m1"))), NOW);
    let letter = Case { was_dead_letter: true, ..of("m2", "h1") };
    let sent_back = decide(decision.write.as_ref(), &letter);
    assert_eq!((decision.then, sent_back), (None, Transition::only(Errand::Done(Done::Deleted))));
    let other = Other {
        question_id: "A1:C1:2.2".to_owned(),
        user: None,
        asked_at: place().asked_at,
        files: Vec::new(),
    };
    let leading = Record { together: vec![other], ..told(OUTCOME_UNKNOWN, Some("m1")) };
    for record in
        [posting(None, None), posting(Some(token(9)), None), answered(), told(STOPPED, None), leading]
    {
        assert_eq!(on_deletion(Some(&record), NOW), Transition::only(None));
    }
}

#[test]
fn a_question_is_given_back_by_its_token_alone_and_costs_no_attempt() {
    let claimed = Record { attempts: 2, ..in_flight(NOW) };
    let decision = give_back(Some(&claimed), &token(1));
    let given_back = Record { attempts: 1, deferrals: 1, ..free() };
    assert_eq!(decision, Transition::write(given_back, Some(1)));
    let State::InFlight(flight) = claimed.state.clone() else { panic!() };
    let unclaimed = claimed.with(State::InFlight(Flight { claimed_from: None, ..flight }));
    assert_eq!(give_back(Some(&unclaimed), &token(1)).write.unwrap().attempts, 2);
    for record in [None, Some(free()), Some(posting(None, None)), Some(answered())] {
        assert_eq!(give_back(record.as_ref(), &token(1)), Transition::only(None));
    }
    // The token that the claimer came with is no longer a right.
    assert_eq!(give_back(Some(&claimed), &token(2)), Transition::only(None));
}

#[test]
fn a_stop_says_how_many_it_ended_when_they_have_had_time_to_end() {
    let place = place();
    let (receive, token) = (receive("m1", "h1"), token(7));
    let stop_of = |ended: usize, record: Option<&Record>, now: UnixMillis| {
        let received = Received {
            receive: &receive,
            receives: 1,
            now,
            lease_until: now.after(WAIT),
            token: &token,
            place: Some(&place),
            files: &[],
            for_agent: true,
            stopped_at: None,
            trace_id: None,
            conversation: None,
            app_users: &[],
            resumes: None,
            is_lapse: false,
            was_dead_letter: false,
        };
        on_stop(record, ended, &received, LIMITS)
    };
    let stop = |record: Option<&Record>, now: UnixMillis| stop_of(1, record, now);
    assert_eq!(stop(None, NOW), Transition::write(free(), Errand::PutOff(STOP_GRACE)));
    let early = NOW.after(STOP_GRACE - Duration::from_secs(1));
    assert_eq!(stop(Some(&free()), early), Transition::only(Errand::PutOff(Duration::from_secs(1))));
    assert_eq!(stop(Some(&free()), NOW.after(STOP_GRACE)).then, Errand::Call);
    assert_eq!(stop(Some(&answered()), NOW), Transition::only(Errand::Done(Done::Answered)));
    // If it has ended nothing, a beat is late.
    for (waited, expected) in [(0, 15), (14, 1), (15, 15), (20, 15), (44, 1)] {
        let put_off = Errand::PutOff(Duration::from_secs(expected));
        assert_eq!(stop_of(0, Some(&free()), NOW.after(Duration::from_secs(waited))).then, put_off);
    }
    assert_eq!(stop_of(0, Some(&free()), NOW.after(Duration::from_secs(45))).then, Errand::Call);
}

/// In a channel that two workspaces share, a message may come once for each.
#[test]
fn a_question_is_the_installations_whose_message_came_first_and_the_copy_of_another_one_changes_nothing() {
    let over = ago(Duration::from_secs(1));
    let records = [
        free(),
        in_flight(over),
        in_flight(NOW.after(WAIT)),
        posting(None, None),
        posting(Some(token(9)), None),
        seen_by("m2", "h1", ago(WAIT)),
        answered(),
        told(GAVE_UP, Some("m2")),
        told(STOPPED, None),
    ];
    for record in records {
        let place = record.place.clone().map(|place| Place { tenant: Some("T1".to_owned()), ..place });
        let record = Record { place, ..record };
        for was_dead_letter in [false, true] {
            for tenant in [Some("T2"), Some("E1"), None] {
                let case = Case { tenant, was_dead_letter, ..of("m2", "h2") };
                let other = Transition::only(Errand::Done(Done::OfAnotherTenant));
                assert_eq!(decide(Some(&record), &case), other, "{tenant:?} {record:?}");
            }
            let own = Case { tenant: Some("T1"), was_dead_letter, ..of("m2", "h2") };
            assert_ne!(decide(Some(&record), &own).then, Errand::Done(Done::OfAnotherTenant));
        }
    }
}

/// Whoever works on a question may read the files that the agent was handed, and when it has ended nothing of them is kept.
#[test]
fn a_question_that_is_taken_has_the_files_of_its_message_until_it_ends() {
    let file = |id: &str| File { id: id.to_owned(), name: None, mimetype: None, size: None, url: None };
    let (receive, token) = (receive("m1", "h2"), token(7));
    let files = [file("F1")];
    let received = Received {
        receive: &receive,
        receives: 2,
        now: NOW,
        lease_until: NOW.after(Duration::from_secs(100)),
        token: &token,
        place: None,
        files: &files,
        for_agent: true,
        stopped_at: None,
        trace_id: None,
        conversation: None,
        app_users: &[],
        resumes: None,
        is_lapse: false,
        was_dead_letter: false,
    };
    let former = Record { files: vec![file("F0")], ..free() };
    for record in [None, Some(&free()), Some(&former)] {
        let taken = on_receive(record, &received, LIMITS).write.unwrap();
        assert_eq!(taken.files, files);
        assert_eq!(taken.given_back_by(&token).unwrap().files, files);
        let deleted = on_deletion(Some(&taken), NOW).write.unwrap();
        assert_eq!(deleted.files, []);
    }
}

/// Perhaps nobody was asked in the end: then the question's own message goes on with it.
#[test]
fn a_lapse_takes_no_question_that_goes_on_by_another_message() {
    let (approval, token) = (token(3), token(7));
    let decide = |record: &Record, message_id: &str, now: UnixMillis, is_lapse: bool| {
        let receive = receive(message_id, "h2");
        let received = Received {
            receive: &receive,
            receives: 2,
            now,
            lease_until: now.after(WAIT),
            token: &token,
            place: None,
            files: &[],
            for_agent: true,
            stopped_at: None,
            trace_id: None,
            conversation: None,
            app_users: &[],
            resumes: Some(&approval),
            is_lapse,
            was_dead_letter: false,
        };
        on_receive(Some(record), &received, LIMITS).then
    };
    let over = in_flight(ago(Duration::from_secs(1)));
    for record in [free(), over.clone()] {
        assert_eq!(decide(&record, "m2", NOW, true), Errand::PutOff(LEASE), "{record:?}");
        assert_eq!(decide(&record, "m2", NOW, false), Errand::Call, "{record:?}");
        // The other message may have been lost.
        let late = NOW.after(LIMITS.give_up_after);
        assert_eq!(decide(&record, "m2", late, true), Errand::GiveUp, "{record:?}");
    }
    assert_eq!(decide(&over, "m1", NOW, true), Errand::Call);
}
