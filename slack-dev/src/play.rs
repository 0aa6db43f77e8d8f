//! `slack-dev play`: signs a fixture or a file and posts it as Slack does.

use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::CommandError;
use crate::delivery::{self, Delivery};
use crate::slack::{
    Answer, AttemptResult, DeliveryProgress, DisableRule, FORM, FinishedAttempt, JSON, RetrySchedule, Slack,
    parse_compression_factor, secrets_from_environment,
};

/// The requests that are part of this program, by name.
const FIXTURES: [(&str, &[u8]); 4] = [
    ("app_mention", include_bytes!("../../demo/events/app_mention.json")),
    ("message", include_bytes!("../../demo/events/message.json")),
    ("own_message", include_bytes!("../../demo/events/own_message.json")),
    ("url_verification", include_bytes!("../../demo/events/url_verification.json")),
];

/// Where requests go, and how fast failed ones are repeated.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The app's request URL; the default is that of `PORT=9000 make dev`
    #[arg(long, default_value = "http://127.0.0.1:9000/slack/events")]
    pub(crate) url: String,

    /// Make Slack's pauses before its retries (a minute, five minutes) this many times shorter; without a number, 60
    /// times. An ingress holds an event that it failed to settle for up to 47 seconds, and answers 503 meanwhile
    #[arg(long, value_name = "FACTOR", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "1", default_missing_value = "60", value_parser = parse_compression_factor)]
    pub(crate) compressed: f64,
}

impl Target {
    pub(crate) fn slack(&self) -> Result<Slack, CommandError> {
        Slack::new(&self.url, secrets_from_environment()?)
    }

