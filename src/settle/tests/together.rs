//! Questions that are answered together.

use super::*;
use crate::telemetry::report::settle::TokensUsed;
use crate::work::together::Other;
use crate::work::{Seen, Version};

const LATER: &str = "1531420619.000200";
const LATEST: &str = "1531420620.000300";

fn id(ts: &str) -> String {
    format!("A1:C1:{ts}")
}

fn key(ts: &str) -> RecordKey {
    RecordKey::of_question(&id(ts))
}

fn said(ts: &str, user: &str, text: &str) -> Value {
    json!({ "ts": ts, "thread_ts": "1531420618.000100", "user": user, "text": text })
}

fn others() -> Vec<Value> {
    let with_file = json!({ "id": "F7", "name": "a.png", "size": 3 });
    let mut latest = said(LATEST, "U2", "<@UAPP> and &lt;this&gt;?");
    latest["files"] = json!([with_file]);
    vec![
        said("1531420618.000100", "U1", "<@UAPP> first"),
        said(LATER, "U1", "<@UAPP> second"),
        said("1531420619.500000", "U3", "nobody asks the app here"),
        latest,
    ]
}

impl Scene {
    /// A question that somebody works on, in whose thread others stand.
    async fn with_others(who_may_ask: Option<WhoMayAsk>) -> Self {
        let mut scene = Self::claimed().await;
        scene.settle.settings.together = who_may_ask;
        scene.set_app_users().await;
        scene.stands(others());
        scene
    }

    async fn set_app_users(&self) {
        let seen = self.world.store.read(&self.key, self.world.now()).await.unwrap();
        let record = Record { app_users: vec!["UAPP".to_owned()], ..seen.record.clone().unwrap() };
        self.world.store.write(&self.key, &seen, &record, self.world.now()).await.unwrap();
    }

    fn stands(&self, messages: Vec<Value>) {
        self.world.readings.lock().unwrap().push(ReadOutcome::Read { messages, is_whole: true });
    }

