//! From what happens in a month to the lines of a bill.

use slack_ingress::work::record::{BEAT, LEASE};

use super::deployed::Deployed;
use super::exact::Exact;
use super::prices::{Price, Prices};
use super::usage::{LogLineBytes, QuestionCalls, Usage};
use crate::CommandError;

/// A month, as AWS's calculator has it.
pub(super) const HOURS: u64 = 730;
const SECONDS: u64 = HOURS * 3600;

/// A record of the ingress has 126 bytes by DynamoDB's rules, and DynamoDB adds 100 to each item.
pub(super) const ITEM_BYTES: u64 = 226;
/// A record counts for an hour, and DynamoDB deletes it "typically within two days" of that.
pub(super) const ITEM_HOURS: u64 = 49;
/// An answer to Slack, with headers and TLS.
const ANSWER_BYTES: u64 = 1000;
/// Lambda asks for messages with this many calls at a time, each for up to 20 seconds.
const POLLERS: u64 = 5;
const POLL_SECONDS: u64 = 20;
/// The text of an answer that the record holds while it is being posted.
const ANSWER_TEXT_BYTES: u64 = 2048;
/// AWS's formula counts a principal that sends to an encrypted queue twice, and one that receives from it once.
const KMS_SENDERS: u64 = 2;
const KMS_RECEIVERS: u64 = 1;
/// For how long SQS uses a data key again, unless the queue says otherwise.
const KMS_REUSE_SECONDS: u64 = 300;

/// How Slack reaches the ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum FrontDoor {
    HttpApi,
    FunctionUrl,
}

/// The type of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum QueueType {
    Fifo,
    Standard,
}

/// The processors of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

/// What happens in a month, and with which settings.
#[derive(Clone, Debug)]
pub(super) struct Month {
    /// Each is accepted at its first delivery.
    pub(super) events: u64,
    /// Deliveries of events that are on the queue already.
    pub(super) duplicates: u64,
    /// How many events a second there are while there are any; absent: they come evenly.
    pub(super) rate: Option<u64>,
    pub(super) front_door: FrontDoor,
    pub(super) queue: QueueType,
    pub(super) architecture: Architecture,
    /// The memory of each function, in MB; absent: what the stacks give them.
    pub(super) function_memory_mb: Option<u64>,
    pub(super) is_traced: bool,
    pub(super) has_dashboards: bool,
    pub(super) event_ms: Exact,
    /// How many of a hundred invocations of the ingress are the first of their environment.
    pub(super) cold_percent: Exact,
    pub(super) cold_ms: u64,
    pub(super) kms_keys: u64,
    /// Absent: what AWS's formula says for one queue, and a call for each reading of a secret.
    pub(super) kms_requests: Option<u64>,
    /// Every how many minutes the canary calls the ingress; absent: there is none.
    pub(super) canary_minutes: Option<u64>,
    /// Secrets beside those that the stacks have with the fewest settings.
    pub(super) more_secrets: u64,
    /// Metrics that alarms look at, beside those of the stacks with the fewest settings.
    pub(super) more_alarm_metrics: u64,
    pub(super) agent: Option<Agent>,
}

/// What the agent does.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) questions: u64,
    /// How long a question is thought about.
    pub(super) seconds: u64,
    pub(super) cpu_seconds: Exact,
    pub(super) memory_mb: u64,
    /// Absent: what the stack says.
    pub(super) idle_seconds: Option<u64>,
    /// How many questions of a conversation come before its session ends as idle.
    pub(super) questions_a_session: Exact,
    pub(super) tool_calls: u64,
    /// How often a person is asked before a tool is called, in the month.
    pub(super) approvals: u64,
    pub(super) remembers: bool,
    pub(super) memory_records: u64,
    pub(super) model: Vec<ModelTokens>,
}

/// Tokens of the model, at a price that is the user's.
#[derive(Clone, Debug)]
pub(super) struct ModelTokens {
    pub(super) what: &'static str,
    pub(super) a_question: u64,
    /// Of a million, in US dollars, as text.
    pub(super) usd: String,
}

