//! `slack-dev play`: a fixture or a file, signed and posted as Slack does it.

use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use crate::Trouble;
use crate::delivery::{self, Delivery};
use crate::slack::{
    Answer, Attempt, DisableRule, FORM, JSON, Outcome, Schedule, Slack, Step, factor, secret_of_environment,
};

/// The requests that are compiled in, by name.
const FIXTURES: [(&str, &[u8]); 4] = [
    ("app_mention", include_bytes!("../../demo/events/app_mention.json")),
    ("message", include_bytes!("../../demo/events/message.json")),
    ("own_message", include_bytes!("../../demo/events/own_message.json")),
    ("url_verification", include_bytes!("../../demo/events/url_verification.json")),
];

/// Where requests go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// The app's request URL; the default is that of `PORT=9000 make dev`
    #[arg(long, default_value = "http://127.0.0.1:9000/slack/events")]
    pub(crate) url: String,

    /// Make Slack's waits before its retries (a minute, five minutes) this many times shorter; without a number, 60
    /// times. An ingress holds an event that it failed to settle for up to 47 seconds, and answers 503 meanwhile
    #[arg(long, value_name = "FACTOR", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "1", default_missing_value = "60", value_parser = factor)]
    pub(crate) compressed: f64,
}

impl Target {
    pub(crate) fn slack(&self) -> Result<Slack, Trouble> {
        Slack::new(&self.url, secret_of_environment()?)
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::compressed(self.compressed)
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Give each event a fresh id, so that an ingress that has seen it takes it as new
    #[arg(long)]
    new_ids: bool,

    /// Files (JSON, forms, or deliveries of `capture`), or fixtures by name: app_mention, message, own_message,
    /// url_verification
    #[arg(value_name = "FILE|FIXTURE", default_value = "app_mention")]
    requests: Vec<String>,
}

/// One request, ready to be signed.
struct Request {
    name: String,
    content_type: &'static str,
    body: Vec<u8>,
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
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
    say_of_the_rule(&rule);
    Ok(if acknowledged == requests.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn play(slack: &Slack, schedule: Schedule, request: &Request, rule: &mut DisableRule) -> bool {
    let Request { name, content_type, body } = request;
    println!("{name} ({} bytes, {content_type})", body.len());
    let challenge = challenge(request);
    let is_retried = *content_type == JSON && challenge.is_none();
    let mut echoed = true;
    let mut see = |step: Step<'_>| {
        say(&step);
        if let Step::Attempted { retry, attempt } = step {
            rule.count(Instant::now(), retry.is_none(), !attempt.is_acknowledged());
            if let (Some(challenge), Outcome::Answered(answer)) = (&challenge, &attempt.outcome) {
                echoed = answer.body == challenge.as_bytes();
            }
        }
    };
    let acknowledged = slack.deliver(content_type, body, is_retried.then_some(schedule), &mut see).await;
    if acknowledged && !echoed {
        println!("  the answer is not the challenge: Slack would refuse this URL");
    }
    if !acknowledged {
        println!("  given up{}", if is_retried { "" } else { ": Slack does not repeat this" });
    }
    acknowledged && echoed
}

/// Tells of a step, on a line of its own.
pub(crate) fn say(step: &Step<'_>) {
    match step {
        Step::Attempted { retry, attempt } => {
            let which = match retry {
                None => "first attempt".to_owned(),
                Some(retry) => format!("retry {} ({})", retry.num, retry.reason.as_str()),
            };
            println!("  {which:<30} {}", describe(attempt));
        }
        Step::Waits { num, wait } if !wait.is_zero() => {
            println!("  retry {num} comes after {:.1} s", wait.as_secs_f64());
        }
        Step::Waits { .. } => {}
        Step::Forbidden => println!("  X-Slack-No-Retry: 1, so there is no retry"),
    }
}

fn describe(attempt: &Attempt) -> String {
    let millis = attempt.took.as_secs_f64() * 1e3;
    match &attempt.outcome {
        Outcome::Answered(answer) => format!("{} in {millis:.1} ms  {}", answer.status, excerpt(answer)),
        Outcome::Failed { reason, why } => format!("{} after {millis:.1} ms  {why}", reason.as_str()),
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

fn say_of_the_rule(rule: &DisableRule) {
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

/// The challenge, if the request is one.
fn challenge(request: &Request) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Verification {
        r#type: String,
        challenge: String,
    }
    let verification: Verification = serde_json::from_slice(&request.body).ok()?;
    (verification.r#type == "url_verification").then_some(verification.challenge)
}

fn load(name: &str, new_ids: bool) -> Result<Vec<Request>, Trouble> {
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
        // Editors end a file with one; in a form it would be part of the last field.
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

fn of_delivery(delivery: Delivery, new_ids: bool) -> Result<Request, Trouble> {
    let delivery =
        if new_ids { delivery.with_id(&delivery::fresh_id(&mut fastrand::Rng::new()))? } else { delivery };
    let (content_type, body) = delivery.request().map_err(|error| format!("{}: {error}", delivery.name()))?;
    Ok(Request { name: delivery.name(), content_type, body })
}

/// JSON begins with a brace; the rest of what Slack sends is forms. A file's name decides where the content may be
/// broken on purpose.
fn content_type(path: &Path, content: &[u8]) -> &'static str {
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    if is_json || content.trim_ascii_start().starts_with(b"{") { JSON } else { FORM }
}
