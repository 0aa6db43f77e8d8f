//! The other questions that stand in a question's thread (`TURNS=together`): which of them whoever works on it is given, and how they are
//! written down as answered by its answer. What the records become is decided in [`work::together`](crate::work::together).

use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

use super::{Call, Settle, withdrawal};
use crate::dedup::StoreError;
use crate::gateway::{AgentTools, SlackTools};
use crate::slack::asker::{Asker, Home};
use crate::slack::question::{Files, Place, Standing};
use crate::time::clock::Clock;
use crate::work::askers::AskerKey;
use crate::work::audit::{Act, AuditEntry};
use crate::work::operations::Intent;
use crate::work::queue::Queue;
use crate::work::record::Record;
use crate::work::together::{self, MAX_OTHERS, Other};
use crate::work::token::{Token, Tokens};
use crate::work::update::{update, update_together};
use crate::work::usage::{Taken, Taker};
use crate::work::{RecordKey, Stopped, WorkStore};

/// Most bytes of text, all that are given together: as much as one question may have.
const MAX_BYTES: usize = 100 * 1024;

/// For how long an answer waits for a question that a dispatcher has just taken, and gives back when the agent says that it is busy.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long it waits in between.
const PAUSE: Duration = Duration::from_millis(250);

/// A question as whoever works on another one in its thread is given it.
pub(super) fn to_json(standing: &Standing) -> Value {
    let Standing { id, ts, user, text, files } = standing;
    let listed: Vec<Value> = files
        .listed
        .iter()
        .map(|file| json!({ "id": file.id, "name": file.name, "mimetype": file.mimetype, "size": file.size }))
        .collect();
    json!({
        "question_id": id, "ts": ts.to_string(), "user": user, "text": text,
        "files": listed, "files_left_out": files.left_out,
    })
}

impl<W: WorkStore, Q: Queue, T: SlackTools, G: AgentTools, N: Tokens, C: Clock> Settle<W, Q, T, G, N, C> {
    /// Gives whoever has the token the other questions among these messages of the thread, and writes that down: those that were asked
    /// after the leading one, and those before it of which it is known that they wait. `None`: the token is not the record's any more.
    pub(super) async fn give_others(
        &self,
        leading: &Record,
        place: &Place,
        messages: &[Value],
        call: &mut Call<'_>,
    ) -> Result<Option<Vec<Standing>>, StoreError> {
        let stop = self.stop(call).await?;
        let stopped_at = stop.as_ref().map(|stop| &stop.at);
        let (mut given, mut left) = (Vec::new(), MAX_BYTES);
        for (standing, is_later) in standing(messages, place, leading, call.key.question_id()) {
            if given.len() == MAX_OTHERS {
                break;
            }
            if standing.text.len() > left {
                continue;
            }
            let (key, other) = (RecordKey::of_question(&standing.id), other(&standing));
            let record = self.store.read(&key, self.clock.now()).await?.record;
            let is_known = is_later || record.is_some();
            let may = is_known
                && together::may_join(&other, record.as_ref(), stopped_at)
                && is_of_tenant(record.as_ref(), place)
                && self.may_ask(&other, place).await?
                && self.is_within_limits(&key, &other.place(place), call).await?;
            if may {
                left = left.saturating_sub(standing.text.len());
                given.push(standing);
            }
        }
        // A message of before may come after one of later in the list.
        given.sort_by(|one, another| one.ts.cmp(&another.ts));
        self.before_others(&given, place, |by, with| Act::Given { with, by }, call).await?;
        let others: Vec<Other> = given.iter().map(other).collect();
        let token = call.token;
        let written =
            update(&self.store, &self.clock, call.key, |record, _| together::give(record, token, &others));
        let Some(written) = written.await? else { return Ok(None) };
        let of = |other: &Other| {
            let standing = given.iter().find(|standing| standing.id == other.question_id)?;
            // Those that the record has no room for cannot be read.
            let left_out = standing.files.listed.len().saturating_sub(other.files.len());
            let files = Files {
                listed: other.files.clone(),
                left_out: standing.files.left_out.saturating_add(left_out),
            };
            Some(Standing { files, ..standing.clone() })
        };
        Ok(Some(written.iter().filter_map(of).collect()))
    }