/// What a line of the bill comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It costs as much in a month without any event.
    Standing,
    /// It costs as much with an event in each hour as with millions.
    AnyEvents,
    Events,
    Questions,
}

impl Part {
    pub(super) const ALL: [Self; 4] = [Self::Standing, Self::AnyEvents, Self::Events, Self::Questions];
}

/// One line of the bill.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) part: Part,
    pub(super) service: String,
    pub(super) what: String,
    /// In the unit of the price.
    pub(super) quantity: Exact,
    pub(super) price: Price,
    pub(super) usd: Exact,
}

/// The bill of a month.
#[derive(Clone, Debug)]
pub(super) struct Bill(Vec<Line>);

/// What is needed to write bills.
pub(super) struct Calculator {
    pub(super) prices: Prices,
    pub(super) deployed: Deployed,
    pub(super) usage: Usage,
}

impl Bill {
    pub(super) fn lines(&self) -> &[Line] {
        &self.0
    }

    /// The sum of the lines of these parts.
    pub(super) fn sum(&self, parts: &[Part]) -> Exact {
        let lines = self.0.iter().filter(|line| parts.contains(&line.part));
        lines.fold(Exact::from(0), |sum, line| sum + line.usd)
    }

    /// The sum of all lines.
    pub(super) fn total(&self) -> Exact {
        self.sum(&Part::ALL)
    }
}

/// Lines that are being written.
struct Writer<'a> {
    prices: &'a Prices,
    lines: Vec<Line>,
}

impl Writer<'_> {
    /// Adds a line, unless its quantity is zero. A line is rounded half up to a millionth of a millionth of a dollar, so that
    /// their sum has a value whatever their fractions are.
    fn add(&mut self, part: Part, what: &str, quantity: Exact, key: &str) -> Result<(), CommandError> {
        if !quantity.is_zero() {
            let price = self.prices.get(key)?.clone();
            let usd = rounded_to_pico(price.of(quantity))?;
            self.lines.push(Line {
                part,
                service: price.service.clone(),
                what: what.to_owned(),
                quantity,
                price,
                usd,
            });
        }
        Ok(())
    }
}

fn rounded_to_pico(usd: Exact) -> Result<Exact, CommandError> {
    let pico = usd.rounded(12).and_then(|pico| u64::try_from(pico).ok());
    pico.map(|pico| Exact::from(pico) / 1_000_000_000_000)
        .ok_or_else(|| "one of the numbers is too large".into())
}

impl Calculator {
    pub(super) fn new() -> Result<Self, CommandError> {
        Ok(Self { prices: Prices::list()?, deployed: Deployed::read()?, usage: Usage::read()? })
    }

    /// The bill of `month`.
    pub(super) fn bill(&self, month: &Month) -> Result<Bill, CommandError> {
        let mut writer = Writer { prices: &self.prices, lines: Vec::new() };
        self.standing(month, &mut writer)?;
        self.events(month, &mut writer)?;
        if let Some(agent) = &month.agent {
            self.questions(month, agent, &mut writer)?;
        }
        Ok(Bill(writer.lines))
    }

    fn memory_mb(&self, month: &Month) -> u64 {
        month.function_memory_mb.unwrap_or(self.deployed.ingress(false, false).function_memory_mb)
    }

    /// How many traces are recorded of so many invocations. X-Ray records the first of each second and 5 % of the others.
    pub(super) fn traces(month: &Month, invocations: Exact) -> Exact {
        if !month.is_traced {
            return Exact::from(0);
        }
        match month.rate {
            Some(rate) if rate > 1 => invocations * (20 + rate - 1) / (20 * rate),
            _ => {
                let a_second_each = invocations.min(Exact::from(SECONDS));
                a_second_each + invocations.less(a_second_each) / 20
            }
        }
    }

