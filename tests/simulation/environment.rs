//! Where the code runs: execution environments, which serve one invocation at a time, stand still, and die.

use slack_ingress::dedup::Claim;
use slack_ingress::ingress::{BotEvents, Inbound, Ingress, IngressSettings};
use slack_ingress::redrive::Redrive;
use slack_ingress::slack::payload::DedupKey;
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
use crate::services::{Node, Services};
use crate::slack::SECRET;

/// The redrive's own time-out, as the stacks have it.
const REDRIVE_TIMEOUT: Duration = Duration::from_secs(60);

/// A process that serves requests.
pub(crate) struct Environment {
    node: Node,
    ingress: Ingress<Node, Node, Node>,
}

impl Environment {
    pub(crate) fn start(services: &Arc<Services>, dedup_ttl: Duration) -> Self {
        let node = Node::new(Arc::clone(services));
        let settings = IngressSettings {
            dedup_ttl,
            dedup_key: DedupKey::EventId,
            bot_events: BotEvents::Drop,
            ack_budget: services.climate.ack_budget,
        };
        let secrets = SigningSecrets::fixed([SigningSecret::new(SECRET)]);
        let ingress = Ingress::new(secrets, node.clone(), node.clone(), node.clone(), settings);
        Self { node, ingress }
    }

    /// Serves one request as `main.rs` does: the answer goes out as soon as it is known, and what is left is done
    /// after it. Gives the environment back, or nothing if the process is dead.
    pub(crate) async fn serve(
        self,
        request: Request,
        answer: oneshot::Sender<RequestOutcome>,
    ) -> Option<Self> {
        let services = &self.node.services;
        let Request { inbound, event, request_id, is_last } = request;
        let limit = services.climate.function_timeout;
        let began = services.at();
        let span = (began, began + limit);
        services.ledger().begins(&event, &request_id, Role::Ingress, span, is_last);
        self.node.work_as(&request_id);
        let invocation = Invocation {
            request_id: request_id.clone(),
            deadline: services.true_time().after(limit),
            trace_header: None,
        };
        let invoked = async {
            let answered = self.ingress.answer(inbound, invocation).await;
            let report = answered.report();
            let outcome = report.outcome.clone();
            services.tell(&request_id, &event, format_args!("answers {}", outcome.as_str()));
            let budget = services.climate.ack_budget;
            services.ledger().answers(services.at(), &event, &request_id, report, budget);
            // Slack may have given up.
            let _ = answer.send(outcome);
            let responding = services.chance().millis(0..=5);
            sleep(responding).await;
            self.ingress.finish(answered).await;
            services.ledger().finishes(&event, &request_id);
        };
        mortal(services, &request_id, limit, invoked).await?;
        Some(self)
    }
}

/// A request at the door.
pub(crate) struct Request {
    pub(crate) inbound: Inbound,
    /// The id of what is in it.
    pub(crate) event: String,
    pub(crate) request_id: String,
    pub(crate) is_last: bool,
}

impl Node {
    /// A run of the redrive gets to an event.
    pub(crate) fn begins_to_redrive(&self, claim: &Claim) {
        let at = self.services.at();
        let span = (at, at + REDRIVE_TIMEOUT);
        self.services.ledger().begins(&claim.event_id, &claim.owner, Role::Redrive, span, false);
    }
}

/// One run of the redrive, in a process of its own.
pub(crate) async fn redrive(services: &Arc<Services>, run_id: &str, dedup_ttl: Duration) {
    let node = Node::new(Arc::clone(services));
    node.work_as(run_id);
    let deadline = services.true_time().after(REDRIVE_TIMEOUT);
    let redrive = Redrive::new(node.clone(), node.clone(), node, dedup_ttl);
    if let Some(run) = mortal(services, run_id, REDRIVE_TIMEOUT, redrive.run(run_id, deadline)).await {
        services.ledger().ends(run_id, run.redriven);
    }
}

/// Runs a process's work, which may die wherever it waits, stand still there, or be killed at its deadline.
/// `None`: it is dead.
async fn mortal<T>(
    services: &Arc<Services>,
    worker: &str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let (dies_at, freezes_at, freezes_for) = {
        let mut chance = services.chance();
        let calm = services.calm.load(std::sync::atomic::Ordering::Relaxed);
        let climate = &services.climate;
        let dies = !calm && chance.per_mille(climate.deaths_per_mille);
        let freezes = !calm && chance.per_mille(climate.freezes_per_mille);
        let dies_at = dies.then(|| chance.number(0..=16));
        let freezes_at = freezes.then(|| chance.number(0..=16));
        (dies_at, freezes_at, chance.millis(100..=60_000))
    };
    let freezes = freezes_at.map(|at| (at, freezes_for));
    let mortal = Mortal { work: pin!(work), services, worker, dies_at, freezes, thaw: None, polls: 0 };
    match timeout(limit, mortal).await {
        Ok(Some(done)) => Some(done),
        Ok(None) => {
            services.tell(worker, "", format_args!("dies"));
            services.ledger().dies(worker);
            None
        }
        Err(_) => {
            services.tell(worker, "", format_args!("is killed at its deadline"));
            services.ledger().dies(worker);
            None
        }
    }
}

/// Counts how often its work goes on after waiting; at one of these points the process dies, at one it stands
/// still.
struct Mortal<'a, F> {
    work: Pin<&'a mut F>,
    services: &'a Services,
    worker: &'a str,
    dies_at: Option<u64>,
    freezes: Option<(u64, Duration)>,
    thaw: Option<Pin<Box<Sleep>>>,
    polls: u64,
}

impl<F: Future> Future for Mortal<'_, F> {
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
            this.services.tell(this.worker, "", format_args!("stands still for {duration:?}"));
            this.services.ledger().freezes(this.worker);
            let mut thaw = Box::pin(sleep(duration));
            // The first look at a timer starts it.
            let _ = thaw.as_mut().poll(context);
            this.thaw = Some(thaw);
            return Poll::Pending;
        }
        this.work.as_mut().poll(context).map(Some)
    }
}
