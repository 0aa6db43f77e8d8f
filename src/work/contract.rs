//! The contract of a [`WorkStore`] as a suite of tests for any implementation. `tests/suite/work_stores.rs` runs it on every
//! store of this crate, each scenario as a test.
//!
//! Each function is one scenario. It uses keys of its own, and panics when the store breaks the contract.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed expectation is what a suite is for")]

use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::time::Duration;

use super::approval::{Approval, Decision, Verdict, Who};
use super::askers::{AskerKey, KNOWN_FOR, TOLD_AGAIN_AFTER};
use super::audit::{Act, AuditEntry, AuditRules, Redact};
use super::journal::{Entry, ProposedCall, ToolCall, ToolEnd};
use super::record::{ApprovalRef, Declined, End, Flight, Posting, Receive, Record, Sight, State, Via};
use super::stream::{Stream, StreamMessage};
use super::together::Other;
use super::token::{RandomTokens, Token, Tokens};
use super::usage::{Amounts, Counter, Limits, Taken, Taker, Unit};
use super::{KEPT_SECONDS, RecordKey, Seen, Stopped, Version, WorkStore, Write, Written};
use crate::slack::asker::AskerKind;
use crate::slack::question::{File, Place, SlackTs};
use crate::slack::scope::Scope;
use crate::time::clock::UnixMillis;

/// Calls the macro `$then` with `$before`, and behind it the names of all scenarios of
/// [`work::contract`](crate::work::contract), separated by spaces. This is the one list of them.
#[macro_export]
macro_rules! every_work_scenario {
    ($then:ident, $($before:tt)*) => {
        $then! { $($before)*
            what_is_written_is_read
            of_many_writes_one_is_done
            the_same_write_again_is_done
            a_write_of_what_has_changed_changes_nothing
            a_record_that_was_written_over_and_back_has_changed
            several_records_are_written_at_once_or_none_is
            of_many_who_write_several_records_one_does
            an_expired_record_is_absent_and_may_be_written_over
            a_long_text_is_kept_to_the_letter
            keys_are_kept_apart_to_the_letter
            only_a_later_stop_counts
            a_question_is_counted_once_for_its_stop
            a_call_is_begun_once
            a_call_that_was_closed_is_not_begun
            a_call_has_the_end_that_its_own_invocation_writes
            journals_are_kept_apart
            what_is_forgotten_is_closed
            of_many_decisions_one_is_written
            an_approved_call_is_begun_once_in_the_place_of_its_approval
            what_is_not_as_it_was_asked_is_not_replaced
            the_last_invocation_is_kept_until_it_is_forgotten
            what_somebody_is_is_known_for_an_hour
            one_question_of_a_day_tells_who_may_not_ask
            what_is_taken_counts_once_for_an_attempt_and_a_question_once_for_all
            of_many_that_take_at_once_no_more_take_than_there_is
            what_does_not_fit_one_counter_is_taken_from_none
            what_was_used_takes_the_place_of_what_was_taken_once
            a_call_of_a_tool_is_taken_once_by_its_number
            each_day_has_counters_of_its_own
            who_was_refused_is_refused_again
            a_call_of_a_tool_is_not_what_a_question_counts_by
            an_entry_of_the_trail_is_written_once_and_stays_as_it_is
            the_longest_entry_of_the_trail_is_taken
            warming_up_changes_nothing
        }
    };
}

const NOW: UnixMillis = UnixMillis::from_millis(1_531_420_618_000);

fn trail() -> AuditRules {
    AuditRules { days: 30, redact: Redact::default(), texts: true }
}

/// Nobody reads the trail through the store, so each store has a test of its own that the first one stays.
pub async fn an_entry_of_the_trail_is_written_once_and_stays_as_it_is(store: &impl WorkStore) {
    let (key, by, [place, least]) = (new_key(), token(7), places());
    for (place, now) in [(Some(&place), NOW), (Some(&least), NOW.after(Duration::from_secs(1))), (None, NOW)]
    {
        let entry = AuditEntry::of(&trail(), &key, place, &Act::Asked { attempt: 1, by: &by }, now);
        store.put_audit(&entry).await.expect("the entry stands");
    }
}

/// An entry with the longest text, and one with the longest arguments, ids and names that a request may have.
pub async fn the_longest_entry_of_the_trail_is_taken(store: &impl WorkStore) {
    let long = "a".repeat(100 * 1024);
    let (key, by) = (RecordKey::of_question(&"q".repeat(1024)), token(7));
    let [mut place, _] = places();
    (place.channel, place.user, place.team_id) = (long.clone(), Some(long.clone()), Some(long.clone()));
    (place.tenant, place.thread_ts) = (Some(long.clone()), Some(long.clone()));
    let (record, end) = (Record::new(Some(place.clone()), NOW), End::Answered);
    let acts = [
        Act::Answer { record: &record, text: Some(&long), end: &end },
        Act::Call { number: 40, tool: &long, arguments: &format!("{{\"a\":\"{long}\"}}"), by: &by },
        Act::Ended { how: "told", by: &by, why: Some(&long), ts: Some(&long) },
    ];
    for act in acts {
        let entry = AuditEntry::of(&trail(), &key, Some(&place), &act, NOW);
        store.put_audit(&entry).await.expect("the entry stands");
    }
}

fn new_key() -> RecordKey {
    RecordKey::of_question(&format!("T1:C1:{}", RandomTokens.next().as_str()))
}

/// The key of a stop in a thread that nobody else uses.
fn new_thread() -> String {
    format!("stop:A1:C1:{}", RandomTokens.next().as_str())
}

fn ts(text: &str) -> SlackTs {
    SlackTs::parse(text).expect("a timestamp")
}

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

