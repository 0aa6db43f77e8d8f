//! Checks the secrets in Secrets Manager, the table in DynamoDB and the queue in SQS.

use aws_config::{Region, SdkConfig};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, KeyType, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveDescription, TimeToLiveStatus,
};
use aws_sdk_secretsmanager::operation::describe_secret::builders::DescribeSecretFluentBuilder;
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use slack_ingress::config::{SecretConfig, SinkConfig, StoreConfig};
use slack_ingress::rotation::decide::REFRESH_WITH_LEFT;
use slack_ingress::slack::bot_token::{BotToken, TokenKind};
use slack_ingress::slack::secrets::{SecretError, SecretsManager, SigningSecrets};
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock, UnixMillis};
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock::ClockSkew;
use super::report::Check;
use crate::aws::sdk_config;

const SECRET: &str = "secret";
const BOT_TOKEN: &str = "bot token";
const TABLE: &str = "table";
const TABLE_KEY: &str = "table, key";
const TABLE_TTL: &str = "table, TTL";
const TABLE_INDEX: &str = "table, index";
const QUEUE: &str = "queue";
const DEAD_LETTER_QUEUE: &str = "queue, dead letters";
const VISIBILITY: &str = "queue, visibility";

/// A visibility timeout below this gets a warning: the consumers that this project is for do slow work, which takes a minute and
/// more.
const SHORT_VISIBILITY_SECONDS: u64 = 60;
/// SQS keeps a message for 14 days at the most.
const LONGEST_RETENTION_SECONDS: u64 = 14 * 86_400;

const PUT_THE_BOT_TOKEN: &str = "Put the app's bot token with the command of the stack's output PutTheBotToken, or with slack-dev install --secret-id <this \
     secret>, which tokens that expire need; docs/slack-app.md";
const PUT_THE_SIGNING_SECRET: &str =
    "Put the app's signing secret in it, the output SigningSecretArn; docs/slack-app.md";
const CREATE_TABLE: &str =
    "Deploy the stack, or create it as docs/deploy.md says: the key of a table cannot be changed";

/// The AWS configuration, if a secret, a table or a queue of AWS is configured, and the clock skew seen in AWS's answers.
pub(super) struct Services {
    sdk: Option<SdkConfig>,
    skew_recorder: SkewRecorder,
}

impl Services {
    /// `region` is the stacks', if it is known: it comes before that of the environment.
    pub(super) async fn connect(
        region: Option<&str>,
        secret: Option<&SecretConfig>,
        uses_the_agents_side: bool,
        store: Option<&StoreConfig>,
        sink: Option<&SinkConfig>,
    ) -> Self {
        let is_used = matches!(secret, Some(SecretConfig::Managed(_)))
            || uses_the_agents_side
            || matches!(store, Some(StoreConfig::DynamoDb { .. }))
            || matches!(sink, Some(SinkConfig::Sqs { .. }));
        let sdk = if is_used { Some(sdk_config().await) } else { None };
        let sdk = match (sdk, region) {
            (Some(sdk), Some(region)) => {
                Some(sdk.into_builder().region(Region::new(region.to_owned())).build())
            }
            (sdk, _) => sdk,
        };
        Self { sdk, skew_recorder: SkewRecorder::default() }
    }

    /// The clock skew by the last answer of any AWS service; `None` if none has answered.
    pub(super) fn skew(&self) -> Option<ClockSkew> {
        *self.skew_recorder.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table of this configuration, and a client of DynamoDB that reads it.
    pub(super) fn table_of(&self, store: Option<&StoreConfig>) -> Option<(aws_sdk_dynamodb::Client, String)> {
        match (store, &self.sdk) {
            (Some(StoreConfig::DynamoDb { table }), Some(sdk)) => {
                Some((aws_sdk_dynamodb::Client::new(sdk), table.clone()))
            }
            _ => None,
        }
    }

    /// The AWS configuration, or the failed check that says that the region is missing.
    pub(super) fn sdk(&self, check: &'static str) -> Result<&SdkConfig, Check> {
        let sdk = self.sdk.as_ref().filter(|sdk| sdk.region().is_some());
        sdk.ok_or_else(|| {
            Check::fail(check, "AWS_REGION is not set, and no profile names a region", "Set AWS_REGION")
        })
    }
}

/// Compares this machine's clock with the `Date` of each answer.
#[derive(Clone, Debug, Default)]
struct SkewRecorder(Arc<Mutex<Option<ClockSkew>>>);

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for SkewRecorder {
    fn name(&self) -> &'static str {
        "SkewRecorder"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(skew) = context.response().headers().get("date").and_then(ClockSkew::of_date) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(skew);
        }
        Ok(())
    }
}