    /// Whether it is known that somebody may ask: whoever has asked the leading question may, and of others the table remembers what
    /// Slack has said of them. Nobody else is asked about here: their question has a turn of its own, which finds it out.
    async fn may_ask(&self, other: &Other, place: &Place) -> Result<bool, StoreError> {
        let Some(who_may_ask) = self.settings.together else { return Ok(false) };
        if other.user.is_some() && other.user == place.user {
            return Ok(true);
        }
        let asker = Asker { is_bot: false, home: Home::Unknown, installation: Vec::new() };
        if let Some(may) = who_may_ask.decide(&asker) {
            return Ok(may);
        }
        let Some(key) = AskerKey::of(&other.place(place)) else { return Ok(false) };
        let kind = self.store.kind(&key, self.clock.now()).await?;
        Ok(kind.is_some_and(|kind| who_may_ask.may(kind)))
    }

    /// Counts the question for its asker. If they have used up their questions or their tokens of the day, it has a turn of its own, in
    /// which they are told so. The tokens are those of whoever has asked the leading question: what is taken of this asker's is given
    /// back at once, and was taken to see that it is there.
    async fn is_within_limits(
        &self,
        key: &RecordKey,
        place: &Place,
        call: &Call<'_>,
    ) -> Result<bool, StoreError> {
        let counters = self.settings.limits.counters(Some(place));
        if counters.is_empty() {
            return Ok(true);
        }
        let by = Taker::Given(call.token.clone());
        let amounts = self.settings.limits.of_an_attempt();
        let taken = self.store.take(key, &by, &counters, &amounts, self.clock.now()).await?;
        if taken == Taken::Done && amounts.tokens > 0 {
            self.store.replace_taken(key, &by, 0, self.clock.now()).await?;
        }
        Ok(taken == Taken::Done)
    }