    /// What is billed although nothing happens.
    fn standing(&self, month: &Month, writer: &mut Writer<'_>) -> Result<(), CommandError> {
        let part = Part::Standing;
        let ingress =
            self.deployed.ingress(month.front_door == FrontDoor::FunctionUrl, month.agent.is_some());
        let agent = if month.agent.is_some() { self.deployed.agent() } else { Default::default() };
        let lines = &self.usage.log_line_bytes;
        let alarm_metrics = ingress.alarm_metrics + agent.alarm_metrics + month.more_alarm_metrics;
        writer.add(part, "metrics that alarms look at", alarm_metrics.into(), "alarm_metrics")?;
        if month.has_dashboards {
            writer.add(part, "dashboards", (ingress.dashboards + agent.dashboards).into(), "dashboards")?;
        }
        let secrets = ingress.secrets + agent.secrets + month.more_secrets;
        writer.add(part, "secrets", secrets.into(), "secrets")?;

        let runs = Exact::from(ingress.scheduled_runs_an_hour * HOURS);
        writer.add(part, "the redrive: metrics", self.usage.metrics.redrive.into(), "metrics")?;
        // The schedule is slow enough that every run is the first of its second.
        let traces = if month.is_traced { runs } else { Exact::from(0) };
        writer.add(part, "the redrive: traces", traces, "traces")?;
        self.logs(part, "the redrive: ", runs * (lines.redrive + lines.lambda), writer)?;
        writer.add(part, "the redrive: requests", runs, "lambda_requests")?;
        self.lambda_time(part, "the redrive: time", month, runs * REDRIVE_MS, writer)?;
        // A query that finds nothing is half a unit.
        let queries = runs * self.usage.redrive_run.dynamodb_queries / 2;
        writer.add(part, "the redrive: queries that find nothing", queries, "dynamodb_reads")?;

        if agent.polled_queues > 0 {
            let polls = agent.polled_queues * POLLERS * (SECONDS / POLL_SECONDS);
            writer.add(part, "Lambda asks the queue for messages", polls.into(), queue_price(month))?;
        }
        if let Some(minutes) = month.canary_minutes {
            let runs = Exact::from(HOURS * 60) / minutes;
            writer.add(
                part,
                "the canary: metrics that alarms look at",
                CANARY_ALARM_METRICS.into(),
                "alarm_metrics",
            )?;
            writer.add(part, "the canary: metrics", CANARY_METRICS.into(), "metrics")?;
            // The ingress reports how long a challenge took, also in the hours in which no event has it report that.
            let quiet_hours = HOURS.saturating_sub(month.events);
            let metrics = self.metrics(quiet_hours, CANARY_INGRESS_METRICS);
            writer.add(part, "the canary: metrics of the ingress", metrics, "metrics")?;
            writer.add(part, "the canary: invocations, with the ingress's", runs * 2, "lambda_requests")?;
            self.lambda_time(part, "the canary: time", month, runs * CANARY_MS, writer)?;
            let access = if month.front_door == FrontDoor::HttpApi { lines.access } else { 0 };
            self.logs(part, "the canary: ", runs * ((lines.lambda + lines.ingress) * 2 + access), writer)?;
            writer.add(part, "the canary: reads the secret", runs, "secret_calls")?;
            if month.front_door == FrontDoor::HttpApi {
                writer.add(part, "the canary: requests", runs, "http_api")?;
            }
            // It is the function's request that is traced: one of the first of its second, as a rule.
            let traces = if month.is_traced { runs } else { Exact::from(0) };
            writer.add(part, "the canary: traces", traces, "traces")?;
        }
        writer.add(part, "keys", month.kms_keys.into(), "kms_keys")?;
        if month.kms_keys > 0 {
            let formula = SECONDS / KMS_REUSE_SECONDS * (2 * KMS_SENDERS + KMS_RECEIVERS);
            let requests = month.kms_requests.unwrap_or(formula);
            writer.add(part, "requests", requests.into(), "kms_requests")?;
        }
        Ok(())
    }

