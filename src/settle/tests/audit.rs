use super::*;
use crate::telemetry::report::settle::TokensUsed;
use crate::work::audit::{AuditRules, Field, Redact};
use crate::work::usage::{DailyLimits, Limits as OfADay};

fn settings() -> SettleSettings {
    let redact = Redact::read("name").unwrap();
    SettleSettings { audit: Some(AuditRules { days: 30, redact, texts: true }), ..SettleSettings::new(WAIT) }
}

impl Scene {
    /// What was written into the trail, posted and called since the last look, in order.
    fn done(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.done.lock().unwrap())
    }

    /// The next entries of the trail are not written.
    fn trail_fails(&self, times: u32) {
        *self.world.audit_fails.lock().unwrap() = times;
    }

    /// One attribute of the entries of this word.
    fn in_the_trail(&self, word: &str, name: &str) -> Vec<String> {
        let entries = self.world.store.audit();
        let of_word = entries.iter().filter(|entry| entry.word() == word);
        let text = |field: &Field| match field {
            Field::Text(text) => text.clone(),
            Field::Number(number) => number.to_string(),
        };
        of_word.filter_map(|entry| entry.fields.get(name)).map(text).collect()
    }

    async fn try_run(&self, bits: u128, operation: Operation) -> Result<Answer, StoreError> {
        let request = Request { key: self.key.clone(), token: token(bits), operation, used: None };
        self.settle.run(&request).await.0
    }
}

fn answer_of(text: &str) -> Operation {
    Operation::Answer { text: Some(text.to_owned()), together: Vec::new() }
}

#[tokio::test(start_paused = true)]
async fn without_the_setting_nothing_is_written() {
    let scene = Scene::claimed().await;
    scene.told(CLAIMERS, call_of(1, "a")).await;
    scene.answer("42").await;
    assert_eq!(scene.done(), ["(called)", "(posted)"]);
    assert_eq!(scene.world.store.audit(), []);
}

#[tokio::test(start_paused = true)]
async fn each_act_stands_in_the_trail_before_it_is_made_and_what_came_of_it_afterwards() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    assert_eq!(scene.done(), ["asked"]);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.done(), ["call", "(called)", "called"]);
    let request = Request {
        key: scene.key.clone(),
        token: token(CLAIMERS),
        operation: answer_of("42"),
        used: Some(TokensUsed { input: 7, output: 5 }),
    };
    assert_eq!(scene.settle.run(&request).await.0.unwrap().outcome(), "answered");
    assert_eq!(scene.done(), ["answer", "(posted)", "used", "end"]);
    for (word, name, said) in [
        ("asked", "person", "T1:U1"),
        ("call", "arguments", r#"{"name":"[redacted]"}"#),
        ("called", "outcome", "called"),
        ("answer", "text", "42"),
        ("used", "input_tokens", "7"),
        ("end", "how", "answered"),
    ] {
        assert_eq!(scene.in_the_trail(word, name), [said], "{word}");
    }
    assert_eq!(scene.in_the_trail("end", "ts").len(), 1);
}

/// Whoever asked asks again, as after any failure of the store.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_into_the_trail_is_not_done() {
    let scene = Scene::with(settings()).into_taken().await;
    let claim = || Operation::Claim { new: token(CLAIMERS) };
    scene.trail_fails(2);
    assert!(scene.try_run(DISPATCHERS, claim()).await.is_err());
    assert!(matches!(scene.state().await, State::InFlight(flight) if flight.claimed_from.is_none()));
    let scene = scene.into_claimed().await;

    scene.done();
    scene.trail_fails(2);
    assert!(scene.try_run(CLAIMERS, call_of(1, "a")).await.is_err());
    assert_eq!(scene.done(), [""; 0]);
    // The very same request makes the call: nothing stands in the journal that would be unknown.
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.done(), ["call", "(called)", "called"]);

    scene.trail_fails(2);
    assert!(scene.try_run(CLAIMERS, answer_of("42")).await.is_err());
    assert!(scene.texts().is_empty() && matches!(scene.state().await, State::InFlight(_)));
    assert_eq!(scene.answer("42").await.outcome(), "answered");
    assert_eq!(scene.texts(), ["42"]);
}

