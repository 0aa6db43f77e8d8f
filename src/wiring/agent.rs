//! The two functions behind the queue: what makes a dispatch and a settle of their configurations.

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use std::error::Error;

use super::warm_up;
use crate::aws::clients;
use crate::config::{DispatchConfig, SettleConfig};
use crate::dispatch::agent::{AgentCore, DeployedAgent};
use crate::dispatch::harness::Harness;
use crate::dispatch::settler::SettleFunction;
use crate::dispatch::{CALL_BUDGET, Dispatch};
use crate::gateway::agent_core::AgentCoreGateway;
use crate::gateway::slack_files::SlackFiles;
use crate::gateway::tools_gateway::ToolsGateway;
use crate::settle::Settle;
use crate::sink::Sink;
use crate::sink::sqs::SqsSink;
use crate::time::budget::CallTimeouts;
use crate::time::clock::SystemClock;
use crate::work::WorkStore;
use crate::work::dynamodb::DynamoDbWork;
use crate::work::lapse::Schedules;
use crate::work::queue::SqsQueue;
use crate::work::token::RandomTokens;

/// The dispatch with AgentCore, agent-settle, SQS, DynamoDB, and the clock of the machine.
pub type DeployedDispatch =
    Dispatch<DynamoDbWork, SqsQueue, DeployedAgent, SettleFunction, SqsSink, RandomTokens, SystemClock>;

/// The settle with its Gateway, SQS, DynamoDB, and the clock of the machine.
pub type DeployedSettle =
    Settle<DynamoDbWork, SqsQueue, AgentCoreGateway, ToolsGateway, RandomTokens, SystemClock>;

/// Makes the dispatch that `config` describes.
///
/// # Errors
/// When no region is set.
pub async fn dispatch(config: DispatchConfig) -> Result<DeployedDispatch, Box<dyn Error>> {
    let aws = clients::sdk_config(CallTimeouts::for_budget(CALL_BUDGET)).await?;
    let client = clients::agent_core(&aws, config.runtime.region(), CALL_BUDGET);
    let arn = config.runtime.to_string();
    let agent = if config.runtime.is_of_harness() {
        DeployedAgent::Harness(Harness::new(client, arn))
    } else {
        DeployedAgent::Runtime(AgentCore::new(client, arn, config.qualifier))
    };
    let settler = SettleFunction::new(lambda(&aws), config.settle_function);
    let sqs = aws_sdk_sqs::Client::new(&aws);
    let dead_letters = SqsSink::new(&sqs, config.dead_letter_url).with_shortcut(config.sdk_shortcut);
    let store = work_store(&aws, config.table);
    tokio::join!(warm_up("store", store.warm_up()), warm_up("dead-letter queue", dead_letters.warm_up()));
    let queue = SqsQueue::new(sqs, config.queue_url);
    Ok(Dispatch::new(store, queue, agent, settler, dead_letters, RandomTokens, SystemClock, config.settings))
}

/// Makes the settle that `config` describes.
///
/// # Errors
/// When no region is set, or the Gateway cannot be called.
pub async fn settle(config: SettleConfig) -> Result<DeployedSettle, Box<dyn Error>> {
    let aws = clients::sdk_config(CallTimeouts::for_budget(CALL_BUDGET)).await?;
    let slack =
        AgentCoreGateway::new(&aws, &config.gateway_url, config.installations.clone(), &config.slack_hooks)?;
    // Their secrets are read when a file is: a question without one does not wait for them.
    let files = config.bot_tokens.map(|secrets| {
        SlackFiles::new(aws_sdk_secretsmanager::Client::new(&aws), secrets, &config.slack_files)
    });
    let slack = slack.with_files(files);
    let schedules = config.schedules.map(|schedules| Schedules::new(&aws, schedules)).transpose()?;
    let queue = SqsQueue::new(aws_sdk_sqs::Client::new(&aws), config.queue_url).with_schedules(schedules);
    let store = work_store(&aws, config.table).with_audit(config.audit_table);
    warm_up("store", store.warm_up()).await;
    let (installations, by_workspace) = (config.installations, config.workspace_tools);
    let tools = config.tools_gateway_url;
    let tools = tools.map(|url| ToolsGateway::new(&aws, &url, installations, by_workspace)).transpose()?;
    Ok(Settle::new(store, queue, slack, tools, RandomTokens, SystemClock, config.settings))
}

fn work_store(aws: &SdkConfig, table: String) -> DynamoDbWork {
    DynamoDbWork::new(aws_sdk_dynamodb::Client::new(aws), table)
}

/// A client of Lambda that bounds no call: agent-settle may post for half a minute, and the dispatch bounds what it waits for.
fn lambda(aws: &SdkConfig) -> aws_sdk_lambda::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CALL_BUDGET)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .build();
    let config = aws_sdk_lambda::config::Builder::from(aws).timeout_config(timeouts);
    aws_sdk_lambda::Client::from_conf(config.build())
}
