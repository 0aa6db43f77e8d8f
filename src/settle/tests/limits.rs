use super::*;
use crate::slack::scope::Scope;
use crate::telemetry::report::settle::{OverLimit, TokensUsed};
use crate::work::usage::{DailyLimits, Limits};

fn settings(limits: Limits, tokens_a_question: Option<u64>) -> SettleSettings {
    let limits = DailyLimits { scopes: vec![(Scope::Person, limits)], tokens_a_question };
    SettleSettings { limits, ..SettleSettings::new(WAIT) }
}

fn questions(most: u64) -> SettleSettings {
    settings(Limits { questions: Some(most), ..Limits::default() }, None)
}

impl Scene {
    async fn claim_with(&self, bits: u128, new: u128) -> (Answer, SettleReport) {
        self.run(bits, Operation::Claim { new: token(new) }).await
    }

    /// A later question of the same person in the same world, which the dispatcher has taken.
    async fn another(self, id: &str) -> Self {
        Self { key: RecordKey::of_question(id), ..self }.into_taken().await
    }

    async fn end_with(&self, operation: Operation, used: TokensUsed) -> Answer {
        let request = Request { key: self.key.clone(), token: token(CLAIMERS), operation, used: Some(used) };
        self.settle.run(&request).await.0.unwrap()
    }
}

const SORRY: &str = "Sorry, you have asked me as much today as you may. Please ask me again tomorrow: the day ends at midnight UTC.";
const SORRY_FOR_NOW: &str = "Sorry, too little is left of what you may use today. Please ask me again later: what is being thought about may give something back, and the day ends at midnight UTC.";

