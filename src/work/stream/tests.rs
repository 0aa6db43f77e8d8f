use super::*;
use crate::slack::question::SlackTs;
use crate::work::operations::{intend, posted, refused as refused_post, start, stream_is_gone};
use crate::work::record::{End, Flight, Posting, Via};
use crate::work::transition::Transition;
use std::time::Duration;

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);
const OURS: u128 = 1;
const MARK: u128 = 3;

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

fn at(now: UnixMillis) -> Now<'static> {
    Now { now, stopped_at: None }
}

fn place() -> Place {
    Place {
        tenant: Some("T1".to_owned()),
        api_app_id: Some("A1".to_owned()),
        team_id: Some("T1".to_owned()),
        channel: "C1".to_owned(),
        thread_ts: Some("1799999000.000100".to_owned()),
        user: Some("U1".to_owned()),
        asked_at: SlackTs::parse("1799999000.000100").unwrap(),
        response_url: None,
    }
}

fn receive() -> Receive {
    Receive { message_id: "m1".to_owned(), handle: "h1".to_owned() }
}

fn in_flight(stream: Option<Stream>) -> Record {
    let flight = Flight {
        token: Some(token(OURS)),
        claimed_from: Some(token(2)),
        lease_until: NOW.after(Duration::from_secs(90)),
        receive: receive(),
    };
    Record { stream, ..Record::new(Some(place()), NOW).with(State::InFlight(flight)) }
}

fn message() -> StreamMessage {
    StreamMessage { ts: "1799999001.000200".to_owned(), begun_at: NOW, by: token(OURS) }
}

fn posting(record: &Record, nonce: Option<u128>, part: u32, via: Via) -> Record {
    record.with(State::Posting(Posting {
        token: token(OURS),
        receive: receive(),
        text: "42".to_owned(),
        end: End::Answered,
        part,
        nonce: nonce.map(token),
        intent_at: NOW,
        via,
        sight: None,
    }))
}

#[test]
fn a_question_has_one_stream_in_all_of_its_attempts() {
    let begun = show(Some(&in_flight(None)), &token(OURS), &token(MARK), false, at(NOW));
    assert_eq!(begun.then, Show::Start(place()));
    let begun = begun.write.unwrap();
    assert_eq!(begun.stream, Some(Stream::Begun(token(MARK))));
    // The same call, whose write was not confirmed, goes on; any other finds that somebody has begun.
    assert_eq!(show(Some(&begun), &token(OURS), &token(MARK), false, at(NOW)).then, Show::Start(place()));
    assert_eq!(show(Some(&begun), &token(OURS), &token(4), false, at(NOW)), Transition::only(Show::No));
    let open = opened(Some(&begun), &token(MARK), &message());
    assert!(open.then);
    let open = open.write.unwrap();
    assert_eq!(opened(Some(&open), &token(MARK), &message()), Transition::only(true));
    let append = Transition::only(Show::Append { place: place(), message: message(), is_anew: false });
    assert_eq!(show(Some(&open), &token(OURS), &token(5), false, at(NOW)), append);
    // Whoever has lost the question writes nothing into it.
    assert_eq!(
        show(Some(&open), &token(9), &token(5), false, at(NOW)),
        Transition::only(Show::Gone { visible: None })
    );
}

#[test]
fn a_later_attempt_goes_on_behind_what_the_earlier_one_has_shown_and_nothing_new_begins_nothing() {
    let message = || StreamMessage { by: token(8), ..message() };
    let open = in_flight(Some(Stream::Open(message())));
    let anew = Show::Append { place: place(), message: message(), is_anew: true };
    assert_eq!(show(Some(&open), &token(OURS), &token(5), false, at(NOW)).then, anew);
    for record in [&open, &in_flight(None)] {
        let nothing = Transition::only(Show::Nothing);
        assert_eq!(show(Some(record), &token(OURS), &token(5), true, at(NOW)), nothing);
    }
    let late = at(NOW.after(LONGEST));
    assert_eq!(show(Some(&open), &token(OURS), &token(5), true, late).then, Show::Close(place(), message()));
}

#[test]
fn a_message_that_comes_too_late_is_nobodys() {
    let begun = in_flight(Some(Stream::Begun(token(MARK))));
    assert!(opened(Some(&begun.with(State::Free)), &token(MARK), &message()).then);
    let on_its_way = posting(&begun, Some(7), 0, Via::Channel);
    let ended = begun.with(State::Answered { ts: None, token: None });
    for record in [&on_its_way, &ended, &in_flight(None), &in_flight(Some(Stream::NoneAnyMore))] {
        assert_eq!(opened(Some(record), &token(MARK), &message()), Transition::only(false));
    }
    assert_eq!(opened(Some(&begun), &token(4), &message()), Transition::only(false));
    assert_eq!(opened(None, &token(MARK), &message()), Transition::only(false));
}