    /// What the ingress does with events, and what takes them off the queue without an agent.
    fn events(&self, month: &Month, writer: &mut Writer<'_>) -> Result<(), CommandError> {
        let part = Part::Events;
        let (usage, lines) = (&self.usage, &self.usage.log_line_bytes);
        let events = Exact::from(month.events);
        let starts = events * month.cold_percent / 100;
        let is_http_api = month.front_door == FrontDoor::HttpApi;
        if is_http_api {
            writer.add(part, "requests", events, "http_api")?;
        }
        writer.add(part, "the ingress: requests", events, "lambda_requests")?;
        self.lambda_time(part, "the ingress: time", month, events * month.event_ms, writer)?;
        self.lambda_time(part, "the ingress: cold starts", month, starts * month.cold_ms, writer)?;
        writer.add(part, "writes", events * usage.event.dynamodb_writes, "dynamodb_writes")?;
        writer.add(part, "writes at cold starts", starts * usage.start.dynamodb_writes, "dynamodb_writes")?;
        let stored = events * ITEM_BYTES * ITEM_HOURS / HOURS;
        writer.add(part, "storage of records", stored, "dynamodb_storage")?;

        // Behind the queue an agent's stack receives and deletes for itself.
        let (what, requests) = if month.agent.is_some() {
            ("send", events * usage.event.sqs_requests)
        } else {
            ("send, receive, delete", events * (usage.event.sqs_requests + 2))
        };
        writer.add(part, what, requests, queue_price(month))?;
        if month.queue == QueueType::Standard {
            writer.add(part, "the same of a fair queue", requests, "sqs_fair")?;
        }
        let at_starts = starts * usage.start.sqs_requests;
        writer.add(part, "at cold starts", at_starts, queue_price(month))?;
        let access = if is_http_api { lines.access } else { 0 };
        self.logs(part, "the ingress: ", events * (lines.ingress + lines.lambda + access), writer)?;
        writer.add(
            Part::AnyEvents,
            "the ingress: metrics",
            self.metrics(month.events, usage.metrics.event),
            "metrics",
        )?;
        writer.add(part, "the ingress: traces", Self::traces(month, events), "traces")?;
        writer.add(part, "calls at cold starts", starts * usage.start.secret_calls, "secret_calls")?;
        if month.kms_keys > 0 && month.kms_requests.is_none() {
            let requests = starts * self.usage.start.secret_calls;
            writer.add(part, "requests at cold starts", requests, "kms_requests")?;
        }
        writer.add(part, "answers to Slack", events * ANSWER_BYTES, "internet")?;

        let duplicates = Exact::from(month.duplicates);
        if is_http_api {
            writer.add(part, "requests of duplicates", duplicates, "http_api")?;
        }
        writer.add(part, "duplicates: requests", duplicates, "lambda_requests")?;
        self.lambda_time(part, "duplicates: time", month, duplicates * DUPLICATE_MS, writer)?;
        // A condition that fails is paid for as a write.
        let writes = duplicates * usage.duplicate.dynamodb_writes;
        writer.add(part, "writes of duplicates", writes, "dynamodb_writes")?;
        let requests = duplicates * usage.duplicate.sqs_requests;
        writer.add(part, "duplicates: send", requests, queue_price(month))?;
        // A duplicate's line is shorter than that of an accepted event.
        let bytes = duplicates * (lines.ingress + lines.lambda + access);
        self.logs(part, "duplicates, at most: ", bytes, writer)?;
        writer.add(part, "duplicates: traces", Self::traces(month, duplicates), "traces")?;
        writer.add(part, "answers to Slack's retries", duplicates * ANSWER_BYTES, "internet")
    }