fn receive(number: u32) -> Receive {
    Receive { message_id: format!("message {number}"), handle: format!("handle {number} \u{1f642}") }
}

/// A place of which everything is known, and one of which nothing is that may be absent.
fn places() -> [Place; 2] {
    let full = Place {
        tenant: Some("E1".to_owned()),
        api_app_id: Some("A1".to_owned()),
        team_id: Some("T1".to_owned()),
        channel: "C1".to_owned(),
        thread_ts: Some("1531420618.000100".to_owned()),
        user: Some("U1".to_owned()),
        asked_at: ts("1531420618.000200"),
        response_url: Some("https://hooks.slack.com/commands/1/2".to_owned()),
    };
    let least = Place {
        tenant: None,
        api_app_id: None,
        team_id: None,
        thread_ts: None,
        user: None,
        response_url: None,
        ..full.clone()
    };
    [full, least]
}

fn free() -> Record {
    let [place, _] = places();
    let trace_id = Some("1-5759e988-bd862e3fe1be46a994272793".to_owned());
    let [attempts, deferrals, calls_in_vain, tool_calls] = [2, 7, 3, 4];
    let file = |id: &str, name: Option<&str>| File {
        id: id.to_owned(),
        name: name.map(str::to_owned),
        mimetype: name.map(|_| "application/pdf".to_owned()),
        size: name.map(|_| 12_345),
        url: name.map(|_| "https://files.slack.com/files-pri/T1-F1/download/a.pdf".to_owned()),
    };
    let files = vec![file("F1", Some("a \"quoted\" name.pdf")), file("F2", None)];
    let new = Record::new(Some(place), NOW);
    let conversation = Some("T1:C1:1531420618.000200".to_owned());
    Record { attempts, deferrals, calls_in_vain, tool_calls, trace_id, conversation, files, ..new }
}

fn posting(text: &str) -> Posting {
    Posting {
        token: token(1),
        receive: receive(1),
        text: text.to_owned(),
        end: End::Answered,
        part: 0,
        nonce: None,
        intent_at: NOW,
        via: Via::Channel,
        sight: None,
    }
}

/// A record in each state, with everything that may be absent there and absent.
fn records() -> Vec<Record> {
    let [_, least] = places();
    let flight = Flight { token: Some(token(1)), claimed_from: None, lease_until: NOW, receive: receive(1) };
    let sight = Sight { nonce: token(3), receive: receive(2), receives: 4, at: NOW, has_waited: true };
    let told = |why: &str| End::Told { why: why.to_owned() };
    let with_sight = Posting {
        end: told("took_too_long"),
        part: 3,
        nonce: Some(token(3)),
        via: Via::ResponseUrl,
        sight: Some(sight),
        ..posting("Sorry.")
    };
    let why = "gave_up".to_owned();
    let states = [
        State::Free,
        State::InFlight(flight.clone()),
        State::InFlight(Flight { claimed_from: Some(token(2)), ..flight }),
        State::Posting(posting("An answer.")),
        State::Posting(with_sight),
        State::Answered { ts: Some("1531420619.000300".to_owned()), token: Some(token(1)) },
        State::Answered { ts: None, token: None },
        State::Told { why: why.clone(), told_for: Some("message 1".to_owned()), token: Some(token(1)) },
        State::Told { why, told_for: None, token: None },
        State::Joined { to: "A1:C1:1531420618.000100".to_owned(), since: NOW },
    ];
    let mut records: Vec<Record> = states.map(|state| free().with(state)).into();
    let never_tried =
        Record { attempts: 0, deferrals: 0, calls_in_vain: 0, tool_calls: 0, place: Some(least), ..free() };
    records.push(never_tried);
    records.push(Record { place: None, trace_id: None, ..free() });
    let told_so = State::Answered { ts: Some("1531420619.000400".to_owned()), token: Some(token(2)) };
    for declined in Declined::ALL {
        records.push(Record { declined: Some(declined), ..free().with(told_so.clone()) });
    }
    let message = || StreamMessage { ts: "1531420619.000300".to_owned(), begun_at: NOW, by: token(1) };
    let streams = [
        Stream::Begun(token(5)),
        Stream::Open(message()),
        Stream::Closed(message()),
        Stream::Deleting(message()),
        Stream::NoneAnyMore,
    ];
    records.extend(streams.map(|stream| Record { stream: Some(stream), ..free() }));
    let into_the_stream = Posting { nonce: Some(token(3)), via: Via::Stream, ..posting("An answer.") };
    records.push(Record {
        stream: Some(Stream::Open(message())),
        ..free().with(State::Posting(into_the_stream))
    });
    let other = |files| Other {
        question_id: "A1:C1:1531420618.000400".to_owned(),
        user: Some("U2".to_owned()),
        asked_at: ts("1531420618.000400"),
        files,
    };
    let together = vec![other(free().files), other(Vec::new())];
    records.push(Record { together, app_users: vec!["UAPP".to_owned(), "WAPP".to_owned()], ..free() });
    records.push(Record { is_alone: true, ..free() });
    for ts in [Some("1531420619.000500".to_owned()), None] {
        let asking = ApprovalRef { number: 3, approval: token(6) };
        let suspended = free().with(State::Suspended { asking, ts, token: token(1) });
        records.extend([suspended.withdrawn("deleted"), suspended]);
    }
    records
}

async fn read(store: &impl WorkStore, key: &RecordKey, now: UnixMillis) -> Seen {
    store.read(key, now).await.expect("the store answers")
}

async fn write(store: &impl WorkStore, key: &RecordKey, seen: &Seen, record: &Record) -> Written {
    store.write(key, seen, record, NOW).await.expect("the store answers")
}

