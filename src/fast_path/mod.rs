//! The fast path: what Slack is answered at once, while the work behind the queue has not begun. Rules say it (`FAST_PATH`).
//!
//! Some requests want more than an empty 200 within three seconds: a command's text, a submission's `response_action`, a menu's
//! options, a modal while its `trigger_id` lives. What is here decorates the 200. It never decides whether an event is
//! recorded or sent, and what fails in it changes nothing about the event: `ingress` knows when it is asked, and puts the event on the
//! queue all the same.
//!
//! In reading order:
//! 1. This page: [`FastPath`], which plans an answer and carries it out.
//! 2. [`rules`]: what a rule is, and which one is for a request. `conditions`, `pattern`, `template` and `options` are its parts. All
//!    of it is pure.
//! 3. `document`: from JSON to rules, with all that is wrong at once; `shape`: what Slack takes as an answer.
//! 4. [`request`]: a signed request, as the rules see it.
//! 5. [`calls`]: Slack, a server, a Lambda function.
//!
//! This room imports `aws` (the signed call), `slack`, `telemetry` (the report) and `time`.

pub mod calls;
mod conditions;
mod document;
mod options;
mod pattern;
pub mod request;
pub mod rules;
mod shape;
mod template;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::slack::token_secrets::Installation;
use crate::telemetry::report::ingress::{FastPathOutcome, FastPathReport, ImmediateAnswer};
use crate::time::clock::{Clock, Moment, SystemClock};

use calls::{Calls, Failure};
use request::SignedForm;
use rules::{Ask, Plan, Rules, Step, Whom};

/// The rules, and what their calls are made with.
#[derive(Debug)]
pub struct FastPath {
    rules: Rules,
    calls: Calls,
}

/// What is to be done about a request by the rule that is for it.
#[derive(Debug)]
pub struct Planned<'a> {
    form: SignedForm,
    plan: Plan<'a>,
}

impl Planned<'_> {
    /// Whether the request goes on the queue as well.
    pub fn is_on_queue(&self) -> bool {
        self.plan.is_on_queue
    }

    /// Whether a menu that asks for its options can take what is to be done. One of the old style is an `interactive_message`, as a
    /// button of the old style is, whose rules say other things.
    pub fn is_for_a_menu(&self) -> bool {
        match &self.plan.step {
            Step::Answer(_) => self.form.name.ends_with("_suggestion"),
            Step::Open { .. } => false,
            Step::Ask(_) => true,
        }
    }

    /// What is done if nobody has to be called: it costs no time. `None` if somebody has.
    pub fn without_calls(&self) -> Option<FastPathReport> {
        match &self.plan.step {
            Step::Answer(answer) => {
                let answer = answer.as_ref().map(ImmediateAnswer::json);
                Some(bounded(FastPathReport::new(self.plan.rule, FastPathOutcome::Answered, answer)))
            }
            Step::Open { .. } | Step::Ask(_) => None,
        }
    }
}

impl FastPath {
    /// The fast path by these rules.
    pub fn new(rules: Rules, calls: Calls) -> Self {
        Self { rules, calls }
    }

    /// Prepares what the calls need. It never fails.
    pub async fn warm_up(&self) {
        self.calls.warm_up().await;
    }

    /// What the rules say about a request; `None` if none is for it. `recorded_id` is the id that it is recorded under.
    pub fn plan(&self, form: SignedForm, recorded_id: &str) -> Option<Planned<'_>> {
        // A fault of ours in a rule must not cost the event. The panic hook logs where it was.
        let plan = catch_unwind(AssertUnwindSafe(|| self.rules.plan(&form, recorded_id)));
        let plan = plan.unwrap_or_default()?;
        Some(Planned { form, plan })
    }

    /// Does what was planned, once, and is over at `until`. `installation` is the one that the request is for.
    pub fn carry_out<'a>(
        &'a self,
        planned: Planned<'a>,
        installation: Installation,
        until: Moment,
    ) -> BoxFuture<'a, FastPathReport> {
        let rule = planned.plan.rule;
        let work = AssertUnwindSafe(self.call(planned, installation, until));
        // Boxed, so that a request without a rule carries none of it. What panics in it is no reason to drop the send beside it.
        Box::pin(work.catch_unwind().map(move |done| done.map_or_else(|_| failed(rule, "panicked"), bounded)))
    }

    async fn call(&self, planned: Planned<'_>, installation: Installation, until: Moment) -> FastPathReport {
        let start = SystemClock.instant();
        let Planned { form, plan } = planned;
        let done = match plan.step {
            Step::Answer(answer) => {
                let answer = answer.as_ref().map(ImmediateAnswer::json);
                return FastPathReport::new(plan.rule, FastPathOutcome::Answered, answer);
            }
            Step::Open { view, answer, fallback } => {
                let opened = within(until, self.calls.open(&view, &form, &installation, until)).await;
                let json = |it: Option<Value>| it.as_ref().map(ImmediateAnswer::json);
                opened
                    .map(|()| (FastPathOutcome::Opened, json(answer)))
                    .map_err(|failure| (failure, json(fallback)))
            }
            Step::Ask(Ask { whom, timeout, fallback }) => {
                let until = until.min(SystemClock.moment().after(*timeout));
                let answer = match whom {
                    Whom::Source(url) => within(until, self.calls.source(url, &form, until)).await,
                    Whom::Function { name, path } => {
                        within(until, self.calls.function(name, path, &form, until)).await
                    }
                };
                let fallback =
                    || fallback.as_ref().map(|it| ImmediateAnswer::json(&template::fill(it, &form.fields)));
                answer
                    .map(|answer| (FastPathOutcome::Answered, Some(answer)))
                    .map_err(|failure| (failure, fallback()))
            }
        };
        let mut report = match done {
            Ok((outcome, answer)) => FastPathReport::new(plan.rule, outcome, answer),
            Err((failure, fallback)) => {
                let outcome =
                    if fallback.is_some() { FastPathOutcome::Fallback } else { FastPathOutcome::Failed };
                FastPathReport { error: Some(failure), ..FastPathReport::new(plan.rule, outcome, fallback) }
            }
        };
        report.took = Some(SystemClock.instant() - start);
        report
    }
}

/// Cuts a call off, also where it waits for something else than a connection, such as a secret.
async fn within<T>(until: Moment, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout_at(until.instant, call).await.unwrap_or_else(|_| Err("timed_out".to_owned()))
}

/// The longest answer that is given. Slack's own limits on messages and views are far below, and Lambda takes 6 MB.
const MAX_ANSWER: usize = 256 * 1024;

/// What was done, if its answer is not too long, as a template may make it.
fn bounded(report: FastPathReport) -> FastPathReport {
    if report.answer.as_ref().is_some_and(|answer| answer.body.len() > MAX_ANSWER) {
        return FastPathReport { took: report.took, ..failed(&report.rule, "answer_too_long") };
    }
    report
}

fn failed(rule: &str, error: &str) -> FastPathReport {
    FastPathReport {
        error: Some(error.to_owned()),
        ..FastPathReport::new(rule, FastPathOutcome::Failed, None)
    }
}

#[cfg(test)]
mod tests;
