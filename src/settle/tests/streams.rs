//! What is shown while somebody thinks, and what becomes of it when there is an answer, or none.

use super::*;
use crate::gateway::stream::StepStatus;
use crate::settle::stream::Piece;
use crate::work::record::Via;
use crate::work::stream::{LONGEST, Stream};

fn text(text: &str) -> Operation {
    Operation::Stream(Piece::Text { text: text.to_owned(), is_first: false })
}

fn first(text: &str) -> Operation {
    Operation::Stream(Piece::Text { text: text.to_owned(), is_first: true })
}

fn trouble(reason: &str, retry: Retry) -> Trouble {
    Trouble { reason: reason.to_owned(), retry, retry_after: None }
}

impl Scene {
    fn streams(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.streams.lock().unwrap())
    }

    async fn stream(&self) -> Option<Stream> {
        self.world.store.read(&self.key, self.world.now()).await.unwrap().record.unwrap().stream
    }

    /// A question of whose answer something is shown.
    async fn streaming() -> Self {
        let scene = Self::claimed().await;
        assert_eq!(scene.ask(CLAIMERS, first("It is ")).await, Answer::Shown);
        scene.streams();
        scene
    }

    /// The message comes again under another handle, and the dispatcher has the text posted on.
    /// Goes on with the work until the message of its stream has to be closed.
    async fn grows_old(&self) {
        const BEATS: u32 = 28;
        for _ in 0..BEATS {
            self.world.pass(10 * SECOND);
            assert_eq!(self.ask(CLAIMERS, Operation::Beat).await, Answer::GoOn);
        }
        assert!(BEATS * 10 * SECOND > LONGEST);
    }

    async fn posts_on(&self, handle: &str, bits: u128) -> Answer {
        assert_eq!(self.receive(handle, bits, Some(Self::place())).await, Errand::Post);
        self.ask(bits, Operation::Post).await
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_takes_the_place_of_what_was_shown_of_it() {
    let scene = Scene::claimed().await;
    assert_eq!(scene.ask(CLAIMERS, first("It is ")).await, Answer::Shown);
    assert_eq!(scene.ask(CLAIMERS, text("<!channel> *42*")).await, Answer::Shown);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
    let done = [
        "start for U1",
        "5.5 + It is ",
        "5.5 + &lt;!channel&gt; **42**",
        "5.5 stop, active",
        "5.5 = It is 42",
    ];
    assert_eq!(scene.streams(), done);
    assert_eq!((scene.texts(), scene.queue()), (vec![], vec!["h1 in 90".into(), "h1 deleted".into()]));
    assert_eq!(scene.state().await, State::Answered { ts: Some("5.5".into()), token: Some(token(CLAIMERS)) });
}

#[tokio::test(start_paused = true)]
async fn a_step_is_shown_as_a_line_and_what_is_empty_is_not_shown() {
    let scene = Scene::claimed().await;
    let step = Piece::Step { id: "1".into(), title: "create_card".into(), status: StepStatus::InProgress };
    assert_eq!(scene.ask(CLAIMERS, Operation::Stream(step)).await, Answer::Shown);
    assert_eq!(scene.ask(CLAIMERS, text("")).await, Answer::Shown);
    // Nobody else has written before, so there is no line above the first words.
    assert_eq!(scene.ask(CLAIMERS, first("It")).await, Answer::Shown);
    assert_eq!(scene.streams(), ["start for U1", "5.5 + 1 create_card in_progress", "5.5 + It"]);
}

#[tokio::test(start_paused = true)]
async fn a_later_attempt_goes_on_in_the_same_message() {
    let scene = Scene::streaming().await;
    scene.ask(CLAIMERS, Operation::Release).await;
    assert_eq!(scene.receive("h2", 30, Some(Scene::place())).await, Errand::Call);
    assert_eq!(scene.ask(30, Operation::Claim { new: token(31) }).await.outcome(), "claimed");
    // The former one is only late.
    assert_eq!(scene.ask(CLAIMERS, text("too late")).await, Answer::Gone);
    assert_eq!(scene.ask(31, first("Anew")).await, Answer::Shown);
    let answer = scene.ask(31, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() }).await;
    assert_eq!(answer, Answer::Answered { ts: Some("5.5".to_owned()) });
    assert_eq!(scene.streams(), ["5.5 + \n\n---\n\nAnew", "5.5 stop, active", "5.5 = 42"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_nobody_knows_is_asked_for_once_and_the_answer_is_posted() {
    for (started, stream) in [
        (Started::Refused { reason: "slack_missing_scope".into() }, Some(Stream::NoneAnyMore)),
        (Started::Unknown { reason: "no_answer".into() }, None),
    ] {
        let scene = Scene::claimed().await;
        scene.world.starts.lock().unwrap().push(started);
        let (answer, report) = scene.run(CLAIMERS, first("It is ")).await;
        assert_eq!(answer, Answer::NotShown);
        assert!(report.not_shown.is_some());
        let is_begun = matches!(scene.stream().await, Some(Stream::Begun(_)));
        assert!(is_begun != (scene.stream().await == stream), "{:?}", scene.stream().await);
        assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::NotShown);
        assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("2.2".to_owned()) });
        assert_eq!((scene.streams(), scene.texts()), (vec!["start for U1".into()], vec!["It is 42".into()]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_slack_does_not_take_now_may_be_sent_again_and_what_is_over_is_over() {
    let scene = Scene::streaming().await;
    scene.world.additions.lock().unwrap().extend([
        Appended::Later { reason: "slack_ratelimited".into() },
        Appended::Over { reason: "slack_message_not_in_streaming_state".into() },
    ]);
    assert_eq!(scene.ask(CLAIMERS, text("4")).await, Answer::Later);
    assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::NotShown);
    assert!(matches!(scene.stream().await, Some(Stream::Closed(_))));
    assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::NotShown);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
    assert_eq!(scene.streams(), ["5.5 + 4", "5.5 + 42", "5.5 = It is 42"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_closed_before_slack_does_it_and_the_answer_is_then_a_post() {
    let scene = Scene::streaming().await;
    scene.grows_old().await;
    assert_eq!(scene.ask(CLAIMERS, text("")).await, Answer::NotShown);
    // What stands there may end in the middle of a sentence, for hours.
    let still = "\n\n_A message can be written for a few minutes only. Whatever follows will be a message of its own._";
    assert_eq!(scene.streams(), [format!("5.5 stop, processing +{still}")]);
    assert!(matches!(scene.stream().await, Some(Stream::Closed(_))));
    // Nobody hears of a text that is replaced, so people are told by a post.
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!((scene.streams(), scene.texts()), (vec!["5.5 deleted".into()], vec!["It is 42".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_also_where_the_message_is_closed_for_its_age() {
    let scene = Scene::streaming().await;
    scene.grows_old().await;
    scene
        .world
        .ends_of_streams
        .lock()
        .unwrap()
        .extend([StreamStopped::NotYet(trouble("slack_ratelimited", Retry::Later)), StreamStopped::ByUser]);
    assert_eq!(scene.ask(CLAIMERS, text("")).await, Answer::Later);
    assert!(matches!(scene.stream().await, Some(Stream::Open(_))));
    assert_eq!(scene.ask(CLAIMERS, text("")).await, Answer::Cancel { why: "stopped" });
}

#[tokio::test(start_paused = true)]
async fn a_message_is_closed_without_last_words_if_slack_takes_none() {
    let scene = Scene::streaming().await;
    scene.grows_old().await;
    let refused = StreamStopped::NotYet(trouble("slack_msg_too_long", Retry::Never));
    scene.world.ends_of_streams.lock().unwrap().push(refused);
    assert_eq!(scene.ask(CLAIMERS, text("")).await, Answer::NotShown);
    assert_eq!(scene.streams().last().unwrap(), "5.5 stop, processing");
    assert!(matches!(scene.stream().await, Some(Stream::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stop_on_the_message_ends_the_question_without_a_post() {
    let scene = Scene::streaming().await;
    scene.queue();
    scene.world.additions.lock().unwrap().push(Appended::StoppedByUser);
    assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::Cancel { why: "stopped" });
    assert!(matches!(scene.state().await, State::Told { why, told_for: None, .. } if why == "stopped"));
    assert_eq!(scene.queue(), ["h1 in 0"]);
    assert_eq!(scene.answer("It is 42").await, Answer::Gone);
    assert_eq!(
        (scene.streams(), scene.texts()),
        (vec!["5.5 + 42".into(), "5.5 stop, active".into()], vec![])
    );

    let scene = Scene::streaming().await;
    scene.world.ends_of_streams.lock().unwrap().push(StreamStopped::ByUser);
    assert_eq!(scene.answer("It is 42").await, Answer::Gone);
    assert!(matches!(scene.state().await, State::Told { why, told_for: None, .. } if why == "stopped"));
    assert_eq!(scene.texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_or_a_deletion_ends_the_writing() {
    let scene = Scene::streaming().await;
    scene.stop("1531420619.000000").await;
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::Cancel { why: "stopped" });
    assert_eq!(scene.streams(), ["5.5 stop, active"]);

    let scene = Scene::streaming().await;
    update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::Cancel { why: "deleted" });
    assert_eq!(scene.streams(), ["5.5 stop, active"]);

    let scene = Scene::streaming().await;
    scene.stop("1531420619.000000").await;
    assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::Gone);
    assert_eq!(scene.streams(), ["5.5 stop, active"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_put_there_again_at_once() {
    for (ends, replacements) in [
        (vec![], vec![Replaced::NotYet(trouble("no_answer", Retry::Later))]),
        (vec![StreamStopped::NotYet(trouble("no_answer", Retry::Later))], vec![]),
    ] {
        let scene = Scene::streaming().await;
        *scene.world.ends_of_streams.lock().unwrap() = ends;
        *scene.world.replacements.lock().unwrap() = replacements;
        assert_eq!(scene.answer("It is 42").await, Answer::TakenOver);
        assert_eq!(scene.posts_on("h2", 30).await, Answer::Answered { ts: Some("5.5".to_owned()) });
        assert_eq!(scene.texts(), [""; 0]);
        assert_eq!(scene.streams().last().unwrap(), "5.5 = It is 42");
    }
    // agent-settle has died between the intent and what came of it.
    let scene = Scene::streaming().await;
    let (owner, nonce, end) = (token(CLAIMERS), token(77), End::Answered);
    update(&scene.world, &scene.world, &scene.key, |record, now| {
        operations::intend(record, &owner, Some("It is 42"), &end, &nonce, Now { now, stopped_at: None })
    })
    .await
    .unwrap();
    assert!(matches!(scene.state().await, State::Posting(posting) if posting.via == Via::Stream));
    assert_eq!(scene.posts_on("h2", 30).await, Answer::Answered { ts: Some("5.5".to_owned()) });
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_message_is_gone_is_posted_as_any_other() {
    for (gone, is_deleted) in [
        (Replaced::NoSuchMessage { reason: "slack_message_not_found".into() }, false),
        // What stands there, and takes no text, must not stand beside the answer.
        (Replaced::Never { reason: "slack_edit_window_closed".into() }, true),
    ] {
        let scene = Scene::streaming().await;
        scene.world.replacements.lock().unwrap().push(gone);
        assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("2.2".to_owned()) });
        assert_eq!(scene.texts(), ["It is 42"]);
        assert_eq!(scene.stream().await, Some(Stream::NoneAnyMore));
        assert_eq!(scene.streams().contains(&"5.5 deleted".to_owned()), is_deleted);
    }
    let scene = Scene::streaming().await;
    scene
        .world
        .replacements
        .lock()
        .unwrap()
        .push(Replaced::Never { reason: "slack_edit_window_closed".into() });
    let not_yet = Deleted::NotYet(trouble("no_answer", Retry::Later));
    scene.world.deletions.lock().unwrap().push(not_yet);
    assert_eq!(scene.answer("It is 42").await, Answer::TakenOver);
    assert_eq!(scene.texts(), [""; 0], "not before the preview has gone");
    // The call that deletes it may take effect late, and must not take the answer away: nothing is put into it any more.
    assert!(matches!(scene.stream().await, Some(Stream::Deleting(message)) if message.ts == "5.5"));
    assert_eq!(scene.posts_on("h2", 30).await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(scene.texts(), ["It is 42"]);
    let done = scene.streams();
    let times = |what: &str| done.iter().filter(|done| *done == what).count();
    assert_eq!((times("5.5 deleted"), times("5.5 = It is 42")), (2, 1), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_put_into_an_old_message_that_cannot_be_deleted_is_put_there_again_and_not_posted()
{
    let scene = Scene::streaming().await;
    scene.grows_old().await;
    let never = || Deleted::Never { reason: "slack_compliance_exports_prevent_deletion".into() };
    scene.world.deletions.lock().unwrap().extend([never(), never()]);
    scene.world.replacements.lock().unwrap().push(Replaced::NotYet(trouble("no_answer", Retry::Later)));
    // It may stand.
    assert_eq!(scene.answer("It is 42").await, Answer::TakenOver);
    assert!(matches!(scene.stream().await, Some(Stream::Closed(_))));
    assert_eq!(scene.posts_on("h2", 30).await, Answer::Answered { ts: Some("5.5".to_owned()) });
    assert_eq!(scene.texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_slack_refuses_for_another_reason_keeps_no_answer_back() {
    // The end of the writing is refused, and it is over all the same.
    let scene = Scene::streaming().await;
    let refused = StreamStopped::NotYet(trouble("slack_invalid_arguments", Retry::AfterChange));
    scene.world.ends_of_streams.lock().unwrap().push(refused);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
    // A piece is refused: the message is still written, and is stopped when there is an answer.
    let scene = Scene::streaming().await;
    let refused = Appended::Refused { reason: "slack_token_expired".into() };
    scene.world.additions.lock().unwrap().push(refused);
    assert_eq!(scene.ask(CLAIMERS, text("42")).await, Answer::NotShown);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
    assert_eq!(scene.streams(), ["5.5 + 42", "5.5 stop, active", "5.5 = It is 42"]);
    // The record says that it is over, and Slack that it is not.
    let scene = Scene::streaming().await;
    let over = Appended::Over { reason: "slack_message_not_in_streaming_state".into() };
    scene.world.additions.lock().unwrap().push(over);
    scene.ask(CLAIMERS, text("42")).await;
    scene.world.replacements.lock().unwrap().push(Replaced::StillWritten);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_attempt_has_shown_is_nothing_that_anybody_has_said() {
    let scene = Scene::streaming().await;
    let place = Place { asked_at: SlackTs::parse("1531420620.000000").unwrap(), ..Scene::place() };
    update(&scene.world, &scene.world, &scene.key, |record, _| {
        Transition::write(Record { place: Some(place.clone()), ..record.unwrap().clone() }, ())
    })
    .await
    .unwrap();
    let own = |ts: &str, text: &str| json!({ "ts": ts, "text": text, "bot_id": "B1", "app_id": "A1" });
    let messages = vec![own("1531420618.000200", "Hello."), own("5.5", "It is")];
    let read = ReadOutcome::Read { messages, is_whole: true };
    scene.world.readings.lock().unwrap().push(read);
    let Answer::Thread { messages, .. } = scene.ask(CLAIMERS, Operation::Thread { together: false }).await
    else {
        panic!()
    };
    assert_eq!(messages.into_iter().map(|said| said.text).collect::<Vec<_>>(), ["Hello."]);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_begins_in_the_message_and_goes_on_behind_it() {
    let scene = Scene::streaming().await;
    let long = "word ".repeat(1200);
    assert_eq!(scene.answer(&long).await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(scene.texts().len(), 1);
    let shown = scene.streams();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[1].starts_with("5.5 = word word"));
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_answer_takes_the_place_of_what_was_shown_too() {
    let scene = Scene::streaming().await;
    let told = scene.ask(CLAIMERS, Operation::Refuse { why: "thinking_failed".into() }).await;
    assert_eq!(told, Answer::Told);
    assert!(scene.streams()[1].starts_with("5.5 = "), "the apology");
    let scene = Scene::streaming().await;
    assert_eq!(
        scene.ask(CLAIMERS, Operation::Answer { text: None, together: Vec::new() }).await,
        Answer::Answered { ts: None }
    );
    assert_eq!(scene.streams(), ["5.5 stop, active"]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_buttons_slack_refuses_stands_in_the_message_without_them() {
    let scene = with_buttons().into_taken().await.into_claimed().await;
    assert_eq!(scene.ask(CLAIMERS, first("It is ")).await, Answer::Shown);
    let refused = Replaced::NotYet(trouble("slack_invalid_blocks", Retry::Never));
    scene.world.replacements.lock().unwrap().push(refused);
    assert_eq!(scene.answer("It is 42").await, Answer::Answered { ts: Some("5.5".to_owned()) });
    assert_eq!(*scene.world.buttons.lock().unwrap(), [Some("A1:C1:1531420618.000100".to_owned()), None]);
    assert_eq!(scene.texts(), [""; 0]);
}

/// The attempt that asked for the message has lost the question meanwhile, and another one has answered.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_when_the_question_is_answered_is_deleted() {
    let scene = Scene::claimed().await;
    let answered = State::Answered { ts: Some("2.2".to_owned()), token: Some(token(99)) };
    *scene.world.while_starting.lock().unwrap() = Some(answered.clone());
    assert_eq!(scene.ask(CLAIMERS, first("It is ")).await, Answer::NotShown);
    assert_eq!(scene.streams(), ["start for U1", "5.5 stop, processing", "5.5 deleted"]);
    assert_eq!(scene.state().await, answered);
}
