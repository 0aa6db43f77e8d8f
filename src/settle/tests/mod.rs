use super::calls::Called;
use super::pane::PaneRequest;
use super::post::{REFUSED_BLOCKS, RESPONSE_URL_LIFE};
use super::*;
use crate::gateway::ToolOutcome;
use crate::gateway::stream::Stopped as StreamStopped;
use crate::gateway::stream::{
    Addition, Appended, Deleted, Replaced, Started, StreamPlace, StreamStart, StreamTools, Trouble,
};
use crate::gateway::{
    Conversation, FileOutcome, FindOutcome, MembersOutcome, Pane, PersonOutcome, Post, PostOutcome,
    ReadOutcome, Retry, Search, SessionStatus, StatusOutcome, StatusPlace,
};
use crate::slack::asker::AskerKind;
use crate::slack::asker::{Asker, Home, Person, WhoMayAsk};
use crate::slack::question::{File, SlackTs};
use crate::work::askers::{AskerKey, AskerStore};
use crate::work::audit::{AuditEntry, AuditStore};
use crate::work::journal::{self, Entry, ProposedCall, ToolCall, ToolEnd};
use crate::work::lapse::Lapse;
use crate::work::memory::MemoryWork;
use crate::work::operations::Counted;
use crate::work::queue::QueueError;
use crate::work::receive::{self, DELETED, Errand, Limits, Received};
use crate::work::record::{Posting, State};
use crate::work::transition::Transition;
use crate::work::usage::{Amounts, Counter, Taken, Taker, UsageStore};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

mod admit;
mod approvals;
mod audit;
mod limits;
mod streams;
mod together;

const NOW: u64 = 1_531_420_618_500;
const SECOND: Duration = Duration::from_secs(1);
const WAIT: Duration = Duration::from_secs(90);
const LIMITS: Limits =
    Limits { max_attempts: 3, give_up_after: Duration::from_secs(86_400), post_wait: WAIT };

/// Clock, queue and Slack, which behave as a test says; the store inside is the real one of memory.
#[derive(Default)]
struct World {
    past: AtomicU64,
    tokens: AtomicU64,
    store: MemoryWork,
    queue: Mutex<Vec<String>>,
    queue_fails: Mutex<bool>,
    /// What Slack does with the next posts; it takes those that nothing is said about.
    posts: Mutex<Vec<PostOutcome>>,
    finds: Mutex<Vec<FindOutcome>>,
    readings: Mutex<Vec<ReadOutcome>>,
    /// What stands in Slack: the nonce or the `response_url`, and the text.
    posted: Mutex<Vec<(String, String)>>,
    statuses: Mutex<Vec<&'static str>>,
    /// What comes of the next calls of tools; they are made where nothing is said about them.
    tools: Mutex<Vec<ToolOutcome>>,
    tool_calls: Mutex<Vec<String>>,
    /// How many of the next entries are written, and their answers are lost.
    answers_lost: Mutex<u32>,
    ends_are_lost: Mutex<bool>,
    titles: Mutex<Vec<Option<String>>>,
    /// Which of the posts that Slack was asked for had buttons, for which question.
    buttons: Mutex<Vec<Option<String>>>,
    suggested: Mutex<Vec<(String, Option<String>, usize)>>,
    suggests_nothing: Mutex<bool>,
    /// What Slack does with the next calls for a stream; without a word it does as it is told.
    starts: Mutex<Vec<Started>>,
    additions: Mutex<Vec<Appended>>,
    ends_of_streams: Mutex<Vec<StreamStopped>>,
    replacements: Mutex<Vec<Replaced>>,
    deletions: Mutex<Vec<Deleted>>,
    /// The state that the question gets from somebody else while Slack makes the message of its stream.
    while_starting: Mutex<Option<State>>,
    /// What was done to streams, in order.
    streams: Mutex<Vec<String>>,
    /// How long a post takes.
    post_takes: Mutex<Duration>,
    /// The files that come with the next message.
    files: Mutex<Vec<File>>,
    /// The ids of the files that Slack was asked for.
    files_read: Mutex<Vec<String>>,
    /// What Slack says of the next people that it is asked for; without a word they are members.
    people: Mutex<Vec<PersonOutcome>>,
    /// The people that Slack was asked for.
    people_read: Mutex<Vec<String>>,
    /// What Slack says of the next user groups that it is asked for; without a word they are empty.
    members: Mutex<Vec<MembersOutcome>>,
    /// The blocks of the posts and of what took a message's place, where they had some.
    blocks: Mutex<Vec<Value>>,
    /// How long Slack had each time to change a message.
    time_to_replace: Mutex<Vec<Duration>>,
    /// How many of the next entries of the trail are not written.
    audit_fails: Mutex<u32>,
    /// The word of the entries that are never written.
    audit_fails_on: Mutex<Option<&'static str>>,
    /// The entries that were written, the posts and the calls of tools, in order.
    done: Mutex<Vec<String>>,
    /// For which installations Slack was called, each once.
    tenants: Mutex<BTreeSet<String>>,
}