/// Why a call failed: the service's own code and message, or the error that kept the call from reaching it.
fn why<E: Error + ProvideErrorMetadata + 'static>(error: &SdkError<E>) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => crate::with_causes(error),
    }
}

/// What to do about a call that failed although the table, queue or secret may exist.
fn look_at_access(call: &str) -> String {
    format!("Look at your credentials, the region and the permission {call}")
}

/// Checks that the secret can be read, and returns the signing secrets in it or in the environment.
pub(super) async fn secret(
    services: &Services,
    secret: Option<SecretConfig>,
) -> (Vec<Check>, Arc<[SigningSecret]>) {
    let none: Arc<[SigningSecret]> = Arc::new([]);
    let id = match secret {
        None => return (Vec::new(), none),
        Some(SecretConfig::Inline(text)) => {
            return (Vec::new(), SigningSecrets::fixed(text.signing_secrets()).current());
        }
        Some(SecretConfig::Managed(id)) => id,
    };
    let sdk = match services.sdk(SECRET) {
        Ok(sdk) => sdk,
        Err(check) => return (vec![check], none),
    };
    let client = aws_sdk_secretsmanager::Config::from(sdk)
        .to_builder()
        .interceptor(services.skew_recorder.clone())
        .build();
    let client = aws_sdk_secretsmanager::Client::from_conf(client);
    let described = client.describe_secret().secret_id(&id);
    let secrets = SigningSecrets::managed(SecretsManager::new(client, id));
    let check = match secrets.load().await {
        Ok(()) if is_made_up(&described).await => Check::fail(
            SECRET,
            "the secret still has the random value that the deployment made up: every request is answered 401",
            PUT_THE_SIGNING_SECRET,
        ),
        Ok(()) => Check::ok(
            SECRET,
            format!(
                "readable, {} signing secret(s) in its current and its previous version",
                secrets.current().len()
            ),
        ),
        Err(SecretError::Unavailable(error)) => {
            let found = format!("it cannot be read: {}", why(&error));
            Check::fail(SECRET, found, look_at_access("secretsmanager:GetSecretValue"))
        }
        Err(error) => Check::fail(
            SECRET,
            crate::with_causes(&error),
            "Put the app's signing secret in it; docs/rotate-secret.md",
        ),
    };
    (vec![check], secrets.current())
}

/// The beginning of the description that the stack gives the secrets that it creates.
const CREATED_BY_THE_STACK: &str = "slack-ingress: ";

/// Checks that somebody has put the bot token into the secret that the Gateways read, and what kind of a token it is; and returns
/// the token, if it is one that Slack can be asked with. It is not shown. `whose` begins the finding.
pub(super) async fn bot_token(services: &Services, id: &str, whose: &str) -> (Check, Option<BotToken>) {
    let (check, token) = match services.sdk(BOT_TOKEN) {
        Ok(sdk) => bot_token_in(sdk, services, id).await,
        Err(check) => (check, None),
    };
    let found = format!("{whose}{}", check.found);
    (Check { found, ..check }, token)
}

async fn bot_token_in(sdk: &SdkConfig, services: &Services, id: &str) -> (Check, Option<BotToken>) {
    let config = aws_sdk_secretsmanager::Config::from(sdk)
        .to_builder()
        .interceptor(services.skew_recorder.clone())
        .build();
    let client = aws_sdk_secretsmanager::Client::from_conf(config);
    match client.describe_secret().secret_id(id).send().await {
        Ok(described) => {
            let versions = described.version_ids_to_stages().map_or(0, HashMap::len);
            match bot_token_is_missing(described.description().unwrap_or_default(), versions) {
                Some(check) => (check, None),
                None => match client.get_secret_value().secret_id(id).send().await {
                    Ok(got) => {
                        let text = got.secret_string().unwrap_or_default();
                        let check = kind_check(text, got.version_id().unwrap_or_default(), SystemClock.now());
                        let is_usable =
                            |token: &BotToken| matches!(token.kind(), TokenKind::Plain | TokenKind::Rotating);
                        (check, BotToken::read(text).ok().filter(is_usable))
                    }
                    Err(error) => {
                        let found = format!("there is one, and of which kind is not known: {}", why(&error));
                        let todo = look_at_access("secretsmanager:GetSecretValue");
                        (Check::warn(BOT_TOKEN, found, todo), None)
                    }
                },
            }
        }
        Err(error) => {
            (Check::fail(BOT_TOKEN, why(&error), look_at_access("secretsmanager:DescribeSecret")), None)
        }
    }
}

