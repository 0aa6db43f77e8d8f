//! A person decides before a tool is called.

use super::*;
use crate::settle::approvals::{Approvals, Decide};
use crate::slack::approval::{self as message, ApprovalButton};
use crate::slack::scope::Scope;
use crate::work::approval::{Verdict, Who};
use crate::work::audit::{AuditRules, Field, Redact};
use crate::work::record::ApprovalRef;
use crate::work::usage::{self, DailyLimits};

const DELETE: &str = "trello___delete_card";

/// The claimer of the turn that goes on.
const NEXT: u128 = 20;

/// A stack whose tool asks `who` first.
fn asking(who: Who) -> SettleSettings {
    let mut settings = SettleSettings::new(WAIT);
    settings.approvals =
        Approvals { tools: vec![("create_card".to_owned(), who)], time: Duration::from_secs(3600) };
    settings
}

impl Scene {
    /// A question at work, in a stack whose tool asks `who` first.
    async fn asks(who: Who) -> Self {
        Self::asks_with(asking(who)).await
    }

    async fn asks_with(settings: SettleSettings) -> Self {
        Self::with(settings).into_taken().await.into_claimed().await
    }

    /// agent-settle in the same world, with other settings.
    fn settle_with(&self, settings: SettleSettings) -> Settle<Here, Here, Here, Here, Here, Here> {
        let [store, queue, slack, tools, tokens, clock] = std::array::from_fn(|_| Arc::clone(&self.world));
        Settle::new(store, queue, slack, Some(tools), tokens, clock, settings)
    }

    /// A question that waits for its asker to decide about the first call.
    async fn suspended(who: Who) -> Self {
        let scene = Self::asks(who).await;
        assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "ask first");
        assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
        scene
    }

    async fn suspend(&self, bits: u128, number: u32) -> Answer {
        let invocation = json!({ "question": "create a card" }).to_string();
        self.ask(bits, Operation::Suspend { number, invocation }).await
    }

    /// What the buttons of the last message say that has some.
    fn buttons_of_message(&self) -> Vec<ApprovalButton> {
        let blocks = self.world.blocks.lock().unwrap();
        let last = blocks.iter().rev().flat_map(|blocks| blocks.as_array().unwrap());
        let mut elements = last.filter_map(|block| block["elements"].as_array());
        let is_click = |elements: &&Vec<Value>| elements.iter().any(|it| message::click(it).is_some());
        elements.find(is_click).unwrap().iter().map(|button| message::click(button).unwrap()).collect()
    }

    /// Somebody presses a button of the last message that has some.
    async fn press(&self, verdict: Verdict, by: &str, click: &str) -> (Answer, SettleReport) {
        let decide = self.decide(verdict, by, click);
        self.run(50, Operation::Decide(Box::new(decide))).await
    }

    /// The request for a click on such a button.
    fn decide(&self, verdict: Verdict, by: &str, click: &str) -> Decide {
        let button = self.buttons_of_message().into_iter().find(|it| it.verdict == verdict).unwrap();
        assert_eq!(RecordKey::of_question(&button.question_id), self.key);
        Decide {
            number: button.number,
            approval: Token::parse(&button.approval).unwrap(),
            verdict,
            by: Some(by.to_owned()),
            click: click.to_owned(),
            tenant: Some("T1".to_owned()),
            channel: Some("C1".to_owned()),
            message_ts: Some("2.2".to_owned()),
            response_url: Some("https://hooks.slack.com/1".to_owned()),
            clicked_at: None,
            in_background: false,
        }
    }

    async fn lapse(&self) -> Answer {
        let button = self.buttons_of_message().remove(0);
        let approval = Token::parse(&button.approval).unwrap();
        self.lapse_of(&ApprovalRef { number: button.number, approval }).await
    }

    async fn lapse_of(&self, asking: &ApprovalRef) -> Answer {
        let decide = Decide {
            number: asking.number,
            approval: asking.approval.clone(),
            verdict: Verdict::Lapsed,
            by: None,
            click: "lapse:1".to_owned(),
            tenant: None,
            channel: None,
            message_ts: None,
            response_url: None,
            clicked_at: None,
            in_background: false,
        };
        self.ask(50, Operation::Decide(Box::new(decide))).await
    }

    /// The dispatcher takes the record by the click's message, and the next turn claims it.
    async fn next_turn(&self) {
        let approval = Token::parse(&self.buttons_of_message().remove(0).approval).unwrap();
        let receive = Receive { message_id: "click".to_owned(), handle: "h7".to_owned() };
        let (place, token_of_click) = (Self::place(), token(19));
        let errand = update(&self.world, &self.world, &self.key, |record, now| {
            let received = Received {
                receive: &receive,
                receives: 1,
                now,
                lease_until: now.after(LEASE),
                token: &token_of_click,
                place: Some(&place),
                files: &[],
                for_agent: true,
                stopped_at: None,
                trace_id: None,
                conversation: None,
                app_users: &[],
                resumes: Some(&approval),
                is_lapse: false,
                was_dead_letter: false,
            };
            receive::on_receive(record, &received, LIMITS)
        });
        assert_eq!(errand.await.unwrap(), Errand::Call);
        let claimed = self.ask(19, Operation::Claim { new: token(NEXT) }).await.to_json();
        assert_eq!((&claimed["outcome"], &claimed["attempt"]), (&json!("claimed"), &json!(1)));
        self.world.queue.lock().unwrap().clear();
    }

    fn called(&self) -> Vec<String> {
        self.world.tool_calls.lock().unwrap().clone()
    }

    /// What whoever clicked was told alone.
    fn whispers(&self) -> Vec<String> {
        let posted = self.world.posted.lock().unwrap();
        posted.iter().filter(|(mark, _)| mark.starts_with("https:")).map(|(_, text)| text.clone()).collect()
    }
}