#[tokio::test(start_paused = true)]
async fn who_has_asked_as_much_as_they_may_is_told_so_and_the_question_is_done() {
    let scene = Scene::with(questions(1)).into_taken().await.into_claimed().await;
    assert_eq!(scene.answer("42").await.outcome(), "answered");
    let scene = scene.another("A1:C1:2.1").await;
    scene.queue();
    let (answer, report) = scene.claim_with(DISPATCHERS, 7).await;
    assert_eq!((answer, report.ended), (Answer::Gone, Some(Ended::OverLimit)));
    assert_eq!(report.over_limit, Some(OverLimit { unit: "questions", scope: "person" }));
    assert_eq!(scene.texts(), ["42", SORRY]);
    assert_eq!(scene.queue().last().map(String::as_str), Some("h1 deleted"));
    let record = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap().record.unwrap();
    assert!(record.declined == Some(Declined::OverLimit) && matches!(record.state, State::Answered { .. }));
    // Whoever repeats the claim, because its answer was lost, finds nothing to do.
    assert_eq!(scene.claim_with(DISPATCHERS, 7).await.0, Answer::Gone);
    assert_eq!(scene.texts().len(), 2);
    // Tomorrow is another day.
    scene.world.pass(Duration::from_secs(24 * 60 * 60));
    let scene = scene.another("A1:C1:3.1").await;
    assert_eq!(scene.claim_with(DISPATCHERS, 8).await.0.outcome(), "claimed");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_repeated_counts_once() {
    let scene = Scene::with(questions(1)).into_taken().await;
    for _ in 0..3 {
        assert_eq!(scene.claim_with(DISPATCHERS, CLAIMERS).await.0.outcome(), "claimed");
    }
}

/// A refusal of the post leaves the words in the record, and others post them when the message comes again.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_said_now_is_said_later() {
    let scene = Scene::with(questions(1)).into_taken().await.into_claimed().await;
    scene.answer("42").await;
    let refused = PostOutcome::Refused {
        reason: "slack_ratelimited".to_owned(),
        retry: Retry::Later,
        retry_after: Some(Duration::from_secs(30)),
    };
    let scene = scene.another("A1:C1:2.1").await.fails([refused]);
    let (answer, report) = scene.claim_with(DISPATCHERS, 7).await;
    assert_eq!((answer, report.ended), (Answer::Gone, None));
    assert_eq!(scene.receive("h2", 9, Some(Scene::place())).await, Errand::Post);
    let (answer, report) = scene.run(9, Operation::Post).await;
    assert_eq!((answer.outcome(), report.ended), ("answered", Some(Ended::OverLimit)));
    assert_eq!(scene.texts(), ["42", SORRY]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_takes_what_it_may_use_and_settles_up_with_what_it_has_used() {
    let limits = Limits { tokens: Some(1000), ..Limits::default() };
    let mut scene = Scene::with(settings(limits, Some(600)));
    let used = TokensUsed { input: 250, output: 50 };
    for (number, answer) in [(1, "claimed"), (2, "claimed"), (3, "gone")] {
        scene = scene.another(&format!("A1:C1:{number}.1")).await;
        let (claimed, _) = scene.claim_with(DISPATCHERS, CLAIMERS).await;
        assert_eq!(claimed.outcome(), answer, "question {number}");
        if answer == "claimed" {
            assert_eq!(claimed.to_json()["most_tokens"], 600);
            for _ in 0..2 {
                let operation = Operation::Answer { text: Some("42".to_owned()), together: Vec::new() };
                assert_eq!(scene.end_with(operation, used).await.outcome(), "answered");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_took_that_says_nothing_stays_taken() {
    let limits = Limits { tokens: Some(1000), ..Limits::default() };
    let scene = Scene::with(settings(limits, Some(600))).into_taken().await.into_claimed().await;
    scene.answer("42").await;
    let scene = scene.another("A1:C1:2.1").await;
    let (answer, report) = scene.claim_with(DISPATCHERS, CLAIMERS).await;
    assert_eq!(answer, Answer::Gone);
    assert_eq!(report.over_limit, Some(OverLimit { unit: "tokens", scope: "person" }));
    assert_eq!(scene.texts(), ["42", SORRY_FOR_NOW]);
}

/// So a limit of tokens also limits how many questions are at work at once, and whoever is refused may ask again on the same day.
#[tokio::test(start_paused = true)]
async fn who_is_refused_because_others_are_at_work_may_ask_again_when_they_have_ended() {
    let limits = Limits { tokens: Some(1000), ..Limits::default() };
    let scene = Scene::with(settings(limits, Some(600))).into_taken().await.into_claimed().await;
    let at_work = scene.key.clone();
    let scene = scene.another("A1:C1:2.1").await;
    assert_eq!(scene.claim_with(DISPATCHERS, 7).await.0, Answer::Gone);
    assert_eq!(scene.texts(), [SORRY_FOR_NOW]);
    let scene = Scene { key: at_work, ..scene };
    let operation = Operation::Answer { text: Some("42".to_owned()), together: Vec::new() };
    let used = TokensUsed { input: 250, output: 50 };
    assert_eq!(scene.end_with(operation, used).await.outcome(), "answered");
    let scene = scene.another("A1:C1:3.1").await;
    assert_eq!(scene.claim_with(DISPATCHERS, 8).await.0.outcome(), "claimed");
}

/// It was not called, so the model may say so; what was called before stands.
#[tokio::test(start_paused = true)]
async fn a_tool_call_over_the_limit_is_not_made_and_says_why() {
    let limits = Limits { tool_calls: Some(1), ..Limits::default() };
    let scene = Scene::with(settings(limits, None)).into_taken().await.into_claimed().await;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    let over = json!({ "outcome": "not called", "why": "over_limit_of_person" });
    assert_eq!(scene.told(CLAIMERS, call_of(2, "b")).await, over);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.cards().len(), 1);
    let (_, report) = scene.run(CLAIMERS, call_of(3, "c")).await;
    assert_eq!(report.over_limit, Some(OverLimit { unit: "tool_calls", scope: "person" }));
    assert_eq!(scene.answer("42").await.outcome(), "answered");
}

/// Calls of before a limit was set were not counted.
#[tokio::test(start_paused = true)]
async fn a_call_that_stands_in_the_journal_is_told_whatever_the_limit_says() {
    let before = Scene::claimed().await;
    assert_eq!(before.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    let limits = Limits { tool_calls: Some(1), ..Limits::default() };
    let world = Arc::clone(&before.world);
    let [store, queue, slack, tools, tokens, clock] = std::array::from_fn(|_| Arc::clone(&world));
    let settle = Settle::new(store, queue, slack, Some(tools), tokens, clock, settings(limits, None));
    let scene = Scene { world, settle, key: before.key };
    assert_eq!(scene.told(CLAIMERS, call_of(2, "b")).await["outcome"], "called");
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.cards().len(), 2);
}

/// A second run of the same claim, after somebody has given something back, does not begin what the first one has declined.
#[tokio::test(start_paused = true)]
async fn two_runs_of_one_claim_come_to_the_same_end() {
    let limits = Limits { tokens: Some(1000), ..Limits::default() };
    let first = Scene::with(settings(limits, Some(600))).into_taken().await.into_claimed().await;
    let first_key = first.key.clone();
    let scene = first.another("A1:C1:2.1").await;
    let over = scene.claim_with(DISPATCHERS, 7).await.1.over_limit;
    assert_eq!(over, Some(OverLimit { unit: "tokens", scope: "person" }));
    let used = TokensUsed { input: 1, output: 1 };
    let answer = Operation::Answer { text: Some("42".to_owned()), together: Vec::new() };
    let request = Request { key: first_key, token: token(CLAIMERS), operation: answer, used: Some(used) };
    assert_eq!(scene.settle.run(&request).await.0.unwrap().outcome(), "answered");
    let counters = scene.settle.settings.limits.counters(Some(&Scene::place()));
    let amounts = scene.settle.settings.limits.of_an_attempt();
    for (by, is_done) in [(7, false), (8, true)] {
        let (by, now) = (Taker::Attempt(token(by)), scene.world.now());
        let taken = scene.world.store.take(&scene.key, &by, &counters, &amounts, now).await.unwrap();
        assert_eq!(taken == Taken::Done, is_done, "{by:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_over_the_limit_has_used_no_attempt() {
    let scene = Scene::with(questions(1)).into_taken().await.into_claimed().await;
    scene.answer("42").await;
    let scene = scene.another("A1:C1:2.1").await;
    assert_eq!(scene.claim_with(DISPATCHERS, 7).await.0, Answer::Gone);
    let record = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap().record.unwrap();
    assert_eq!(record.attempts, 0);
}

/// Without limits nothing is kept of what was used, and the metric has it.
#[tokio::test(start_paused = true)]
async fn without_limits_what_was_used_is_in_the_log_alone() {
    let scene = Scene::claimed().await;
    let used = TokensUsed { input: 250, output: 50 };
    let operation = Operation::Answer { text: Some("42".to_owned()), together: Vec::new() };
    let request = Request { key: scene.key.clone(), token: token(CLAIMERS), operation, used: Some(used) };
    assert_eq!(scene.settle.run(&request).await.1.used, Some(used));
    assert_eq!(
        scene.settle.run(&request).await.1.used,
        None,
        "Lambda's answer was lost, and the metric has it"
    );
    assert!(scene.world.store.takers(&scene.key).is_empty() && scene.world.store.counters().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_has_no_counter_is_in_the_log_all_the_same() {
    let scene = Scene::with(questions(5)).into_taken().await;
    let without_person = |record: Option<&Record>, _| {
        let record = record.unwrap();
        let place = Place { user: None, ..record.place.clone().unwrap() };
        Transition::write(Record { place: Some(place), ..record.clone() }, ())
    };
    update(&scene.world, &scene.world, &scene.key, without_person).await.unwrap();
    let scene = scene.into_claimed().await;
    let used = TokensUsed { input: 250, output: 50 };
    let operation = Operation::Answer { text: Some("42".to_owned()), together: Vec::new() };
    let request = Request { key: scene.key.clone(), token: token(CLAIMERS), operation, used: Some(used) };
    assert_eq!(scene.settle.run(&request).await.1.used, Some(used));
    assert_eq!(scene.settle.run(&request).await.1.used, None);
}