async fn stop(store: &impl WorkStore, thread: &str) -> Option<Stopped> {
    store.stop(thread).await.expect("the store answers")
}

/// Whatever state follows another, nothing of the former one is left.
pub async fn what_is_written_is_read(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    assert_eq!(absent, Seen { record: None, version: Version::Absent });
    let mut seen = absent;
    for record in records().into_iter().chain(records().into_iter().rev()) {
        assert_eq!(write(store, &key, &seen, &record).await, Written::Done);
        let before = seen.version;
        seen = read(store, &key, NOW).await;
        assert_eq!(seen.record, Some(record));
        assert_eq!(seen.version, Version::Number(before.next()));
    }
}

/// If one of them has changed, none is written; and the same written again tells that it was.
pub async fn several_records_are_written_at_once_or_none_is(store: &impl WorkStore) {
    let keys = [new_key(), new_key(), new_key()];
    let leading = Record { attempts: 1, ..free() };
    let joined = free().with(State::Joined { to: keys[0].question_id().to_owned(), since: NOW });
    let [absent, free_seen] = {
        let absent = read(store, &keys[1], NOW).await;
        assert_eq!(write(store, &keys[2], &absent, &free()).await, Written::Done);
        [absent, read(store, &keys[2], NOW).await]
    };
    let writes = [
        Write { key: &keys[0], seen: &absent, record: &leading },
        Write { key: &keys[1], seen: &absent, record: &joined },
        Write { key: &keys[2], seen: &free_seen, record: &joined },
    ];
    // Somebody comes in between.
    assert_eq!(write(store, &keys[2], &free_seen, &leading).await, Written::Done);
    assert!(!store.write_together(&writes, NOW).await.expect("the store answers"));
    assert_eq!(read(store, &keys[0], NOW).await, absent);
    assert_eq!(read(store, &keys[1], NOW).await, absent);
    let seen = read(store, &keys[2], NOW).await;
    let [first, second, third] = writes;
    let writes = [first, second, Write { seen: &seen, ..third }];
    assert!(store.write_together(&writes, NOW).await.expect("the store answers"));
    for write in writes {
        let now = read(store, write.key, NOW).await;
        assert_eq!(now.record.as_ref(), Some(write.record));
        assert_eq!(now.version, Version::Number(write.seen.version.next()));
    }
    assert!(!store.write_together(&writes, NOW).await.expect("the store answers"));
}

/// Of many who have read the same, one writes all, whichever the leading record is.
pub async fn of_many_who_write_several_records_one_does(store: &impl WorkStore) {
    let keys = [new_key(), new_key()];
    let absent = read(store, &keys[0], NOW).await;
    let tried: Vec<Record> = (1..=6).map(|n| Record { attempts: n, ..free() }).collect();
    let written =
        join_all(tried.iter().zip([false, true].into_iter().cycle()).map(|(record, is_reversed)| {
            let mut keys: Vec<&RecordKey> = keys.iter().collect();
            if is_reversed {
                keys.reverse();
            }
            let absent = &absent;
            async move {
                let writes: Vec<Write<'_>> =
                    keys.iter().map(|key| Write { key, seen: absent, record }).collect();
                store.write_together(&writes, NOW).await.expect("the store answers")
            }
        }))
        .await;
    let done: Vec<&Record> =
        tried.iter().zip(&written).filter(|(_, done)| **done).map(|(it, _)| it).collect();
    assert!(done.len() <= 1, "{done:?}");
    let stand = [read(store, &keys[0], NOW).await.record, read(store, &keys[1], NOW).await.record];
    assert_eq!(stand, [done.first().copied().cloned(), done.first().copied().cloned()]);
}

/// Of many that have read the same, one writes, and the others are told what stands there.
pub async fn of_many_writes_one_is_done(store: &impl WorkStore) {
    let key = new_key();
    for _round in 0..3 {
        let seen = read(store, &key, NOW).await;
        let tried = (1..=8).map(|n| Record { attempts: n, ..free() });
        let writes = tried.map(|record| async { (write(store, &key, &seen, &record).await, record) });
        let written = join_all(writes).await;
        let now = read(store, &key, NOW).await;
        let done: Vec<_> = written.iter().filter(|(outcome, _)| *outcome == Written::Done).collect();
        assert_eq!(done.len(), 1, "{written:?}");
        assert!(done.iter().all(|(_, record)| now.record.as_ref() == Some(record)));
        for (outcome, _) in &written {
            if let Written::Changed(found) = outcome {
                assert_eq!(**found, now);
            }
        }
    }
}

/// The SDK makes a write again whose answer was lost.
pub async fn the_same_write_again_is_done(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    for record in records() {
        let seen = read(store, &key, NOW).await;
        assert_eq!(write(store, &key, &seen, &record).await, Written::Done);
        assert_eq!(write(store, &key, &seen, &record).await, Written::Done);
    }
    let first = records().into_iter().next().expect("there is one");
    assert!(matches!(write(store, &key, &absent, &first).await, Written::Changed(_)));
}

/// What was read before somebody else wrote is no ground to write on.
pub async fn a_write_of_what_has_changed_changes_nothing(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    let first = free();
    assert_eq!(write(store, &key, &absent, &first).await, Written::Done);
    let seen = read(store, &key, NOW).await;
    let second = free().with(State::Answered { ts: None, token: None });
    assert_eq!(write(store, &key, &seen, &second).await, Written::Done);
    let now = read(store, &key, NOW).await;
    for stale in [&absent, &seen] {
        let late = Record { attempts: 9, ..free() };
        assert_eq!(write(store, &key, stale, &late).await, Written::Changed(Box::new(now.clone())));
        assert_eq!(read(store, &key, NOW).await, now);
    }
}

