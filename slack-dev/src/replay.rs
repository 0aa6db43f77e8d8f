//! `slack-dev replay`: deliveries of a file, back to an ingress or straight to a queue.

use clap::Args;
use slack_ingress::sink::Sink;
use slack_ingress::sink::sqs::SqsSink;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::Trouble;
use crate::aws::Queue;
use crate::delivery::{self, Delivery, fresh_id};
use crate::filter::Filter;
use crate::play::{Target, say};
use crate::slack::{Schedule, Slack, Step};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// Put them straight on this queue, past every ingress; a FIFO queue drops an id that it has seen within five
    /// minutes
    #[arg(long, value_name = "URL", conflicts_with_all = ["url", "compressed"])]
    queue_url: Option<String>,

    /// Give each a fresh id: an ingress that remembers the old one answers 200 and forwards nothing, as for any
    /// duplicate
    #[arg(long)]
    new_ids: bool,

    /// Not more than this many a second
    #[arg(long, value_name = "NUMBER", value_parser = rate)]
    rate: Option<f64>,

    /// Say nothing of each one, only the sum
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    filter: Filter,

    /// A file that `capture` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A number a second, as a command line gives it.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err("from 0.001 to 1000000".to_owned()) }
}

enum Destination {
    Ingress { slack: Box<Slack>, schedule: Schedule },
    Queue(SqsSink),
}

pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode, Trouble> {
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
        let taken = match delivery {
            Ok(delivery) => destination.send(&delivery, arguments.quiet).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) => sent += 1,
            Err(error) => {
                failed += 1;
                eprintln!("{name}: {}", crate::with_causes(error.as_ref()));
            }
        }
    }
    println!("{sent} sent and taken, {failed} failed, {filtered} left out by filters");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Destination {
    async fn send(&self, delivery: &Delivery, quiet: bool) -> Result<(), Trouble> {
        if !quiet {
            println!("{}", delivery.name());
        }
        match self {
            Self::Queue(sink) => Ok(sink.send(&delivery.message()?).await?),
            Self::Ingress { slack, schedule } => {
                let (content_type, body) = delivery.request()?;
                let schedule = delivery.kind()?.is_retried().then_some(*schedule);
                let mut see = |step: Step<'_>| {
                    if !quiet {
                        say(&step);
                    }
                };
                let acknowledged = slack.deliver(content_type, &body, schedule, &mut see).await;
                if acknowledged { Ok(()) } else { Err("not acknowledged".into()) }
            }
        }
    }
}
