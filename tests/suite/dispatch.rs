//! Tests the real `agent-dispatch`, which passes events from the queue to AgentCore, with DynamoDB Local, SQS and SNS. A stand-in
//! answers as AgentCore's API does. Tests with a real agent are in tests/end_to_end.

use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use test_support::agentcore::{AgentCore, Answer};
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{FOURTEEN_DAYS, Queue, Table, Topic};
use test_support::lambda::answers::ok;
use test_support::lambda::{Ended, Lambda, TRACE_HEADER, output, variables};
use test_support::servers::server;
use test_support::slack::{event, mention};
use test_support::wait::eventually;

use crate::support::ingress;

const RUNTIME: &str = "arn:aws:bedrock-agentcore:eu-central-1:123456789012:runtime/agent-AbCdEfGhIj";

/// The function's time-out. The agent gets four seconds of it.
const TIMEOUT: Duration = Duration::from_secs(14);

fn binary() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_agent-dispatch"));
    std::env::var_os("SLACK_INGRESS_BIN")
        .map_or(built, |ingress| PathBuf::from(ingress).with_file_name("agent-dispatch"))
}

/// The queue, the dead-letter queue, the table and the agent of one test.
struct Scene {
    queue: Queue,
    dead_letters: Queue,
    table: Table,
    agent: AgentCore,
    sqs: Proxy,
    dynamodb: Proxy,
}

impl Scene {
    async fn fifo() -> Self {
        Self {
            queue: Queue::fifo().await,
            dead_letters: Queue::dead_letters(true, FOURTEEN_DAYS).await,
            table: Table::create().await,
            agent: AgentCore::start().await,
            sqs: Proxy::start(&server("SQS_URL")).await,
            dynamodb: Proxy::start(&server("DYNAMODB_URL")).await,
        }
    }

    fn variables(&self) -> HashMap<String, String> {
        let mut variables = variables([
            ("DEDUP_STORE", &format!("dynamodb:{}", self.table.name)),
            ("EVENT_QUEUE", &self.queue.url),
            ("DEAD_LETTER_QUEUE", &self.dead_letters.url),
            ("AGENT_RUNTIME_ARN", RUNTIME),
            ("AGENT_TIMEOUT_SECONDS", "4"),
            ("MAX_ATTEMPTS", "3"),
            ("AWS_LAMBDA_FUNCTION_NAME", "agent-dispatch"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", &self.sqs.url()),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", &self.agent.url()),
        ]);
        variables.remove("SLACK_SIGNING_SECRET");
        variables
    }

    async fn environment(&self) -> Lambda {
        Lambda::start(&binary(), self.variables()).await
    }

    /// Has the real ingress send an event to the queue.
    async fn ingest(&self, event_id: &str) {
        let ingress = ingress::start(variables([
            ("DEDUP_STORE", "memory:"),
            ("EVENT_SINK", &self.queue.url),
            ("AWS_ENDPOINT_URL_SQS", &server("SQS_URL")),
        ]))
        .await;
        assert_eq!(ingress.post(&event(event_id)).await, ok());
    }

    /// Receives a batch, and returns the event that an event source mapping would invoke the function with.
    async fn receive(&self, queue: &Queue) -> Option<Value> {
        let received = queue.client.receive_message().queue_url(&queue.url).max_number_of_messages(10);
        let received = received
            .message_attribute_names("All")
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await;
        let messages = received.expect("the queue answers").messages.unwrap_or_default();
        let name = queue.url.rsplit('/').next().expect("a name");
        let records: Vec<Value> = messages
            .iter()
            .map(|message| {
                let attributes = message.attributes().into_iter().flatten();
                let attributes: HashMap<_, _> =
                    attributes.map(|(name, value)| (name.as_str(), value)).collect();
                let own = message.message_attributes().into_iter().flatten();
                let own: HashMap<_, _> = own
                    .map(|(name, value)| {
                        (name, json!({ "stringValue": value.string_value(), "dataType": "String" }))
                    })
                    .collect();
                json!({
                    "messageId": message.message_id(), "receiptHandle": message.receipt_handle(),
                    "body": message.body(), "attributes": attributes, "messageAttributes": own,
                    "eventSource": "aws:sqs", "awsRegion": "us-east-1",
                    "eventSourceARN": format!("arn:aws:sqs:us-east-1:123456789012:{name}"),
                })
            })
            .collect();
        (!records.is_empty()).then(|| json!({ "Records": records }))
    }

    async fn batch(&self) -> Value {
        eventually("a batch", async || self.receive(&self.queue).await).await
    }
}