    /// Writes an entry of each of the other questions into the audit trail.
    async fn before_others<'a>(
        &'a self,
        others: &'a [Standing],
        place: &'a Place,
        act: impl Fn(&'a Token, &'a str) -> Act<'a>,
        call: &Call<'a>,
    ) -> Result<(), StoreError> {
        let entries = others.iter().map(|standing| (standing.id.as_str(), other(standing).place(place)));
        self.put_entries(entries, &act(call.token, call.key.question_id())).await
    }

    async fn put_entries<'a>(
        &self,
        of: impl Iterator<Item = (&'a str, Place)>,
        act: &Act<'_>,
    ) -> Result<(), StoreError> {
        let Some(rules) = &self.settings.audit else { return Ok(()) };
        let entries: Vec<AuditEntry> = of
            .map(|(id, place)| {
                let key = RecordKey::of_question(id);
                AuditEntry::of(rules, &key, Some(&place), act, self.clock.now())
            })
            .collect();
        let written = join_all(entries.iter().map(|entry| async {
            match self.store.put_audit(entry).await {
                // Perhaps it was written. The same entry again has the same answer.
                Err(_) => self.store.put_audit(entry).await,
                written => written,
            }
        }));
        written.await.into_iter().collect()
    }

    /// Writes down an answer with the other questions that it answers. Where a dispatcher has just taken one of these, it waits for a
    /// moment.
    pub(super) async fn intend_together(
        &self,
        text: Option<&str>,
        others: &[String],
        nonce: &Token,
        mut stop: Option<Stopped>,
        call: &mut Call<'_>,
    ) -> Result<Intent, StoreError> {
        let (token, leading_id) = (call.token, call.key.question_id());
        let leading = self.read(call).await?;
        let were_given = leading.as_ref().is_none_or(|leading| {
            others.iter().all(|id| leading.together.iter().any(|other| other.question_id == *id))
        });
        if !were_given {
            return self.apart(call).await;
        }
        if let Some(leading) = &leading
            && let Some(place) = &leading.place
        {
            let answered = leading.together.iter().filter(|other| others.contains(&other.question_id));
            let entries = answered.map(|other| (other.question_id.as_str(), other.place(place)));
            self.put_entries(entries, &Act::Joined { to: leading_id, by: token }).await?;
        }
        let keys: Vec<RecordKey> = others.iter().map(|id| RecordKey::of_question(id)).collect();
        let until = self.clock.moment().after(PATIENCE);
        loop {
            let intent =
                update_together(&self.store, &self.clock, call.key, &keys, |leading, records, now| {
                    let records: Vec<_> =
                        others.iter().map(String::as_str).zip(records.iter().copied()).collect();
                    let now = withdrawal(now, stop.as_ref());
                    together::intend(leading, leading_id, &records, token, text, nonce, now)
                });
            match intent.await? {
                Intent::Soon if !self.clock.is_past(until) => {
                    self.clock.sleep_until(self.clock.instant() + PAUSE).await;
                    stop = self.stop(call).await?;
                }
                Intent::Soon => return self.apart(call).await,
                intent => return Ok(intent),
            }
        }
    }

    /// Gives the question back, to be answered alone, if its worker was given others. Returns whether it was.
    pub(super) async fn release_to_answer_alone(&self, call: &mut Call<'_>) -> Result<bool, StoreError> {
        if self.settings.together.is_none() {
            return Ok(false);
        }
        if self.settings.audit.is_some() {
            // What the attempt has used is written down as its asker's.
            self.read(call).await?;
        }
        let token = call.token;
        let parted = update(&self.store, &self.clock, call.key, |record, _| together::parted(record, token));
        let Some(visible) = parted.await? else { return Ok(false) };
        call.has_ended_attempt = true;
        self.make_visible(&visible, call).await;
        Ok(true)
    }

    /// Gives the leading question back, because one that was to be answered with it is somebody else's by now.
    async fn apart(&self, call: &Call<'_>) -> Result<Intent, StoreError> {
        let token = call.token;
        update(&self.store, &self.clock, call.key, |record, _| together::apart(record, token)).await
    }
}

fn other(standing: &Standing) -> Other {
    Other {
        question_id: standing.id.clone(),
        user: Some(standing.user.clone()),
        asked_at: standing.ts.clone(),
        files: standing.files.listed.clone(),
    }
}

/// The other questions among these messages, each with whether it was asked after the leading one: of each kind at most
/// [`MAX_OTHERS`], and those that are nearest to it.
fn standing(messages: &[Value], place: &Place, leading: &Record, leading_id: &str) -> Vec<(Standing, bool)> {
    let read = |message: &Value| Standing::read(message, place, &leading.app_users);
    let mut all: Vec<Standing> =
        messages.iter().filter_map(read).filter(|standing| standing.id != leading_id).collect();
    all.sort_by(|one, another| one.ts.cmp(&another.ts));
    // The message that a thread begins with may come with each page.
    all.dedup_by(|later, earlier| later.ts == earlier.ts);
    // Of a message that an edit has made a question, what was asked before the edit is not later.
    let (later, before): (Vec<Standing>, Vec<Standing>) =
        all.into_iter().partition(|standing| standing.ts > place.asked_at);
    let last = before.len().saturating_sub(MAX_OTHERS);
    let later = later.into_iter().take(MAX_OTHERS).map(|standing| (standing, true));
    later.chain(before.into_iter().skip(last).map(|standing| (standing, false))).collect()
}

/// Whether a question was not first received for another installation than the leading one.
fn is_of_tenant(record: Option<&Record>, place: &Place) -> bool {
    let of_other = record.and_then(|record| record.place.as_ref());
    of_other.is_none_or(|other| other.tenant == place.tenant)
}
