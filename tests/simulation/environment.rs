//! Runs the ingress and the redrive in simulated Lambda execution environments. An environment serves one invocation at a time,
//! and may freeze or die.

use slack_ingress::dedup::Claim;
use slack_ingress::ingress::{BotEvents, Inbound, Ingress, IngressSettings};
use slack_ingress::redrive::Redrive;
use slack_ingress::slack::payload::{ControlEvents, DedupKey, DmConversation};
use slack_ingress::slack::secrets::SigningSecrets;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::telemetry::report::ingress::RequestOutcome;
use slack_ingress::time::invocation::Invocation;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep, timeout};

use crate::ledger::Role;
use crate::rules::Rule;
use crate::services::{Node, Services};
use crate::slack::APPS;

/// The time-out of the redrive's function in the stacks.
const REDRIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A process of the ingress, which serves one request after another.
pub(crate) struct Environment {
    node: Node,
    ingress: Ingress<Node, Node, Node>,
}

impl Environment {
    pub(crate) fn start(services: &Arc<Services>, dedup_ttl: Duration) -> Self {
        let node = Node::with_any_clock(Arc::clone(services));
        let settings = IngressSettings {
            dedup_ttl,
            dedup_key: DedupKey::EventId,
            dm_conversation: DmConversation::Channel,
            control_events: ControlEvents::default(),
            bot_events: BotEvents::Drop,
            ack_budget: services.settings.ack_budget,
        };
        let several_apps = services.settings.several_apps;
        let secrets = APPS.into_iter().take(if several_apps { 2 } else { 1 }).map(|(app, secret)| {
            let is_by_app = several_apps && !services.is_off(Rule::IdentityByApp);
            if is_by_app { SigningSecret::of_app(app, secret) } else { SigningSecret::new(secret) }
        });
        let secrets = SigningSecrets::fixed(secrets);
        let ingress = Ingress::new(secrets, node.clone(), node.clone(), node.clone(), settings);
        Self { node, ingress }
    }

    /// Serves one request as the deployed function does: sends the answer as soon as it is known, and confirms the record after
    /// that. Returns the environment, or `None` if the process has died.
    pub(crate) async fn serve(
        self,
        request: Request,
        answer: oneshot::Sender<RequestOutcome>,
    ) -> Option<Self> {
        let services = &self.node.services;
        let Request { inbound, event, request_id, is_last } = request;
        let limit = services.settings.function_timeout;
        let began = services.at();
        let span = (began, began + limit);
        services.ledger().work_begins(&event, &request_id, Role::Ingress, span, is_last);
        self.node.work_as(&request_id, &event);
        let invocation = Invocation {
            request_id: request_id.clone(),
            deadline: services.true_time().after(limit),
            trace_header: None,
        };
        let invoked = async {
            let answered = self.ingress.answer(inbound, invocation).await;
            let report = answered.report();
            let outcome = report.outcome.clone();
            services.narrate(&request_id, &event, format_args!("answers {}", outcome.as_str()));
            let budget = services.settings.ack_budget;
            services.ledger().answer_is_ready(services.at(), &event, &request_id, report, budget);
            // Nobody receives the answer if Slack has given up waiting.
            let _ = answer.send(outcome);
            let responding = services.chance().millis(0..=5);
            sleep(responding).await;
            self.ingress.finish(answered).await;
            services.ledger().invocation_ends(&event, &request_id);
        };
        run_interruptibly(&self.node, &request_id, limit, invoked).await?;
        Some(self)
    }
}

/// A request that has reached the function.
pub(crate) struct Request {
    pub(crate) inbound: Inbound,
    /// The id of the event or the command in it.
    pub(crate) event: String,
    pub(crate) request_id: String,
    /// Whether Slack will not repeat it.
    pub(crate) is_last: bool,
}