#[test]
fn what_was_refused_or_is_over_is_not_begun_again() {
    let begun = in_flight(Some(Stream::Begun(token(MARK))));
    assert_eq!(refused(Some(&begun), &token(4)), Transition::only(()));
    let none = refused(Some(&begun), &token(MARK)).write.unwrap();
    let open = in_flight(Some(Stream::Open(message())));
    assert_eq!(closed(Some(&begun), &message()), Transition::only(()));
    let closed = closed(Some(&open), &message()).write.unwrap();
    for record in [&none, &closed] {
        assert_eq!(show(Some(record), &token(OURS), &token(5), false, at(NOW)), Transition::only(Show::No));
    }
    let late = at(NOW.after(LONGEST));
    let close = Transition::only(Show::Close(place(), message()));
    assert_eq!(show(Some(&open), &token(OURS), &token(5), false, late), close);
}

#[test]
fn there_is_no_stream_where_slack_has_none() {
    let response_url = Some("https://hooks.slack.com/commands/1/2".to_owned());
    for place in [
        Place { user: None, ..place() },
        Place { thread_ts: None, ..place() },
        Place { response_url, ..place() },
    ] {
        let record = Record { place: Some(place), ..in_flight(None) };
        assert_eq!(
            show(Some(&record), &token(OURS), &token(MARK), false, at(NOW)),
            Transition::only(Show::No)
        );
    }
}

#[test]
fn the_first_part_of_an_answer_goes_into_the_message_and_the_others_behind_it() {
    for stream in [Stream::Open(message()), Stream::Closed(message())] {
        let record = in_flight(Some(stream));
        let intent = intend(Some(&record), &token(OURS), Some("42"), &End::Answered, &token(7), at(NOW));
        let on_its_way = intent.write.unwrap();
        assert_eq!(on_its_way, posting(&record, Some(7), 0, Via::Stream));
        let closed = Record { stream: Some(Stream::Closed(message())), ..record.clone() };
        let next =
            posted(Some(&on_its_way), &token(OURS), &token(7), Some("1.2"), 2, Some(&token(8)), NOW).write;
        assert_eq!(next.unwrap(), posting(&closed, Some(8), 1, Via::Channel));
        // Refused, it goes there again.
        let refused = refused_post(Some(&on_its_way), &token(7)).write.unwrap();
        let again = start(Some(&refused), &token(OURS), &token(8), Via::Channel, NOW).then.unwrap();
        assert_eq!(again.state, posting(&record, Some(8), 0, Via::Stream).state);
    }
    for stream in [None, Some(Stream::Begun(token(MARK))), Some(Stream::NoneAnyMore)] {
        let record = in_flight(stream);
        let intent = intend(Some(&record), &token(OURS), Some("42"), &End::Answered, &token(7), at(NOW));
        assert_eq!(intent.write.unwrap(), posting(&record, Some(7), 0, Via::Channel));
    }
}

#[test]
fn where_the_message_is_gone_the_text_is_posted_as_any_other() {
    let record = in_flight(Some(Stream::Open(message())));
    let on_its_way = posting(&record, Some(7), 0, Via::Stream);
    assert_eq!(stream_is_gone(Some(&on_its_way), &token(8)), Transition::only(None));
    let without = stream_is_gone(Some(&on_its_way), &token(7)).write.unwrap();
    assert_eq!(without.stream, Some(Stream::NoneAnyMore));
    let again = start(Some(&without), &token(OURS), &token(8), Via::Channel, NOW).then.unwrap();
    assert_eq!(again.state, posting(&record, Some(8), 0, Via::Channel).state);
}

#[test]
fn a_stop_on_the_message_ends_the_question_until_a_part_stands() {
    let open = in_flight(Some(Stream::Open(message())));
    for record in [&open, &posting(&open, Some(7), 0, Via::Stream), &posting(&open, None, 0, Via::Stream)] {
        let stop = stopped_by_user(Some(record), &token(OURS));
        assert_eq!(stop.then, Some(receive()));
        assert!(
            matches!(stop.write.unwrap().state, State::Told { why, told_for: None, .. } if why == "stopped")
        );
        assert_eq!(stopped_by_user(Some(record), &token(9)), Transition::only(None));
    }
    let too_late = posting(&open, Some(7), 1, Via::Channel);
    let ended = open.with(State::Answered { ts: None, token: Some(token(OURS)) });
    for record in [&too_late, &ended] {
        assert_eq!(stopped_by_user(Some(record), &token(OURS)), Transition::only(None));
    }
    assert_eq!(stopped_by_user(None, &token(OURS)), Transition::only(None));
}