/// Whether nobody has put anything into a secret that the stack created. Where the secret's description cannot be read, nobody
/// knows, and the answer is no.
async fn is_made_up(described: &DescribeSecretFluentBuilder) -> bool {
    described.clone().send().await.is_ok_and(|described| {
        has_the_stacks_value(
            described.description().unwrap_or_default(),
            described.version_ids_to_stages().map_or(0, HashMap::len),
        )
    })
}

/// A secret that the stack created has one version, with a random value, until somebody puts another one.
fn has_the_stacks_value(description: &str, versions: usize) -> bool {
    description.starts_with(CREATED_BY_THE_STACK) && versions == 1
}

/// What is wrong if nobody has put a bot token yet.
fn bot_token_is_missing(description: &str, versions: usize) -> Option<Check> {
    match versions {
        0 => Some(Check::fail(BOT_TOKEN, "the secret has no value", PUT_THE_BOT_TOKEN)),
        1 if has_the_stacks_value(description, versions) => Some(Check::fail(
            BOT_TOKEN,
            "the secret still has the random value that the deployment made up: no question can be answered",
            PUT_THE_BOT_TOKEN,
        )),
        _ => None,
    }
}

/// What kind of a token is in the text of a secret, and for one that expires, when, and whether it was renewed in time.
fn kind_check(text: &str, version_id: &str, now: UnixMillis) -> Check {
    let token = match BotToken::read(text) {
        Ok(token) => token,
        Err(why) => return Check::fail(BOT_TOKEN, why, PUT_THE_BOT_TOKEN),
    };
    let kind = token.kind();
    match kind {
        TokenKind::Plain => Check::ok(BOT_TOKEN, "xoxb-…: a bot token that does not expire"),
        TokenKind::Rotating => rotating_check(&token, version_id, now),
        TokenKind::Refresh | TokenKind::User | TokenKind::App | TokenKind::Unknown => Check::fail(
            BOT_TOKEN,
            format!("{} in the place of the bot token", kind.as_str()),
            PUT_THE_BOT_TOKEN,
        ),
    }
}

fn rotating_check(token: &BotToken, version_id: &str, now: UnixMillis) -> Check {
    const INSTALL: &str = "Install the app again: slack-dev install --secret-id <this secret>; docs/slack-app.md, \"Tokens that expire\"";
    const DEPLOY: &str = "Deploy with rotatingTokens=true, and look at the log of token-rotation; docs/operate.md, TokenExpires";
    let found = |more: &str| format!("xoxe.xoxb-…: a rotating bot token, which {more}");
    if token.refresh_token.is_none() {
        let why = found(
            "nobody can renew: the secret has no refresh_token, and it ends twelve hours after it was made",
        );
        return Check::fail(BOT_TOKEN, why, INSTALL);
    }
    // token-rotation calls the version by the fingerprint of the refresh token before.
    let is_renewed = version_id.len() == 64 && version_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let by = if is_renewed { "token-rotation has put it" } else { "a person has put it" };
    match token.left(now) {
        None => Check::warn(
            BOT_TOKEN,
            found("does not say when it expires; token-rotation writes that down"),
            DEPLOY,
        ),
        Some(Duration::ZERO) => {
            Check::fail(BOT_TOKEN, found("has expired: no question can be answered"), DEPLOY)
        }
        Some(left) => {
            let minutes = left.as_secs() / 60;
            let expires = format!("expires in {} h {} min; {by}", minutes / 60, minutes % 60);
            // A run comes once in a quarter of an hour.
            if left < REFRESH_WITH_LEFT - Duration::from_secs(30 * 60) {
                return Check::warn(
                    BOT_TOKEN,
                    found(&format!("{expires}, and it should have been renewed")),
                    DEPLOY,
                );
            }
            Check::ok(BOT_TOKEN, found(&expires))
        }
    }
}