/// It is the write that counts, and not what it wrote.
pub async fn a_record_that_was_written_over_and_back_has_changed(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    assert_eq!(write(store, &key, &absent, &free()).await, Written::Done);
    let stale = read(store, &key, NOW).await;
    for record in [Record { attempts: 9, ..free() }, free()] {
        let seen = read(store, &key, NOW).await;
        assert_eq!(write(store, &key, &seen, &record).await, Written::Done);
    }
    let late = Record { attempts: 5, ..free() };
    assert!(matches!(write(store, &key, &stale, &late).await, Written::Changed(_)));
    assert_eq!(read(store, &key, NOW).await.record, Some(free()));
}

/// DynamoDB removes an expired item hours or days later.
pub async fn an_expired_record_is_absent_and_may_be_written_over(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    let ended = free().with(State::Answered { ts: None, token: None });
    assert_eq!(write(store, &key, &absent, &ended).await, Written::Done);
    let last = NOW.after(Duration::from_secs(KEPT_SECONDS - 1));
    assert_eq!(read(store, &key, last).await.record, Some(ended));
    let after = NOW.after(Duration::from_secs(KEPT_SECONDS + 1));
    let expired = read(store, &key, after).await;
    assert_eq!(expired.record, None);
    let written = store.write(&key, &expired, &free(), after).await.expect("the store answers");
    assert_eq!(written, Written::Done);
    assert_eq!(read(store, &key, after).await.record, Some(free()));
}

/// As long as agent-settle takes one, and with characters that a protocol might stumble over.
pub async fn a_long_text_is_kept_to_the_letter(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    let text = "\"\\ \u{0} \r\n\u{2028} \u{1f642}\u{301} <@U1> &amp;".repeat(4000);
    let record = free().with(State::Posting(posting(&text)));
    assert_eq!(write(store, &key, &absent, &record).await, Written::Done);
    assert!(read(store, &key, NOW).await.record == Some(record), "the text is another");
}

/// Of a question's id nothing is lost, folded or trimmed.
pub async fn keys_are_kept_apart_to_the_letter(store: &impl WorkStore) {
    let unique = RandomTokens.next();
    let ids = ["Ev1", "ev1", "Ev1 ", " Ev1", "Ev1:", "Ev1\u{e9}", "Ev1e\u{301}"]
        .map(|id| format!("{}{id}", unique.as_str()));
    for (attempts, id) in (1..).zip(&ids) {
        let key = RecordKey::of_question(id);
        let seen = read(store, &key, NOW).await;
        assert_eq!(seen.record, None, "{id:?}");
        assert_eq!(write(store, &key, &seen, &Record { attempts, ..free() }).await, Written::Done);
    }
    for (attempts, id) in (1..).zip(&ids) {
        let found = read(store, &RecordKey::of_question(id), NOW).await.record;
        assert_eq!(found.map(|record| record.attempts), Some(attempts), "{id:?}");
    }
}

/// Stops may arrive in any order, and more than once. They are compared as points in time, to the microsecond.
pub async fn only_a_later_stop_counts(store: &impl WorkStore) {
    let thread = new_thread();
    assert_eq!(stop(store, &thread).await, None);
    let (first, second) = (ts("1531420618.999999"), ts("1531420619.000001"));
    for (put, stands) in [(&first, &first), (&second, &second), (&first, &second), (&second, &second)] {
        store.put_stop(&thread, put, NOW).await.expect("the store answers");
        assert_eq!(
            stop(store, &thread).await,
            Some(Stopped { at: stands.clone(), questions: BTreeMap::new() })
        );
    }
    assert_eq!(stop(store, &new_thread()).await, None, "another thread has no stop");
}

/// To count a question twice is to count it once, for the earlier of two stops. Another stop takes nothing from the count of one.
pub async fn a_question_is_counted_once_for_its_stop(store: &impl WorkStore) {
    let thread = new_thread();
    let [pressed, again] = [ts("1531420618.000001"), ts("1531420618.000002")];
    let questions = async || {
        let stopped = stop(store, &thread).await;
        stopped.map(|stopped| [&pressed, &again].map(|stop| stopped.questions_of(stop)))
    };
    let count = async |stop: &SlackTs, id: &str| {
        store.count_stopped(&thread, stop, id, NOW).await.expect("the store answers");
    };
    count(&pressed, "Q1").await;
    assert_eq!(questions().await, None, "there is no stop yet");
    store.put_stop(&thread, &pressed, NOW).await.expect("the store answers");
    for (id, counted) in [("Q1", 1), ("Q1", 1), ("Q2", 2), ("q2", 3), ("Q1", 3)] {
        count(&pressed, id).await;
        assert_eq!(questions().await, Some([counted, 0]), "{id}");
    }
    for (at, id, counted) in
        [(&pressed, "Q1", [3, 0]), (&again, "Q1", [3, 0]), (&again, "Q3", [3, 1]), (&pressed, "Q3", [4, 0])]
    {
        store.put_stop(&thread, at, NOW).await.expect("the store answers");
        count(at, id).await;
        assert_eq!(questions().await, Some(counted), "{id} at {at}");
    }
}

fn call(nonce: u128) -> ToolCall {
    ToolCall {
        tool: "trello___create_card".to_owned(),
        arguments: "{\"name\":\"\u{1f642} \\u0000\"}".to_owned(),
        nonce: token(nonce),
        begun_at: NOW,
        approval: None,
        end: None,
    }
}

async fn begin(store: &impl WorkStore, key: &RecordKey, number: u32, entry: &Entry) -> Option<Entry> {
    store.begin_call(key, number, entry, NOW).await.expect("the store answers")
}