fn no_effect(why: &'static str) -> Answer {
    Answer::NoEffect { why }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_needs_an_approval_is_not_made_and_a_person_is_asked() {
    let scene = Scene::asks(Who::Asker).await;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await, json!({ "outcome": "ask first" }));
    // The same again, because its answer was lost.
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await, json!({ "outcome": "ask first" }));
    let invocation = json!({ "question": "create a card" }).to_string();
    let suspend = Operation::Suspend { number: 1, invocation: invocation.clone() };
    let (answer, report) = scene.run(CLAIMERS, suspend).await;
    assert_eq!((answer, report.ended), (Answer::Suspended, Some(Ended::Suspended)));
    assert_eq!(scene.called(), Vec::<String>::new());
    // Nothing is held: the message has gone, and what says that nobody has decided comes after an hour.
    assert_eq!(
        scene.queue(),
        [format!("lapse of 1 at {}", NOW / 1000 + 3600), "h1 in 90".to_owned(), "h1 deleted".to_owned()]
    );
    assert!(matches!(scene.state().await, State::Suspended { ts: Some(ts), .. } if ts == "2.2"));
    assert_eq!(scene.world.statuses.lock().unwrap().last(), Some(&"suspended"));
    assert_eq!(scene.world.store.invocation(&scene.key).await.unwrap(), Some(invocation));
    // It mentions who decides, and shows the very call.
    assert!(scene.texts()[0].starts_with("<@U1>"), "{:?}", scene.texts());
    let blocks = scene.world.blocks.lock().unwrap()[0].to_string();
    let shown = json!({ "type": "text", "text": r#"{"name":"a"}"# }).to_string();
    assert!(blocks.contains(CARD) && blocks.contains(&shown), "{blocks}");
    // Once more, because its answer was lost: it is said, and not posted again.
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
    assert_eq!(scene.texts().len(), 1);
    // Whoever has thought of it so far has nothing to do any more.
    assert_eq!(scene.ask(CLAIMERS, call_of(2, "b")).await, Answer::Gone);
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::Cancel { why: "gone" });
    assert_eq!(scene.answer("42").await, Answer::Gone);
    // A second delivery of the question has nothing to do.
    assert_eq!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::Done(receive::Done::Suspended));
}