pub(super) async fn table(services: &Services, store: Option<StoreConfig>) -> Vec<Check> {
    let name = match store {
        None => return vec![Check::skip(TABLE, "no DEDUP_STORE")],
        Some(StoreConfig::DynamoDb { table }) => table,
        Some(StoreConfig::Memory) => {
            return vec![Check::skip(
                TABLE,
                "memory: is for local work: each process has its own, and there is no table",
            )];
        }
        #[allow(
            unreachable_patterns,
            reason = "which others there are depends on the features of the library"
        )]
        Some(_) => return vec![Check::skip(TABLE, "the store is no table of DynamoDB: not checked")],
    };
    let sdk = match services.sdk(TABLE) {
        Ok(sdk) => sdk,
        Err(check) => return vec![check],
    };
    let config =
        aws_sdk_dynamodb::Config::from(sdk).to_builder().interceptor(services.skew_recorder.clone()).build();
    let client = aws_sdk_dynamodb::Client::from_conf(config);
    let table = match client.describe_table().table_name(&name).send().await {
        Ok(described) => described.table.unwrap_or_else(|| TableDescription::builder().build()),
        Err(error)
            if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) =>
        {
            let found = format!("{name} does not exist in this account and region");
            return vec![Check::fail(TABLE, found, "Deploy the stack, or create it as docs/deploy.md says")];
        }
        Err(error) => {
            return vec![Check::fail(TABLE, why(&error), look_at_access("dynamodb:DescribeTable"))];
        }
    };
    let ttl = match client.describe_time_to_live().table_name(&name).send().await {
        Ok(described) => ttl_check(&name, described.time_to_live_description.as_ref()),
        Err(error) => Check::fail(TABLE_TTL, why(&error), look_at_access("dynamodb:DescribeTimeToLive")),
    };
    vec![existence_check(&name, table.table_status()), key_check(&table), ttl, index_check(&table)]
}

fn existence_check(name: &str, status: Option<&TableStatus>) -> Check {
    match status {
        Some(TableStatus::Active | TableStatus::Updating) => Check::ok(TABLE, format!("{name} is there")),
        status => {
            let found = format!("{name} is {}", status.map_or("unknown", TableStatus::as_str));
            Check::fail(TABLE, found, "Wait until it is ACTIVE")
        }
    }
}

/// A key as text, such as `event_id (S)`.
fn key_of(schema: &[KeySchemaElement], table: &TableDescription) -> String {
    let type_of = |name: &str| {
        let mut all = table.attribute_definitions().iter();
        let found = all.find(|attribute| attribute.attribute_name() == name);
        found.map_or("?", |attribute| attribute.attribute_type().as_str())
    };
    // The partition key comes first, whatever the order of the answer.
    let mut parts: Vec<_> = schema.iter().collect();
    parts.sort_by_key(|part| *part.key_type() != KeyType::Hash);
    let texts =
        parts.iter().map(|part| format!("{} ({})", part.attribute_name(), type_of(part.attribute_name())));
    texts.collect::<Vec<_>>().join(", ")
}

fn key_check(table: &TableDescription) -> Check {
    let expected = format!("event_id ({})", ScalarAttributeType::S.as_str());
    match key_of(table.key_schema(), table) {
        key if key == expected => Check::ok(TABLE_KEY, key),
        key => {
            Check::fail(TABLE_KEY, format!("{key} instead of {expected}, without a sort key"), CREATE_TABLE)
        }
    }
}

fn ttl_check(table: &str, ttl: Option<&TimeToLiveDescription>) -> Check {
    let todo = format!(
        "Without it records stay for ever: aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification \
         Enabled=true,AttributeName=expires_at"
    );
    let attribute = ttl.and_then(TimeToLiveDescription::attribute_name);
    match (ttl.and_then(TimeToLiveDescription::time_to_live_status), attribute) {
        (Some(TimeToLiveStatus::Enabled), Some("expires_at")) => Check::ok(TABLE_TTL, "on expires_at"),
        (Some(TimeToLiveStatus::Enabling), Some("expires_at")) => {
            Check::ok(TABLE_TTL, "being switched on for expires_at")
        }
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(other)) => {
            Check::fail(TABLE_TTL, format!("on {other} instead of expires_at"), todo)
        }
        _ => Check::fail(TABLE_TTL, "off", todo),
    }
}