/// Of many that begin the call under one number, one does, and the others see whose it is. The SDK makes a write again whose
/// answer was lost.
pub async fn a_call_is_begun_once(store: &impl WorkStore) {
    let key = new_key();
    let calls: Vec<Entry> = (1..=8).map(|nonce| Entry::Call(call(nonce))).collect();
    let found = join_all(calls.iter().map(|entry| begin(store, &key, 1, entry))).await;
    let begun: Vec<&Entry> =
        calls.iter().zip(&found).filter_map(|(entry, found)| found.is_none().then_some(entry)).collect();
    let [begun] = begun[..] else { panic!("not one of them was begun: {found:?}") };
    assert!(found.iter().flatten().all(|found| found == begun), "{found:?}");
    assert_eq!(begin(store, &key, 1, begun).await, None);
}

/// Whoever takes a question over closes what the earlier attempt counted and did not begin.
pub async fn a_call_that_was_closed_is_not_begun(store: &impl WorkStore) {
    let key = new_key();
    assert_eq!(begin(store, &key, 1, &Entry::Closed).await, None);
    assert_eq!(begin(store, &key, 1, &Entry::Call(call(1))).await, Some(Entry::Closed));
    assert_eq!(begin(store, &key, 2, &Entry::Call(call(2))).await, None);
    assert_eq!(begin(store, &key, 2, &Entry::Closed).await, Some(Entry::Call(call(2))));
    assert_eq!(begin(store, &key, 1, &Entry::Closed).await, None, "it is closed");
}

/// An invocation that comes late says nothing about another one's call.
pub async fn a_call_has_the_end_that_its_own_invocation_writes(store: &impl WorkStore) {
    let result = "\"\\ \r\n\u{1f642}".repeat(9000);
    let why = "not_reached".to_owned();
    let ends = [
        ToolEnd::Answered { result: result.clone() },
        ToolEnd::NotCalled { why: why.clone() },
        ToolEnd::Unknown { why: why.clone(), result: None },
        ToolEnd::Unknown { why, result: Some(result) },
    ];
    for end in ends {
        let key = new_key();
        store.end_call(&key, 1, &token(1), &end).await.expect("the store answers");
        assert_eq!(begin(store, &key, 1, &Entry::Call(call(1))).await, None, "nothing was begun yet");
        let other = ToolEnd::Unknown { why: "other".to_owned(), result: None };
        store.end_call(&key, 1, &token(2), &other).await.expect("the store answers");
        assert_eq!(begin(store, &key, 1, &Entry::Closed).await, Some(Entry::Call(call(1))));
        for _again in 0..2 {
            store.end_call(&key, 1, &token(1), &end).await.expect("the store answers");
        }
        let ended = ToolCall { end: Some(end), ..call(1) };
        assert_eq!(begin(store, &key, 1, &Entry::Closed).await, Some(Entry::Call(ended)));
    }
}

/// When a question has ended, nothing is kept of what its tools were told, and nothing is begun any more.
pub async fn what_is_forgotten_is_closed(store: &impl WorkStore) {
    let key = new_key();
    assert_eq!(begin(store, &key, 1, &Entry::Call(call(1))).await, None);
    for number in [1, 2, 1] {
        store.forget_call(&key, number, NOW).await.expect("the store answers");
    }
    let end = ToolEnd::Answered { result: "{}".to_owned() };
    store.end_call(&key, 1, &token(1), &end).await.expect("the store answers");
    for number in [1, 2] {
        let stands = store.read_call(&key, number).await.expect("the store answers");
        assert_eq!(stands, Some(Entry::Closed));
        assert_eq!(begin(store, &key, number, &Entry::Call(call(2))).await, Some(Entry::Closed));
    }
    assert_eq!(store.read_call(&key, 3).await.expect("the store answers"), None);
}

fn asked(id: u128, decision: Option<Decision>) -> ProposedCall {
    let ToolCall { tool, arguments, .. } = call(1);
    let people = Who::People(vec!["U1".to_owned(), "W2".to_owned()]);
    let until = NOW.after(Duration::from_secs(60));
    let approval = Approval { id: token(id), who: people, asked_at: NOW, until, decision };
    ProposedCall { tool, arguments, approval }
}

fn decision(verdict: Verdict, click: &str) -> Decision {
    let by = (verdict != Verdict::Lapsed).then(|| "U1".to_owned());
    Decision { verdict, by, click: click.to_owned(), at: NOW }
}

async fn replace(
    store: &impl WorkStore,
    key: &RecordKey,
    asked: &ProposedCall,
    entry: &Entry,
) -> Option<Entry> {
    store.replace_proposed(key, 1, asked, entry, NOW).await.expect("the store answers")
}

/// Of many that decide about one call, one does, and the others see what was decided.
pub async fn of_many_decisions_one_is_written(store: &impl WorkStore) {
    let (key, open) = (new_key(), asked(1, None));
    assert_eq!(begin(store, &key, 1, &Entry::Proposed(open.clone())).await, None);
    let verdicts = Verdict::ALL.into_iter().cycle().take(8).enumerate();
    let decided: Vec<Entry> = verdicts
        .map(|(n, verdict)| Entry::Proposed(asked(1, Some(decision(verdict, &format!("Ev{n}"))))))
        .collect();
    let found = join_all(decided.iter().map(|entry| replace(store, &key, &open, entry))).await;
    let written: Vec<&Entry> =
        decided.iter().zip(&found).filter_map(|(entry, found)| found.is_none().then_some(entry)).collect();
    let [written] = written[..] else { panic!("not one of them was written: {found:?}") };
    assert!(found.iter().flatten().all(|found| found == written), "{found:?}");
    assert_eq!(replace(store, &key, &open, written).await, None, "the same again");
    assert_eq!(store.read_call(&key, 1).await.expect("the store answers").as_ref(), Some(written));
}