    /// What the agent's stack does.
    fn questions(&self, month: &Month, agent: &Agent, writer: &mut Writer<'_>) -> Result<(), CommandError> {
        let part = Part::Questions;
        let (usage, lines) = (&self.usage, &self.usage.log_line_bytes);
        if agent.questions > month.events {
            return Err("a question is an event too: there are more questions than events".into());
        }
        let (questions, others) = (Exact::from(agent.questions), Exact::from(month.events - agent.questions));
        let each = Question::of(agent.seconds, usage);
        let units = |bytes: u64| bytes.div_ceil(1024);

        let invocations = questions * each.invocations() + others * usage.no_question.invocations;
        writer.add(part, "agent-dispatch and agent-settle: requests", invocations, "lambda_requests")?;
        let ms = questions * each.lambda_ms() + others * NO_QUESTION_MS;
        self.lambda_time(part, "agent-dispatch and agent-settle: time", month, ms, writer)?;
        writer.add(part, "reads of work records", questions * each.reads(), "dynamodb_reads")?;
        let largest = usage.largest_work_record_bytes;
        let write_units = each.writes_without_answer() * units(largest)
            + usage.answer.dynamodb_writes * units(largest + ANSWER_TEXT_BYTES);
        writer.add(part, "writes of work records", questions * write_units, "dynamodb_writes")?;
        // Each message is received once. Lambda deletes what is no question; the answer's delete is agent-settle's.
        let requests = questions * (1 + each.sqs_requests()) + others * 2;
        writer.add(part, "receive, put off, delete", requests, queue_price(month))?;
        if month.queue == QueueType::Standard {
            writer.add(part, "the same of a fair queue", requests, "sqs_fair")?;
        }
        let bytes = questions * each.log_bytes(lines) + others * (lines.dispatch + lines.lambda);
        self.logs(part, "agent-dispatch and agent-settle: ", bytes, writer)?;
        let metrics = self.metrics(agent.questions, usage.metrics.question);
        writer.add(Part::AnyEvents, "agent-dispatch and agent-settle: metrics", metrics, "metrics")?;
        let traces = Self::traces(month, invocations);
        writer.add(part, "agent-dispatch and agent-settle: traces", traces, "traces")?;

        writer.add(
            part,
            "calls of agent-settle's Gateway",
            questions * each.gateway_calls(),
            "gateway_calls",
        )?;
        writer.add(part, "calls of the agent's tools", questions * agent.tool_calls, "gateway_calls")?;
        // Each schedule fires, whoever has decided before, and puts a message on the queue: sent, received, deleted.
        let approvals = Exact::from(agent.approvals);
        writer.add(part, "the time to decide is over", approvals, "scheduler_invocations")?;
        writer.add(part, "the time to decide: send, receive, delete", approvals * 3, queue_price(month))?;
        writer.add(part, "CPU", questions * agent.cpu_seconds * 1000, "agentcore_cpu")?;
        let mb_ms = questions * agent.memory_mb * 1000;
        writer.add(part, "memory while it thinks", mb_ms * agent.seconds, "agentcore_memory")?;
        let idle = agent.idle_seconds.unwrap_or(self.deployed.agent().session_idle_seconds);
        let idle = mb_ms * idle / agent.questions_a_session;
        writer.add(part, "memory while its sessions are idle", idle, "agentcore_memory")?;
        if agent.remembers {
            writer.add(part, "what was said", questions, "memory_events")?;
            writer.add(part, "looking up", questions, "memory_lookups")?;
            writer.add(part, "what is remembered", agent.memory_records.into(), "memory_records")?;
        }
        for tokens in &agent.model {
            let price = Price {
                key: "model".to_owned(),
                service: "The model".to_owned(),
                what: tokens.what.to_owned(),
                per: 1_000_000,
                per_text: "a million".to_owned(),
                usd: tokens.usd.clone(),
                url: String::new(),
                read: String::new(),
                verified: super::prices::Verified::Yours,
                note: String::new(),
            };
            let quantity = questions * tokens.a_question;
            if !quantity.is_zero() {
                let usd = rounded_to_pico(price.of(quantity))?;
                let (service, what) = (price.service.clone(), tokens.what.to_owned());
                writer.lines.push(Line { part, service, what, quantity, price, usd });
            }
        }
        Ok(())
    }

    /// Metrics are billed by the hour in which they are sent, as far as is known: at most one hour for each event.
    fn metrics(&self, times: u64, names: u64) -> Exact {
        Exact::from(names) * times.min(HOURS) / HOURS
    }

    fn lambda_time(
        &self,
        part: Part,
        what: &str,
        month: &Month,
        ms: Exact,
        writer: &mut Writer<'_>,
    ) -> Result<(), CommandError> {
        let key = match month.architecture {
            Architecture::Arm64 => "lambda_arm64",
            Architecture::X86_64 => "lambda_x86_64",
        };
        writer.add(part, what, ms * self.memory_mb(month), key)
    }