fn index_check(table: &TableDescription) -> Check {
    let todo = "Without it parked events are never sent: add it as docs/deploy.md says";
    let expected = "parked (S), received_at (N)";
    let mut all = table.global_secondary_indexes().iter();
    let Some(index) = all.find(|index| index.index_name() == Some("parked")) else {
        return Check::fail(TABLE_INDEX, "no index parked", todo);
    };
    let key = key_of(index.key_schema(), table);
    if key != expected {
        return Check::fail(TABLE_INDEX, format!("parked has the key {key} instead of {expected}"), todo);
    }
    match index.index_status() {
        None | Some(IndexStatus::Active | IndexStatus::Updating) => {
            Check::ok(TABLE_INDEX, format!("parked, {key}"))
        }
        Some(status) => being_made(index, status),
    }
}

fn being_made(index: &GlobalSecondaryIndexDescription, status: &IndexStatus) -> Check {
    let found = format!("{} is {}", index.index_name().unwrap_or_default(), status.as_str());
    Check::warn(TABLE_INDEX, found, "Wait until it is ACTIVE")
}

pub(super) async fn queue(services: &Services, sink: Option<SinkConfig>) -> Vec<Check> {
    let url = match sink {
        None => return vec![Check::skip(QUEUE, "no EVENT_SINK")],
        Some(SinkConfig::Sqs { queue_url }) => queue_url,
        Some(SinkConfig::Stdout) => {
            return vec![Check::skip(QUEUE, "stdout: is for local work: there is no queue")];
        }
        #[allow(
            unreachable_patterns,
            reason = "which others there are depends on the features of the library"
        )]
        Some(_) => {
            return vec![Check::skip(
                QUEUE,
                "the sink is a topic: neither it nor the queues behind it are checked",
            )];
        }
    };
    let sdk = match services.sdk(QUEUE) {
        Ok(sdk) => sdk,
        Err(check) => return vec![check],
    };
    let config =
        aws_sdk_sqs::Config::from(sdk).to_builder().interceptor(services.skew_recorder.clone()).build();
    let client = aws_sdk_sqs::Client::from_conf(config);
    let attributes = match attributes(&client, &url).await {
        Ok(attributes) => attributes,
        Err(QueueError::DoesNotExist) => {
            let found = "the queue of EVENT_SINK does not exist";
            return vec![Check::fail(
                QUEUE,
                found,
                "Deploy the stack, and take the URL from its outputs; docs/deploy.md",
            )];
        }
        Err(QueueError::CannotBeRead(why)) => {
            return vec![Check::fail(QUEUE, why, look_at_access("sqs:GetQueueAttributes"))];
        }
    };
    vec![
        type_check(&attributes),
        dead_letter_check(&client, &attributes).await,
        visibility_check(&attributes),
    ]
}

/// Why the attributes of a queue are not known.
enum QueueError {
    DoesNotExist,
    CannotBeRead(String),
}

struct QueueAttributes(HashMap<QueueAttributeName, String>);

impl QueueAttributes {
    fn get(&self, name: &QueueAttributeName) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &QueueAttributeName) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    fn is_fifo(&self) -> bool {
        self.get(&QueueAttributeName::FifoQueue) == Some("true")
    }
}

async fn attributes(client: &aws_sdk_sqs::Client, url: &str) -> Result<QueueAttributes, QueueError> {
    match client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send().await {
        Ok(output) => Ok(QueueAttributes(output.attributes.unwrap_or_default())),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => {
            Err(QueueError::DoesNotExist)
        }
        Err(error) => Err(QueueError::CannotBeRead(why(&error))),
    }
}

fn type_check(queue: &QueueAttributes) -> Check {
    if !queue.is_fifo() {
        return Check::ok(QUEUE, "standard: the consumer must de-duplicate by the attribute event_id");
    }
    let is_high_throughput = queue.get(&QueueAttributeName::DeduplicationScope) == Some("messageGroup")
        && queue.get(&QueueAttributeName::FifoThroughputLimit) == Some("perMessageGroupId");
    Check::ok(
        QUEUE,
        if is_high_throughput {
            "FIFO, high throughput"
        } else {
            "FIFO, up to 300 sends a second (more with DeduplicationScope=messageGroup and FifoThroughputLimit=perMessageGroupId)"
        },
    )
}