/// Of many that make the call that was approved, one does. What it says afterwards is its own.
pub async fn an_approved_call_is_begun_once_in_the_place_of_its_approval(store: &impl WorkStore) {
    let (key, open) = (new_key(), asked(1, None));
    let approved = asked(1, Some(decision(Verdict::Approved, "Ev1")));
    assert_eq!(begin(store, &key, 1, &Entry::Proposed(open.clone())).await, None);
    assert_eq!(replace(store, &key, &open, &Entry::Proposed(approved.clone())).await, None);
    let made = |nonce| ToolCall { approval: Some(approved.approval.clone()), ..call(nonce) };
    let calls: Vec<Entry> = (1..=8).map(|nonce| Entry::Call(made(nonce))).collect();
    let found = join_all(calls.iter().map(|entry| replace(store, &key, &approved, entry))).await;
    assert_eq!(found.iter().filter(|found| found.is_none()).count(), 1, "{found:?}");
    let Some(Entry::Call(begun)) = store.read_call(&key, 1).await.expect("the store answers") else {
        panic!("no call stands there")
    };
    assert_eq!(begun.approval, Some(approved.approval.clone()));
    let end = ToolEnd::Answered { result: "{}".to_owned() };
    store.end_call(&key, 1, &begun.nonce, &end).await.expect("the store answers");
    let ended = Entry::Call(ToolCall { end: Some(end), ..begun });
    assert_eq!(replace(store, &key, &approved, &Entry::Closed).await, Some(ended));
}

/// Whoever decides or begins by what they have read changes nothing if something else stands there.
pub async fn what_is_not_as_it_was_asked_is_not_replaced(store: &impl WorkStore) {
    let key = new_key();
    let open = asked(1, None);
    let refused = asked(1, Some(decision(Verdict::Refused, "Ev1")));
    let begun = Entry::Call(call(1));
    assert_eq!(replace(store, &key, &open, &begun).await, Some(Entry::Closed), "nothing stands there");
    assert_eq!(begin(store, &key, 1, &Entry::Proposed(refused.clone())).await, None);
    for stale in [open, asked(2, None), asked(1, Some(decision(Verdict::Approved, "Ev1")))] {
        assert_eq!(replace(store, &key, &stale, &begun).await, Some(Entry::Proposed(refused.clone())));
    }
    assert_eq!(replace(store, &key, &refused, &Entry::Closed).await, None);
    assert_eq!(store.read_call(&key, 1).await.expect("the store answers"), Some(Entry::Closed));
    store.forget_call(&key, 1, NOW).await.expect("the store answers");
    assert_eq!(begin(store, &key, 1, &Entry::Proposed(refused)).await, Some(Entry::Closed));
}

/// What an agent was invoked with is kept to the letter, and takes the place of what was kept before.
pub async fn the_last_invocation_is_kept_until_it_is_forgotten(store: &impl WorkStore) {
    let [key, other] = [new_key(), new_key()];
    let kept = async |key: &RecordKey| store.invocation(key).await.expect("the store answers");
    assert_eq!(kept(&key).await, None);
    for invocation in ["{}".to_owned(), "\"\\ \r\n\u{1f642}".repeat(30_000)] {
        store.keep_invocation(&key, &invocation, NOW).await.expect("the store answers");
        assert_eq!(kept(&key).await, Some(invocation));
    }
    assert_eq!(kept(&other).await, None);
    assert_eq!(read(store, &key, NOW).await.record, None, "it is no record");
    for _again in 0..2 {
        store.forget_invocation(&key, NOW).await.expect("the store answers");
        assert_eq!(kept(&key).await, None);
    }
}

/// A journal is its question's alone, and changes nothing about the record.
pub async fn journals_are_kept_apart(store: &impl WorkStore) {
    let [one, other] = [new_key(), new_key()];
    let absent = read(store, &one, NOW).await;
    assert_eq!(write(store, &one, &absent, &free()).await, Written::Done);
    let before = read(store, &one, NOW).await;
    for (key, number) in [(&one, 1), (&one, 2), (&one, 11), (&other, 1)] {
        assert_eq!(begin(store, key, number, &Entry::Call(call(u128::from(number)))).await, None);
    }
    assert_eq!(read(store, &one, NOW).await, before);
    assert_eq!(read(store, &other, NOW).await.record, None);
}

fn new_asker() -> AskerKey {
    let [place, _] = places();
    let place = Place { user: Some(RandomTokens.next().as_str().to_owned()), ..place };
    AskerKey::of(&place).expect("the place says who asked")
}

async fn kind(store: &impl WorkStore, asker: &AskerKey, now: UnixMillis) -> Option<AskerKind> {
    store.kind(asker, now).await.expect("the store answers")
}

async fn may_tell(store: &impl WorkStore, asker: &AskerKey, question: &str, now: UnixMillis) -> bool {
    store.may_tell(asker, question, now).await.expect("the store answers")
}

/// What Slack said last counts, for an hour.
pub async fn what_somebody_is_is_known_for_an_hour(store: &impl WorkStore) {
    let (asker, another) = (new_asker(), new_asker());
    assert_eq!(kind(store, &asker, NOW).await, None);
    for said in [AskerKind::Guest, AskerKind::External, AskerKind::Bot, AskerKind::Member] {
        store.remember(&asker, said, NOW).await.expect("the store answers");
        assert_eq!(kind(store, &asker, NOW).await, Some(said));
    }
    let just_before = NOW.after(KNOWN_FOR - Duration::from_millis(1));
    assert_eq!(kind(store, &asker, just_before).await, Some(AskerKind::Member));
    assert_eq!(kind(store, &asker, NOW.after(KNOWN_FOR)).await, None);
    assert_eq!(kind(store, &another, NOW).await, None, "another person");
}

