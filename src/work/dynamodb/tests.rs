use super::*;
use crate::slack::question::{File, Place};
use crate::work::together::Other;
use proptest::prelude::*;

const NOW: UnixMillis = UnixMillis::from_millis(1_800_000_000_000);

fn token() -> impl Strategy<Value = Token> {
    any::<u128>().prop_map(Token::from_bits)
}

fn time() -> impl Strategy<Value = UnixMillis> {
    (0..4_000_000_000_000_u64).prop_map(UnixMillis::from_millis)
}

fn receive() -> impl Strategy<Value = Receive> {
    ("[a-z0-9-]{0,8}", "[a-zA-Z0-9+/=]{0,8}").prop_map(|(message_id, handle)| Receive { message_id, handle })
}

fn end() -> impl Strategy<Value = End> {
    let told = "[a-z_]{1,9}".prop_map(|why| End::Told { why });
    let declined = prop::sample::select(Declined::ALL.to_vec()).prop_map(End::Declined);
    prop_oneof![Just(End::Answered), told, declined, asking().prop_map(End::Suspended)]
}

fn posting() -> impl Strategy<Value = State> {
    let sight = (token(), receive(), any::<u32>(), time(), any::<bool>()).prop_map(
        |(nonce, receive, receives, at, has_waited)| Sight { nonce, receive, receives, at, has_waited },
    );
    let via = prop::sample::select(vec![Via::Channel, Via::Stream, Via::ResponseUrl]);
    let nonces = (prop::option::of(token()), prop::option::of(sight));
    (token(), receive(), any::<String>(), end(), any::<u32>(), time(), via, nonces).prop_map(
        |(token, receive, text, end, part, intent_at, via, (nonce, sight))| {
            State::Posting(Posting { token, receive, text, end, part, nonce, intent_at, via, sight })
        },
    )
}

fn asking() -> impl Strategy<Value = ApprovalRef> {
    (any::<u32>(), token()).prop_map(|(number, approval)| ApprovalRef { number, approval })
}

fn state() -> impl Strategy<Value = State> {
    let flight = (prop::option::of(token()), prop::option::of(token()), time(), receive()).prop_map(
        |(token, claimed_from, lease_until, receive)| {
            State::InFlight(Flight { token, claimed_from, lease_until, receive })
        },
    );
    let answered = (prop::option::of("[0-9.]{1,9}"), prop::option::of(token()))
        .prop_map(|(ts, token)| State::Answered { ts, token });
    let told = ("[a-z_]{1,9}", prop::option::of("[a-z0-9]{1,9}"), prop::option::of(token()))
        .prop_map(|(why, told_for, token)| State::Told { why, told_for, token });
    let suspended = (asking(), prop::option::of("[0-9.]{1,9}"), token())
        .prop_map(|(asking, ts, token)| State::Suspended { asking, ts, token });
    let joined = ("[A-Za-z0-9:.]{1,30}", time()).prop_map(|(to, since)| State::Joined { to, since });
    prop_oneof![Just(State::Free), flight, posting(), answered, suspended, joined, told]
}

fn place() -> impl Strategy<Value = Place> {
    let text = || prop::option::of("[A-Za-z0-9:/. ü]{1,9}");
    (text(), text(), text(), "[A-Z0-9]{1,9}", text(), text(), 0..4_000_000_000_000_u64, text()).prop_map(
        |(tenant, api_app_id, team_id, channel, thread_ts, user, asked_at, response_url)| Place {
            tenant,
            api_app_id,
            team_id,
            channel,
            thread_ts,
            user,
            asked_at: SlackTs::from_millis(asked_at),
            response_url,
        },
    )
}

fn stream() -> impl Strategy<Value = Stream> {
    let message =
        || ("[0-9.]{1,9}", time(), token()).prop_map(|(ts, begun_at, by)| StreamMessage { ts, begun_at, by });
    prop_oneof![
        token().prop_map(Stream::Begun),
        message().prop_map(Stream::Open),
        message().prop_map(Stream::Closed),
        message().prop_map(Stream::Deleting),
        Just(Stream::NoneAnyMore),
    ]
}

fn file() -> impl Strategy<Value = File> {
    let text = || prop::option::of("[A-Za-z0-9:/. ü\"]{1,9}");
    ("[A-Z0-9]{1,9}", text(), text(), any::<Option<u64>>(), text())
        .prop_map(|(id, name, mimetype, size, url)| File { id, name, mimetype, size, url })
}

