use super::*;
use crate::settle::admit::Admission;

const DAY: Duration = Duration::from_secs(86_400);
const SORRY_GUESTS: &str = "Sorry, I answer only full members of this workspace, and not its guests.";

/// Members alone may ask, and somebody of whom the message says this does.
fn admit(home: Home) -> Operation {
    let asker = Asker { is_bot: false, home, installation: vec!["T1".to_owned()] };
    Operation::Admit(Admission { who_may_ask: WhoMayAsk::default(), asker })
}

fn guest() -> PersonOutcome {
    person(&json!({ "is_restricted": true }))
}

fn cannot_say(retry: Retry) -> PersonOutcome {
    PersonOutcome::Unknown { reason: "slack_missing_scope".to_owned(), retry }
}

impl Scene {
    /// A later question of the same asker in the same world, which the dispatcher has taken.
    async fn next_question(self, id: &str) -> Self {
        Self { key: RecordKey::of_question(id), ..self }.into_taken().await
    }

    fn said(&self) -> Vec<String> {
        self.world.posted.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_may_ask_and_slack_says_so_once_an_hour() {
    let scene = Scene::taken().await;
    for _ in 0..2 {
        assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::Admitted);
    }
    assert_eq!(*scene.world.people_read.lock().unwrap(), ["U1"]);
    scene.world.pass(Duration::from_secs(3600));
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::Admitted);
    assert_eq!(scene.world.people_read.lock().unwrap().len(), 2);
    assert!(scene.said().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_guest_is_told_once_a_day_and_every_question_is_done() {
    let scene = Scene::taken().await;
    *scene.world.people.lock().unwrap() = vec![guest(), guest()];
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert_eq!(scene.said(), [SORRY_GUESTS]);
    let scene = scene.next_question("A1:C1:1531420619.000100").await;
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert_eq!(scene.said().len(), 1, "the second question of the day is not told again");
    for key in ["A1:C1:1531420618.000100", "A1:C1:1531420619.000100"] {
        let record = scene.world.store.read(&RecordKey::of_question(key), scene.world.now()).await.unwrap();
        assert!(matches!(record.record.unwrap().state, State::Answered { .. }), "{key}");
    }
    let deleted = scene.world.queue.lock().unwrap().iter().filter(|what| what.ends_with("deleted")).count();
    assert_eq!(deleted, 2);
    scene.world.pass(DAY);
    let scene = scene.next_question("A1:C1:1531420620.000100").await;
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert_eq!(scene.said(), [SORRY_GUESTS, SORRY_GUESTS]);
}

#[tokio::test(start_paused = true)]
async fn somebody_of_another_company_is_turned_away_without_a_question_to_slack() {
    let scene = Scene::taken().await;
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Another)).await, Answer::TurnedAway);
    assert_eq!(scene.said(), ["Sorry, I answer only people of this workspace's own company."]);
    assert!(scene.world.people_read.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_death_before_the_post_costs_nobody_the_one_telling_of_the_day() {
    let scene = Scene::taken().await;
    *scene.world.people.lock().unwrap() = vec![guest()];
    // The right of the day was taken for this question, and then the process died.
    let key = AskerKey::of(&Scene::place()).unwrap();
    assert!(scene.world.store.may_tell(&key, scene.key.question_id(), scene.world.now()).await.unwrap());
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert_eq!(scene.said(), [SORRY_GUESTS]);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_can_say_who_asks_the_question_waits_and_the_failure_has_its_reason() {
    let scene = Scene::taken().await;
    for retry in [Retry::Later, Retry::AfterChange] {
        *scene.world.people.lock().unwrap() = vec![cannot_say(retry)];
        let (answer, report) = scene.run(DISPATCHERS, admit(Home::Unknown)).await;
        assert_eq!(answer, Answer::Unreadable { why: "slack_missing_scope".to_owned(), again: true });
        let why = Some("slack_missing_scope".to_owned());
        assert_eq!((report.why, report.failure), (why.clone(), why), "{retry:?}");
    }
    assert!(scene.said().is_empty());
}

#[tokio::test(start_paused = true)]
async fn somebody_whom_slack_does_not_know_is_told_so() {
    let scene = Scene::taken().await;
    *scene.world.people.lock().unwrap() = vec![cannot_say(Retry::Never)];
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Unknown)).await, Answer::TurnedAway);
    assert!(scene.said()[0].starts_with("Sorry, I could not find out whether I may answer you."));
}

#[tokio::test(start_paused = true)]
async fn whoever_the_message_does_not_name_is_told_too() {
    let nameless = Place { user: None, ..Scene::place() };
    let scene = Scene::new();
    assert_eq!(scene.receive("h1", DISPATCHERS, Some(nameless)).await, Errand::Call);
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Unknown)).await, Answer::TurnedAway);
    assert!(scene.said()[0].starts_with("Sorry, I could not find out whether I may answer you."));
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_only_slack_knows_for_one_is_told_nothing() {
    let scene = Scene::taken().await;
    *scene.world.people.lock().unwrap() = vec![person(&json!({ "is_bot": true }))];
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert!(scene.said().is_empty());
    let record = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap().record.unwrap();
    assert!(
        record.declined == Some(Declined::Asker) && matches!(record.state, State::Answered { ts: None, .. })
    );
}

#[tokio::test(start_paused = true)]
async fn the_day_until_somebody_is_told_again_begins_when_it_stands_in_slack() {
    let scene = Scene::taken().await;
    *scene.world.people.lock().unwrap() = vec![guest(), guest()];
    let key = AskerKey::of(&Scene::place()).unwrap();
    // The right was taken nearly a day ago, and the post stands only now.
    assert!(scene.world.store.may_tell(&key, scene.key.question_id(), scene.world.now()).await.unwrap());
    scene.world.pass(DAY - Duration::from_secs(60));
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    scene.world.pass(Duration::from_secs(120));
    let scene = scene.next_question("A1:C1:1531420619.000100").await;
    assert_eq!(scene.ask(DISPATCHERS, admit(Home::Ours)).await, Answer::TurnedAway);
    assert_eq!(scene.said(), [SORRY_GUESTS]);
}

#[tokio::test(start_paused = true)]
async fn only_who_has_the_question_asks_for_an_admission() {
    let scene = Scene::claimed().await;
    for token in [CLAIMERS, DISPATCHERS, 77] {
        assert_eq!(scene.ask(token, admit(Home::Another)).await, Answer::Gone);
    }
    assert!(scene.said().is_empty());
}