/// Of all questions of a day one tells the asker that they may not ask, and may try again to do so.
pub async fn one_question_of_a_day_tells_who_may_not_ask(store: &impl WorkStore) {
    let asker = new_asker();
    let ids: Vec<String> = (1..=8).map(|n| format!("Q{n}")).collect();
    let may = join_all(ids.iter().map(|id| may_tell(store, &asker, id, NOW))).await;
    let told: Vec<&String> = ids.iter().zip(may).filter(|(_, may)| *may).map(|(id, _)| id).collect();
    let [told] = told[..] else { panic!("{told:?} tell the asker") };
    let other = ids.iter().find(|id| *id != told).expect("there are eight");
    let just_before = NOW.after(TOLD_AGAIN_AFTER - Duration::from_millis(1));
    assert!(may_tell(store, &asker, told, NOW).await, "it tries again");
    assert!(!may_tell(store, &asker, other, just_before).await);
    assert!(may_tell(store, &asker, other, NOW.after(TOLD_AGAIN_AFTER)).await, "the next day");
    assert!(may_tell(store, &new_asker(), other, NOW).await, "another person");
    // What is known of somebody and what they were told stand in one item, and neither takes the other's place.
    store.remember(&asker, AskerKind::Guest, NOW).await.expect("the store answers");
    assert!(!may_tell(store, &asker, told, NOW.after(TOLD_AGAIN_AFTER)).await);
    assert_eq!(kind(store, &asker, NOW).await, Some(AskerKind::Guest));
}

fn counter(scope: Scope, limits: Limits) -> Counter {
    let key = format!("used:{}:A1:T1:{}", scope.as_str(), RandomTokens.next().as_str());
    Counter { scope, key, limits }
}

async fn take_at(
    store: &impl WorkStore,
    question: &RecordKey,
    by: u128,
    counters: &[Counter],
    amounts: Amounts,
    now: UnixMillis,
) -> Taken {
    store
        .take(question, &Taker::Attempt(token(by)), counters, &amounts, now)
        .await
        .expect("the store answers")
}

async fn take(
    store: &impl WorkStore,
    question: &RecordKey,
    by: u128,
    counters: &[Counter],
    amounts: Amounts,
) -> Taken {
    take_at(store, question, by, counters, amounts, NOW).await
}

const ONE: Amounts = Amounts { questions: 1, tokens: 10, tool_calls: 0 };
const DAY_LATER: UnixMillis = UnixMillis::from_millis(NOW.as_millis() + 24 * 60 * 60 * 1000);

/// How many more questions fit, or tokens.
async fn left(store: &impl WorkStore, counters: &[Counter], one: Amounts, now: UnixMillis) -> usize {
    let mut fit = 0;
    while fit < 50 && take_at(store, &new_key(), 1, counters, one, now).await == Taken::Done {
        fit += 1;
    }
    fit
}

const QUESTION: Amounts = Amounts { questions: 1, tokens: 0, tool_calls: 0 };
const TOKEN: Amounts = Amounts { questions: 0, tokens: 1, tool_calls: 0 };

/// A second attempt takes tokens, and counts no question.
pub async fn what_is_taken_counts_once_for_an_attempt_and_a_question_once_for_all(store: &impl WorkStore) {
    let limits = Limits { questions: Some(3), tokens: Some(25), tool_calls: None };
    let counters = [counter(Scope::Person, limits)];
    let key = new_key();
    for (by, taken) in [
        (1, Taken::Done),
        (1, Taken::Done),
        (2, Taken::Done),
        (3, Taken::Over(Scope::Person, Unit::Tokens)),
        (2, Taken::Done),
    ] {
        assert_eq!(take(store, &key, by, &counters, ONE).await, taken, "by {by}");
    }
    assert_eq!(left(store, &counters, QUESTION, NOW).await, 2, "one question is counted");
    let over = Taken::Over(Scope::Person, Unit::Questions);
    assert_eq!(take(store, &new_key(), 1, &counters, QUESTION).await, over);
}

/// Many ask at once, and not more than may ask begin.
pub async fn of_many_that_take_at_once_no_more_take_than_there_is(store: &impl WorkStore) {
    let counters = [
        counter(Scope::Person, Limits::default()),
        counter(Scope::Workspace, Limits { questions: Some(3), ..Limits::default() }),
    ];
    let keys: Vec<RecordKey> = (0..8).map(|_| new_key()).collect();
    // A conflict of transactions is an unknown outcome at last, and is asked again.
    let persistent = async |key: &RecordKey| {
        for _ in 0..50 {
            if let Ok(taken) = store.take(key, &Taker::Attempt(token(1)), &counters, &ONE, NOW).await {
                return taken;
            }
        }
        panic!("the store never answers")
    };
    let taken = join_all(keys.iter().map(persistent)).await;
    let over = Taken::Over(Scope::Workspace, Unit::Questions);
    assert_eq!(taken.iter().filter(|taken| **taken == Taken::Done).count(), 3, "{taken:?}");
    assert_eq!(taken.iter().filter(|taken| **taken == over).count(), 5, "{taken:?}");
}

/// All or nothing.
pub async fn what_does_not_fit_one_counter_is_taken_from_none(store: &impl WorkStore) {
    let wide = counter(Scope::Person, Limits { questions: Some(5), ..Limits::default() });
    let narrow = counter(Scope::Channel, Limits { tokens: Some(9), ..Limits::default() });
    let both = [wide.clone(), narrow];
    for _ in 0..3 {
        let over = Taken::Over(Scope::Channel, Unit::Tokens);
        assert_eq!(take(store, &new_key(), 1, &both, ONE).await, over);
    }
    assert_eq!(left(store, &[wide], QUESTION, NOW).await, 5);
}

