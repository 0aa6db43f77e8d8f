//! `slack-dev replay`: sends the deliveries of a file again, to an ingress or straight to a queue.

use clap::Args;
use slack_ingress::sink::Sink;
use slack_ingress::sink::sqs::SqsSink;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::CommandError;
use crate::aws::Queue;
use crate::delivery::{self, Delivery, fresh_id};
use crate::filter::Filter;
use crate::play::{Target, print_progress};
use crate::slack::{DeliveryProgress, RetrySchedule, Slack};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Send the deliveries straight to this queue, past every ingress; a FIFO queue drops a delivery if it has seen its id
    /// within five minutes
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "compressed"])]
    queue_url: Option<String>,

    /// Give each delivery a new id: an ingress that remembers the old id answers 200 and forwards nothing, as for any
    /// duplicate
    #[arg(long)]
    new_ids: bool,

    /// Send at most this many deliveries a second
    #[arg(long, value_name = "NUMBER", value_parser = parse_positive)]
    rate: Option<f64>,

    /// Print only the totals, not a line for each delivery
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    filter: Filter,

    /// A file that `slack-dev capture` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Reads a positive number from the command line: a rate a second or a number of seconds, from 0.001 to 1,000,000.
pub(crate) fn parse_positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e6).contains(&number) { Ok(number) } else { Err("must be from 0.001 to 1000000".to_owned()) }
}

/// Where the deliveries are sent.
enum Destination {
    Ingress { slack: Box<Slack>, schedule: RetrySchedule },
    Queue(SqsSink),
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let destination = match &arguments.queue_url {
        Some(url) => Destination::Queue(SqsSink::new(Queue::at(url).await.client(), url)),
        None => Destination::Ingress {
            slack: Box::new(arguments.target.slack()?),
            schedule: arguments.target.schedule(),
        },
    };
    let mut dice = fastrand::Rng::new();
    let pace = arguments.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    let (mut sent, mut failed, mut filtered) = (0, 0, 0);
    let mut next = Instant::now();
    for delivery in delivery::read(&arguments.file)? {
        let delivery = delivery?;
        if !arguments.filter.matches(&delivery) {
            filtered += 1;
            continue;
        }
        if let Some(pace) = pace {
            tokio::time::sleep_until(next.into()).await;
            next = next.max(Instant::now() - pace) + pace;
        }
        let name = delivery.name();
        let delivery = if arguments.new_ids { delivery.with_id(&fresh_id(&mut dice)) } else { Ok(delivery) };
        let sending = match delivery {
            Ok(delivery) => destination.send(&delivery, arguments.quiet).await,
            Err(error) => Err(error),
        };
        match sending {
            Ok(()) => sent += 1,
            Err(error) => {
                failed += 1;
                eprintln!("{name}: {}", crate::with_causes(error.as_ref()));
            }
        }
    }
    println!("{sent} sent and accepted, {failed} failed, {filtered} left out by filters");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Destination {
    async fn send(&self, delivery: &Delivery, quiet: bool) -> Result<(), CommandError> {
        if !quiet {
            println!("{}", delivery.name());
        }
        match self {
            Self::Queue(sink) => Ok(sink.send(&delivery.message()?).await?),
            Self::Ingress { slack, schedule } => {
                let (content_type, body) = delivery.request()?;
                let schedule = delivery.kind()?.is_retried().then_some(*schedule);
                let mut on_progress = |step: DeliveryProgress<'_>| {
                    if !quiet {
                        print_progress(&step);
                    }
                };
                let acknowledged = slack.deliver(content_type, &body, schedule, &mut on_progress).await;
                if acknowledged { Ok(()) } else { Err("not acknowledged".into()) }
            }
        }
    }
}