#[tokio::test(start_paused = true)]
async fn one_failure_is_no_reason_to_stop() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    scene.trail_fails(1);
    assert_eq!(scene.answer("42").await.outcome(), "answered");
}

/// The act is made, and nobody may think that it was not.
#[tokio::test(start_paused = true)]
async fn an_act_whose_outcome_cannot_be_written_down_is_answered_all_the_same() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    *scene.world.audit_fails_on.lock().unwrap() = Some("called");
    let (answer, report) = scene.run(CLAIMERS, call_of(1, "a")).await;
    assert_eq!((answer.outcome(), report.errors.is_empty()), ("called", false));
    *scene.world.audit_fails_on.lock().unwrap() = Some("end");
    let (answer, report) = scene.run(CLAIMERS, answer_of("42")).await;
    assert_eq!((answer.outcome(), report.errors.is_empty()), ("answered", false));
    assert_eq!((scene.texts(), scene.cards().len()), (vec!["42".to_owned()], 1));
    assert_eq!(scene.in_the_trail("called", "outcome"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_repeated_has_one_entry() {
    let scene = Scene::with(settings()).into_taken().await;
    for _ in 0..3 {
        let claimed = scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
        assert_eq!(claimed.outcome(), "claimed");
    }
    for _ in 0..3 {
        assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    }
    for _ in 0..3 {
        assert_eq!(scene.answer("42").await.outcome(), "answered");
    }
    let words: Vec<String> = scene.world.store.audit().iter().map(|entry| entry.word().to_owned()).collect();
    assert_eq!(words, ["answer", "asked", "call", "called", "end"]);
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_has_used_that_gives_the_question_back_is_its_askers() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    let used = Some(TokensUsed { input: 7, output: 5 });
    let (key, operation) = (scene.key.clone(), Operation::Release);
    let request = Request { key, token: token(CLAIMERS), operation, used };
    assert_eq!(scene.settle.run(&request).await.0.unwrap(), Answer::Released);
    assert_eq!(scene.in_the_trail("used", "person"), ["T1:U1"]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_goes_on_after_nobody_was_asked_says_in_the_end_what_it_has_used() {
    let tools = vec![("create_card".to_owned(), crate::work::approval::Who::Asker)];
    let approvals = Approvals { tools, time: Duration::from_secs(3600) };
    let scene = Scene::with(SettleSettings { approvals, ..settings() });
    let nobody = Place { user: None, ..Scene::place() };
    assert_eq!(scene.receive("h1", DISPATCHERS, Some(nobody)).await, Errand::Call);
    let scene = scene.into_claimed().await;
    assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "ask first");
    let suspend = Operation::Suspend { number: 1, invocation: "{}".to_owned() };
    for (operation, input, outcome) in [(suspend, 7, "not asked"), (answer_of("42"), 70, "answered")] {
        let (key, used) = (scene.key.clone(), Some(TokensUsed { input, output: 0 }));
        let request = Request { key, token: token(CLAIMERS), operation, used };
        assert_eq!(scene.settle.run(&request).await.0.unwrap().outcome(), outcome);
    }
    assert_eq!(scene.in_the_trail("used", "input_tokens"), ["70"]);
}

/// Two attempts refuse in the same words, and the late one's refusal is not the one that stands.
#[tokio::test(start_paused = true)]
async fn the_text_of_somebody_who_has_lost_the_question_is_not_in_it() {
    let refuse = || Operation::Refuse { why: "thinking_failed".to_owned() };
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    scene.taken_over(7).await;
    assert_eq!(scene.ask(7, refuse()).await, Answer::Told);
    assert_eq!(scene.ask(CLAIMERS, refuse()).await, Answer::Gone);
    assert_eq!(scene.in_the_trail("answer", "becomes"), ["told"]);
    assert_eq!(scene.in_the_trail("not_posted", "why"), [""; 0]);
}

/// The second attempt does something else under the same number: it is told so, and the trail has both, with what came of each.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_made_says_so() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    scene.told(CLAIMERS, call_of(1, "a")).await;
    scene.taken_over(7).await;
    assert_eq!(scene.told(7, call_of(1, "b")).await["outcome"], "another call");
    let mut outcomes = scene.in_the_trail("called", "outcome");
    outcomes.sort();
    assert_eq!(outcomes, ["called", "not called"]);
    assert_eq!(scene.in_the_trail("called", "why"), ["another_stands"]);
    let mut attempts = scene.in_the_trail("asked", "attempt");
    attempts.sort();
    assert_eq!(attempts, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn a_text_that_came_after_the_stop_is_there_and_not_posted() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    scene.stop("1531420699.000000").await;
    assert_eq!(scene.answer("42").await, Answer::Gone);
    assert!(scene.texts().is_empty());
    assert_eq!(
        (scene.in_the_trail("answer", "text"), scene.in_the_trail("not_posted", "why")),
        (vec!["42".to_owned()], vec!["gone".to_owned()])
    );
    assert_eq!(scene.in_the_trail("end", "how"), ["stopped"]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_beyond_the_limit_and_who_is_told_that_there_is_no_answer_is_there() {
    let most = OfADay { questions: Some(1), ..OfADay::default() };
    let limits =
        DailyLimits { scopes: vec![(crate::slack::scope::Scope::Person, most)], tokens_a_question: None };
    let scene = Scene::with(SettleSettings { limits, ..settings() }).into_taken().await.into_claimed().await;
    let refuse = Operation::Refuse { why: "thinking_failed".to_owned() };
    assert_eq!(scene.ask(CLAIMERS, refuse).await, Answer::Told);
    assert_eq!(
        (scene.in_the_trail("answer", "becomes"), scene.in_the_trail("end", "why")),
        (vec!["told".to_owned()], vec!["thinking_failed".to_owned()])
    );
    let scene = Scene { key: RecordKey::of_question("A1:C1:2.1"), ..scene }.into_taken().await;
    assert_eq!(scene.ask(DISPATCHERS, Operation::Claim { new: token(9) }).await, Answer::Gone);
    let mut ends = scene.in_the_trail("end", "how");
    ends.sort();
    assert_eq!(
        (ends, scene.in_the_trail("asked", "person").len()),
        (vec!["over_limit".to_owned(), "told".to_owned()], 2)
    );
}

/// An earlier version, or one without the setting, has written the text into the record.
#[tokio::test(start_paused = true)]
async fn what_others_wrote_down_to_be_posted_stands_in_the_trail_before_it_is_posted_on() {
    let refused = PostOutcome::Refused {
        reason: "slack_ratelimited".to_owned(),
        retry: Retry::Later,
        retry_after: None,
    };
    let scene = Scene::claimed().await.fails([refused]);
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    let [store, queue, slack, tools, tokens, clock] = std::array::from_fn(|_| Arc::clone(&scene.world));
    let settle = Settle::new(store, queue, slack, Some(tools), tokens, clock, settings());
    let scene = Scene { settle, ..scene };
    scene.done();
    assert_eq!(scene.receive("h2", 9, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(9, Operation::Post).await.outcome(), "answered");
    assert_eq!(scene.done(), ["answer", "(posted)", "end"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_says_what_was_used_for_a_question_that_is_not_theirs() {
    let scene = Scene::with(settings()).into_taken().await.into_claimed().await;
    let used = Some(TokensUsed { input: 1_000_000, output: 0 });
    for operation in [Operation::Release, answer_of("42")] {
        let request = Request { key: scene.key.clone(), token: token(999), operation, used };
        assert_eq!(scene.settle.run(&request).await.0.unwrap(), Answer::Gone);
    }
    assert_eq!(scene.in_the_trail("used", "input_tokens"), [""; 0]);
    let request =
        Request { key: scene.key.clone(), token: token(CLAIMERS), operation: Operation::Release, used };
    assert_eq!(scene.settle.run(&request).await.0.unwrap(), Answer::Released);
    assert_eq!(scene.in_the_trail("used", "input_tokens"), ["1000000"]);
}