/// Only who has taken can say what was used, and once. What was used beyond what was taken counts too.
pub async fn what_was_used_takes_the_place_of_what_was_taken_once(store: &impl WorkStore) {
    for (used, left_over) in [(0, 20), (4, 16), (10, 10), (13, 7)] {
        let counters = [counter(Scope::Workspace, Limits { tokens: Some(20), ..Limits::default() })];
        let key = new_key();
        let report = async |by: u128| {
            store
                .replace_taken(&key, &Taker::Attempt(token(by)), used, NOW)
                .await
                .expect("the store answers");
        };
        report(1).await;
        assert_eq!(take(store, &key, 1, &counters, ONE).await, Taken::Done);
        for by in [1, 1, 2] {
            report(by).await;
        }
        assert_eq!(take(store, &key, 1, &counters, ONE).await, Taken::Done, "as before");
        assert_eq!(left(store, &counters, TOKEN, NOW).await, left_over, "{used} were used");
    }
}

/// A call of a tool counts by its number, whoever asks for it.
pub async fn a_call_of_a_tool_is_taken_once_by_its_number(store: &impl WorkStore) {
    let counters = [counter(Scope::Channel, Limits { tool_calls: Some(2), ..Limits::default() })];
    let key = new_key();
    assert_eq!(take(store, &key, 1, &counters, ONE).await, Taken::Done);
    let call = Amounts { tool_calls: 1, ..Amounts::default() };
    let over = Taken::Over(Scope::Channel, Unit::ToolCalls);
    for (number, taken) in [(1, Taken::Done), (1, Taken::Done), (3, Taken::Done), (4, over), (3, Taken::Done)]
    {
        let answer = store.take(&key, &Taker::ToolCall(number), &counters, &call, NOW).await;
        assert_eq!(answer.expect("the store answers"), taken, "call {number}");
    }
}

/// An attempt counts on the day on which it begins, whenever it ends, and the question on that of its first attempt.
pub async fn each_day_has_counters_of_its_own(store: &impl WorkStore) {
    let counters =
        [counter(Scope::Person, Limits { questions: Some(2), tokens: Some(30), tool_calls: None })];
    let key = new_key();
    assert_eq!(take(store, &key, 1, &counters, ONE).await, Taken::Done);
    assert_eq!(take_at(store, &key, 2, &counters, ONE, DAY_LATER).await, Taken::Done);
    assert!(
        store.replace_taken(&key, &Taker::Attempt(token(1)), 0, DAY_LATER).await.expect("the store answers")
    );
    assert_eq!(left(store, &counters, TOKEN, DAY_LATER).await, 20);
    assert_eq!(left(store, &counters, QUESTION, DAY_LATER).await, 2);
    assert_eq!(left(store, &counters, TOKEN, NOW).await, 30);
    assert_eq!(left(store, &counters, QUESTION, NOW).await, 1);
}

/// So that two runs of one request do not come to different ends, when somebody gives back in between.
pub async fn who_was_refused_is_refused_again(store: &impl WorkStore) {
    let counters =
        [counter(Scope::Person, Limits { tokens: Some(15), tool_calls: Some(0), ..Limits::default() })];
    let (first, second) = (new_key(), new_key());
    let over = Taken::Over(Scope::Person, Unit::Tokens);
    assert_eq!(take(store, &first, 1, &counters, ONE).await, Taken::Done);
    assert_eq!(take(store, &second, 1, &counters, ONE).await, over);
    assert!(store.replace_taken(&first, &Taker::Attempt(token(1)), 0, NOW).await.expect("the store answers"));
    assert_eq!(take(store, &second, 1, &counters, ONE).await, over);
    assert!(
        !store.replace_taken(&second, &Taker::Attempt(token(1)), 7, NOW).await.expect("the store answers"),
        "nothing was taken"
    );
    assert_eq!(take(store, &second, 2, &counters, ONE).await, Taken::Done, "another attempt");
    let call = Amounts { tool_calls: 1, ..Amounts::default() };
    for _ in 0..2 {
        let taken = store.take(&second, &Taker::ToolCall(1), &counters, &call, NOW).await;
        assert_eq!(taken.expect("the store answers"), Taken::Over(Scope::Person, Unit::ToolCalls));
    }
}

/// A call that was begun before there were limits is no attempt.
pub async fn a_call_of_a_tool_is_not_what_a_question_counts_by(store: &impl WorkStore) {
    let counters = [counter(Scope::Person, Limits { questions: Some(1), ..Limits::default() })];
    let key = new_key();
    let call = Amounts { tool_calls: 1, ..Amounts::default() };
    let taken = store.take(&key, &Taker::ToolCall(1), &counters, &call, NOW).await;
    assert_eq!(taken.expect("the store answers"), Taken::Done);
    assert_eq!(take(store, &key, 1, &counters, ONE).await, Taken::Done);
    assert_eq!(take(store, &new_key(), 1, &counters, ONE).await, Taken::Over(Scope::Person, Unit::Questions));
}

/// At init, each time a process starts.
pub async fn warming_up_changes_nothing(store: &impl WorkStore) {
    let key = new_key();
    let absent = read(store, &key, NOW).await;
    assert_eq!(write(store, &key, &absent, &free()).await, Written::Done);
    let before = read(store, &key, NOW).await;
    store.warm_up().await.expect("the store can be reached");
    assert_eq!(read(store, &key, NOW).await, before);
}
