use super::*;
use crate::work::record::{Flight, Posting, Receive, Via};
use crate::work::transition::Transition;

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
const LEADING: &str = "A1:C1:1799999000.000100";
const LATER: &str = "A1:C1:1799999010.000100";
const LATEST: &str = "A1:C1:1799999020.000100";
const LIMITS: Limits = Limits {
    max_attempts: 3,
    give_up_after: Duration::from_secs(86_400),
    post_wait: Duration::from_secs(90),
};

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

fn ts_of(id: &str) -> SlackTs {
    SlackTs::parse(id.rsplit(':').next().unwrap()).unwrap()
}

fn place() -> Place {
    Place {
        tenant: Some("T1".to_owned()),
        api_app_id: Some("A1".to_owned()),
        team_id: None,
        channel: "C1".to_owned(),
        thread_ts: Some("1799999000.000100".to_owned()),
        user: Some("U1".to_owned()),
        asked_at: ts_of(LEADING),
        response_url: Some("https://hooks.slack.com/x".to_owned()),
    }
}

fn file(id: usize) -> File {
    File { id: format!("F{id}"), name: None, mimetype: None, size: None, url: None }
}

fn other(id: &str) -> Other {
    let (question_id, user) = (id.to_owned(), Some("U2".to_owned()));
    Other { question_id, user, asked_at: ts_of(id), files: Vec::new() }
}

fn receive(message_id: &str) -> Receive {
    Receive { message_id: message_id.to_owned(), handle: "h1".to_owned() }
}

fn in_flight(claimed_from: Option<u128>) -> State {
    State::InFlight(Flight {
        token: Some(token(1)),
        claimed_from: claimed_from.map(token),
        lease_until: NOW.after(LEASE),
        receive: receive("m1"),
    })
}

/// The leading question, whose worker was given two others.
fn leading() -> Record {
    let together = vec![other(LATER), other(LATEST)];
    Record { attempts: 1, together, ..Record::new(Some(place()), NOW).with(in_flight(Some(2))) }
}

fn free() -> Record {
    Record::new(Some(other(LATER).place(&place())), NOW)
}

fn now(stopped_at: Option<&SlackTs>) -> Now<'_> {
    Now { now: NOW, stopped_at }
}

fn intend_with(
    leading: &Record,
    others: &[(&str, Option<&Record>)],
    stopped_at: Option<&SlackTs>,
) -> Joint<Intent> {
    intend(Some(leading), LEADING, others, &token(1), Some("42"), &token(3), now(stopped_at))
}

/// Records of a question that is not to be answered with another one.
fn taken() -> Vec<Record> {
    let told = State::Told { why: "deleted".to_owned(), told_for: None, token: None };
    let to = "A1:C1:1.1".to_owned();
    let states = [
        in_flight(Some(2)),
        State::Answered { ts: None, token: None },
        told,
        State::Joined { to, since: NOW },
    ];
    let mut taken: Vec<Record> = states.map(|state| free().with(state)).into();
    taken.push(Record { tool_calls: 1, ..free() });
    taken.push(Record { suspensions: 1, ..free() });
    // It was to be answered alone, or an attempt at it has come to nothing.
    taken.push(Record { is_alone: true, ..free() });
    taken.push(Record { attempts: 1, ..free() });
    taken
}

#[test]
fn the_others_are_joined_in_the_step_in_which_the_answer_is_written_down() {
    let leading = leading();
    let waiting = Record { deferrals: 1, ..free() };
    let joint = intend_with(&leading, &[(LATER, None), (LATEST, Some(&waiting))], None);
    assert!(matches!(joint.then, Intent::Post(_)), "{:?}", joint.then);
    assert!(matches!(joint.write.unwrap().state, State::Posting(_)));
    let joined = State::Joined { to: LEADING.to_owned(), since: NOW };
    assert_eq!(joint.others.iter().map(|record| &record.state).collect::<Vec<_>>(), [&joined, &joined]);
    // Where it was asked is known, and the way to post without being a member is the leading question's alone.
    let [absent, waited] = joint.others.as_slice() else { panic!() };
    assert_eq!(absent.place, Some(other(LATER).place(&place())));
    assert_eq!(absent.place.as_ref().unwrap().response_url, None);
    assert_eq!((waited.deferrals, &waited.place), (1, &waiting.place));
}