    /// Log that is taken in and kept for as long as the stacks say.
    fn logs(
        &self,
        part: Part,
        whose: &str,
        bytes: Exact,
        writer: &mut Writer<'_>,
    ) -> Result<(), CommandError> {
        let days = self.deployed.ingress(false, false).log_retention_days;
        writer.add(part, &format!("{whose}log taken in"), bytes, "logs_in")?;
        writer.add(part, &format!("{whose}log kept for {days} days"), bytes * days / 30, "logs_kept")
    }
}

const fn queue_price(month: &Month) -> &'static str {
    match month.queue {
        QueueType::Fifo => "sqs_fifo",
        QueueType::Standard => "sqs_standard",
    }
}

/// How long a run of the redrive takes that finds nothing. Assumed: 20 ms were measured with one query; there are more now.
const REDRIVE_MS: u64 = 60;
/// A canary counts its failures and measures the time of the answer, and one alarm looks at the failures.
const CANARY_METRICS: u64 = 2;
/// `VerifyTime` and `AckTime`, which each run has the ingress report.
const CANARY_INGRESS_METRICS: u64 = 2;
const CANARY_ALARM_METRICS: u64 = 1;
/// How long a run takes, the ingress's answer included. Assumed: it reads the secret and makes a connection.
const CANARY_MS: u64 = 1000;
/// How long a duplicate takes. Assumed: the write, and what an event needs beside its calls.
const DUPLICATE_MS: u64 = 7;
/// How long each step takes. Assumed; `docs/cost.md` says so.
const DISPATCH_MS: u64 = 500;
const SIGN_MS: u64 = 300;
/// agent-settle's, and as much again of the dispatcher, which waits for it.
const ADMIT_MS: u64 = 2 * 300;
const CLAIM_MS: u64 = 20;
const BEAT_MS: u64 = 20;
const ANSWER_MS: u64 = 600;
const NO_QUESTION_MS: u64 = 20;

/// The calls of one question that is answered at the first attempt, in one message, of somebody who has not asked anything within an
/// hour.
pub(super) struct Question<'a> {
    usage: &'a Usage,
    pub(super) beats: u64,
    pub(super) renewals: u64,
}

impl<'a> Question<'a> {
    /// Of a question that is thought about for so long.
    pub(super) fn of(seconds: u64, usage: &'a Usage) -> Self {
        let beats = seconds / BEAT.as_secs();
        // Every third beat renews: `slack_ingress::work::operations`.
        Self { usage, beats, renewals: beats / 3 }
    }

    fn sum(&self, of: impl Fn(&QuestionCalls) -> u64) -> u64 {
        let usage = self.usage;
        of(&usage.admit)
            + of(&usage.hand_over_and_sign)
            + of(&usage.claim)
            + of(&usage.beat) * self.beats
            + of(&usage.answer)
    }

    pub(super) fn invocations(&self) -> u64 {
        self.sum(|calls| calls.invocations)
    }

    pub(super) fn reads(&self) -> u64 {
        self.sum(|calls| calls.dynamodb_reads)
    }

    /// All but those of the answer, whose record has the answer's text in it.
    pub(super) fn writes_without_answer(&self) -> u64 {
        self.sum(|calls| calls.dynamodb_writes) - self.usage.answer.dynamodb_writes + self.renewals
    }

    pub(super) fn sqs_requests(&self) -> u64 {
        self.sum(|calls| calls.sqs_requests) + self.renewals
    }

    pub(super) fn gateway_calls(&self) -> u64 {
        self.sum(|calls| calls.gateway_calls)
    }

    fn lambda_ms(&self) -> u64 {
        ADMIT_MS + DISPATCH_MS + SIGN_MS + CLAIM_MS + BEAT_MS * self.beats + ANSWER_MS
    }

    fn log_bytes(&self, lines: &LogLineBytes) -> u64 {
        // All but one are agent-settle's.
        lines.dispatch + lines.settle * (self.invocations() - 1) + lines.lambda * self.invocations()
    }
}

// Three beats in a lease, and more: else the comment on renewals is wrong.
const _: () = assert!(LEASE.as_secs() > 3 * BEAT.as_secs());