impl Node {
    /// Records in the ledger that a run of the redrive begins to work on an event.
    pub(crate) fn begins_to_redrive(&self, claim: &Claim) {
        let at = self.services.at();
        let span = (at, at + REDRIVE_TIMEOUT);
        self.services.ledger().work_begins(&claim.event_id, &claim.owner, Role::Redrive, span, false);
    }
}

/// One run of the redrive, in its own process.
pub(crate) async fn redrive(services: &Arc<Services>, run_id: &str, dedup_ttl: Duration) {
    let node = Node::new(Arc::clone(services));
    node.work_as(run_id, "");
    let deadline = services.true_time().after(REDRIVE_TIMEOUT);
    let redrive = Redrive::new(node.clone(), node.clone(), node.clone(), dedup_ttl);
    if let Some(run) = run_interruptibly(&node, run_id, REDRIVE_TIMEOUT, redrive.run(run_id, deadline)).await
    {
        services.ledger().redrive_run_ends(run_id, run.redriven);
    }
}

/// Runs the work of a process, which may die or freeze at any point where it waits, and is killed at its deadline. Returns `None`
/// if the process has died.
async fn run_interruptibly<T>(
    node: &Node,
    worker: &str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let services = &node.services;
    let (dies_at, freezes_at, freezes_for, stops_its_clock) = {
        let mut chance = services.chance();
        let faults_are_over = services.faults_are_over.load(std::sync::atomic::Ordering::Relaxed);
        let settings = &services.settings;
        let dies = !faults_are_over && chance.per_mille(settings.deaths_per_mille);
        let freezes = !faults_are_over && chance.per_mille(settings.freezes_per_mille);
        let dies_at = dies.then(|| chance.number(0..=16));
        let freezes_at = freezes.then(|| chance.number(0..=16));
        (dies_at, freezes_at, chance.millis(100..=100_000), chance.per_mille(500))
    };
    let freezes = freezes_at.map(|at| (at, freezes_for));
    let run_interruptibly = InterruptibleWork {
        work: pin!(work),
        node,
        worker,
        dies_at,
        freezes,
        stops_its_clock,
        thaw: None,
        polls: 0,
    };
    match timeout(limit, run_interruptibly).await {
        Ok(Some(done)) => Some(done),
        Ok(None) => {
            services.narrate(worker, "", format_args!("dies"));
            services.ledger().dies(worker);
            None
        }
        Err(_) => {
            services.narrate(worker, "", format_args!("is killed at its deadline"));
            services.ledger().dies(worker);
            None
        }
    }
}

/// Counts how often the work is polled. At the poll `dies_at` the process dies; at the poll in `freezes` it freezes for the
/// duration there.
struct InterruptibleWork<'a, F> {
    work: Pin<&'a mut F>,
    node: &'a Node,
    worker: &'a str,
    dies_at: Option<u64>,
    freezes: Option<(u64, Duration)>,
    /// Whether the monotonic clock stands still while the process is frozen, as that of a paused virtual machine does.
    stops_its_clock: bool,
    thaw: Option<Pin<Box<Sleep>>>,
    polls: u64,
}

impl<F: Future> Future for InterruptibleWork<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(thaw) = &mut this.thaw {
            if thaw.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.thaw = None;
        }
        let polls = this.polls;
        this.polls += 1;
        if this.dies_at == Some(polls) {
            return Poll::Ready(None);
        }
        if let Some((at, duration)) = this.freezes
            && at == polls
        {
            let services = &this.node.services;
            let clock = if this.stops_its_clock { ", and its monotonic clock with it" } else { "" };
            services.narrate(this.worker, "", format_args!("freezes for {duration:?}{clock}"));
            services.ledger().freezes(this.worker);
            if this.stops_its_clock {
                this.node.stood_still(duration);
            }
            let mut thaw = Box::pin(sleep(duration));
            // Polling the timer starts it.
            let _ = thaw.as_mut().poll(context);
            this.thaw = Some(thaw);
            return Poll::Pending;
        }
        this.work.as_mut().poll(context).map(Some)
    }
}