#[test]
fn if_one_of_them_is_somebody_elses_nothing_is_posted_and_the_next_attempt_is_alone() {
    for taken in taken() {
        let joint = intend_with(&leading(), &[(LATER, None), (LATEST, Some(&taken))], None);
        let visible = receive("m1");
        assert_eq!(joint.then, Intent::Apart { visible }, "{taken:?}");
        assert_eq!(joint.others, []);
        let record = joint.write.unwrap();
        assert_eq!((&record.state, record.attempts, record.is_alone), (&State::Free, 0, true));
        assert_eq!(record.together, []);
    }
}

#[test]
fn one_that_a_dispatcher_has_just_taken_is_waited_for() {
    let just_taken = free().with(in_flight(None));
    let joint = intend_with(&leading(), &[(LATER, Some(&just_taken)), (LATEST, None)], None);
    assert_eq!((joint.write, joint.then), (None, Intent::Soon));
    // Not if another one is lost in any case.
    let answered = free().with(State::Answered { ts: None, token: None });
    let joint = intend_with(&leading(), &[(LATER, Some(&just_taken)), (LATEST, Some(&answered))], None);
    assert!(matches!(joint.then, Intent::Apart { .. }));
}

#[test]
fn a_question_that_was_not_given_is_not_joined() {
    let joint = intend_with(&leading(), &[("A1:C9:1.1", None)], None);
    assert!(matches!(joint.then, Intent::Apart { .. }));
}

#[test]
fn a_stop_ends_all_that_was_asked_before_it() {
    // Of all: nothing is posted, and each of the others finds the stop itself.
    let joint = intend_with(&leading(), &[(LATER, None)], Some(&ts_of(LATER)));
    assert!(matches!(joint.then, Intent::Gone { visible: Some(_) }));
    assert_eq!(joint.others, []);
    // Of one that was asked before the leading one, which is asked anew.
    let earlier = "A1:C1:1799998000.000100";
    let leading = Record { together: vec![other(earlier)], ..leading() };
    let joint = intend_with(&leading, &[(earlier, Some(&free()))], Some(&ts_of(earlier)));
    assert!(matches!(joint.then, Intent::Apart { .. }));
}

#[test]
fn the_same_call_again_finds_what_it_has_written() {
    let written = intend_with(&leading(), &[(LATER, None)], None).write.unwrap();
    let joined = free().with(State::Joined { to: LEADING.to_owned(), since: NOW });
    let again = intend_with(&written, &[(LATER, Some(&joined))], None);
    assert_eq!(again, Joint { write: None, others: Vec::new(), then: Intent::Post(Box::new(written)) });
}

#[test]
fn what_was_given_before_stays_and_nothing_is_given_twice() {
    let first = leading();
    let given = give(Some(&first), &token(1), &[other(LATEST), other("A1:C1:1799999030.000100")]);
    let record = given.write.unwrap();
    assert_eq!(given.then.unwrap().len(), 2);
    let ids: Vec<&str> = record.together.iter().map(|other| other.question_id.as_str()).collect();
    assert_eq!(ids, [LATEST, "A1:C1:1799999030.000100", LATER]);
    let again = give(Some(&record), &token(1), &[other(LATEST), other("A1:C1:1799999030.000100")]);
    assert_eq!(again.write, None);
}

#[test]
fn only_whoever_works_on_it_is_given_something_and_nobody_who_is_alone() {
    let others = [other(LATER)];
    assert_eq!(give(Some(&leading()), &token(9), &others), Transition::only(None));
    assert_eq!(give(None, &token(1), &others), Transition::only(None));
    let alone = Record { is_alone: true, ..leading() };
    assert_eq!(give(Some(&alone), &token(1), &others), Transition::only(Some(Vec::new())));
}

#[test]
fn a_record_names_no_more_files_than_a_question_may_have() {
    let leading = Record { files: (0..4).map(file).collect(), ..leading() };
    let with_files =
        |id: &str, first: usize| Other { files: (first..first + 5).map(file).collect(), ..other(id) };
    let given = give(Some(&leading), &token(1), &[with_files(LATER, 10), with_files(LATEST, 20)]);
    let numbers: Vec<usize> = given.then.unwrap().iter().map(|other| other.files.len()).collect();
    assert_eq!(numbers, [5, 1]);
    // At its end nobody reads them.
    let ended = given.write.unwrap().with(State::Answered { ts: None, token: None });
    assert!(ended.together.iter().all(|other| other.files.is_empty()) && ended.together.len() == 2);
}