/// What a record knows of the question's thread.
fn thread() -> impl Strategy<Value = (Vec<String>, Vec<Other>, bool)> {
    let files = prop::collection::vec(file(), 0..2);
    let other = ("[A-Za-z0-9:.]{1,30}", prop::option::of("[A-Z0-9]{1,9}"), 0..4_000_000_000_000_u64, files)
        .prop_map(|(question_id, user, asked_at, files)| Other {
            question_id,
            user,
            asked_at: SlackTs::from_millis(asked_at),
            files,
        });
    (prop::collection::vec("[A-Z0-9]{1,11}", 0..3), prop::collection::vec(other, 0..3), any::<bool>())
}

fn buttons() -> impl Strategy<Value = Buttons> {
    let asking = (1_u32..40, token()).prop_map(|(number, approval)| ApprovalRef { number, approval });
    (asking, prop::option::of("[0-9]{10}\\.[0-9]{6}")).prop_map(|(asking, ts)| Buttons { asking, ts })
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(
        state in state(), attempts: u32, deferrals: u32, calls_in_vain: u32, tool_calls: u32, suspensions: u32, since in time(), version: u64,
        place in prop::option::of(place()), stream in prop::option::of(stream()), trace_id in prop::option::of("[0-9a-f-]{1,35}"),
        conversation in prop::option::of("[A-Z0-9:.]{1,35}"), buttons in prop::option::of(buttons()),
        files in prop::collection::vec(file(), 0..3), (app_users, together, is_alone) in thread(), declined in prop::sample::select(&[None, Some(Declined::Asker), Some(Declined::OverLimit)]),
    ) {
        let buttons = buttons.filter(|_| matches!(state, State::Told { .. }));
        let record = Record {
            attempts, deferrals, calls_in_vain, tool_calls, suspensions, stream, since, trace_id, conversation, place, files, app_users,
            together, is_alone, declined, buttons, state,
        };
        let written = item(&record, version, NOW);
        prop_assert!(written.keys().all(|name| ATTRIBUTES.contains(&name.as_str())), "{:?}", written.keys());
        let read = seen(Some(&item(&record, version, NOW)), NOW);
        prop_assert_eq!(read.ok(), Some(Seen { record: Some(record), version: Version::Number(version) }));
    }
}

fn former(state: &str) -> Item {
    let texts = [(EVENT_ID, "dispatch#Ev1"), (STATE, state), ("owner", "a")];
    let numbers = [("received_at", 5), ("lease_until", 7), (EXPIRES_AT, NOW.as_secs() + 1)];
    let texts = texts.map(|(name, text)| (name.to_owned(), string(text)));
    texts.into_iter().chain(numbers.map(|(name, n)| (name.to_owned(), number_value(n)))).collect()
}

#[test]
fn the_records_of_a_dispatcher_before_work_records_are_understood() {
    let read = |state| seen(Some(&former(state)), NOW).unwrap();
    let in_flight = read("in_flight");
    assert_eq!(in_flight.version, Version::Unnumbered);
    let record = in_flight.record.unwrap();
    assert_eq!((record.attempts, record.since, record.place), (0, UnixMillis::from_millis(5), None));
    let State::InFlight(flight) = record.state else { panic!() };
    assert_eq!((flight.token, flight.lease_until), (None, UnixMillis::from_millis(7)));
    let answered = State::Answered { ts: None, token: None };
    assert_eq!(read("forwarded").record.unwrap().state, answered);
}

#[test]
fn what_has_expired_is_none_and_keeps_its_version() {
    let record = Record::new(None, NOW);
    let later = UnixMillis::from_millis(NOW.as_millis() + KEPT_SECONDS * 1000);
    let item = item(&record, 3, NOW);
    assert_eq!(seen(Some(&item), later).unwrap(), Seen { record: None, version: Version::Number(3) });
    assert_eq!(seen(None, NOW).unwrap(), Seen { record: None, version: Version::Absent });
}

#[test]
fn an_item_that_is_no_record_is_an_error_that_names_the_attribute() {
    for (name, value) in [
        (STATE, string("lost")),
        (VERSION, string("x")),
        ("attempts", string("x")),
        ("lease_until", string("x")),
        (TOKEN, string("short")),
        ("place", string("{")),
        ("files", string("[7]")),
    ] {
        let mut item = former("in_flight");
        item.insert(name.to_owned(), value);
        let error = seen(Some(&item), NOW).unwrap_err();
        let chain = format!("{error} {:?}", std::error::Error::source(&error).map(ToString::to_string));
        assert!(chain.contains(name), "{name}: {chain}");
    }
}