impl World {
    fn pass(&self, duration: Duration) {
        self.past.fetch_add(u64::try_from(duration.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Every question of these tests is of a tenant.
    fn acts_for(&self, tenant: Option<&str>) {
        self.tenants.lock().unwrap().insert(tenant.unwrap().to_owned());
    }

    fn note(&self, what: String) -> Result<(), QueueError> {
        if *self.queue_fails.lock().unwrap() {
            return Err(QueueError::Over { code: "ReceiptHandleIsInvalid".to_owned() });
        }
        self.queue.lock().unwrap().push(what);
        Ok(())
    }

    fn take_post(&self, mark: &str, text: &str) -> PostOutcome {
        self.pass(*self.post_takes.lock().unwrap());
        self.done.lock().unwrap().push("(posted)".to_owned());
        let mut scripted = self.posts.lock().unwrap();
        let outcome = if scripted.is_empty() { posted() } else { scripted.remove(0) };
        if matches!(outcome, PostOutcome::Posted { .. }) {
            self.posted.lock().unwrap().push((mark.to_owned(), text.to_owned()));
        }
        outcome
    }
}

impl Clock for Arc<World> {
    fn now(&self) -> UnixMillis {
        UnixMillis::from_millis(NOW + self.past.load(Ordering::Relaxed))
    }

    #[allow(clippy::disallowed_methods, reason = "Tokio's clock, which stands still in these tests")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

impl Tokens for Arc<World> {
    fn next(&self) -> Token {
        Token::from_bits(u128::from(self.tokens.fetch_add(1, Ordering::Relaxed)) + 1000)
    }
}

impl AskerStore for Arc<World> {
    async fn kind(&self, key: &AskerKey, now: UnixMillis) -> Result<Option<AskerKind>, StoreError> {
        self.store.kind(key, now).await
    }

    async fn remember(&self, key: &AskerKey, kind: AskerKind, now: UnixMillis) -> Result<(), StoreError> {
        self.store.remember(key, kind, now).await
    }

    async fn may_tell(&self, key: &AskerKey, question_id: &str, now: UnixMillis) -> Result<bool, StoreError> {
        self.store.may_tell(key, question_id, now).await
    }
}

impl UsageStore for Arc<World> {
    async fn take(
        &self,
        question: &RecordKey,
        by: &Taker,
        counters: &[Counter],
        amounts: &Amounts,
        now: UnixMillis,
    ) -> Result<Taken, StoreError> {
        self.store.take(question, by, counters, amounts, now).await
    }

    async fn replace_taken(
        &self,
        question: &RecordKey,
        by: &Taker,
        used_tokens: u64,
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.store.replace_taken(question, by, used_tokens, now).await
    }
}

impl AuditStore for Arc<World> {
    async fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let fails = {
            let mut fails = self.audit_fails.lock().unwrap();
            let is_failing = *fails > 0;
            *fails = fails.saturating_sub(1);
            is_failing
        };
        if fails || *self.audit_fails_on.lock().unwrap() == Some(entry.word()) {
            return Err(StoreError::new("the trail", "has not answered"));
        }
        self.done.lock().unwrap().push(entry.word().to_owned());
        self.store.put_audit(entry).await
    }
}

impl WorkStore for Arc<World> {
    async fn read(&self, key: &RecordKey, now: UnixMillis) -> Result<crate::work::Seen, StoreError> {
        self.store.read(key, now).await
    }

    async fn write(
        &self,
        key: &RecordKey,
        seen: &crate::work::Seen,
        record: &Record,
        now: UnixMillis,
    ) -> Result<crate::work::Written, StoreError> {
        self.store.write(key, seen, record, now).await
    }

    async fn write_together(
        &self,
        writes: &[crate::work::Write<'_>],
        now: UnixMillis,
    ) -> Result<bool, StoreError> {
        self.store.write_together(writes, now).await
    }

    async fn stop(&self, key: &str) -> Result<Option<Stopped>, StoreError> {
        self.store.stop(key).await
    }

    async fn put_stop(&self, key: &str, at: &SlackTs, now: UnixMillis) -> Result<(), StoreError> {
        self.store.put_stop(key, at, now).await
    }

    async fn count_stopped(
        &self,
        key: &str,
        stop: &SlackTs,
        id: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.store.count_stopped(key, stop, id, now).await
    }

    async fn read_call(&self, key: &RecordKey, number: u32) -> Result<Option<Entry>, StoreError> {
        self.store.read_call(key, number).await
    }

    async fn forget_call(&self, key: &RecordKey, number: u32, now: UnixMillis) -> Result<(), StoreError> {
        self.store.forget_call(key, number, now).await
    }

    async fn begin_call(
        &self,
        key: &RecordKey,
        number: u32,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        let begun = self.store.begin_call(key, number, entry, now).await;
        let is_lost = {
            let mut lost = self.answers_lost.lock().unwrap();
            let is_lost = *lost > 0;
            *lost = lost.saturating_sub(1);
            is_lost
        };
        if is_lost { Err(StoreError::new("the store", "has not answered")) } else { begun }
    }

    async fn replace_proposed(
        &self,
        key: &RecordKey,
        number: u32,
        asked: &ProposedCall,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<Option<Entry>, StoreError> {
        self.store.replace_proposed(key, number, asked, entry, now).await
    }

    async fn keep_invocation(
        &self,
        key: &RecordKey,
        invocation: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        self.store.keep_invocation(key, invocation, now).await
    }

    async fn invocation(&self, key: &RecordKey) -> Result<Option<String>, StoreError> {
        self.store.invocation(key).await
    }

    async fn forget_invocation(&self, key: &RecordKey, now: UnixMillis) -> Result<(), StoreError> {
        self.store.forget_invocation(key, now).await
    }

    async fn end_call(
        &self,
        key: &RecordKey,
        number: u32,
        nonce: &Token,
        end: &ToolEnd,
    ) -> Result<(), StoreError> {
        if *self.ends_are_lost.lock().unwrap() {
            return Err(StoreError::new("the store", "has not answered"));
        }
        self.store.end_call(key, number, nonce, end).await
    }
}

impl AgentTools for Arc<World> {
    async fn call(&self, tenant: Option<&str>, tool: &str, arguments: &RawValue, _: Moment) -> ToolOutcome {
        self.acts_for(tenant);
        self.tool_calls.lock().unwrap().push(format!("{tool} {arguments}"));
        self.done.lock().unwrap().push("(called)".to_owned());
        let mut scripted = self.tools.lock().unwrap();
        if scripted.is_empty() { ToolOutcome::Answered(made()) } else { scripted.remove(0) }
    }
}

impl Queue for Arc<World> {
    async fn put_off(&self, handle: &str, delay: Duration) -> Result<(), QueueError> {
        self.note(format!("{handle} in {}", delay.as_secs()))
    }

    async fn put_at(&self, lapse: &Lapse, _: Option<&str>, at: UnixMillis) -> Result<(), QueueError> {
        self.note(format!("lapse of {} at {}", lapse.number, at.as_secs()))
    }

    async fn delete(&self, handle: &str) -> Result<(), QueueError> {
        self.note(format!("{handle} deleted"))
    }
}

impl SlackTools for Arc<World> {
    async fn post(&self, post: &Post<'_>, _: Moment) -> PostOutcome {
        assert_eq!((post.channel, post.thread_ts), ("C1", Some("1531420618.000100")));
        self.acts_for(post.tenant);
        self.buttons.lock().unwrap().push(post.feedback_for.map(str::to_owned));
        self.blocks.lock().unwrap().extend(post.blocks.cloned());
        self.take_post(post.nonce, post.text)
    }

    async fn find(&self, search: &Search<'_>, _: Moment) -> FindOutcome {
        assert_eq!((search.channel, search.thread_ts), ("C1", Some("1531420618.000100")));
        self.acts_for(search.tenant);
        let mut scripted = self.finds.lock().unwrap();
        if !scripted.is_empty() {
            return scripted.remove(0);
        }
        let stands = self.posted.lock().unwrap().iter().any(|(mark, _)| mark == search.nonce);
        if stands { FindOutcome::Found { ts: "9.9".to_owned() } } else { FindOutcome::NotFound }
    }

    async fn read(&self, conversation: &Conversation<'_>, _: Moment) -> ReadOutcome {
        assert_eq!((conversation.channel, conversation.thread_ts), ("C1", Some("1531420618.000100")));
        self.acts_for(conversation.tenant);
        self.readings.lock().unwrap().remove(0)
    }

    async fn set_status(&self, place: &StatusPlace<'_>, status: SessionStatus, _: Moment) -> StatusOutcome {
        self.acts_for(place.tenant);
        self.titles.lock().unwrap().push(place.title.map(str::to_owned));
        self.statuses.lock().unwrap().push(match status {
            SessionStatus::Active => "active",
            SessionStatus::Processing => "processing",
            SessionStatus::Suspended => "suspended",
        });
        StatusOutcome::Shown
    }

    async fn suggest(&self, pane: &Pane<'_>, prompts: &Prompts, _: Moment) -> StatusOutcome {
        let suggested = (pane.channel.to_owned(), pane.thread_ts.map(str::to_owned), prompts.prompts.len());
        self.suggested.lock().unwrap().push(suggested);
        if *self.suggests_nothing.lock().unwrap() {
            return StatusOutcome::NotShown { reason: "slack_missing_scope".to_owned() };
        }
        StatusOutcome::Shown
    }

    async fn person(&self, tenant: Option<&str>, user: &str, _: Moment) -> PersonOutcome {
        self.acts_for(tenant);
        self.people_read.lock().unwrap().push(user.to_owned());
        next_of(&self.people).unwrap_or_else(|| person(&json!({})))
    }

    async fn members(&self, tenant: Option<&str>, _: Option<&str>, group: &str, _: Moment) -> MembersOutcome {
        self.acts_for(tenant);
        self.people_read.lock().unwrap().push(group.to_owned());
        next_of(&self.members).unwrap_or(MembersOutcome::Known(Vec::new()))
    }

    async fn read_file(&self, tenant: Option<&str>, file: &File, _: Moment) -> FileOutcome {
        self.acts_for(tenant);
        self.files_read.lock().unwrap().push(file.id.clone());
        let (name, mimetype) = (file.name.clone(), file.mimetype.clone());
        match file.size {
            Some(0) => FileOutcome::Unreadable { reason: "timed_out".to_owned(), retry: Retry::Later },
            Some(_) => FileOutcome::Read { name, mimetype, content: vec![0xff, 0, 7] },
            None => FileOutcome::Unreadable { reason: "too_large".to_owned(), retry: Retry::Never },
        }
    }

    async fn respond(&self, response_url: &str, text: &str, _: Moment) -> PostOutcome {
        self.take_post(response_url, text)
    }
}

impl StreamTools for Arc<World> {
    async fn start_stream(&self, start: &StreamStart<'_>, _: Moment) -> Started {
        assert_eq!((start.channel, start.thread_ts), ("C1", "1531420618.000100"));
        self.acts_for(start.tenant);
        self.streams.lock().unwrap().push(format!("start for {}", start.user));
        let state = self.while_starting.lock().unwrap().take();
        if let Some(state) = state {
            let key = RecordKey::of_question("A1:C1:1531420618.000100");
            let by_another =
                |record: Option<&Record>, _| Transition::write(record.unwrap().with(state.clone()), ());
            update(self, self, &key, by_another).await.unwrap();
        }
        next_of(&self.starts).unwrap_or(Started::Message { ts: "5.5".to_owned() })
    }

    async fn append(&self, stream: &StreamPlace<'_>, addition: &Addition<'_>, _: Moment) -> Appended {
        self.acts_for(stream.tenant);
        self.streams.lock().unwrap().push(match addition {
            Addition::Text(text) => format!("{} + {text}", stream.ts),
            Addition::Step { id, title, status } => {
                format!("{} + {id} {title} {}", stream.ts, status.as_str())
            }
        });
        next_of(&self.additions).unwrap_or(Appended::Sent)
    }

    async fn stop_stream(
        &self,
        stream: &StreamPlace<'_>,
        last_words: Option<&str>,
        status: SessionStatus,
        _: Moment,
    ) -> StreamStopped {
        self.acts_for(stream.tenant);
        let words = last_words.map(|words| format!(" +{words}")).unwrap_or_default();
        self.streams.lock().unwrap().push(format!("{} stop, {}{words}", stream.ts, status.as_str()));
        next_of(&self.ends_of_streams).unwrap_or(StreamStopped::Yes)
    }

    async fn replace(&self, ts: &str, post: &Post<'_>, until: Moment) -> Replaced {
        self.acts_for(post.tenant);
        self.time_to_replace.lock().unwrap().push(self.now().until(until.wall));
        self.pass(*self.post_takes.lock().unwrap());
        self.buttons.lock().unwrap().push(post.feedback_for.map(str::to_owned));
        self.blocks.lock().unwrap().extend(post.blocks.cloned());
        self.streams.lock().unwrap().push(format!("{ts} = {}", post.text));
        next_of(&self.replacements).unwrap_or(Replaced::Yes)
    }

    async fn delete_message(&self, stream: &StreamPlace<'_>, _: Moment) -> Deleted {
        self.streams.lock().unwrap().push(format!("{} deleted", stream.ts));
        next_of(&self.deletions).unwrap_or(Deleted::Yes)
    }
}

/// What a test says about the next call; `None` if nothing.
fn next_of<T>(scripted: &Mutex<Vec<T>>) -> Option<T> {
    let mut scripted = scripted.lock().unwrap();
    if scripted.is_empty() { None } else { Some(scripted.remove(0)) }
}

fn posted() -> PostOutcome {
    PostOutcome::Posted { ts: Some("2.2".to_owned()) }
}

fn refused(retry: Retry) -> PostOutcome {
    PostOutcome::Refused { reason: "slack_invalid_auth".to_owned(), retry, retry_after: None }
}

/// What Slack says of the asker of these tests, a member but for the changes.
fn person(changes: &Value) -> PersonOutcome {
    let mut user = json!({ "id": "U1", "team_id": "T1" });
    user.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    PersonOutcome::Known(Person::read(user.as_object().unwrap()))
}

/// What a tool answers.
fn made() -> Value {
    json!({ "content": [{ "type": "text", "text": "made" }], "isError": false })
}

fn unknown() -> PostOutcome {
    PostOutcome::Unknown { reason: "no_answer".to_owned() }
}

type Here = Arc<World>;

struct Scene {
    world: Here,
    settle: Settle<Here, Here, Here, Here, Here, Here>,
    key: RecordKey,
}

fn token(bits: u128) -> Token {
    Token::from_bits(bits)
}

/// The dispatcher's token, and the claimer's.
const DISPATCHERS: u128 = 1;
const CLAIMERS: u128 = 2;

const SIGN: Operation = Operation::Sign { title: None };

impl Scene {
    fn new() -> Self {
        Self::with(SettleSettings::new(WAIT))
    }

    fn with(settings: SettleSettings) -> Self {
        let world = Here::default();
        let [store, queue, slack, tools, tokens, clock] = std::array::from_fn(|_| Arc::clone(&world));
        let settle = Settle::new(store, queue, slack, Some(tools), tokens, clock, settings);
        Self { world, settle, key: RecordKey::of_question("A1:C1:1531420618.000100") }
    }

    fn place() -> Place {
        Place {
            tenant: Some("T1".to_owned()),
            api_app_id: Some("A1".to_owned()),
            team_id: Some("T1".to_owned()),
            channel: "C1".to_owned(),
            thread_ts: Some("1531420618.000100".to_owned()),
            user: Some("U1".to_owned()),
            asked_at: SlackTs::parse("1531420618.000100").unwrap(),
            response_url: None,
        }
    }

    /// A question that the dispatcher has taken.
    async fn taken() -> Self {
        Self::new().into_taken().await
    }

    async fn into_taken(self) -> Self {
        let scene = self;
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(Self::place())).await, Errand::Call);
        scene
    }

    /// A question that somebody works on.
    async fn claimed() -> Self {
        Self::taken().await.into_claimed().await
    }

    async fn into_claimed(self) -> Self {
        let scene = self;
        let claimed = scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
        assert_eq!(claimed.outcome(), "claimed");
        scene.world.queue.lock().unwrap().clear();
        scene
    }

    /// The dispatcher receives the message once more.
    async fn receive(&self, handle: &str, bits: u128, place: Option<Place>) -> Errand {
        let receive = Receive { message_id: "m1".to_owned(), handle: handle.to_owned() };
        let stop = match place.as_ref().and_then(Place::stop_key) {
            Some(key) => self.world.store.stop(&key).await.unwrap(),
            None => None,
        };
        let (token, files) = (token(bits), self.world.files.lock().unwrap().clone());
        update(&self.world, &self.world, &self.key, |record, now| {
            let received = Received {
                receive: &receive,
                receives: receive.handle.trim_start_matches('h').parse().unwrap(),
                now,
                lease_until: now.after(LEASE),
                token: &token,
                place: place.as_ref(),
                files: &files,
                for_agent: true,
                stopped_at: stop.as_ref().map(|stop| &stop.at),
                trace_id: None,
                conversation: None,
                app_users: &[],
                resumes: None,
                is_lapse: false,
                was_dead_letter: false,
            };
            receive::on_receive(record, &received, LIMITS)
        })
        .await
        .unwrap()
    }

    async fn run(&self, bits: u128, operation: Operation) -> (Answer, SettleReport) {
        let request = Request { key: self.key.clone(), token: token(bits), operation, used: None };
        let (answer, report) = self.settle.run(&request).await;
        (answer.unwrap(), report)
    }

    async fn ask(&self, bits: u128, operation: Operation) -> Answer {
        self.run(bits, operation).await.0
    }

    async fn answer(&self, text: &str) -> Answer {
        self.ask(CLAIMERS, Operation::Answer { text: Some(text.to_owned()), together: Vec::new() }).await
    }

    fn fails(self, outcomes: impl IntoIterator<Item = PostOutcome>) -> Self {
        self.world.posts.lock().unwrap().extend(outcomes);
        self
    }

    fn queue(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.queue.lock().unwrap())
    }

    fn texts(&self) -> Vec<String> {
        self.world.posted.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    async fn state(&self) -> State {
        self.world.store.read(&self.key, self.world.now()).await.unwrap().record.unwrap().state
    }

    async fn stop(&self, at: &str) {
        let key = Self::place().stop_key().unwrap();
        self.world.store.put_stop(&key, &SlackTs::parse(at).unwrap(), self.world.now()).await.unwrap();
    }
}

fn told(why: &str) -> State {
    State::Told { why: why.to_owned(), told_for: Some("m1".to_owned()), token: Some(token(CLAIMERS)) }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_posted_once_and_its_message_deleted() {
    let scene = Scene::claimed().await;
    scene.world.pass(4 * SECOND);
    let (answer, report) =
        scene.run(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() }).await;
    assert_eq!(answer, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(
        (scene.texts(), scene.queue()),
        (vec!["42".to_owned()], vec!["h1 in 90".into(), "h1 deleted".into()])
    );
    assert_eq!((report.ended, report.attempts), (Some(Ended::Answered), Some(1)));
    assert_eq!(report.time_to_answer, Some(Duration::from_millis(4500)));
    assert_eq!(*scene.world.statuses.lock().unwrap(), ["active"]);
    // The same call again, because its answer was lost.
    assert_eq!(scene.answer("42").await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(scene.texts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_not_the_token_changes_nothing() {
    let scene = Scene::claimed().await;
    let before = scene.state().await;
    for bits in [DISPATCHERS, 3] {
        assert_eq!(scene.ask(bits, Operation::Claim { new: token(7) }).await, Answer::Gone);
        assert_eq!(scene.ask(bits, Operation::Beat).await, Answer::Cancel { why: "gone" });
        assert_eq!(
            scene.ask(bits, Operation::Answer { text: Some("no".to_owned()), together: Vec::new() }).await,
            Answer::Gone
        );
        assert_eq!(
            scene.ask(bits, Operation::Answer { text: None, together: Vec::new() }).await,
            Answer::Gone
        );
        assert_eq!(scene.ask(bits, Operation::Refuse { why: "x".to_owned() }).await, Answer::Gone);
        assert_eq!(scene.ask(bits, Operation::Post).await, Answer::Gone);
        assert_eq!(scene.ask(bits, Operation::Release).await, Answer::Gone);
    }
    assert_eq!((scene.state().await, scene.queue(), scene.texts()), (before, vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_claim_made_again_is_answered_as_the_first_time() {
    let scene = Scene::taken().await;
    let claim = || Operation::Claim { new: token(CLAIMERS) };
    let first = scene.ask(DISPATCHERS, claim()).await;
    assert!(matches!(&first, Answer::Claimed { attempt: 1, place: Some(_), .. }), "{first:?}");
    assert_eq!(scene.ask(DISPATCHERS, claim()).await, first);
    let other = Operation::Claim { new: token(3) };
    assert_eq!(scene.ask(DISPATCHERS, other).await, Answer::Gone, "another process with the same invocation");
}

#[tokio::test(start_paused = true)]
async fn a_beat_renews_lease_and_visibility_every_third_time() {
    let scene = Scene::claimed().await;
    for (beat, renewed) in [(1, false), (2, false), (3, true), (4, false), (5, false), (6, true)] {
        scene.world.pass(10 * SECOND);
        assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::GoOn);
        let expected: Vec<String> = if renewed { vec!["h1 in 90".to_owned()] } else { vec![] };
        assert_eq!(scene.queue(), expected, "beat {beat}");
    }
    // The queue is not to be reached. That cancels nothing.
    *scene.world.queue_fails.lock().unwrap() = true;
    scene.world.pass(30 * SECOND);
    let (answer, report) = scene.run(CLAIMERS, Operation::Beat).await;
    assert_eq!((answer, report.errors.len()), (Answer::GoOn, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_cancels_at_the_next_beat_and_nothing_is_posted() {
    let scene = Scene::claimed().await;
    scene.stop("1531420617.000000").await;
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::GoOn, "the question came after that stop");
    scene.stop("1531420619.000000").await;
    let (answer, report) = scene.run(CLAIMERS, Operation::Beat).await;
    assert_eq!((answer, report.ended), (Answer::Cancel { why: "stopped" }, Some(Ended::Stopped)));
    assert_eq!(scene.queue(), ["h1 in 0"]);
    assert_eq!(*scene.world.statuses.lock().unwrap(), ["active"]);
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::Cancel { why: "stopped" });
    assert_eq!(scene.answer("too late").await, Answer::Gone);
    assert_eq!(scene.texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_claim_or_before_the_intent_ends_the_question() {
    let scene = Scene::taken().await;
    scene.stop("1531420618.000100").await;
    let claim = Operation::Claim { new: token(CLAIMERS) };
    assert_eq!(scene.ask(DISPATCHERS, claim).await, Answer::Gone);
    assert_eq!(scene.queue(), ["h1 in 0"]);

    let scene = Scene::claimed().await;
    scene.stop("1531420618.000100").await;
    assert_eq!(scene.answer("too late").await, Answer::Gone);
    assert_eq!((scene.texts(), scene.queue()), (vec![], vec!["h1 in 0".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_question_is_cancelled() {
    let scene = Scene::claimed().await;
    let deleted = update(&scene.world, &scene.world, &scene.key, receive::on_deletion).await.unwrap();
    assert_eq!(deleted.unwrap().handle, "h1");
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await, Answer::Cancel { why: DELETED });
    assert_eq!(scene.answer("too late").await, Answer::Gone);
    assert_eq!(scene.texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_post_keeps_its_text_and_goes_out_later_without_another_thought() {
    let scene = Scene::claimed().await.fails([refused(Retry::AfterChange)]);
    let (answer, report) =
        scene.run(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() }).await;
    assert_eq!((answer, report.failure.as_deref()), (Answer::TakenOver, Some("slack_invalid_auth")));
    let State::Posting(posting) = scene.state().await else { panic!("the text is kept") };
    assert_eq!((posting.text.as_str(), posting.nonce), ("42", None));
    let queue = scene.queue();
    assert_eq!(queue[0], "h1 in 90");
    assert!(["h1 in 3", "h1 in 4", "h1 in 5"].contains(&queue[1].as_str()), "{queue:?}");

    assert_eq!(scene.receive("h2", 5, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(CLAIMERS, Operation::Post).await, Answer::Gone, "the token is the dispatcher's now");
    assert_eq!(scene.ask(5, Operation::Post).await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!((scene.texts(), scene.queue()), (vec!["42".to_owned()], vec!["h2 deleted".to_owned()]));
    assert_eq!(scene.ask(5, Operation::Post).await, Answer::Answered { ts: Some("2.2".to_owned()) });
}

/// A post of which nobody knows whether Slack took it, seen by a first receive and taken up by a second.
async fn in_doubt(took_it: bool) -> Scene {
    let scene = Scene::claimed().await.fails([unknown()]);
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    if took_it {
        let State::Posting(Posting { nonce: Some(nonce), .. }) = scene.state().await else {
            panic!("a nonce")
        };
        scene.world.posted.lock().unwrap().push((nonce.as_str().to_owned(), "42".to_owned()));
    }
    assert_eq!(scene.receive("h2", 5, Some(Scene::place())).await, Errand::PutOff(WAIT));
    assert_eq!(scene.ask(CLAIMERS, Operation::Post).await, Answer::TakenOver, "nobody asks before the wait");
    scene.world.pass(WAIT);
    assert_eq!(scene.receive("h3", 6, Some(Scene::place())).await, Errand::Post);
    scene.queue();
    scene
}

#[tokio::test(start_paused = true)]
async fn what_stands_already_is_found_and_not_posted_again() {
    let scene = in_doubt(true).await;
    assert_eq!(scene.ask(6, Operation::Post).await, Answer::Answered { ts: Some("9.9".to_owned()) });
    assert_eq!((scene.texts(), scene.queue()), (vec!["42".to_owned()], vec!["h3 deleted".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_stand_is_posted_under_a_new_nonce() {
    let scene = in_doubt(false).await;
    assert_eq!(scene.ask(6, Operation::Post).await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(scene.texts(), ["42"]);
}

#[tokio::test(start_paused = true)]
async fn where_slack_cannot_be_asked_nothing_is_posted_again_and_a_person_hears_of_it() {
    let scene = in_doubt(true).await;
    let cannot =
        |retry| FindOutcome::CannotAsk { reason: "slack_missing_scope".to_owned(), retry, retry_after: None };
    scene.world.finds.lock().unwrap().extend([cannot(Retry::Later), cannot(Retry::AfterChange)]);
    let (answer, report) = scene.run(6, Operation::Post).await;
    assert_eq!((answer, report.outcome_unknown), (Answer::TakenOver, false));
    assert_eq!(scene.queue().len(), 1, "put off");
    let (answer, report) = scene.run(6, Operation::Post).await;
    assert_eq!(
        (answer, report.outcome_unknown, report.ended),
        (Answer::TakenOver, true, Some(Ended::Untold))
    );
    assert_eq!((scene.texts(), scene.queue()), (vec!["42".to_owned()], vec!["h3 in 0".to_owned()]));
    let dead_letter = Errand::DeadLetter { why: "outcome_unknown".to_owned() };
    assert_eq!(scene.receive("h4", 7, Some(Scene::place())).await, dead_letter);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_tells_the_asker_and_the_message_becomes_a_dead_letter() {
    let scene = Scene::claimed().await;
    let (answer, report) = scene.run(CLAIMERS, Operation::Refuse { why: "thinking_failed".to_owned() }).await;
    assert_eq!((answer, report.ended), (Answer::Told, Some(Ended::Told)));
    assert_eq!(report.failure.as_deref(), Some("thinking_failed"));
    assert_eq!(scene.texts(), [answer_text::apology("thinking_failed")]);
    assert_eq!(
        (scene.state().await, scene.queue()),
        (told("thinking_failed"), vec!["h1 in 90".into(), "h1 in 0".into()])
    );
    let dead_letter = Errand::DeadLetter { why: "thinking_failed".to_owned() };
    assert_eq!(scene.receive("h2", 5, Some(Scene::place())).await, dead_letter);
    assert_eq!(
        scene.ask(CLAIMERS, Operation::Refuse { why: "thinking_failed".to_owned() }).await,
        Answer::Told
    );
    assert_eq!(scene.texts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_post_that_slack_takes_never_is_a_dead_letter_at_once() {
    let scene = Scene::claimed().await.fails([refused(Retry::Never)]);
    let (answer, report) =
        scene.run(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() }).await;
    assert_eq!((answer, report.ended), (Answer::TakenOver, Some(Ended::Untold)));
    assert_eq!(scene.queue().last().map(String::as_str), Some("h1 in 0"));
    assert_eq!(scene.state().await, told("untold"));
}

#[tokio::test(start_paused = true)]
async fn where_the_app_may_not_post_a_command_is_answered_by_its_response_url() {
    let url = "https://hooks.slack.com/commands/T1/1/x";
    let place = Place { response_url: Some(url.to_owned()), ..Scene::place() };
    for (past, expected) in
        [(SECOND, Answer::Answered { ts: Some("2.2".to_owned()) }), (RESPONSE_URL_LIFE, Answer::TakenOver)]
    {
        let scene = Scene::new().fails([refused(Retry::AfterChange)]);
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(place.clone())).await, Errand::Call);
        scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
        scene.world.pass(past);
        assert_eq!(scene.answer("42").await, expected);
        let by_url = scene.world.posted.lock().unwrap().first().map(|(mark, _)| mark.clone());
        assert_eq!(by_url, (past == SECOND).then(|| url.to_owned()));
    }
    // Nobody can find out whether Slack took what went by the URL, so it is not sent again.
    let scene = Scene::new().fails([refused(Retry::AfterChange), unknown()]);
    scene.receive("h1", DISPATCHERS, Some(place.clone())).await;
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    assert_eq!(scene.receive("h2", 5, Some(place.clone())).await, Errand::PutOff(WAIT));
    scene.world.pass(WAIT);
    assert_eq!(scene.receive("h3", 6, Some(place.clone())).await, Errand::Post);
    let (_, report) = scene.run(6, Operation::Post).await;
    assert!(report.outcome_unknown);
    assert_eq!(scene.texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_response_url_that_is_used_up_leaves_the_answer_to_the_channel() {
    let url = "https://hooks.slack.com/commands/T1/1/x";
    let place = Place { response_url: Some(url.to_owned()), ..Scene::place() };
    let scene = Scene::new().fails([refused(Retry::AfterChange), refused(Retry::Never)]);
    scene.receive("h1", DISPATCHERS, Some(place.clone())).await;
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    assert!(matches!(scene.state().await, State::Posting(_)), "the token may still be put");
    assert_eq!(scene.receive("h2", 5, Some(place)).await, Errand::Post);
    assert_eq!(scene.ask(5, Operation::Post).await.outcome(), "answered");
    let by = scene.world.posted.lock().unwrap().first().map(|(mark, _)| mark.clone()).unwrap();
    assert_ne!(by, url, "in the channel");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_comes_too_late_is_no_failure() {
    let scene = Scene::claimed().await;
    scene.answer("42").await;
    let (answer, report) = scene.run(9, Operation::Refuse { why: "gave_up".to_owned() }).await;
    assert_eq!((answer, report.failure), (Answer::Gone, None));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_goes_out_in_parts_and_what_is_left_of_it_by_others() {
    let long = "word ".repeat(2500);
    let parts = answer_text::parts(&answer_text::within_limit(&long));
    assert!(parts.len() > 2, "or there is nothing to see");
    let scene = Scene::claimed().await;
    assert_eq!(scene.answer(&long).await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(scene.texts(), parts);

    // Each post takes so long that there is time for two of them.
    let scene = Scene::claimed().await;
    *scene.world.post_takes.lock().unwrap() = LAST_CALL / 2 + Duration::from_millis(1);
    assert_eq!(scene.answer(&long).await, Answer::TakenOver);
    assert_eq!(scene.texts(), parts[..2]);
    assert_eq!(scene.queue().last().map(String::as_str), Some("h1 in 0"));
    *scene.world.post_takes.lock().unwrap() = Duration::ZERO;
    assert_eq!(scene.receive("h2", 5, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(5, Operation::Post).await.outcome(), "answered");
    assert_eq!(scene.texts(), parts);
}

#[tokio::test(start_paused = true)]
async fn a_question_given_back_is_free_and_its_attempt_is_not_counted() {
    let scene = Scene::claimed().await;
    assert_eq!(scene.ask(CLAIMERS, Operation::Release).await, Answer::Released);
    assert_eq!((scene.state().await, scene.queue()), (State::Free, vec!["h1 in 0".to_owned()]));
    assert_eq!(scene.receive("h2", 5, Some(Scene::place())).await, Errand::Call);
    let claimed = scene.ask(5, Operation::Claim { new: token(6) }).await;
    assert!(matches!(claimed, Answer::Claimed { attempt: 1, .. }), "{claimed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_sign_is_taken_back_also_when_it_is_too_late_to_post() {
    let scene = Scene::claimed().await;
    *scene.world.post_takes.lock().unwrap() = LAST_CALL + Duration::from_secs(5);
    assert_eq!(scene.answer("It is 42.").await, Answer::Answered { ts: Some("2.2".to_owned()) });
    assert_eq!(*scene.world.statuses.lock().unwrap(), ["active"]);
}

#[tokio::test(start_paused = true)]
async fn the_sign_is_shown_while_somebody_works_and_taken_back_at_the_end() {
    let scene = Scene::taken().await;
    let (answer, report) = scene.run(DISPATCHERS, SIGN).await;
    assert_eq!((answer, report.time_to_first_sign), (Answer::Shown, Some(Duration::from_millis(500))));
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    assert_eq!(scene.ask(DISPATCHERS, SIGN).await, Answer::Shown, "the claimer came first");
    assert_eq!(scene.ask(9, SIGN).await, Answer::NotShown);
    scene.answer("42").await;
    assert_eq!(scene.ask(DISPATCHERS, SIGN).await, Answer::Ended);
    assert_eq!(*scene.world.statuses.lock().unwrap(), ["processing", "processing", "active", "active"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_answers_by_itself_ends_its_question_without_a_post() {
    let scene = Scene::claimed().await;
    assert_eq!(
        scene.ask(CLAIMERS, Operation::Answer { text: None, together: Vec::new() }).await,
        Answer::Answered { ts: None }
    );
    assert_eq!((scene.texts(), scene.queue()), (vec![], vec!["h1 deleted".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn an_event_without_a_place_is_answered_by_nobody_and_its_refusal_is_a_dead_letter() {
    let scene = Scene::new();
    assert_eq!(scene.receive("h1", DISPATCHERS, None).await, Errand::Call);
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    assert_eq!(scene.answer("42").await.outcome(), "invalid");
    let (answer, report) = scene.run(CLAIMERS, Operation::Refuse { why: "no_answer".to_owned() }).await;
    assert_eq!((answer, report.ended), (Answer::Told, Some(Ended::Untold)));
    assert_eq!((scene.state().await, scene.queue()), (told("no_answer"), vec!["h1 in 0".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn whatever_time_slack_names_the_delay_grows_and_ends() {
    for (named, least, most) in [(0, 3, 5), (7, 7, 7), (65_535, 900, 900)] {
        let refusal = PostOutcome::Refused {
            reason: "slack_ratelimited".to_owned(),
            retry: Retry::Later,
            retry_after: Some(Duration::from_secs(named)),
        };
        let scene = Scene::claimed().await.fails([refusal]);
        assert_eq!(scene.answer("42").await, Answer::TakenOver);
        let put_off = scene.queue().pop().unwrap();
        let seconds: u64 = put_off.strip_prefix("h1 in ").unwrap().parse().unwrap();
        assert!((least..=most).contains(&seconds), "{named}: {put_off}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_slack_takes_for_nothing_is_taken_over_also_when_it_is_given_again() {
    let scene = Scene::claimed().await.fails([refused(Retry::Never)]);
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
}

#[tokio::test(start_paused = true)]
async fn whoever_works_on_a_question_may_read_what_was_said_before_it() {
    let reply = "1531420619.000200";
    let scene = Scene { key: RecordKey::of_question(&format!("A1:C1:{reply}")), ..Scene::new() };
    let place = Place { asked_at: SlackTs::parse(reply).unwrap(), ..Scene::place() };
    assert_eq!(scene.receive("h1", DISPATCHERS, Some(place)).await, Errand::Call);
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    let message = |ts: &str| serde_json::json!({ "ts": ts, "user": "U1", "text": "before" });
    let messages = vec![message("1531420618.000100"), message(reply)];
    let refused =
        ReadOutcome::Unreadable { reason: "slack_missing_scope".to_owned(), retry: Retry::AfterChange };
    let read = ReadOutcome::Read { messages, is_whole: true };
    scene.world.readings.lock().unwrap().extend([read, refused]);
    let Answer::Thread { messages, is_whole: true, together: None } =
        scene.ask(CLAIMERS, Operation::Thread { together: false }).await
    else {
        panic!("it is read");
    };
    assert_eq!(messages.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["before"]);
    let (answer, report) = scene.run(CLAIMERS, Operation::Thread { together: false }).await;
    assert_eq!(answer, Answer::Unreadable { why: "slack_missing_scope".to_owned(), again: false });
    assert_eq!((report.outcome, report.why.as_deref()), (Some("unreadable"), Some("slack_missing_scope")));
    // The token that the claimer came with is gone, and so is the claimer's when the question has ended.
    assert_eq!(scene.ask(DISPATCHERS, Operation::Thread { together: false }).await, Answer::Gone);
    scene.answer("42").await;
    assert_eq!(scene.ask(CLAIMERS, Operation::Thread { together: false }).await, Answer::Gone);
}

/// The thread may have replies by then.
#[tokio::test(start_paused = true)]
async fn before_a_threads_first_message_that_an_edit_has_made_a_question_its_thread_is_read() {
    let scene = Scene::new();
    let edited = SlackTs::parse("1531420700.000000").unwrap();
    let place = Place { asked_at: edited, ..Scene::place() };
    assert_eq!(scene.receive("h1", DISPATCHERS, Some(place)).await, Errand::Call);
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    let message = |ts: &str| serde_json::json!({ "ts": ts, "user": "U1", "text": ts });
    let messages = vec![message("1531420618.000100"), message("1531420619.000000")];
    scene.world.readings.lock().unwrap().push(ReadOutcome::Read { messages, is_whole: true });
    let Answer::Thread { messages, .. } = scene.ask(CLAIMERS, Operation::Thread { together: false }).await
    else {
        panic!("it is read");
    };
    let texts: Vec<_> = messages.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(texts, ["1531420619.000000"], "without the question itself");
}

#[tokio::test(start_paused = true)]
async fn what_people_say_in_the_channel_of_a_command_is_not_read_and_before_a_threads_first_message_is_nothing()
 {
    for thread_ts in [None, Some("1531420618.000100".to_owned())] {
        let scene = Scene::new();
        let place = Place { thread_ts, ..Scene::place() };
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(place)).await, Errand::Call);
        scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
        let nothing = Answer::Thread { messages: Vec::new(), is_whole: true, together: None };
        assert_eq!(scene.ask(CLAIMERS, Operation::Thread { together: false }).await, nothing);
    }
}

const CARD: &str = "trello___create_card";

fn call_of(number: u32, name: &str) -> Operation {
    let arguments = json!({ "name": name }).to_string();
    Operation::Call { number, tool: CARD.to_owned(), arguments }
}

fn told_of(name: &str, number: u32, end: &Value) -> Value {
    let mut told = json!({ "n": number, "tool": CARD, "arguments": json!({ "name": name }).to_string() });
    for (name, value) in end.as_object().unwrap() {
        told[name] = value.clone();
    }
    told
}

impl Scene {
    async fn told(&self, bits: u128, operation: Operation) -> Value {
        self.ask(bits, operation).await.to_json()
    }

    fn cards(&self) -> Vec<String> {
        self.world.tool_calls.lock().unwrap().clone()
    }

    /// The claimer has died, and another attempt has claimed the question with this token.
    async fn taken_over(&self, bits: u128) -> Value {
        self.world.pass(LEASE + SECOND);
        assert_eq!(self.receive("h2", DISPATCHERS + 10, Some(Self::place())).await, Errand::Call);
        self.told(DISPATCHERS + 10, Operation::Claim { new: token(bits) }).await
    }
}

#[tokio::test]
async fn a_call_is_made_once_and_is_handed_over() {
    let scene = Scene::claimed().await;
    let called = json!({ "outcome": "called", "result": made() });
    for _again in 0..2 {
        assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await, called);
    }
    assert_eq!(scene.told(CLAIMERS, call_of(2, "b")).await, called);
    let claimed = scene.taken_over(7).await;
    assert_eq!((&claimed["outcome"], &claimed["tool_calls"]), (&json!("claimed"), &json!(2)));
    let calls = json!([told_of("a", 1, &called), told_of("b", 2, &called)]);
    assert_eq!(scene.told(7, Operation::Calls).await, json!({ "outcome": "calls", "calls": calls }));
    // An agent that does the same again from the beginning gets the same.
    assert_eq!(scene.told(7, call_of(1, "a")).await, called);
    // One that does something else is told what was done.
    let another = json!({ "outcome": "another call", "call": told_of("b", 2, &called) });
    assert_eq!(scene.told(7, call_of(2, "c")).await, another);
    assert_eq!(scene.told(7, call_of(3, "c")).await, called);
    let card = |name: &str| format!("{CARD} {}", json!({ "name": name }));
    assert_eq!(scene.cards(), [card("a"), card("b"), card("c")]);
}

#[tokio::test]
async fn of_a_call_whose_end_nobody_wrote_down_the_next_attempt_knows_nothing() {
    let scene = Scene::claimed().await;
    *scene.world.ends_are_lost.lock().unwrap() = true;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await, json!({ "outcome": "under way" }));
    scene.taken_over(7).await;
    let unknown = json!({ "outcome": "unknown", "why": "died" });
    let calls = json!([told_of("a", 1, &unknown)]);
    assert_eq!(scene.told(7, Operation::Calls).await["calls"], calls);
    assert_eq!(scene.told(7, call_of(1, "a")).await, unknown);
    assert_eq!(scene.cards().len(), 1);
}

#[tokio::test]
async fn what_was_counted_and_not_begun_is_closed_by_whoever_reads_the_journal() {
    let scene = Scene::claimed().await;
    // The first attempt counts its call, and is paused before it begins it.
    let request = token(CLAIMERS);
    let now = Now { now: scene.world.now(), stopped_at: None };
    let counted = update(&scene.world, &scene.world, &scene.key, |record, _| {
        operations::count_call(record, &request, 1, now)
    });
    assert_eq!(counted.await.unwrap(), Counted::Yes { place: Some(Scene::place()) });
    assert_eq!(scene.taken_over(7).await["tool_calls"], 1);
    assert_eq!(scene.told(7, Operation::Calls).await["calls"], json!([]));
    // The paused process writes its entry, and finds the number closed.
    let late = Entry::Call(ToolCall {
        tool: CARD.to_owned(),
        arguments: "{}".to_owned(),
        nonce: token(99),
        begun_at: scene.world.now(),
        approval: None,
        end: None,
    });
    let stands = scene.world.store.begin_call(&scene.key, 1, &late, scene.world.now()).await.unwrap();
    assert_eq!(stands, Some(Entry::Closed));
    let not_called = json!({ "outcome": "not called", "why": "closed" });
    assert_eq!(scene.told(7, call_of(1, "a")).await, not_called);
    assert_eq!(scene.told(7, call_of(2, "a")).await["outcome"], "called");
    assert_eq!(scene.cards().len(), 1);
}

#[tokio::test]
async fn who_is_no_longer_at_work_calls_nothing() {
    let scene = Scene::claimed().await;
    assert_eq!(scene.told(DISPATCHERS, call_of(1, "a")).await["outcome"], "gone");
    scene.taken_over(7).await;
    for operation in [call_of(1, "a"), Operation::Calls] {
        assert_eq!(scene.told(CLAIMERS, operation).await["outcome"], "gone");
    }
    let stop = Scene::place().stop_key().unwrap();
    let at = SlackTs::parse("1531420699.000000").unwrap();
    scene.world.store.put_stop(&stop, &at, scene.world.now()).await.unwrap();
    let (answer, report) = scene.run(7, call_of(1, "a")).await;
    assert_eq!((answer, report.ended), (Answer::Gone, Some(Ended::Stopped)));
    assert_eq!(scene.cards(), [""; 0]);
}

#[tokio::test]
async fn an_outcome_is_kept_as_it_is() {
    let why = || "gateway_503".to_owned();
    for (outcome, word) in [
        (ToolOutcome::NotCalled { reason: why() }, "not called"),
        (ToolOutcome::Unknown { reason: why(), result: None }, "unknown"),
    ] {
        let scene = Scene::claimed().await;
        scene.world.tools.lock().unwrap().push(outcome);
        let told = json!({ "outcome": word, "why": "gateway_503" });
        for _again in 0..2 {
            assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await, told);
        }
        assert_eq!(scene.cards().len(), 1);
    }
}

#[tokio::test]
async fn a_call_whose_beginning_was_written_and_not_confirmed_is_made() {
    let scene = Scene::claimed().await;
    *scene.world.answers_lost.lock().unwrap() = 1;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    *scene.world.answers_lost.lock().unwrap() = 2;
    let request =
        Request { key: scene.key.clone(), token: token(CLAIMERS), operation: call_of(2, "b"), used: None };
    assert!(scene.settle.run(&request).await.0.is_err());
    // It stands as begun, and nobody may know that it was not.
    assert_eq!(scene.told(CLAIMERS, call_of(2, "b")).await["outcome"], "under way");
    scene.world.pass(journal::UNDER_WAY);
    assert_eq!(scene.told(CLAIMERS, call_of(2, "b")).await["outcome"], "unknown");
    assert_eq!(scene.cards().len(), 1);
}

#[tokio::test]
async fn of_an_answered_question_nothing_is_kept_of_what_its_tools_were_told() {
    for text in [Some("42".to_owned()), None] {
        let scene = Scene::claimed().await;
        scene.told(CLAIMERS, call_of(1, "a")).await;
        scene.told(CLAIMERS, call_of(2, "b")).await;
        assert_eq!(
            scene.ask(CLAIMERS, Operation::Answer { text, together: Vec::new() }).await.outcome(),
            "answered"
        );
        for number in [1, 2] {
            let stands = scene.world.store.read_call(&scene.key, number).await.unwrap();
            assert_eq!(stands, Some(Entry::Closed));
        }
    }
    // Nor of one that was stopped at work.
    let scene = Scene::claimed().await;
    scene.told(CLAIMERS, call_of(1, "a")).await;
    let at = SlackTs::parse("1531420699.000000").unwrap();
    scene.world.store.put_stop(&Scene::place().stop_key().unwrap(), &at, scene.world.now()).await.unwrap();
    assert_eq!(scene.ask(CLAIMERS, Operation::Beat).await.outcome(), "cancel");
    assert_eq!(scene.world.store.read_call(&scene.key, 1).await.unwrap(), Some(Entry::Closed));
    // One that was told may start over, and has to know.
    let scene = Scene::claimed().await;
    scene.told(CLAIMERS, call_of(1, "a")).await;
    scene.ask(CLAIMERS, Operation::Refuse { why: "thinking_failed".to_owned() }).await;
    let stands = scene.world.store.read_call(&scene.key, 1).await.unwrap();
    assert!(matches!(stands, Some(Entry::Call(_))));
}

#[tokio::test]
async fn numbers_may_be_left_out_and_end() {
    let scene = Scene::claimed().await;
    assert_eq!(scene.told(CLAIMERS, call_of(3, "a")).await["outcome"], "called");
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    assert_eq!(scene.told(CLAIMERS, Operation::Calls).await["calls"].as_array().unwrap().len(), 2);
    let closed = scene.told(CLAIMERS, call_of(2, "a")).await;
    assert_eq!(closed["outcome"], "not called");
    for number in 4..=journal::MAX_CALLS {
        assert_eq!(scene.told(CLAIMERS, call_of(number, "a")).await["outcome"], "called");
    }
    let told = scene.told(CLAIMERS, call_of(journal::MAX_CALLS + 1, "a")).await;
    assert_eq!(told, json!({ "outcome": "not called", "why": "too_many_calls" }));
}

#[tokio::test]
async fn late_in_an_invocation_no_call_is_begun() {
    let scene = Scene::claimed().await;
    let claimers = token(CLAIMERS);
    let call = Call::new(&scene.key, &claimers, scene.world.moment(), SettleReport::default());
    tokio::time::pause();
    tokio::time::advance(LAST_CALL + SECOND).await;
    let mut call = call;
    let answer = scene.settle.call_tool(1, CARD, r#"{"name":"a"}"#, &mut call).await.unwrap();
    assert_eq!(answer, Answer::Called(Called::UnderWay));
    assert_eq!(scene.cards(), [""; 0]);
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
}

#[tokio::test]
async fn a_question_that_starts_over_knows_what_was_done_for_it() {
    let scene = Scene::claimed().await;
    assert_eq!(scene.told(CLAIMERS, call_of(1, "a")).await["outcome"], "called");
    let refused = scene.ask(CLAIMERS, Operation::Refuse { why: "thinking_failed".to_owned() }).await;
    assert_eq!(refused, Answer::Told);
    let told = scene.world.store.read(&scene.key, scene.world.now()).await.unwrap().record.unwrap();
    let receive = Receive { message_id: "m2".to_owned(), handle: "h9".to_owned() };
    let (again, place) = (token(9), Scene::place());
    let received = Received {
        receive: &receive,
        receives: 1,
        now: scene.world.now(),
        lease_until: scene.world.now().after(LEASE),
        token: &again,
        place: Some(&place),
        files: &[],
        for_agent: true,
        stopped_at: None,
        trace_id: None,
        conversation: None,
        app_users: &[],
        resumes: None,
        is_lapse: false,
        was_dead_letter: true,
    };
    let taken = receive::on_receive(Some(&told), &received, LIMITS).write.unwrap();
    assert_eq!((taken.attempts, taken.tool_calls), (0, 1));
}

fn with_buttons() -> Scene {
    Scene::with(SettleSettings { feedback_buttons: true, ..SettleSettings::new(WAIT) })
}

fn refused_for(reason: &str) -> PostOutcome {
    PostOutcome::Refused { reason: reason.to_owned(), retry: Retry::Never, retry_after: None }
}

const QUESTION: &str = "A1:C1:1531420618.000100";

#[tokio::test(start_paused = true)]
async fn the_last_part_of_an_answer_has_buttons_if_they_are_set() {
    let long = "word ".repeat(2000);
    let scene = with_buttons().into_taken().await.into_claimed().await;
    assert_eq!(scene.answer(&long).await.outcome(), "answered");
    assert_eq!(*scene.world.buttons.lock().unwrap(), [None, None, Some(QUESTION.to_owned())]);
    let scene = Scene::claimed().await;
    scene.answer(&long).await;
    assert_eq!(*scene.world.buttons.lock().unwrap(), [None, None, None]);
}

#[tokio::test(start_paused = true)]
async fn what_says_that_there_is_no_answer_has_no_buttons() {
    let scene = with_buttons().into_taken().await.into_claimed().await;
    scene.ask(CLAIMERS, Operation::Refuse { why: "no_answer".to_owned() }).await;
    assert_eq!(*scene.world.buttons.lock().unwrap(), [None]);
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_stop_has_no_buttons_and_the_answer_to_a_command_does() {
    let of = async |id: &str, response_url: Option<&str>| {
        let scene = Scene { key: RecordKey::of_question(id), ..with_buttons() };
        let place = Place { response_url: response_url.map(str::to_owned), ..Scene::place() };
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(place)).await, Errand::Call);
        let text = Operation::Answer { text: Some("Stopped: 1 question.".to_owned()), together: Vec::new() };
        assert_eq!(scene.ask(DISPATCHERS, text).await.outcome(), "answered");
        scene.world.buttons.lock().unwrap().clone()
    };
    assert_eq!(of("Ev1", None).await, [None]);
    assert_eq!(of("0a1b", Some("https://hooks.slack.com/x")).await, [Some("0a1b".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_goes_by_the_response_url_has_no_buttons() {
    let scene = with_buttons();
    let place = Place { response_url: Some("https://hooks.slack.com/x".to_owned()), ..Scene::place() };
    assert_eq!(scene.receive("h1", DISPATCHERS, Some(place)).await, Errand::Call);
    let scene = scene.into_claimed().await.fails([refused(Retry::AfterChange)]);
    assert_eq!(scene.answer("42").await.outcome(), "answered");
    assert_eq!(scene.world.posted.lock().unwrap()[0].0, "https://hooks.slack.com/x");
    assert_eq!(scene.world.buttons.lock().unwrap().len(), 1, "the post that was refused");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_buttons_slack_refuses_stands_without_them() {
    for reason in REFUSED_BLOCKS {
        let scene = with_buttons().into_taken().await.into_claimed().await.fails([refused_for(reason)]);
        let (answer, report) = scene
            .run(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() })
            .await;
        assert_eq!((answer.outcome(), report.failure.as_deref()), ("answered", Some(reason)));
        assert_eq!(*scene.world.buttons.lock().unwrap(), [Some(QUESTION.to_owned()), None]);
        assert_eq!(scene.texts(), ["42"]);
    }
    // It is not the buttons that such a refusal is about.
    let scene =
        with_buttons().into_taken().await.into_claimed().await.fails([refused_for("slack_is_archived")]);
    assert_eq!(scene.answer("42").await, Answer::TakenOver);
    assert_eq!(scene.world.buttons.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_is_called_by_its_question_with_the_first_sign_if_that_is_set() {
    let title = format!("how\n<!channel> {}", "far ".repeat(100));
    let sign = || Operation::Sign { title: Some(title.clone()) };
    let titles = |scene: &Scene| scene.world.titles.lock().unwrap().clone();
    let set = SettleSettings { session_titles: true, ..SettleSettings::new(WAIT) };
    let scene = Scene::with(set).into_taken().await;
    assert_eq!(scene.ask(DISPATCHERS, sign()).await, Answer::Shown);
    let [Some(title)] = &titles(&scene)[..] else { panic!("no title") };
    assert!(title.starts_with("how !channel far") && title.encode_utf16().count() <= 200, "{title}");
    scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
    scene.answer("42").await;
    assert_eq!(scene.ask(DISPATCHERS, sign()).await, Answer::Ended);
    assert_eq!(titles(&scene)[1..], [None, None], "at its end nothing is called anything");

    let scene = Scene::taken().await;
    assert_eq!(scene.ask(DISPATCHERS, sign()).await, Answer::Shown);
    assert_eq!(titles(&scene), [None]);
}

#[tokio::test(start_paused = true)]
async fn the_prompts_of_the_configuration_are_suggested_and_without_any_slack_is_not_called() {
    let prompts = Prompts::read(r#"{"prompts": [{"title": "a", "message": "b"}]}"#).unwrap();
    let pane = PaneRequest { tenant: None, channel: "D1".to_owned(), thread_ts: None };
    let scene = Scene::with(SettleSettings { prompts: Some(prompts), ..SettleSettings::new(WAIT) });
    let (answer, report) = scene.settle.suggest_prompts(&pane).await;
    assert_eq!((answer, report.operation, report.outcome), (Answer::Shown, "prompts", Some("shown")));
    assert_eq!(*scene.world.suggested.lock().unwrap(), [("D1".to_owned(), None, 1)]);
    *scene.world.suggests_nothing.lock().unwrap() = true;
    let (answer, report) = scene.settle.suggest_prompts(&pane).await;
    assert_eq!((answer, report.not_shown.as_deref()), (Answer::NotShown, Some("slack_missing_scope")));
    assert!(report.failure.is_none() && report.errors.is_empty());

    let scene = Scene::new();
    assert_eq!(scene.settle.suggest_prompts(&pane).await.0, Answer::NotShown);
    assert!(scene.world.suggested.lock().unwrap().is_empty());
}

/// Everything that is done in Slack for a question is done for the installation that the dispatcher has written into its record.
/// No request of the agent's names one.
#[tokio::test(start_paused = true)]
async fn whatever_is_done_for_a_question_is_done_for_the_installation_in_its_record() {
    for tenant in ["T1", "E2"] {
        let reply = "1531420619.000200";
        let scene = Scene { key: RecordKey::of_question(&format!("A1:C1:{reply}")), ..Scene::new() };
        let place = Place {
            tenant: Some(tenant.to_owned()),
            asked_at: SlackTs::parse(reply).unwrap(),
            ..Scene::place()
        };
        let scene = scene.fails([unknown()]);
        assert_eq!(scene.receive("h1", DISPATCHERS, Some(place.clone())).await, Errand::Call);
        scene.ask(DISPATCHERS, SIGN).await;
        scene.ask(DISPATCHERS, Operation::Claim { new: token(CLAIMERS) }).await;
        let nothing = ReadOutcome::Read { messages: Vec::new(), is_whole: true };
        scene.world.readings.lock().unwrap().push(nothing);
        assert_eq!(scene.ask(CLAIMERS, Operation::Thread { together: false }).await.outcome(), "read");
        assert_eq!(scene.ask(CLAIMERS, call_of(1, "a")).await.outcome(), "called");
        assert_eq!(scene.answer("42").await, Answer::TakenOver);
        // Nobody knows whether it stands, so Slack is asked, and it is posted once more.
        scene.receive("h2", 20, Some(place.clone())).await;
        scene.world.pass(WAIT + SECOND);
        assert_eq!(scene.receive("h3", 21, Some(place)).await, Errand::Post);
        assert_eq!(scene.ask(21, Operation::Post).await.outcome(), "answered");
        let tenants = scene.world.tenants.lock().unwrap().clone();
        assert_eq!(tenants.iter().map(String::as_str).collect::<Vec<_>>(), [tenant]);
    }
}

/// Its token may be put while it waits.
#[tokio::test(start_paused = true)]
async fn an_answer_for_an_installation_without_a_token_waits_and_ends_as_untold() {
    let refusal = || PostOutcome::Refused {
        reason: "no_token_for_tenant".to_owned(),
        retry: Retry::AfterChange,
        retry_after: None,
    };
    let scene = Scene::claimed().await.fails([refusal()]);
    let (answer, report) =
        scene.run(CLAIMERS, Operation::Answer { text: Some("42".to_owned()), together: Vec::new() }).await;
    assert_eq!((answer, report.failure.as_deref()), (Answer::TakenOver, Some("no_token_for_tenant")));
    assert!(scene.texts().is_empty() && matches!(scene.state().await, State::Posting(_)));
    // The token is put: the same text goes out.
    assert_eq!(scene.receive("h2", 20, Some(Scene::place())).await, Errand::Post);
    assert_eq!(scene.ask(20, Operation::Post).await.outcome(), "answered");
    assert_eq!(scene.texts(), ["42"]);
    // It is never put: a day later the dead letter says so.
    let scene = Scene::claimed().await.fails([refusal()]);
    scene.answer("42").await;
    scene.world.pass(LIMITS.give_up_after);
    let errand = scene.receive("h2", 20, Some(Scene::place())).await;
    assert_eq!(errand, Errand::DeadLetter { why: "untold".to_owned() });
}

fn file(id: &str, size: Option<u64>) -> File {
    let mimetype = Some("image/png".to_owned());
    File { id: id.to_owned(), name: Some(format!("{id}.png")), mimetype, size, url: None }
}

fn read_file(id: &str) -> Operation {
    Operation::File { id: id.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn whoever_works_on_a_question_may_have_its_files_read_and_no_others() {
    let scene = Scene::new();
    *scene.world.files.lock().unwrap() = vec![file("F1", Some(3)), file("F2", None), file("F3", Some(0))];
    let scene = scene.into_taken().await.into_claimed().await;
    let answer = scene.ask(CLAIMERS, read_file("F1")).await;
    assert_eq!(
        answer.to_json(),
        json!({ "outcome": "read", "name": "F1.png", "mimetype": "image/png", "content": "/wAH" })
    );
    assert!(!format!("{answer:?}").contains("255"), "a log must not get the content: {answer:?}");
    let unreadable = |why: &str, again| Answer::Unreadable { why: why.to_owned(), again };
    assert_eq!(scene.ask(CLAIMERS, read_file("F2")).await, unreadable("too_large", false));
    assert_eq!(scene.ask(CLAIMERS, read_file("F3")).await, unreadable("timed_out", true));
    let (answer, report) = scene.run(CLAIMERS, read_file("F9")).await;
    assert_eq!(answer, unreadable("not_of_this_question", false));
    assert_eq!((report.operation, report.why.as_deref()), ("file", Some("not_of_this_question")));
    assert_eq!(*scene.world.files_read.lock().unwrap(), ["F1", "F2", "F3"], "Slack is not asked for others");
    assert_eq!(scene.world.tenants.lock().unwrap().iter().collect::<Vec<_>>(), ["T1"]);
    // The token that the claimer came with is gone, and so is the claimer's when the question has ended.
    assert_eq!(scene.ask(DISPATCHERS, read_file("F1")).await, Answer::Gone);
    scene.answer("42").await;
    assert_eq!(scene.ask(CLAIMERS, read_file("F1")).await, Answer::Gone);
    assert_eq!(scene.world.files_read.lock().unwrap().len(), 3);
}