    async fn given(&self) -> Vec<String> {
        match self.ask(CLAIMERS, Operation::Thread { together: true }).await {
            Answer::Thread { together: Some(given), .. } => given.into_iter().map(|it| it.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn answers(&self, together: &[&str]) -> Answer {
        let together = together.iter().map(|ts| id(ts)).collect();
        self.ask(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together }).await
    }

    async fn record(&self) -> Record {
        self.world.store.read(&self.key, self.world.now()).await.unwrap().record.unwrap()
    }

    async fn record_of(&self, ts: &str) -> Option<Record> {
        self.world.store.read(&key(ts), self.world.now()).await.unwrap().record
    }

    async fn put(&self, ts: &str, state: State) {
        let absent = Seen { record: None, version: Version::Absent };
        let record = Record::new(Some(Self::place()), self.world.now()).with(state);
        self.world.store.write(&key(ts), &absent, &record, self.world.now()).await.unwrap();
    }
}

#[tokio::test]
async fn what_stands_in_the_thread_is_given_and_answered_by_one_answer() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let answer = scene.ask(CLAIMERS, Operation::Thread { together: true }).await.to_json();
    let file = json!({ "id": "F7", "name": "a.png", "mimetype": null, "size": 3 });
    assert_eq!(
        answer["together"],
        json!([
            { "question_id": id(LATER), "ts": LATER, "user": "U1", "text": "second", "files": [], "files_left_out": 0 },
            { "question_id": id(LATEST), "ts": LATEST, "user": "U2", "text": "and <this>?", "files": [file],
              "files_left_out": 0 },
        ])
    );
    let (answer, report) = scene
        .run(
            CLAIMERS,
            Operation::Answer { text: Some("42".to_owned()), together: vec![id(LATER), id(LATEST)] },
        )
        .await;
    assert_eq!((answer.outcome(), report.joined), ("answered", 2));
    assert_eq!(scene.world.posted.lock().unwrap().len(), 1);
    for ts in [LATER, LATEST] {
        let record = scene.record_of(ts).await.unwrap();
        let since = scene.record().await.since;
        assert_eq!(record.state, State::Joined { to: scene.key.question_id().to_owned(), since });
        assert_eq!(record.place.unwrap().asked_at, SlackTs::parse(ts).unwrap());
    }
}

#[tokio::test]
async fn each_is_answered_by_itself_unless_the_setting_says_otherwise() {
    let scene = Scene::with_others(None).await;
    assert_eq!(scene.given().await, Vec::<String>::new());
    // Nor can an agent join what it was not given.
    assert_eq!(scene.answers(&[LATER]).await, Answer::Gone);
    assert_eq!(scene.record_of(LATER).await, None);
    assert_eq!(scene.world.posted.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn whoever_does_not_ask_for_them_is_given_none() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let Answer::Thread { together, .. } = scene.ask(CLAIMERS, Operation::Thread { together: false }).await
    else {
        panic!()
    };
    assert_eq!(together, None);
    assert_eq!(scene.record().await.together, Vec::<Other>::new());
}

#[tokio::test]
async fn only_people_are_joined_of_whom_it_is_known_that_they_may_ask() {
    let scene = Scene::with_others(Some(WhoMayAsk::default())).await;
    assert_eq!(scene.given().await, [id(LATER)]);
    let place = Place { user: Some("U2".to_owned()), ..Scene::place() };
    let asker = AskerKey::of(&place).unwrap();
    for (kind, given) in [(AskerKind::Guest, 1), (AskerKind::Member, 2)] {
        scene.world.store.remember(&asker, kind, scene.world.now()).await.unwrap();
        scene.stands(others());
        assert_eq!(scene.given().await.len(), given);
    }
}

#[tokio::test]
async fn what_somebody_works_on_or_has_withdrawn_is_not_given() {
    let deleted = State::Told { why: DELETED.to_owned(), told_for: None, token: None };
    for state in [State::Answered { ts: None, token: None }, deleted] {
        let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
        scene.put(LATER, state).await;
        assert_eq!(scene.given().await, [id(LATEST)]);
    }
}

#[tokio::test]
async fn an_earlier_question_is_given_if_it_is_known_to_wait() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let earlier = "1531420617.000100";
    let mut all = others();
    all.push(said(earlier, "U1", "<@UAPP> before"));
    scene.stands(all.clone());
    scene.world.readings.lock().unwrap().remove(0);
    assert_eq!(scene.given().await, [id(LATER), id(LATEST)]);
    scene.put(earlier, State::Free).await;
    scene.stands(all);
    assert_eq!(scene.given().await, [id(earlier), id(LATER), id(LATEST)]);
}

#[tokio::test]
async fn one_that_was_taken_meanwhile_has_the_question_asked_anew_and_alone() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    scene.given().await;
    scene.put(LATER, State::Answered { ts: None, token: None }).await;
    assert_eq!(scene.answers(&[LATER, LATEST]).await, Answer::Gone);
    let record = scene.record().await;
    assert_eq!((record.state, record.is_alone, record.attempts), (State::Free, true, 0));
    assert_eq!(scene.queue(), ["h1 in 0"]);
    assert_eq!(scene.record_of(LATEST).await, None);
    assert_eq!(scene.world.posted.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn before_a_tool_is_called_or_a_refusal_is_said_the_others_are_let_go() {
    for operation in [call_of(1, "a"), Operation::Refuse { why: "thinking_failed".to_owned() }] {
        let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
        scene.given().await;
        assert_eq!(scene.ask(CLAIMERS, operation).await, Answer::Gone);
        let record = scene.record().await;
        assert_eq!((&record.state, record.is_alone, record.tool_calls), (&State::Free, true, 0));
        assert_eq!(scene.queue(), ["h1 in 0"]);
        assert!(scene.world.tool_calls.lock().unwrap().is_empty());
        assert!(scene.world.posted.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_question_that_is_no_message_is_given_none() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let seen = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap();
    let place = Place { response_url: Some("https://hooks.slack.com/x".to_owned()), ..Scene::place() };
    let record = Record { place: Some(place), ..seen.record.clone().unwrap() };
    scene.world.store.write(&scene.key, &seen, &record, scene.world.now()).await.unwrap();
    assert_eq!(scene.given().await, Vec::<String>::new());
}

#[tokio::test]
async fn after_an_attempt_that_came_to_nothing_each_is_answered_by_itself() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let seen = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap();
    let record = Record { attempts: 2, ..seen.record.clone().unwrap() };
    scene.world.store.write(&scene.key, &seen, &record, scene.world.now()).await.unwrap();
    assert_eq!(scene.given().await, Vec::<String>::new());
}

#[tokio::test]
async fn together_they_are_no_longer_than_a_question_may_be() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let long = |ts: &str, letter: &str| said(ts, "U1", &format!("<@UAPP> {}", letter.repeat(60_000)));
    scene.world.readings.lock().unwrap().clear();
    scene.stands(vec![long(LATER, "a"), long(LATEST, "b"), said("1531420621.000100", "U1", "<@UAPP> short")]);
    assert_eq!(scene.given().await, [id(LATER), id("1531420621.000100")]);
}

#[tokio::test]
async fn a_file_of_another_question_is_read_when_that_was_given() {
    let scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let read = || scene.ask(CLAIMERS, Operation::File { id: "F7".to_owned() });
    assert_eq!(read().await.outcome(), "unreadable");
    scene.given().await;
    assert_eq!(read().await.outcome(), "read");
}

#[tokio::test]
async fn each_counts_as_a_question_of_its_asker_and_who_has_used_up_theirs_is_not_given() {
    let mut scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let mut limits = crate::work::usage::Limits::default();
    limits.set(crate::work::usage::Unit::Questions, 1);
    scene.settle.settings.limits.scopes = vec![(crate::slack::scope::Scope::Person, limits)];
    scene.stands(others());
    // Each of the two people asks one more, and U1 two.
    let mut all = others();
    all.push(said("1531420621.000100", "U1", "<@UAPP> fourth"));
    scene.world.readings.lock().unwrap().insert(0, ReadOutcome::Read { messages: all, is_whole: true });
    assert_eq!(scene.given().await, [id(LATER), id(LATEST)]);
    assert_eq!(scene.given().await, [id(LATER), id(LATEST)]);
}

#[tokio::test]
async fn the_trail_says_of_each_with_which_question_it_was_answered() {
    let mut scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    scene.settle.settings.audit =
        Some(AuditRules { days: 1, redact: crate::work::audit::Redact::default(), texts: true });
    scene.given().await;
    scene.answers(&[LATER]).await;
    let of = |ts: &str| -> Vec<String> {
        let trail = scene.world.store.audit();
        trail.iter().filter(|it| it.question_id == id(ts)).map(|it| it.word().to_owned()).collect()
    };
    assert_eq!(
        (of(LATER), of(LATEST)),
        (vec!["given".to_owned(), "joined".to_owned()], vec!["given".to_owned()])
    );
}

#[tokio::test]
async fn who_has_used_up_their_tokens_is_not_answered_at_the_expense_of_another() {
    let mut scene = Scene::with_others(Some(WhoMayAsk::EVERYBODY)).await;
    let mut limits = crate::work::usage::Limits::default();
    limits.set(crate::work::usage::Unit::Tokens, 1000);
    scene.settle.settings.limits.scopes = vec![(crate::slack::scope::Scope::Person, limits)];
    scene.settle.settings.limits.tokens_a_question = Some(600);
    scene.stands(others());
    // Nothing stays taken of those who are given: two of one person's would not fit at a time.
    assert_eq!(scene.given().await, [id(LATER), id(LATEST)]);
    let counted = |scene: &Scene| scene.world.store.counters().values().map(|used| used.tokens).sum::<u64>();
    assert_eq!(counted(&scene), 0);
    // Whoever was given a question can say nothing of what it has used.
    let used = Some(TokensUsed { input: 1_000_000, output: 0 });
    let request = Request { key: key(LATER), token: token(CLAIMERS), operation: Operation::Release, used };
    assert_eq!(scene.settle.run(&request).await.0.unwrap(), Answer::Gone);
    assert_eq!(counted(&scene), 0);
}