async fn dead_letter_check(client: &aws_sdk_sqs::Client, queue: &QueueAttributes) -> Check {
    let todo =
        "Set a RedrivePolicy with the ARN of a dead-letter queue and maxReceiveCount 3; docs/deploy.md";
    let policy = queue.get(&QueueAttributeName::RedrivePolicy);
    let policy: Value = policy.and_then(|policy| serde_json::from_str(policy).ok()).unwrap_or_default();
    let Some(arn) = policy.get("deadLetterTargetArn").and_then(Value::as_str) else {
        return Check::fail(
            DEAD_LETTER_QUEUE,
            "none: an event that no consumer can handle is received again and again until it is too old",
            todo,
        );
    };
    let [.., account, name] = arn.split(':').collect::<Vec<_>>()[..] else {
        return Check::fail(DEAD_LETTER_QUEUE, "the RedrivePolicy does not have the ARN of a queue", todo);
    };
    let not_there = || {
        Check::fail(
            DEAD_LETTER_QUEUE,
            format!("{name} is named in the RedrivePolicy but does not exist"),
            todo,
        )
    };
    let unknown = |why| {
        Check::fail(
            DEAD_LETTER_QUEUE,
            why,
            look_at_access("sqs:GetQueueUrl and sqs:GetQueueAttributes on it"),
        )
    };
    let url = match client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account).send().await {
        Ok(output) => output.queue_url.unwrap_or_default(),
        Err(error) if error.as_service_error().is_some_and(|error| error.is_queue_does_not_exist()) => {
            return not_there();
        }
        Err(error) => return unknown(why(&error)),
    };
    let dead_letters = match attributes(client, &url).await {
        Ok(attributes) => attributes,
        Err(QueueError::DoesNotExist) => return not_there(),
        Err(QueueError::CannotBeRead(why)) => return unknown(why),
    };
    // SQS gives this number as a JSON number or as a string.
    let receives = match policy.get("maxReceiveCount") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(count) => count.as_u64(),
        None => None,
    };
    let retention =
        |of: &QueueAttributes| of.number(&QueueAttributeName::MessageRetentionPeriod).unwrap_or_default();
    retention_check(name, receives.unwrap_or_default(), retention(queue), retention(&dead_letters))
}

fn retention_check(name: &str, receives: u64, queue: u64, dead_letters: u64) -> Check {
    let days = |seconds: u64| format!("{:.1} days", seconds as f64 / 86_400.0);
    // More than this SQS does not keep, so a queue that keeps as much cannot be outlasted.
    if dead_letters <= queue && dead_letters < LONGEST_RETENTION_SECONDS {
        let found =
            format!("{name} keeps messages for {}, the queue itself for {}", days(dead_letters), days(queue));
        let todo = "Keep them longer there (14 days): on a standard queue a message's age counts from when it was first sent";
        return Check::warn(DEAD_LETTER_QUEUE, found, todo);
    }
    if receives <= 1 {
        let found = format!("an event goes to {name} after its first failure");
        return Check::warn(
            DEAD_LETTER_QUEUE,
            found,
            "Set maxReceiveCount to 3, or a consumer that dies once sends its event to the dead-letter queue",
        );
    }
    Check::ok(DEAD_LETTER_QUEUE, format!("{name}, after {receives} receives, for {}", days(dead_letters)))
}