/// The number of messages in a partial batch response, which stay on the queue.
async fn left(dispatch: &Lambda, batch: &Value) -> usize {
    match dispatch.invoke_for(batch, TIMEOUT).await {
        Ended::Answered(answer) => answer["batchItemFailures"].as_array().expect("a list").len(),
        other => panic!("{other:?}: {:?}", dispatch.stderr()),
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_reaches_the_agent_as_documented_and_once() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest("Ev1").await;
    let batch = scene.batch().await;
    assert_eq!(left(&dispatch, &batch).await, 0);
    // SQS may hand out a message again although it was deleted.
    assert_eq!(left(&dispatch, &batch).await, 0);

    let [call] = scene.agent.calls().try_into().unwrap();
    assert_eq!(
        call.target,
        "POST /runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-central-1%3A123456789012%3Aruntime%2Fagent-AbCdEfGhIj\
        /invocations?qualifier=DEFAULT"
    );
    let session = &call.headers["x-amzn-bedrock-agentcore-runtime-session-id"];
    assert!(session.starts_with("slack-") && session.len() == 70, "{session}");
    assert_eq!(call.headers["x-amzn-trace-id"], TRACE_HEADER, "the one that the ingress was invoked in");
    assert!(call.headers["authorization"].contains("/eu-central-1/bedrock-agentcore/aws4_request"));
    let payload: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!((&payload["version"], &payload["attempt"]), (&json!(1), &json!(1)));
    assert_eq!((&payload["event_id"], &payload["attributes"]["kind"]), (&json!("Ev1"), &json!("event")));
    let sent = String::from_utf8(mention("Ev1", "hello")).unwrap();
    assert!(call.body.ends_with(&format!("\"body\":{sent}}}")), "{}", call.body);

    assert_eq!(scene.table.state("dispatch#Ev1").await.as_deref(), Some("forwarded"));
    let [first, second] = dispatch.reports(2).await.try_into().unwrap();
    assert_eq!((&first["Dispatched"], &first["ColdStarts"]), (&json!(1), &json!(1)));
    assert_eq!((&second["DispatchDuplicates"], &second["cold_start"]), (&json!(1), &json!(false)));
    assert_eq!((&first["event_id"], &first["session_id"]), (&json!("Ev1"), &json!(session)));
    assert!(
        first["QueueTime"].as_f64().unwrap() > 0.0 && first["InvokeTime"].as_f64().unwrap() > 0.0,
        "{first}"
    );
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn each_answer_of_agentcore_means_what_its_documentation_says() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest("Ev1").await;
    let mut batch = scene.batch().await;
    let answers = [
        (Answer::Error(429, "ThrottlingException"), "deferred", "WARN"),
        (Answer::Error(402, "ServiceQuotaExceededException"), "deferred", "WARN"),
        (Answer::Error(409, "RetryableConflictException"), "deferred", "WARN"),
        (Answer::Error(409, "SomethingNewException"), "deferred", "WARN"),
        (Answer::Error(403, "AccessDeniedException"), "deferred", "WARN"),
        (Answer::Error(404, "ResourceNotFoundException"), "deferred", "WARN"),
        (Answer::Error(424, "RuntimeClientError"), "failed", "ERROR"),
        (Answer::Error(500, "InternalServerException"), "failed", "ERROR"),
        (Answer::Error(503, "SomethingNewException"), "failed", "ERROR"),
        (Answer::CutOff, "failed", "ERROR"),
        (Answer::Hangs, "failed", "ERROR"),
        (Answer::Error(400, "ValidationException"), "dead_lettered", "ERROR"),
        (Answer::Taken, "dispatched", "INFO"),
    ];
    for (n, (answer, outcome, level)) in answers.into_iter().enumerate() {
        scene.agent.once(answer);
        // A receive that is long past; the last one is of interest below.
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!("1");
        let stays = usize::from(matches!(outcome, "deferred" | "failed"));
        assert_eq!(left(&dispatch, &batch).await, stays, "{answer:?}");
        let report = dispatch.reports(n + 1).await.remove(n);
        assert_eq!((&report["outcome"], &report["level"]), (&json!(outcome), &json!(level)), "{report}");
        assert_eq!(scene.agent.calls().len(), n + 1, "each is asked once, and by us alone: {answer:?}");
    }
    let [letter] = scene.dead_letters.take_all().await.try_into().unwrap();
    assert!(letter.attributes["dead_letter_reason"].contains("ValidationException"), "{letter:?}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_the_agent_says_of_a_message_is_in_no_log_and_no_reason() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest("Ev1").await;
    let mut batch = scene.batch().await;
    for receive_count in ["1", "3"] {
        scene.agent.once(Answer::Error(424, "RuntimeClientError"));
        batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!(receive_count);
        left(&dispatch, &batch).await;
    }
    dispatch.reports(2).await;
    assert!(scene.agent.calls()[0].body.contains("hello"));
    let log = dispatch.stderr().join("\n");
    assert!(log.contains("RuntimeClientError (424)") && !log.contains("hello"), "{log}");
    let [letter] = scene.dead_letters.take_all().await.try_into().unwrap();
    let reason = &letter.attributes["dead_letter_reason"];
    assert_eq!(reason, "given up after 3 receives: InvokeAgentRuntime: RuntimeClientError (424)");
    assert_eq!(letter.body.as_bytes(), mention("Ev1", "hello"));
    assert_eq!(letter.attributes["event_id"], "Ev1");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_message_that_is_put_off_is_received_again_after_its_back_off_and_not_after_the_queues_visibility_timeout()
 {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest("Ev1").await;
    scene.agent.once(Answer::Error(429, "ThrottlingException"));
    assert_eq!(left(&dispatch, &scene.batch().await).await, 1);
    assert!(scene.receive(&scene.queue).await.is_none(), "not at once");
    let again = scene.batch().await;
    assert_eq!(again["Records"][0]["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(left(&dispatch, &again).await, 0);
    let put_off = &dispatch.reports(1).await[0]["put_off_seconds"];
    assert!(put_off.as_u64().is_some_and(|seconds| (3..=5).contains(&seconds)), "{put_off}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn with_the_table_or_sqs_down_nothing_is_lost() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest("Ev1").await;
    let batch = scene.batch().await;
    scene.dynamodb.always("PutItem", Fault::Break);
    scene.sqs.always("ChangeMessageVisibilityBatch", Fault::Hang);
    assert_eq!(left(&dispatch, &batch).await, 1);
    assert_eq!(scene.agent.calls().len(), 0, "nobody knows whether the agent had it");
    scene.dynamodb.heal();
    scene.dynamodb.always("UpdateItem", Fault::Break);
    assert_eq!(left(&dispatch, &batch).await, 0, "the agent has it");
    let [deferred, dispatched] = dispatch.reports(2).await.try_into().unwrap();
    assert_eq!((&deferred["outcome"], &deferred["reason"]), (&json!("deferred"), &json!("store")));
    assert_eq!(
        (deferred["errors"].as_array().unwrap().len(), &deferred["put_off_seconds"]),
        (2, &Value::Null)
    );
    assert_eq!((&dispatched["outcome"], &dispatched["level"]), (&json!("dispatched"), &json!("WARN")));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_killed_invocation_holds_its_event_until_its_lease_is_over() {
    let scene = Scene::fifo().await;
    let (mut first, second) = (scene.environment().await, scene.environment().await);
    scene.ingest("Ev1").await;
    let batch = scene.batch().await;
    scene.agent.once(Answer::Hangs);
    let invoked = first.invoke_for(&batch, TIMEOUT);
    eventually("the agent's call", async || (!scene.agent.calls().is_empty()).then_some(())).await;
    first.kill().await;
    assert!(matches!(invoked.await, Ended::Died));
    assert_eq!(left(&second, &batch).await, 1);
    let lease_until: u64 = scene.table.item("dispatch#Ev1").await.unwrap()["lease_until"].parse().unwrap();
    eventually("the end of the lease", async || {
        use slack_ingress::time::clock::{Clock, SystemClock};
        (SystemClock.now().as_millis() > lease_until).then_some(())
    })
    .await;
    assert_eq!(left(&second, &batch).await, 0);
    let [held, taken_over] = second.reports(2).await.try_into().unwrap();
    assert_eq!(held["reason"], "in_flight");
    assert_eq!(taken_over["LeaseTakeovers"], 1);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_message_that_sns_has_wrapped_reaches_the_agent_unwrapped() {
    let mut scene = Scene::fifo().await;
    let topic = Topic::in_envelopes().await;
    scene.queue = topic.queue.clone();
    let dispatch = scene.environment().await;
    let ingress = ingress::start_built(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", &topic.arn),
        ("AWS_ENDPOINT_URL_SNS", &server("MINISTACK_URL")),
    ]))
    .await;
    assert_eq!(ingress.post(&event("Ev1")).await, ok());
    let batch = scene.batch().await;
    let body: Value = serde_json::from_str(batch["Records"][0]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["Type"], "Notification", "or there is nothing to unwrap: {batch}");
    assert_eq!(left(&dispatch, &batch).await, 0);
    let payload: Value = serde_json::from_str(&scene.agent.calls()[0].body).unwrap();
    assert_eq!(
        (&payload["event_id"], &payload["attributes"]["type"]),
        (&json!("Ev1"), &json!("app_mention"))
    );
    assert_eq!(payload["body"], serde_json::from_slice::<Value>(&mention("Ev1", "hello")).unwrap());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_that_is_no_batch_of_its_queue_fails_as_a_whole() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    for (event, expected) in [
        (json!({ "source": "aws.events" }), "not one of an SQS event source mapping"),
        (
            json!({ "Records": [{
                "messageId": "m", "receiptHandle": "r", "body": "{}", "attributes": {},
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:another"
            }] }),
            "the messages are of the queue another",
        ),
    ] {
        let ended = dispatch.invoke(&event).await;
        assert!(matches!(&ended, Ended::Failed(error) if error.contains(expected)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_bad_environment_stops_it_with_every_problem_at_once() {
    let output =
        output(&binary(), &variables([("EVENT_QUEUE", "stdout:"), ("DEDUP_STORE", "memory:")])).await;
    assert!(!output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    for problem in
        ["AGENT_RUNTIME_ARN is missing", "DEDUP_STORE: ", "EVENT_QUEUE: ", "DEAD_LETTER_QUEUE is missing"]
    {
        assert!(log.contains(problem), "{problem}: {log}");
    }
}