#[tokio::test(start_paused = true)]
async fn an_approved_call_is_made_once_and_exactly_as_it_was_shown() {
    let scene = Scene::suspended(Who::Asker).await;
    let (answer, report) = scene.press(Verdict::Approved, "U1", "Ev1").await;
    assert_eq!(
        (answer.to_json(), report.decided),
        (json!({ "outcome": "decided", "verdict": "approved", "is_shown": true }), Some(Verdict::Approved))
    );
    let shown = scene.world.streams.lock().unwrap().last().cloned().unwrap();
    assert!(shown.starts_with("2.2 = ") && shown.contains("Approved by <@U1>"), "{shown}");
    scene.next_turn().await;
    let approved = told_of("a", 1, &json!({ "outcome": "approved", "by": "U1" }));
    assert_eq!(scene.told(NEXT, Operation::Calls).await["calls"], json!([approved]));
    // Other arguments are another call, and need their own approval.
    let edited = scene.told(NEXT, call_of(1, "edited")).await;
    assert_eq!(
        (&edited["outcome"], &edited["call"]["outcome"]),
        (&json!("another call"), &json!("approved"))
    );
    assert_eq!(scene.told(NEXT, call_of(2, "edited")).await, json!({ "outcome": "ask first" }));
    assert_eq!(scene.called(), Vec::<String>::new());
    for _again in 0..2 {
        assert_eq!(scene.told(NEXT, call_of(1, "a")).await["outcome"], "called");
    }
    assert_eq!(scene.called(), [format!(r#"{CARD} {{"name":"a"}}"#)]);
    let made = told_of("a", 1, &json!({ "outcome": "called", "result": made(), "approved_by": "U1" }));
    assert_eq!(scene.told(NEXT, Operation::Calls).await["calls"][0], made);
    assert_eq!(
        scene
            .ask(NEXT, Operation::Answer { text: Some("Done.".to_owned()), together: Vec::new() })
            .await
            .outcome(),
        "answered"
    );
    // The click's message was the question's last.
    assert_eq!(scene.queue().last().map(String::as_str), Some("h7 deleted"));
    assert_eq!(scene.world.store.invocation(&scene.key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_approved_call_beyond_the_days_limit_is_over_and_its_click_is_still_found() {
    let none = usage::Limits { tool_calls: Some(0), ..usage::Limits::default() };
    let mut settings = asking(Who::Asker);
    settings.limits = DailyLimits { scopes: vec![(Scope::Person, none)], tokens_a_question: None };
    let scene = Scene::asks_with(settings).await;
    assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0.outcome(), "decided");
    scene.next_turn().await;
    for _again in 0..2 {
        let told = scene.told(NEXT, call_of(1, "a")).await;
        assert_eq!((&told["outcome"], &told["why"]), (&json!("not called"), &json!("over_limit_of_person")));
    }
    // The click that decided is delivered once more, and what says that the time is over finds the decision, too: both carry on.
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0.outcome(), "decided");
    assert_eq!(scene.lapse().await, Answer::Decided { verdict: Verdict::Approved, is_shown: true });
    assert_eq!(scene.press(Verdict::Refused, "U1", "Ev2").await.0, no_effect("decided"));
    assert_eq!(
        scene.suspend(NEXT, 1).await,
        Answer::TakenOver,
        "whoever asks once more goes on by the journal"
    );
    // No later attempt makes it, also not when the limit is gone.
    let scene = Scene { settle: scene.settle_with(asking(Who::Asker)), ..scene };
    assert_eq!(scene.taken_over(7).await["tool_calls"], 1);
    let told = json!({ "outcome": "not called", "why": "over_limit_of_person", "approved_by": "U1" });
    assert_eq!(scene.told(7, Operation::Calls).await["calls"], json!([told_of("a", 1, &told)]));
    assert_eq!(scene.told(7, call_of(1, "a")).await["why"], "over_limit_of_person");
    assert_eq!(scene.told(7, call_of(2, "a")).await["outcome"], "ask first");
    assert_eq!(scene.called(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_called() {
    let scene = Scene::suspended(Who::Asker).await;
    assert_eq!(scene.press(Verdict::Refused, "U1", "Ev1").await.0.outcome(), "decided");
    scene.next_turn().await;
    let not_called = json!({ "outcome": "not called", "why": "refused" });
    assert_eq!(scene.told(NEXT, Operation::Calls).await["calls"], json!([told_of("a", 1, &not_called)]));
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await, not_called);
    assert_eq!(scene.called(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_first_click_counts_and_the_same_one_again_goes_on() {
    let people = Who::People(vec!["U2".to_owned(), "U3".to_owned()]);
    let scene = Scene::suspended(people).await;
    assert_eq!(scene.press(Verdict::Approved, "U2", "Ev1").await.0.outcome(), "decided");
    // The same click is delivered once more, before or after somebody works.
    assert_eq!(scene.press(Verdict::Approved, "U2", "Ev1").await.0.outcome(), "decided");
    let (answer, report) = scene.press(Verdict::Refused, "U3", "Ev2").await;
    assert_eq!((answer, report.decided), (no_effect("decided"), None));
    assert!(scene.whispers()[0].contains("Approved by <@U2>"), "{:?}", scene.whispers());
    scene.next_turn().await;
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.press(Verdict::Refused, "U2", "Ev3").await.0, no_effect("decided"));
    assert_eq!(scene.press(Verdict::Approved, "U2", "Ev1").await.0.outcome(), "decided");
}

#[tokio::test(start_paused = true)]
async fn only_whoever_is_asked_can_decide() {
    let scene = Scene::suspended(Who::Asker).await;
    assert_eq!(scene.press(Verdict::Approved, "U2", "Ev1").await.0, no_effect("not_yours"));
    assert!(scene.whispers()[0].contains("Only <@U1> can decide"), "{:?}", scene.whispers());

    let scene = Scene::suspended(Who::Group("S1".to_owned())).await;
    let says = |outcome| scene.world.members.lock().unwrap().push(outcome);
    says(MembersOutcome::Unknown { reason: "slack_ratelimited".to_owned(), retry: Retry::Later });
    says(MembersOutcome::Known(vec!["U2".to_owned()]));
    says(MembersOutcome::Known(vec!["U2".to_owned(), "U3".to_owned()]));
    // As long as Slack does not say who is in it, nobody has decided.
    assert_eq!(scene.press(Verdict::Approved, "U3", "Ev1").await.0.outcome(), "unreadable");
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev2").await.0, no_effect("not_yours"));
    assert_eq!(scene.press(Verdict::Approved, "U3", "Ev1").await.0.outcome(), "decided");
    assert_eq!(*scene.world.people_read.lock().unwrap(), ["S1", "S1", "S1"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_decides_after_the_time_or_without_the_buttons_id_or_from_another_workspace_or_channel() {
    let scene = Scene::suspended(Who::Asker).await;
    let button = scene.buttons_of_message().remove(0);
    let decide = |approval: &Token, tenant: &str, channel: &str| {
        Operation::Decide(Box::new(Decide {
            number: button.number,
            approval: approval.clone(),
            verdict: Verdict::Approved,
            by: Some("U1".to_owned()),
            click: "Ev1".to_owned(),
            tenant: Some(tenant.to_owned()),
            channel: Some(channel.to_owned()),
            message_ts: None,
            response_url: None,
            clicked_at: None,
            in_background: false,
        }))
    };
    assert_eq!(scene.ask(50, decide(&token(999), "T1", "C1")).await, no_effect("gone"));
    let id = Token::parse(&button.approval).unwrap();
    assert_eq!(scene.ask(50, decide(&id, "T2", "C1")).await, no_effect("gone"));
    assert_eq!(scene.ask(50, decide(&id, "T1", "D1")).await, no_effect("gone"));
    scene.world.pass(Duration::from_secs(3601));
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0, no_effect("over"));
    assert_eq!(scene.lapse().await.to_json()["verdict"], "lapsed");
    let shown = scene.world.streams.lock().unwrap().last().cloned().unwrap();
    assert!(shown.contains("Nobody decided in time"), "{shown}");
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev2").await.0, no_effect("decided"));
    scene.next_turn().await;
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await, json!({ "outcome": "not called", "why": "lapsed" }));
}

#[tokio::test(start_paused = true)]
async fn a_click_that_was_made_in_time_counts_however_long_it_has_waited_behind_the_thread() {
    for (clicked, outcome) in [(3600, "decided"), (3601, "no effect")] {
        let scene = Scene::suspended(Who::Asker).await;
        let clicked_at = UnixMillis::from_millis(scene.world.now().as_millis() + clicked * 1000);
        scene.world.pass(Duration::from_secs(4500));
        let decide = Decide { clicked_at: Some(clicked_at), ..scene.decide(Verdict::Approved, "U1", "Ev1") };
        assert_eq!(scene.ask(50, Operation::Decide(Box::new(decide))).await.outcome(), outcome, "{clicked}");
    }
    // The ingress's clock goes ahead of ours.
    let scene = Scene::suspended(Who::Asker).await;
    let clicked_at = Some(UnixMillis::from_millis(u64::MAX));
    let decide = Decide { clicked_at, ..scene.decide(Verdict::Approved, "U1", "Ev1") };
    assert_eq!(scene.ask(50, Operation::Decide(Box::new(decide))).await.outcome(), "decided");
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_is_told_also_while_slack_is_slow_to_show_it() {
    let scene = Scene::suspended(Who::Asker).await;
    let trouble = || Trouble { reason: "no_answer".to_owned(), retry: Retry::Later, retry_after: None };
    scene
        .world
        .replacements
        .lock()
        .unwrap()
        .extend([Replaced::NotYet(trouble()), Replaced::NotYet(trouble())]);
    let decide = scene.decide(Verdict::Approved, "U1", "Ev1");
    let answer = scene.ask(50, Operation::Decide(Box::new(decide.clone()))).await;
    assert_eq!(answer, Answer::Decided { verdict: Verdict::Approved, is_shown: false });
    let time = std::mem::take(&mut *scene.world.time_to_replace.lock().unwrap());
    assert!(time.iter().all(|time| *time <= SECOND), "the dispatcher waits for it: {time:?}");
    let again = Decide { in_background: true, ..decide };
    let answer = scene.ask(50, Operation::Decide(Box::new(again))).await;
    assert_eq!(answer, Answer::Decided { verdict: Verdict::Approved, is_shown: true });
    assert!(scene.world.time_to_replace.lock().unwrap()[0] > 20 * SECOND, "nobody waits for it any more");
}

#[tokio::test(start_paused = true)]
async fn who_decided_what_stands_in_the_trail_before_it_counts_as_an_entry_of_theirs() {
    let redact = Redact::read("name").unwrap();
    let mut settings = SettleSettings::new(WAIT);
    let people = Who::People(vec!["U2".to_owned(), "U3".to_owned()]);
    settings.approvals =
        Approvals { tools: vec![("create_card".to_owned(), people)], time: Duration::from_secs(3600) };
    settings.audit = Some(AuditRules { days: 30, redact, texts: true });
    let scene = Scene::with(settings).into_taken().await.into_claimed().await;
    assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
    // An entry that cannot be written: the click does not count, and comes again.
    *scene.world.audit_fails.lock().unwrap() = 2;
    let button = scene.buttons_of_message().remove(0);
    let approval = Token::parse(&button.approval).unwrap();
    let decide = Decide {
        number: 1,
        approval,
        verdict: Verdict::Approved,
        by: Some("U2".to_owned()),
        click: "Ev1".to_owned(),
        tenant: Some("T1".to_owned()),
        channel: Some("C1".to_owned()),
        message_ts: None,
        response_url: None,
        clicked_at: None,
        in_background: false,
    };
    let operation = Operation::Decide(Box::new(decide));
    let request = Request { key: scene.key.clone(), token: token(50), operation, used: None };
    assert!(scene.settle.run(&request).await.0.is_err());
    assert_eq!(scene.press(Verdict::Approved, "U2", "Ev1").await.0.outcome(), "decided");
    assert_eq!(scene.press(Verdict::Refused, "U3", "Ev2").await.0, no_effect("decided"));
    let entries = scene.world.store.audit();
    let decisions: Vec<_> = entries.iter().filter(|entry| entry.word() == "decision").collect();
    let [decision] = decisions[..] else { panic!("{decisions:?}") };
    for (name, value) in [("person", "T1:U2"), ("verdict", "approved"), ("tool", CARD)] {
        assert_eq!(decision.fields[name], Field::Text(value.to_owned()), "{name}");
    }
    // What the call was about is the asker's, and goes with their entries.
    assert!(!decision.fields.contains_key("arguments"));
    let approvals: Vec<_> = entries.iter().filter(|entry| entry.word() == "approval").collect();
    let [approval] = approvals[..] else { panic!("{approvals:?}") };
    for (name, value) in [("person", "T1:U1"), ("tool", CARD), ("arguments", r#"{"name":"[redacted]"}"#)] {
        assert_eq!(approval.fields[name], Field::Text(value.to_owned()), "{name}");
    }
    // The other click came too late, and says so.
    let late = entries.iter().find(|entry| entry.word() == "not_decided").unwrap();
    assert_eq!(late.fields["person"], Field::Text("T1:U3".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn that_nobody_has_decided_is_an_entry_of_the_askers() {
    let mut settings = SettleSettings::new(WAIT);
    settings.approvals = Approvals {
        tools: vec![("create_card".to_owned(), Who::People(vec!["U2".to_owned()]))],
        time: Duration::from_secs(60),
    };
    settings.audit = Some(AuditRules { days: 30, redact: Redact::default(), texts: true });
    let scene = Scene::with(settings).into_taken().await.into_claimed().await;
    assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
    scene.world.pass(Duration::from_secs(61));
    assert_eq!(scene.lapse().await, Answer::Decided { verdict: Verdict::Lapsed, is_shown: true });
    let entries = scene.world.store.audit();
    let decision = entries.iter().find(|entry| entry.word() == "decision").unwrap();
    assert_eq!(decision.fields["person"], Field::Text("T1:U1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_time_changes_no_decision() {
    let scene = Scene::suspended(Who::Asker).await;
    let (_, report) = scene.press(Verdict::Approved, "U1", "Ev1").await;
    assert_eq!(report.decided, Some(Verdict::Approved));
    // If the click's message is gone, this one carries the question on, by what was decided.
    assert_eq!(scene.lapse().await, Answer::Decided { verdict: Verdict::Approved, is_shown: true });
    scene.next_turn().await;
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await["outcome"], "called");
    scene.ask(NEXT, Operation::Answer { text: Some("Done.".to_owned()), together: Vec::new() }).await;
    assert_eq!(scene.lapse().await, no_effect("gone"));
    // Whoever approved what was done is not told that it has come to nothing, by the same click that comes again.
    let late = Decide { in_background: true, ..scene.decide(Verdict::Approved, "U1", "Ev1") };
    assert_eq!(scene.ask(50, Operation::Decide(Box::new(late))).await, no_effect("gone"));
    assert_eq!(scene.whispers(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_approved_after_a_stop_or_when_the_message_was_deleted() {
    let scene = Scene::suspended(Who::Asker).await;
    scene.stop("1531420619.000000").await;
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0, no_effect("gone"));

    let scene = Scene::suspended(Who::Asker).await;
    update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0, no_effect("gone"));
    assert!(scene.whispers()[0].contains("Nobody waits for this any more"), "{:?}", scene.whispers());
}

#[tokio::test(start_paused = true)]
async fn of_a_question_that_is_deleted_while_it_waits_nothing_is_kept_and_its_buttons_go() {
    let scene = Scene::suspended(Who::Asker).await;
    let State::Suspended { asking, .. } = scene.state().await else { panic!() };
    update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    for _again in 0..2 {
        assert_eq!(scene.ask(50, SIGN).await, Answer::Ended);
        let shown = scene.world.streams.lock().unwrap().clone();
        let [shown] = &shown[..] else { panic!("once: {shown:?}") };
        assert!(shown.starts_with("2.2 = ") && shown.contains("The question was deleted"), "{shown}");
        let blocks = scene.world.blocks.lock().unwrap().last().unwrap().to_string();
        assert!(!blocks.contains("actions") && !blocks.contains("name"), "{blocks}");
        assert_eq!(scene.world.store.invocation(&scene.key).await.unwrap(), None);
        assert_eq!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Closed));
        assert_eq!(scene.world.statuses.lock().unwrap().last(), Some(&"active"));
    }
    assert_eq!(scene.lapse_of(&asking).await, no_effect("gone"));

    // A message of which nobody knows where it stands stays as it is.
    let scene = Scene::suspended(Who::Asker).await;
    let without_ts = |record: Option<&Record>, _| {
        let record = record.unwrap();
        let State::Suspended { asking, token, .. } = record.state.clone() else { panic!() };
        Transition::write(record.with(State::Suspended { asking, ts: None, token }), ())
    };
    update(&scene.world, &scene.world, &scene.key, without_ts).await.unwrap();
    update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    scene.ask(50, SIGN).await;
    assert!(scene.world.streams.lock().unwrap().is_empty());
    assert_eq!(scene.world.store.invocation(&scene.key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn the_buttons_of_a_question_that_was_stopped_while_it_waited_go_with_the_click_that_comes_to_nothing()
{
    let scene = Scene::suspended(Who::Asker).await;
    scene.stop("1531420619.000000").await;
    // The dispatcher takes the question by the click, finds the stop, and has agent-settle clear up.
    let withdrawn = |record: Option<&Record>, _| {
        let record = record.unwrap();
        Transition::write(record.withdrawn(STOPPED), ())
    };
    update(&scene.world, &scene.world, &scene.key, withdrawn).await.unwrap();
    assert_eq!(scene.ask(50, SIGN).await, Answer::Ended);
    let shown = scene.world.streams.lock().unwrap().clone();
    assert!(shown[0].starts_with("2.2 = ") && shown[0].contains("The question was stopped"), "{shown:?}");
    assert_eq!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Closed));
}

#[tokio::test(start_paused = true)]
async fn of_a_question_that_was_deleted_while_a_tool_was_called_nothing_is_kept() {
    let scene = Scene::claimed().await;
    scene.ask(CLAIMERS, call_of(1, "a")).await;
    assert!(matches!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Call(_))));
    update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    assert_eq!(scene.ask(50, SIGN).await, Answer::Ended);
    assert_eq!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Closed));
}

/// A question that was told has its dead letter, and starts over when somebody sends that back: what it has called stands.
#[tokio::test(start_paused = true)]
async fn only_of_a_question_that_was_withdrawn_nothing_is_kept() {
    let scene = Scene::suspended(Who::Asker).await;
    let end = |why: &'static str| {
        update(&scene.world, &scene.world, &scene.key, move |record, _| {
            Transition::write(record.unwrap().with(told(why)), ())
        })
    };
    end("gave_up").await.unwrap();
    scene.ask(50, SIGN).await;
    assert!(scene.world.store.invocation(&scene.key).await.unwrap().is_some());
    end("stopped").await.unwrap();
    scene.ask(50, SIGN).await;
    assert_eq!(scene.world.store.invocation(&scene.key).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_who_could_not_be_shown_all_of_it_or_would_never_be_told_of_its_end() {
    let scene = Scene::asks(Who::Asker).await;
    let long = "a".repeat(3000);
    let not_called = json!({ "outcome": "not called", "why": "too_long_to_show" });
    assert_eq!(scene.told(CLAIMERS, call_of(1, &long)).await, not_called);
    assert_eq!(scene.told(CLAIMERS, call_of(2, "a")).await["outcome"], "ask first");
    *scene.world.queue_fails.lock().unwrap() = true;
    assert_eq!(scene.suspend(CLAIMERS, 2).await, Answer::NotAsked { why: "cannot_wait" });
    *scene.world.queue_fails.lock().unwrap() = false;
    // The turn goes on without the call, or asks once more.
    assert_eq!(scene.told(CLAIMERS, call_of(2, "a")).await["outcome"], "ask first");
    assert_eq!(scene.answer("I could not.").await.outcome(), "answered");
    assert_eq!(scene.called(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_dies_before_it_asks_leaves_nothing_to_approve() {
    let scene = Scene::asks(Who::Asker).await;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.taken_over(7).await["tool_calls"], 1);
    let not_asked = told_of("a", 1, &json!({ "outcome": "not called", "why": "not_asked" }));
    assert_eq!(scene.told(7, Operation::Calls).await["calls"], json!([not_asked]));
    assert_eq!(scene.told(7, call_of(2, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(7, 2).await, Answer::Suspended);
}

#[tokio::test(start_paused = true)]
async fn of_one_question_people_are_asked_ten_times_at_most() {
    let scene = Scene::asks(Who::Asker).await;
    let asked_ten_times = |record: Option<&Record>, _| {
        let record = Record { suspensions: 10, ..record.unwrap().clone() };
        Transition::write(record, ())
    };
    update(&scene.world, &scene.world, &scene.key, asked_ten_times).await.unwrap();
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::NotAsked { why: "asked_too_often" });
}

/// A command's question, and one that was asked in a message: in the end both have no answer, and no buttons were seen.
#[tokio::test(start_paused = true)]
async fn who_waits_for_a_message_that_slack_does_not_take_is_told_so_at_once() {
    let url = "https://hooks.slack.com/commands/T1/1/x";
    for (retry, response_url) in [
        (Retry::AfterChange, None),
        (Retry::Never, None),
        (Retry::AfterChange, Some(url.to_owned())),
        (Retry::Never, Some(url.to_owned())),
    ] {
        let scene = Scene::with(asking(Who::Asker)).fails([refused(retry)]);
        let place = Place { response_url: response_url.clone(), ..Scene::place() };
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(place.clone())).await, Errand::Call);
        let scene = scene.into_claimed().await;
        assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
        let invocation = "{}".to_owned();
        let (answer, report) = scene.run(CLAIMERS, Operation::Suspend { number: 1, invocation }).await;
        assert_eq!((answer, report.ended), (Answer::TakenOver, Some(Ended::Told)));
        assert_eq!(report.failure.as_deref(), Some("slack_invalid_auth"));
        assert_eq!(scene.texts(), [answer_text::apology("cannot_be_asked")]);
        assert_eq!(scene.world.blocks.lock().unwrap().len(), 1, "only what was refused had buttons");
        let by_url = scene.world.posted.lock().unwrap()[0].0 == url;
        assert_eq!(by_url, response_url.is_some(), "{retry:?}");
        assert_eq!(scene.state().await, told("cannot_be_asked"));
        let entry = scene.world.store.read_call(&scene.key, 1).await.unwrap();
        assert_eq!(entry, Some(Entry::Closed));
        // Its message becomes the dead letter, the agent's turn is over, and nothing comes of the lapse.
        assert_eq!(scene.queue().last().map(String::as_str), Some("h1 in 0"));
        let letter = Errand::DeadLetter { why: "cannot_be_asked".to_owned() };
        assert_eq!(scene.receive("h2", 8, Some(place)).await, letter);
        assert_eq!(scene.answer("42").await, Answer::TakenOver);
        assert_eq!(scene.lapse().await, no_effect("gone"));
        assert_eq!((scene.texts().len(), scene.called().len()), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_slack_may_take_later_is_waited_for_and_a_refused_apology_too() {
    let scene = Scene::asks(Who::Asker).await.fails([refused(Retry::Later)]);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::TakenOver);
    assert_eq!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(8, Operation::Post).await, Answer::Suspended);

    let both = [refused(Retry::AfterChange), refused(Retry::AfterChange)];
    let scene = Scene::asks(Who::Asker).await.fails(both);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::TakenOver);
    let State::Posting(posting) = scene.state().await else { panic!("the apology is kept") };
    let why = "cannot_be_asked".to_owned();
    assert_eq!((posting.end, posting.nonce), (End::Told { why }, None));
    assert_eq!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(8, Operation::Post).await, Answer::Told);
    assert_eq!(scene.texts(), [answer_text::apology("cannot_be_asked")]);
}

/// The invocation that was refused has died: before anything was changed, or before the entry of the call was closed.
#[tokio::test(start_paused = true)]
async fn whoever_goes_on_after_a_refusal_comes_to_the_same_end() {
    for is_closed in [true, false] {
        let scene = Scene::asks(Who::Asker).await.fails([refused(Retry::Later)]);
        assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
        assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::TakenOver);
        if is_closed {
            // Nothing is left that a person could be asked about.
            scene.world.store.forget_call(&scene.key, 1, scene.world.now()).await.unwrap();
        } else {
            scene.world.posts.lock().unwrap().push(refused(Retry::Never));
        }
        assert_eq!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::Post);
        assert_eq!(scene.ask(8, Operation::Post).await, Answer::Told);
        assert_eq!(scene.texts(), [answer_text::apology("cannot_be_asked")]);
        assert_eq!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Closed));
    }
}

/// A message stands that Slack's search has not found, and somebody has clicked on it.
#[tokio::test(start_paused = true)]
async fn a_decision_is_not_lost_because_the_message_is_refused_later() {
    let scene = Scene::asks(Who::Asker).await.fails([unknown()]);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::TakenOver);
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0.outcome(), "decided");
    assert_eq!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::PutOff(WAIT));
    scene.world.pass(WAIT);
    assert_eq!(scene.receive("h3", 9, Some(Scene::place())).await, Errand::Post);
    scene.world.posts.lock().unwrap().push(refused(Retry::AfterChange));
    assert_eq!(scene.ask(9, Operation::Post).await, Answer::TakenOver);
    scene.next_turn().await;
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await["outcome"], "called");
    assert!(scene.texts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn other_tools_ask_nobody() {
    let scene = Scene::asks(Who::Asker).await;
    let delete = Operation::Call { number: 1, tool: DELETE.to_owned(), arguments: "{}".to_owned() };
    assert_eq!(scene.told(CLAIMERS, delete).await["outcome"], "called");
    assert_eq!(scene.suspend(CLAIMERS, 1).await.outcome(), "invalid");
}

#[tokio::test(start_paused = true)]
async fn what_was_clicked_stands_although_nobody_knew_it_yet() {
    let scene = Scene::asks(Who::Asker).await.fails([unknown()]);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::TakenOver);
    assert!(matches!(scene.state().await, State::Posting(_)));
    assert_eq!(scene.press(Verdict::Approved, "U1", "Ev1").await.0.outcome(), "decided");
    scene.next_turn().await;
    assert_eq!(scene.told(NEXT, call_of(1, "a")).await["outcome"], "called");
    // The question's own message comes again, and waits until that is over.
    assert!(matches!(scene.receive("h2", 8, Some(Scene::place())).await, Errand::PutOff(_)));
    assert_eq!(
        scene
            .ask(NEXT, Operation::Answer { text: Some("Done.".to_owned()), together: Vec::new() })
            .await
            .outcome(),
        "answered"
    );
    assert_eq!(scene.receive("h3", 9, Some(Scene::place())).await, Errand::Done(receive::Done::Answered));
}

#[tokio::test(start_paused = true)]
async fn a_person_is_asked_by_a_message_of_its_own_and_not_in_the_answers_stream() {
    let scene = Scene::asks(Who::Asker).await;
    let piece = Operation::Stream(stream::Piece::Text { text: "Let me see".to_owned(), is_first: true });
    assert_eq!(scene.ask(CLAIMERS, piece).await, Answer::Shown);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "ask first");
    assert_eq!(scene.suspend(CLAIMERS, 1).await, Answer::Suspended);
    assert_eq!(scene.texts().len(), 1);
    let streams = scene.world.streams.lock().unwrap().clone();
    assert!(streams.iter().any(|it| it.ends_with("stop, active")), "{streams:?}");
}
