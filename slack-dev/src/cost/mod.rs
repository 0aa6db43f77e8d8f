//! `slack-dev cost`: what a month of events and questions costs, by list prices. `docs/cost.md` is written from the same tables, and
//! a test compares the two.
//!
//! ```text
//! prices.json ──▶ prices ─┐
//! deployed.json ▶ deployed ┼─▶ bill ──▶ the table, or JSON
//! usage.json ───▶ usage ──┘      ▲
//!                            exact: no float
//! ```

mod bill;
mod deployed;
mod exact;
#[cfg(test)]
mod page;
mod prices;
mod usage;

use serde_json::json;
use std::process::ExitCode;

use self::bill::{Agent, Architecture, Bill, Calculator, FrontDoor, ModelTokens, Month, Part, QueueType};
use self::exact::Exact;
use crate::CommandError;

/// What a month costs, by AWS's list prices in us-east-1.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Events, commands and interactions in a month
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    events: u64,
    /// Deliveries of events that are on the queue already, such as Slack's retries
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    duplicates: u64,
    /// How many events a second there are while there are any; left out: they come evenly. It decides how many are traced
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    #[arg(long, value_enum, default_value_t = FrontDoor::HttpApi)]
    front_door: FrontDoor,
    #[arg(long, value_enum, default_value_t = QueueType::Fifo)]
    queue: QueueType,
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// The memory of each function, in MB; left out: what the stacks give them
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(128..=10_240))]
    function_memory: Option<u64>,
    /// Without X-Ray (-c tracing=off)
    #[arg(long)]
    no_tracing: bool,
    /// Without dashboards (-c dashboard=false)
    #[arg(long)]
    no_dashboard: bool,
    /// The billed time of an event that the ingress accepts, in milliseconds
    #[arg(long, default_value = "17", value_name = "MS")]
    event_ms: Exact,
    /// How many in a hundred events are the first of their execution environment
    #[arg(long, default_value = "1", value_name = "PERCENT")]
    cold_percent: Exact,
    /// Customer-managed KMS keys
    #[arg(long = "kms", value_name = "KEYS", default_value_t = 0, default_missing_value = "1", num_args = 0..=1, value_parser = clap::value_parser!(u64).range(..=1_000))]
    kms_keys: u64,
    /// Calls of KMS in a month; left out: by AWS's formula for one queue, and one for each reading of the signing secret
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    kms_requests: Option<u64>,
    /// Every how many minutes a canary asks the front door for a challenge, with two metrics and an alarm; left out: there is none
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1_440))]
    canary_minutes: Option<u64>,
    /// Secrets beside those of the stacks: Trello's, that of `rotatingTokens`, the token of each further workspace
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100_000))]
    more_secrets: u64,
    /// Metrics that your own alarms look at, and those of `rotatingTokens`
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=100_000))]
    more_alarm_metrics: u64,

    /// With the agent's stack (agent=true). `--questions` implies it
    #[arg(long)]
    agent: bool,
    /// How many of the events are questions to the agent
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    questions: u64,
    /// How long the agent thinks about a question
    #[arg(long, default_value_t = 20, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=28_800))]
    agent_seconds: u64,
    /// The processor time that it uses for a question, in seconds of one vCPU
    #[arg(long, default_value = "2", value_name = "S")]
    agent_cpu_seconds: Exact,
    /// The memory of a session, in MB: the peak, its start and AgentCore's own included
    #[arg(long, default_value_t = 256, value_name = "MB", value_parser = clap::value_parser!(u64).range(128..=8_192))]
    agent_memory: u64,
    /// After how many idle seconds AgentCore ends a session; left out: what the stack says
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(60..=28_800))]
    idle_seconds: Option<u64>,
    /// How many questions a conversation has, on average, before its session ends as idle
    #[arg(long, default_value = "1", value_name = "N")]
    questions_per_session: Exact,
    /// Calls of tools through the agent's Gateway, for each question
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(..=10_000))]
    tool_calls: u64,
    /// How often people are asked before a tool is called (approvals), in the month. Each click is an event, and the agent goes on as
    /// with a question: count them in `--events` and `--questions` too
    #[arg(long, default_value_t = 0, value_name = "N", requires = "questions", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    approvals: u64,
    /// The agent remembers people (memory=user): it looks up and keeps something for each question
    #[arg(long)]
    remembers: bool,
    /// How many records of what it remembers are kept
    #[arg(long, default_value_t = 0, value_name = "N", requires = "remembers", value_parser = clap::value_parser!(u64).range(..=1_000_000_000_000))]
    memory_records: u64,
    /// Tokens that the model reads for a question, over all its calls
    #[arg(long, default_value_t = 0, value_name = "N", requires = "input_token_price", value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    input_tokens: u64,
    /// Tokens that the model writes for a question
    #[arg(long, default_value_t = 0, value_name = "N", requires = "output_token_price", value_parser = clap::value_parser!(u64).range(..=1_000_000_000))]
    output_tokens: u64,
    /// Your model's price of a million tokens that it reads, in US dollars: no price of a model is known here
    #[arg(long, value_name = "USD")]
    input_token_price: Option<String>,
    /// Your model's price of a million tokens that it writes, in US dollars
    #[arg(long, value_name = "USD")]
    output_token_price: Option<String>,

    /// Another price than the list's, such as that of another region; may be given several times
    #[arg(long = "price", value_name = "KEY=USD")]
    other_prices: Vec<String>,
    /// Print the list of prices, with where and when each was read
    #[arg(long)]
    prices: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the bill of a month, or the prices.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, CommandError> {
    let mut calculator = Calculator::new()?;
    calculator.prices.replace(&arguments.other_prices)?;
    if arguments.prices {
        print!("{}", price_list(&calculator, arguments.json));
        return Ok(ExitCode::SUCCESS);
    }
    let month = arguments.month()?;
    let bill = calculator.bill(&month)?;
    if arguments.json {
        println!("{}", as_json(&month, &bill));
    } else {
        print!("{}", as_text(&month, &bill));
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn month(&self) -> Result<Month, CommandError> {
        for (option, value) in [("--event-ms", self.event_ms), ("--cold-percent", self.cold_percent)] {
            let most = Exact::from(if option == "--event-ms" { 900_000 } else { 100 });
            if !value.less(most).is_zero() {
                return Err(format!("{option} is at most {}", most.text(0)).into());
            }
        }
        if !Exact::from(1).less(self.questions_per_session).is_zero() {
            return Err("--questions-per-session is at least 1".into());
        }
        let model = [
            ("tokens read", self.input_tokens, &self.input_token_price),
            ("tokens written", self.output_tokens, &self.output_token_price),
        ];
        let mut tokens = Vec::new();
        for (what, a_question, usd) in model {
            if let Some(usd) = usd {
                usd.parse::<Exact>().map_err(|problem| format!("{usd}: {problem}"))?;
                tokens.push(ModelTokens { what, a_question, usd: usd.clone() });
            }
        }
        let agent = (self.agent || self.questions > 0).then_some(Agent {
            questions: self.questions,
            seconds: self.agent_seconds,
            cpu_seconds: self.agent_cpu_seconds,
            memory_mb: self.agent_memory,
            idle_seconds: self.idle_seconds,
            questions_a_session: self.questions_per_session,
            tool_calls: self.tool_calls,
            approvals: self.approvals,
            remembers: self.remembers,
            memory_records: self.memory_records,
            model: tokens,
        });
        Ok(Month {
            events: self.events,
            duplicates: self.duplicates,
            rate: self.rate,
            front_door: self.front_door,
            queue: self.queue,
            architecture: self.architecture,
            function_memory_mb: self.function_memory,
            is_traced: !self.no_tracing,
            has_dashboards: !self.no_dashboard,
            event_ms: self.event_ms,
            cold_percent: self.cold_percent,
            cold_ms: COLD_MS,
            kms_keys: self.kms_keys,
            kms_requests: self.kms_requests,
            canary_minutes: self.canary_minutes,
            more_secrets: self.more_secrets,
            more_alarm_metrics: self.more_alarm_metrics,
            agent,
        })
    }
}

/// How much longer the first invocation of an execution environment takes, init included. Assumed.
const COLD_MS: u64 = 300;

/// What a sum is not.
const NOT_COUNTED: &str = "List prices in US dollars for us-east-1, first tier, without free tiers, discounts and tax. Arithmetic, and\n\
     no bill; what is assumed and what is not counted: docs/cost.md. Each line is computed exactly and shown rounded half up;\n\
     the sums are of what is not rounded.\n";

fn as_text(month: &Month, bill: &Bill) -> String {
    let mut services: Vec<&str> = Vec::new();
    for line in bill.lines() {
        if !services.contains(&line.service.as_str()) {
            services.push(&line.service);
        }
    }
    let mut text = String::new();
    for service in services {
        let lines: Vec<_> = bill.lines().iter().filter(|line| line.service == service).collect();
        let sum = lines.iter().fold(Exact::from(0), |sum, line| sum + line.usd);
        text.push_str(&format!("{service:<70}{:>12}\n", sum.text(2)));
        for line in lines {
            text.push_str(&format!("  {:<56}{:>12}\n", line.what, line.usd.text(4)));
        }
    }
    let mut sum = |what: &str, parts: &[Part]| {
        text.push_str(&format!("{what:<70}{:>12}\n", bill.sum(parts).text(2)));
    };
    sum("Together, in US dollars", &Part::ALL);
    sum("  of which in a month without any event", &[Part::Standing]);
    sum("  as soon as there are events, however many", &[Part::AnyEvents]);
    sum("  for events", &[Part::Events]);
    if let Some(agent) = &month.agent {
        sum("  for questions, and for events behind the queue", &[Part::Questions]);
        if agent.model.is_empty() {
            text.push_str(
                "\nThe model is not in it: no price was given (--input-token-price, --output-token-price).\n",
            );
        }
    }
    text.push('\n');
    text.push_str(NOT_COUNTED);
    text
}

fn as_json(month: &Month, bill: &Bill) -> serde_json::Value {
    let lines: Vec<_> = bill
        .lines()
        .iter()
        .map(|line| {
            json!({
                "service": line.service,
                "what": line.what,
                "part": match line.part {
                    Part::Standing => "standing",
                    Part::AnyEvents => "any_events",
                    Part::Events => "events",
                    Part::Questions => "questions",
                },
                "price": line.price.key,
                "quantity": plain(line.quantity, 6),
                "per": line.price.per,
                "usd_per": line.price.usd,
                "usd": plain(line.usd, 12),
            })
        })
        .collect();
    let model = month.agent.as_ref().map(|agent| !agent.model.is_empty());
    json!({
        "version": 1,
        "lines": lines,
        "standing_usd": plain(bill.sum(&[Part::Standing]), 2),
        "any_events_usd": plain(bill.sum(&[Part::AnyEvents]), 2),
        "events_usd": plain(bill.sum(&[Part::Events]), 2),
        "questions_usd": plain(bill.sum(&[Part::Questions]), 2),
        "total_usd": plain(bill.total(), 2),
        "model_is_counted": model,
        "free_tiers_are_counted": false,
    })
}

/// A number for programs: no commas.
fn plain(number: Exact, decimals: u32) -> String {
    number.text(decimals).replace(',', "")
}

fn price_list(calculator: &Calculator, as_json: bool) -> String {
    let prices = calculator.prices.all();
    if as_json {
        let prices: Vec<_> = prices
            .iter()
            .map(|price| {
                json!({
                    "key": price.key, "service": price.service, "what": price.what, "per": price.per, "usd": price.usd,
                    "per_text": price.per_text, "verified": price.verified.as_str(), "read": price.read, "url": price.url,
                    "note": price.note,
                })
            })
            .collect();
        return format!("{}\n", json!({ "version": 1, "prices": prices }));
    }
    let line = |price: &prices::Price| {
        let (key, usd) = (&price.key, price.text());
        format!("{key:<18} {usd:<28} {:<7} {} {}\n", price.verified.as_str(), price.read, price.url)
    };
    prices.iter().map(line).collect()
}