fn visibility_check(queue: &QueueAttributes) -> Check {
    let seconds = queue.number(&QueueAttributeName::VisibilityTimeout).unwrap_or_default();
    if seconds < SHORT_VISIBILITY_SECONDS {
        let found = format!("{seconds} s: a consumer that takes longer gets the event a second time");
        return Check::warn(
            VISIBILITY,
            found,
            "Set it above your consumer's longest run (the stacks set 1800)",
        );
    }
    Check::ok(VISIBILITY, format!("a consumer has {seconds} s for an event"))
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn a_dead_letter_queue_must_keep_messages_longer_than_the_queue_and_not_take_them_at_the_first_failure() {
        let status =
            |receives, queue, dead_letters| retention_check("dlq", receives, queue, dead_letters).status;
        assert_eq!(status(3, 345_600, 1_209_600), Status::Ok);
        assert_eq!(status(3, 345_600, 345_600), Status::Warn);
        assert_eq!(status(3, 345_600, 60), Status::Warn);
        assert_eq!(status(1000, 1_209_600, 1_209_600), Status::Ok, "SQS keeps nothing for longer");
        assert_eq!(status(1, 345_600, 1_209_600), Status::Warn);
    }

    #[test]
    fn the_bot_token_is_missing_while_the_stacks_secret_has_its_first_version_only() {
        let is_missing = |description, versions| bot_token_is_missing(description, versions).is_some();
        let created = "slack-ingress: the Slack app's bot token, as {\"token\": \"xoxb-…\"}";
        assert!(is_missing(created, 1) && !is_missing(created, 2));
        assert!(!is_missing("the bot of our team", 1), "its first value may be the token");
        assert!(!is_missing("", 1) && is_missing("the bot of our team", 0));
    }

    #[test]
    fn the_kind_of_a_bot_token_is_told_and_whether_one_that_expires_is_renewed_in_time() {
        let now = UnixMillis::from_secs(1_795_554_000);
        let rotating = |left: i64| {
            format!(
                r#"{{"token": "xoxe.xoxb-xyzzy", "refresh_token": "xoxe-xyzzy", "expires_at": {}}}"#,
                now.as_secs().saturating_add_signed(left)
            )
        };
        let renewed = "0123456789abcdef".repeat(4);
        for (text, version, status, words) in [
            (r#"{"token": "xoxb-xyzzy"}"#.to_owned(), "v", Status::Ok, "does not expire"),
            (rotating(43_200), "v", Status::Ok, "expires in 12 h 0 min; a person has put it"),
            (
                rotating(30_000),
                renewed.as_str(),
                Status::Ok,
                "expires in 8 h 20 min; token-rotation has put it",
            ),
            (rotating(19_800), &renewed, Status::Ok, "5 h 30 min"),
            (rotating(19_799), &renewed, Status::Warn, "should have been renewed"),
            (rotating(-1), &renewed, Status::Fail, "has expired"),
            (
                r#"{"token": "xoxe.xoxb-xyzzy", "refresh_token": "xoxe-1"}"#.to_owned(),
                "v",
                Status::Warn,
                "does not say when",
            ),
            (r#"{"token": "xoxe.xoxb-xyzzy"}"#.to_owned(), "v", Status::Fail, "nobody can renew"),
            (r#"{"token": "xoxp-xyzzy"}"#.to_owned(), "v", Status::Fail, "a user token"),
            (r#"{"token": "xapp-xyzzy"}"#.to_owned(), "v", Status::Fail, "an app-level token"),
            (r#"{"token": "xoxe-xyzzy"}"#.to_owned(), "v", Status::Fail, "a refresh token"),
            (r#"{"token": "xyzzy"}"#.to_owned(), "v", Status::Fail, "no token of Slack's"),
            ("xoxb-xyzzy".to_owned(), "v", Status::Fail, "no JSON object"),
        ] {
            let check = kind_check(&text, version, now);
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.found.contains(words), "{words}: {check:?}");
            assert!(!format!("{check:?}").contains("xyzzy"), "{check:?}");
        }
    }

    #[test]
    fn a_visibility_timeout_below_a_minute_is_a_warning() {
        let of = |seconds: &str| {
            let attributes = HashMap::from([(QueueAttributeName::VisibilityTimeout, seconds.to_owned())]);
            visibility_check(&QueueAttributes(attributes)).status
        };
        assert_eq!(
            [of("30"), of("59"), of("60"), of("1800")],
            [Status::Warn, Status::Warn, Status::Ok, Status::Ok]
        );
    }

    #[test]
    fn the_check_of_a_queue_names_its_type_and_its_throughput() {
        let of = |pairs: &[(QueueAttributeName, &str)]| {
            let attributes = pairs.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
            type_check(&QueueAttributes(attributes)).found
        };
        let fifo = (QueueAttributeName::FifoQueue, "true");
        let high = [
            fifo.clone(),
            (QueueAttributeName::DeduplicationScope, "messageGroup"),
            (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
        ];
        assert!(of(&[]).starts_with("standard"));
        assert!(of(&[fifo]).starts_with("FIFO, up to 300"));
        assert_eq!(of(&high), "FIFO, high throughput");
    }
}