    pub(crate) fn schedule(&self) -> RetrySchedule {
        RetrySchedule::compressed(self.compressed)
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Give each event a new id, so that an ingress that has already seen the event treats it as a new one
    #[arg(long)]
    new_ids: bool,

    /// Files (JSON, forms, or deliveries of `capture`), or fixtures by name: app_mention, message, own_message,
    /// url_verification
    #[arg(value_name = "FILE|FIXTURE", default_value = "app_mention")]
    requests: Vec<String>,
}

/// A request before it is signed, and the name that is printed for it.
struct Request {
    name: String,
    content_type: &'static str,
    body: Vec<u8>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let (slack, schedule) = (arguments.target.slack()?, arguments.target.schedule());
    let mut requests = Vec::new();
    for request in &arguments.requests {
        requests.extend(load(request, arguments.new_ids)?);
    }
    let mut rule = DisableRule::new(schedule);
    let mut acknowledged = 0;
    for request in &requests {
        acknowledged += usize::from(play(&slack, schedule, request, &mut rule).await);
    }
    println!("{acknowledged} of {} acknowledged", requests.len());
    print_disable_rule(&rule);
    Ok(if acknowledged == requests.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(slack: &Slack, schedule: RetrySchedule, request: &Request, rule: &mut DisableRule) -> bool {
    let Request { name, content_type, body } = request;
    println!("{name} ({} bytes, {content_type})", body.len());
    let challenge = challenge(request);
    let is_retried = *content_type == JSON && challenge.is_none();
    let mut echoed = true;
    let mut on_progress = |step: DeliveryProgress<'_>| {
        print_progress(&step);
        if let DeliveryProgress::AttemptFinished { retry, attempt } = step {
            rule.count(Instant::now(), retry.is_none(), !attempt.is_acknowledged());
            if let (Some(challenge), AttemptResult::Answered(answer)) = (&challenge, &attempt.result) {
                echoed = answer.body == challenge.as_bytes();
            }
        }
    };
    let acknowledged =
        slack.deliver(content_type, body, is_retried.then_some(schedule), &mut on_progress).await;
    if acknowledged && !echoed {
        println!("  the answer is not the challenge: Slack would refuse this URL");
    }
    if !acknowledged {
        println!("  given up{}", if is_retried { "" } else { ": Slack does not repeat this" });
    }
    acknowledged && echoed
}

/// Prints one line about an attempt, a pause or a forbidden retry.
pub(crate) fn print_progress(step: &DeliveryProgress<'_>) {
    match step {
        DeliveryProgress::AttemptFinished { retry, attempt } => {
            let which = match retry {
                None => "first attempt".to_owned(),
                Some(retry) => format!("retry {} ({})", retry.num, retry.reason.as_str()),
            };
            println!("  {which:<30} {}", describe(attempt));
        }
        DeliveryProgress::RetryAfter { num, pause } if !pause.is_zero() => {
            println!("  retry {num} comes after {:.1} s", pause.as_secs_f64());
        }
        DeliveryProgress::RetryAfter { .. } => {}
        DeliveryProgress::RetryForbidden => println!("  X-Slack-No-Retry: 1, so there is no retry"),
    }
}

fn describe(attempt: &FinishedAttempt) -> String {
    let millis = attempt.took.as_secs_f64() * 1e3;
    match &attempt.result {
        AttemptResult::Answered(answer) => {
            format!("{} in {millis:.1} ms  {}", answer.status, excerpt(answer))
        }
        AttemptResult::Failed { reason, why } => format!("{} after {millis:.1} ms  {why}", reason.as_str()),
    }
}

fn excerpt(answer: &Answer) -> String {
    const LONGEST: usize = 120;
    if answer.body.is_empty() {
        return "(empty)".to_owned();
    }
    let text = String::from_utf8_lossy(&answer.body);
    let shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() { format!("{shown}…") } else { shown }
}

fn print_disable_rule(rule: &DisableRule) {
    if let Some(attempts) = rule.disabled_after() {
        println!(
            "Slack would have disabled the app after {attempts} attempts: over 95 % of an hour's failed"
        );
    } else if rule.is_exempt() {
        println!(
            "Over 95 % of the attempts failed. Slack disables an app for that from 1,000 events an hour on"
        );
    }
}

/// The challenge of a `url_verification` request; `None` for any other request.
fn challenge(request: &Request) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Verification {
        r#type: String,
        challenge: String,
    }
    let verification: Verification = serde_json::from_slice(&request.body).ok()?;
    (verification.r#type == "url_verification").then_some(verification.challenge)
}

fn load(name: &str, new_ids: bool) -> Result<Vec<Request>, CommandError> {
    let path = PathBuf::from(name);
    let fixture = FIXTURES.iter().find(|(known, _)| *known == name);
    let content = match fixture {
        Some((_, content)) if !path.exists() => content.to_vec(),
        _ => std::fs::read(&path).map_err(|error| {
            let names = FIXTURES.map(|(name, _)| name).join(", ");
            format!("{name}: {error} (fixtures are {names})")
        })?,
    };
    if delivery::is_file_of_deliveries(&content) {
        return delivery::read(&path)?.map(|delivery| of_delivery(delivery?, new_ids)).collect();
    }
    let content_type = content_type(&path, &content);
    let mut body = content;
    if content_type == FORM {
        // Editors end a file with a line break. In a form it would become part of the last field.
        body.truncate(body.trim_ascii_end().len());
    }
    if new_ids && content_type == JSON {
        let id = delivery::fresh_id(&mut fastrand::Rng::new());
        body = delivery::with_field(std::str::from_utf8(&body)?, "event_id", &id)
            .map_err(|error| format!("{name}: {error}"))?
            .into_bytes();
    }
    Ok(vec![Request { name: name.to_owned(), content_type, body }])
}

fn of_delivery(delivery: Delivery, new_ids: bool) -> Result<Request, CommandError> {
    let delivery =
        if new_ids { delivery.with_id(&delivery::fresh_id(&mut fastrand::Rng::new()))? } else { delivery };
    let (content_type, body) = delivery.request().map_err(|error| format!("{}: {error}", delivery.name()))?;
    Ok(Request { name: delivery.name(), content_type, body })
}

/// JSON for a file whose name ends in `.json` or whose content begins with a brace, otherwise a form. The name counts so that a
/// file may hold broken JSON on purpose.
fn content_type(path: &Path, content: &[u8]) -> &'static str {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if is_json || content.trim_ascii_start().starts_with(b"{") { JSON } else { FORM }
}