fn found_with(leading: Option<&Record>, now: UnixMillis) -> Transition<Errand> {
    let joined = free().with(State::Joined { to: LEADING.to_owned(), since: NOW });
    let (receive, token) = (receive("m2"), token(7));
    let received = Received {
        receive: &receive,
        receives: 3,
        now,
        lease_until: now.after(LEASE),
        token: &token,
        place: None,
        files: &[],
        app_users: &[],
        for_agent: true,
        stopped_at: None,
        trace_id: None,
        conversation: None,
        resumes: None,
        is_lapse: false,
        was_dead_letter: false,
    };
    found(&joined, NOW, leading, &received, LIMITS)
}

fn told(why: &str) -> Record {
    leading().with(State::Told { why: why.to_owned(), told_for: Some("m1".to_owned()), token: None })
}

#[test]
fn an_agent_that_says_the_same_again_and_again_uses_its_attempts_up() {
    let alone = Record { is_alone: true, together: Vec::new(), attempts: 2, ..leading() };
    let joint = intend_with(&alone, &[(LATER, None)], None);
    assert!(matches!(joint.then, Intent::Apart { .. }));
    let record = joint.write.unwrap();
    assert_eq!((&record.state, record.attempts), (&State::Free, 2));
}

#[test]
fn nobody_is_given_others_for_a_question_whose_tools_were_called_or_whose_attempt_came_to_nothing() {
    assert!(is_given_others(&leading()));
    for record in [
        Record { attempts: 2, ..leading() },
        Record { tool_calls: 1, ..leading() },
        Record { suspensions: 1, ..leading() },
        Record { is_alone: true, ..leading() },
    ] {
        assert!(!is_given_others(&record), "{record:?}");
    }
}

#[test]
fn a_joined_question_ends_as_the_leading_one_does() {
    let answered = leading().with(State::Answered { ts: Some("1.2".to_owned()), token: None });
    for leading in [Some(&answered), None] {
        assert_eq!(found_with(leading, NOW), Transition::only(Errand::Done(Done::Answered)));
    }
    // With a letter of its own, which can be sent back.
    for why in ["untold", OUTCOME_UNKNOWN] {
        let found = found_with(Some(&told(why)), NOW);
        assert_eq!(found.then, Errand::DeadLetter { why: why.to_owned() });
        let State::Told { told_for, .. } = found.write.unwrap().state else { panic!() };
        assert_eq!(told_for.as_deref(), Some("m2"));
    }
}

#[test]
fn if_the_leading_one_has_started_over_or_goes_on_without_it_it_is_answered_by_itself() {
    let started_over = Record { since: NOW.after(LEASE), ..leading() };
    let answered_anew = started_over.with(State::Answered { ts: None, token: None });
    for leading in [&started_over, &answered_anew, &leading(), &told("stopped"), &told("deleted")] {
        let found = found_with(Some(leading), NOW);
        assert_eq!(found.then, Errand::Call, "{leading:?}");
        assert!(matches!(found.write.unwrap().state, State::InFlight(_)));
    }
}

#[test]
fn while_the_answer_is_on_its_way_the_message_waits_and_not_for_ever() {
    let posting = leading().with(State::Posting(Posting {
        token: token(1),
        receive: receive("m1"),
        text: "42".to_owned(),
        end: End::Answered,
        part: 0,
        nonce: None,
        intent_at: NOW,
        via: Via::Channel,
        sight: None,
    }));
    assert_eq!(found_with(Some(&posting), NOW), Transition::only(Errand::PutOff(LEASE)));
    // The leading question is given up first, by its own message.
    let a_day = NOW.after(LIMITS.give_up_after);
    assert_eq!(found_with(Some(&posting), a_day).then, Errand::PutOff(LEASE));
    let over = found_with(Some(&posting), a_day.after(LONGEST_WAIT));
    assert_eq!(over.then, Errand::DeadLetter { why: OUTCOME_UNKNOWN.to_owned() });
}

#[test]
fn whoever_works_on_several_lets_the_others_go_and_nobody_else_does() {
    let parted_by = |record: &Record, bits| parted(Some(record), &token(bits));
    let gone = parted_by(&leading(), 1);
    assert_eq!(gone.then, Some(receive("m1")));
    let record = gone.write.unwrap();
    assert_eq!((&record.state, record.is_alone, record.attempts), (&State::Free, true, 0));
    let alone = Record { is_alone: true, ..leading() };
    let without = Record { together: Vec::new(), ..leading() };
    // The dispatcher's own token, by which it gives up.
    let unclaimed = leading().with(in_flight(None));
    for (record, bits) in [(&leading(), 9), (&alone, 1), (&without, 1), (&unclaimed, 1)] {
        assert_eq!(parted_by(record, bits), Transition::only(None));
    }
}
