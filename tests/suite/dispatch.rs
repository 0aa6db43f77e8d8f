//! Tests the real `agent-dispatch` and `agent-settle`, which bring a question from the queue to its answer in Slack, with DynamoDB
//! Local, SQS and SNS. Stand-ins answer as AgentCore's API, its Gateway, Lambda's Invoke and Slack do; the tests play the agent.
//! Tests with a real agent are in tests/end_to_end.

use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;
use test_support::agentcore::{AgentCore, Answer};
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{FOURTEEN_DAYS, Queue, Table, Topic};
use test_support::gateway::{Gateway, SETTLE_TOOLS};
use test_support::lambda::answers::ok;
use test_support::lambda::invoke_api::InvokeApi;
use test_support::lambda::{Ended, Lambda, TRACE_HEADER, output, variables};
use test_support::servers::server;
use test_support::slack::api::{Fault as SlackFault, SlackApi};
use test_support::slack::{Request, event, fixtures, mention, mention_in};
use test_support::wait::eventually;

use crate::cost::{calls, measured, reckoned};
use crate::support::ingress;

const RUNTIME: &str = "arn:aws:bedrock-agentcore:eu-central-1:123456789012:runtime/agent-AbCdEfGhIj";

/// The dispatcher's time-out. The agent gets four seconds of it.
const TIMEOUT: Duration = Duration::from_secs(18);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

const CHANNEL: &str = "C0LAN2Q65";
const TS: &str = "1515449522.000016";
/// The record of the question that `event` asks.
const RECORD: &str = "dispatch#A0MDYCDME:C0LAN2Q65:1515449522.000016";
const CLAIMERS: &str = "0123456789abcdef0123456789abcdef";

fn binary(name: &str) -> PathBuf {
    let built = match name {
        "agent-dispatch" => env!("CARGO_BIN_EXE_agent-dispatch"),
        _ => env!("CARGO_BIN_EXE_agent-settle"),
    };
    std::env::var_os("SLACK_INGRESS_BIN")
        .map_or(PathBuf::from(built), |ingress| PathBuf::from(ingress).with_file_name(name))
}

/// The queue, the dead-letter queue, the table, the agent, Slack and its Gateway, and agent-settle, of one test.
struct Scene {
    queue: Queue,
    dead_letters: Queue,
    table: Table,
    agent: AgentCore,
    sqs: Proxy,
    dynamodb: Proxy,
    slack: SlackApi,
    gateway: Gateway,
    settle: InvokeApi,
}

impl Scene {
    async fn fifo() -> Self {
        let (queue, table) = (Queue::fifo().await, Table::create().await);
        let sqs = Proxy::start(&server("SQS_URL")).await;
        let dynamodb = Proxy::start(&server("DYNAMODB_URL")).await;
        let slack = SlackApi::start().await;
        let gateway = Gateway::start(&slack, &SETTLE_TOOLS).await;
        let mut settle = variables([
            ("DEDUP_STORE", &format!("dynamodb:{}", table.name)),
            ("EVENT_QUEUE", &queue.url),
            ("GATEWAY_URL", &gateway.url()),
            ("SLACK_HOOKS_URL", &slack.hooks_url()),
            ("POST_WAIT_SECONDS", "1"),
            ("AWS_LAMBDA_FUNCTION_NAME", "agent-settle"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", &sqs.url()),
        ]);
        settle.remove("SLACK_SIGNING_SECRET");
        let settle = Lambda::start(&binary("agent-settle"), settle).await;
        Self {
            queue,
            dead_letters: Queue::dead_letters(true, FOURTEEN_DAYS).await,
            table,
            agent: AgentCore::start().await,
            sqs,
            dynamodb,
            slack,
            gateway,
            settle: InvokeApi::start("agent-settle", settle, SETTLE_TIMEOUT).await,
        }
    }

    fn variables(&self) -> HashMap<String, String> {
        let mut variables = variables([
            ("DEDUP_STORE", &format!("dynamodb:{}", self.table.name)),
            ("EVENT_QUEUE", &self.queue.url),
            ("DEAD_LETTER_QUEUE", &self.dead_letters.url),
            ("AGENT_RUNTIME_ARN", RUNTIME),
            ("AGENT_TIMEOUT_SECONDS", "4"),
            ("SETTLE_FUNCTION", "agent-settle"),
            ("POST_WAIT_SECONDS", "1"),
            ("MAX_ATTEMPTS", "2"),
            ("AWS_LAMBDA_FUNCTION_NAME", "agent-dispatch"),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.dynamodb.url()),
            ("AWS_ENDPOINT_URL_SQS", &self.sqs.url()),
            ("AWS_ENDPOINT_URL_LAMBDA", &self.settle.url()),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", &self.agent.url()),
        ]);
        variables.remove("SLACK_SIGNING_SECRET");
        variables
    }

    async fn environment(&self) -> Lambda {
        Lambda::start(&binary("agent-dispatch"), self.variables()).await
    }

    async fn environment_with(&self, more: &[(&str, &str)]) -> Lambda {
        let mut variables = self.variables();
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Lambda::start(&binary("agent-dispatch"), variables).await
    }

    /// Has the real ingress send an event to the queue.
    async fn ingest(&self, request: &Request) {
        let ingress = ingress::start(variables([
            ("DEDUP_STORE", "memory:"),
            ("EVENT_SINK", &self.queue.url),
            ("CONTROL_EVENTS", "agent_session_stopped,message_deleted"),
            ("AWS_ENDPOINT_URL_SQS", &server("SQS_URL")),
        ]))
        .await;
        assert_eq!(ingress.post(request).await, ok());
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

    /// The receive of this event's message, without the others that came with it.
    async fn batch_of(&self, event_id: &str) -> Value {
        eventually("the event's message", async || {
            let batch = self.receive(&self.queue).await?;
            let is_its = |record: &&Value| {
                record["messageAttributes"]["event_id"]["stringValue"].as_str() == Some(event_id)
            };
            let record = batch["Records"].as_array()?.iter().find(is_its)?;
            Some(json!({ "Records": [record] }))
        })
        .await
    }

    /// How many messages the queue has, visible or not.
    async fn messages(&self) -> usize {
        self.queue.depth().await + self.queue.in_flight().await
    }

    /// Asks agent-settle as the agent does, about the question that it was given last, with its own token.
    async fn ask(&self, operation: &str, more: Value) -> Value {
        self.ask_with(CLAIMERS, operation, more).await
    }

    async fn ask_with(&self, token: &str, operation: &str, more: Value) -> Value {
        let record = self.work()["record"].clone();
        let mut request = json!({ "version": 1, "operation": operation, "record": record, "token": token });
        request.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        match self.settle.function().invoke_for(&request, SETTLE_TIMEOUT).await {
            Ended::Answered(answer) => answer,
            other => panic!("{other:?}: {:?}", self.settle.function().stderr()),
        }
    }

    /// What the agent was given last.
    fn payload(&self) -> Value {
        serde_json::from_str(&self.agent.calls().last().expect("a call").body).expect("JSON")
    }

    fn work(&self) -> Value {
        self.payload()["work"].clone()
    }

    /// Claims the question, as the agent does.
    async fn claim(&self) -> Value {
        let token = self.work()["token"].as_str().expect("a token").to_owned();
        self.ask_with(&token, "claim", json!({ "new": CLAIMERS })).await
    }

    async fn record(&self) -> HashMap<String, String> {
        self.table.item(RECORD).await.expect("a record")
    }

    /// A question that the agent has claimed, and its batch.
    async fn claimed(&self, dispatch: &Lambda) -> Value {
        self.ingest(&event("Ev1")).await;
        let batch = self.batch().await;
        // On a busy machine the first call of a process may be cut off.
        eventually("the agent's call", async || {
            assert_eq!(self.left(dispatch, &batch).await, 1);
            (!self.agent.calls().is_empty()).then_some(())
        })
        .await;
        assert_eq!(self.claim().await["outcome"], "claimed");
        batch
    }

    /// Invokes the dispatcher as an event source mapping does: what the answer does not name is deleted. Returns how many
    /// messages stay on the queue.
    async fn left(&self, dispatch: &Lambda, batch: &Value) -> usize {
        let answer = match dispatch.invoke_for(batch, TIMEOUT).await {
            Ended::Answered(answer) => answer,
            other => panic!("{other:?}: {:?}", dispatch.stderr()),
        };
        let stays: Vec<&Value> = answer["batchItemFailures"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|failure| &failure["itemIdentifier"])
            .collect();
        for record in batch["Records"].as_array().expect("records") {
            if !stays.contains(&&record["messageId"]) {
                let handle = record["receiptHandle"].as_str().expect("a handle");
                let delete = self.queue.client.delete_message().queue_url(&self.queue.url);
                delete.receipt_handle(handle).send().await.expect("it is deleted");
            }
        }
        stays.len()
    }

    /// The next receive of the message, and what the dispatcher makes of it: how many messages stay.
    async fn again(&self, dispatch: &Lambda) -> usize {
        let batch = self.batch().await;
        self.left(dispatch, &batch).await
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_question_is_answered_once_in_its_thread_and_only_then_off_the_queue() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    let batch = scene.claimed(&dispatch).await;
    // Lambda runs one receive twice.
    assert_eq!(scene.left(&dispatch, &batch).await, 1);

    let [call] = scene.agent.calls().try_into().unwrap();
    assert_eq!(
        call.target,
        "POST /runtimes/arn%3Aaws%3Abedrock-agentcore%3Aeu-central-1%3A123456789012%3Aruntime%2Fagent-AbCdEfGhIj\
        /invocations?qualifier=DEFAULT"
    );
    let session = &call.headers["x-amzn-bedrock-agentcore-runtime-session-id"];
    assert!(session.starts_with("slack-") && session.len() == 70, "{session}");
    assert_eq!(call.headers["x-amzn-trace-id"], TRACE_HEADER, "the one that the ingress was invoked in");
    let traceparent = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
    assert_eq!(call.headers["traceparent"], traceparent);
    assert!(call.headers["authorization"].contains("/eu-central-1/bedrock-agentcore/aws4_request"));
    let payload = scene.payload();
    assert_eq!((&payload["version"], &payload["attempt"]), (&json!(2), &json!(1)));
    assert_eq!((&payload["event_id"], &payload["attributes"]["kind"]), (&json!("Ev1"), &json!("event")));
    assert_eq!((&payload["work"]["record"], &payload["question"]["text"]), (&json!(RECORD), &json!("hello")));
    assert_eq!(payload["trace_header"], TRACE_HEADER);
    let place = &payload["question"]["place"];
    assert_eq!((&place["channel"], &place["thread_ts"]), (&json!(CHANNEL), &json!(TS)));
    let sent = String::from_utf8(mention("Ev1", "hello")).unwrap();
    assert!(call.body.contains(&format!("\"body\":{sent},")), "{}", call.body);

    assert_eq!(scene.record().await["state"], "in_flight");
    assert_eq!(scene.messages().await, 1, "its answer does not stand yet");
    let answered = scene.ask("answer", json!({ "text": "Vec<u8> & <!channel>" })).await;
    let [post] = scene.slack.posts().try_into().unwrap();
    assert_eq!(answered, json!({ "outcome": "answered", "ts": post.ts }));
    assert_eq!(post.text, "Vec&lt;u8&gt; &amp; &lt;!channel&gt;");
    assert_eq!((post.channel.as_str(), post.thread_ts.as_deref()), (CHANNEL, Some(TS)));
    let record = scene.record().await;
    assert_eq!((record["state"].as_str(), &record["ts"], record.get("text")), ("answered", &post.ts, None));
    assert_eq!(scene.messages().await, 0, "{:#?}", scene.settle.function().stderr());
    // The same message under another event id asks the same question.
    scene.ingest(&event("Ev2")).await;
    assert_eq!(scene.again(&dispatch).await, 0);
    assert_eq!(scene.ask("answer", json!({ "text": "again" })).await, answered, "as the first time");
    assert_eq!(scene.slack.posts().len(), 1);

    let [first, second, third] = dispatch.reports(3).await.try_into().unwrap();
    assert_eq!((&first["Dispatched"], &first["ColdStarts"]), (&json!(1), &json!(1)));
    assert_eq!((&second["DispatchDeferred"], &second["reason"]), (&json!(1), &json!("in_flight")));
    assert_eq!((&third["DispatchDuplicates"], &third["cold_start"]), (&json!(1), &json!(false)));
    assert_eq!((&first["event_id"], &first["session_id"]), (&json!("Ev1"), &json!(session)));
    assert!(first["QueueTime"].as_f64().unwrap() > 0.0 && first["InvokeTime"].as_f64().unwrap() > 0.0);
    let reports = scene.settle.function().reports(4).await;
    let answer = reports.iter().find(|report| report["Answered"] == 1).expect("an answer's line");
    assert_eq!((&answer["operation"], &answer["Attempts"]), (&json!("answer"), &json!(1)));
    assert!(answer["TimeToAnswer"].as_f64().unwrap() > 0.0, "{answer}");
    let log = [dispatch.stderr(), scene.settle.function().stderr()].concat().join("\n");
    assert!(!log.contains("hello") && !log.contains("u8") && !log.contains(CLAIMERS), "{log}");
}

/// `slack-dev cost` and docs/cost.md reckon with these counts. On Lambda the receive, and the delete of what is no question, are
/// the event source mapping's.
#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_question_makes_the_calls_that_its_price_is_reckoned_from() {
    let expected =
        json!(["no_question", "admit", "hand_over_and_sign", "claim", "beat", "answer"].map(reckoned));
    assert_eq!(measured(&expected, calls_of_a_question).await, expected);
}

/// The calls of an event that is no question, and of each step of a question that is answered at once.
async fn calls_of_a_question() -> Value {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    let gateway = || SETTLE_TOOLS.iter().map(|tool| scene.gateway.calls(tool.operation).len()).sum::<usize>();
    let mut before = [0; 4];
    let mut since = |invocations: usize| {
        let [reads, writes, queries, sqs] = calls(&scene.dynamodb, &scene.sqs);
        let now = [reads, writes, sqs, gateway()];
        let [reads, writes, sqs, gateway] = std::array::from_fn(|n| now[n] - before[n]);
        before = now;
        assert_eq!(queries, 0);
        json!({
            "invocations": invocations, "dynamodb_reads": reads, "dynamodb_writes": writes,
            "sqs_requests": sqs, "gateway_calls": gateway,
        })
    };
    let most = reckoned("largest_work_record_bytes").as_u64().and_then(|most| usize::try_from(most).ok());
    let weigh = async || {
        let item = scene.record().await;
        // SQS's receipt handles have at most 1,024 characters; the emulator's are shorter.
        let size = |(name, value): (&String, &String)| {
            name.len() + value.len().max(if name == "receipt_handle" { 1024 } else { 0 })
        };
        let bytes = item.iter().map(size).sum::<usize>();
        assert!(Some(bytes) <= most, "{bytes}: {item:?}");
    };

    // Both functions have started, and have warmed their connections up.
    tokio::join!(scene.dynamodb.reached("GetItem", 2), scene.sqs.reached("GetQueueAttributes", 1));
    since(0);
    scene.ingest(&Request::json(fixtures::read("events", "reaction_added.json"))).await;
    assert_eq!(scene.again(&dispatch).await, 0);
    dispatch.reports(1).await;
    let passed = since(1);
    // Somebody's first question in an hour has agent-settle find out who asks, which the table then remembers.
    scene.ingest(&Request::json(mention_in(CHANNEL, "1515449521.000016", "Ev0", "hello"))).await;
    assert_eq!(scene.again(&dispatch).await, 1);
    scene.settle.function().reports(2).await;
    let first = since(3);
    scene.ingest(&event("Ev1")).await;
    assert_eq!(scene.again(&dispatch).await, 1);
    // The sign is shown beside the call.
    scene.settle.function().reports(3).await;
    let handed_over = since(2);
    let mut admitted = first.clone();
    for (name, calls) in admitted.as_object_mut().expect("calls") {
        *calls = json!(
            first[name].as_u64().zip(handed_over[name].as_u64()).map(|(all, rest)| all.saturating_sub(rest))
        );
    }
    weigh().await;
    assert_eq!(scene.claim().await["outcome"], "claimed");
    let claimed = since(1);
    weigh().await;
    assert_eq!(scene.ask("beat", json!({})).await["outcome"], "go on");
    let beaten = since(1);
    assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "answered");
    let answered = since(1);
    weigh().await;
    json!([passed, admitted, handed_over, claimed, beaten, answered])
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn the_sign_is_shown_beside_the_call_and_taken_back_at_the_end() {
    for (is_agent, method, first, last) in [
        (true, "agents.sessions.setStatus", "processing", "active"),
        (false, "assistant.threads.setStatus", "is working on it…", ""),
    ] {
        let scene = Scene::fifo().await;
        scene.slack.declare_agent(is_agent);
        let dispatch = scene.environment().await;
        scene.claimed(&dispatch).await;
        let shown = eventually("the sign", async || scene.slack.statuses().first().cloned()).await;
        assert_eq!((shown.method.as_str(), shown.status.as_str()), (method, first));
        assert_eq!((shown.channel.as_str(), shown.thread_ts.as_str()), (CHANNEL, TS));
        scene.ask("answer", json!({ "text": "42" })).await;
        let statuses = scene.slack.statuses();
        assert_eq!(statuses.last().unwrap().status, last);
        let reports = scene.settle.function().reports(4).await;
        let sign = reports.iter().find(|report| report["operation"] == "sign").expect("the sign's line");
        assert!(sign["TimeToFirstSign"].as_f64().unwrap() > 0.0, "{sign}");
        let invoked = scene.settle.invoked();
        let types: Vec<&str> = invoked.iter().map(|call| call.invocation_type.as_str()).collect();
        assert_eq!(
            types[..2],
            ["RequestResponse", "Event"],
            "who asks is found out, and nobody waits for the sign"
        );
        assert!(invoked[1].authorization.contains("/us-east-1/lambda/aws4_request"));
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn each_answer_of_agentcore_means_what_its_documentation_says() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    let answers = [
        (Answer::Error(429, "ThrottlingException"), "deferred", "free"),
        (Answer::Error(402, "ServiceQuotaExceededException"), "deferred", "free"),
        (Answer::Error(409, "SomethingNewException"), "deferred", "free"),
        (Answer::Error(403, "AccessDeniedException"), "deferred", "free"),
        (Answer::Error(404, "ResourceNotFoundException"), "deferred", "free"),
        (Answer::Error(400, "ValidationException"), "deferred", "free"),
        (Answer::Says("application/json", r#"{"status":"later"}"#), "deferred", "free"),
        (Answer::Says("application/json", r#"{"status":"ignored"}"#), "no_question", "free"),
        (Answer::Error(424, "RuntimeClientError"), "failed", "in_flight"),
        // The container's own answer, whatever its status: the agent was called.
        (Answer::Error(429, "RuntimeClientError"), "failed", "in_flight"),
        (Answer::Error(500, "InternalServerException"), "failed", "in_flight"),
        (Answer::Error(503, "SomethingNewException"), "failed", "in_flight"),
        (Answer::Says("application/json", r#"{"status":"accepted"}"#), "failed", "in_flight"),
        (Answer::CutOff, "failed", "in_flight"),
        (Answer::Hangs, "failed", "in_flight"),
        (Answer::Taken, "dispatched", "in_flight"),
    ];
    for (n, (answer, outcome, state)) in answers.into_iter().enumerate() {
        scene.agent.once(answer);
        let ts = format!("15154495{n:02}.000016");
        scene.ingest(&Request::json(mention_in(CHANNEL, &ts, &format!("Ev{n}"), "hello"))).await;
        let batch = scene.batch_of(&format!("Ev{n}")).await;
        let stays = usize::from(outcome != "no_question");
        assert_eq!(scene.left(&dispatch, &batch).await, stays, "{answer:?}");
        let report = dispatch.reports(n + 1).await.remove(n);
        assert_eq!(report["outcome"], outcome, "{report}");
        assert_eq!(scene.agent.calls().len(), n + 1, "each is asked once, and by us alone: {answer:?}");
        let record = format!("dispatch#A0MDYCDME:{CHANNEL}:{ts}");
        assert_eq!(scene.table.state(&record).await.as_deref(), Some(state), "{answer:?}");
    }
    assert_eq!(scene.dead_letters.depth().await, 0);
    let log = dispatch.stderr().join("\n");
    assert!(log.contains("RuntimeClientError (424)"));
    let ours: Vec<&str> = log.lines().filter(|line| line.contains("RuntimeClientError")).collect();
    assert!(ours.iter().all(|line| !line.contains("hello")), "what the agent says is in no log: {ours:?}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_session_in_conflict_is_asked_three_times() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest(&event("Ev1")).await;
    for _ in 0..2 {
        scene.agent.once(Answer::Error(409, "RetryableConflictException"));
    }
    let batch = scene.batch().await;
    assert_eq!(scene.left(&dispatch, &batch).await, 1);
    assert_eq!(scene.agent.calls().len(), 3);
    assert_eq!(dispatch.reports(1).await[0]["outcome"], "dispatched");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_message_that_is_put_off_is_received_again_after_its_back_off_and_not_after_the_queues_visibility_timeout()
 {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest(&event("Ev1")).await;
    scene.agent.once(Answer::Error(429, "ThrottlingException"));
    assert_eq!(scene.left(&dispatch, &scene.batch().await).await, 1);
    assert!(scene.receive(&scene.queue).await.is_none(), "not at once");
    let again = scene.batch().await;
    assert_eq!(again["Records"][0]["attributes"]["ApproximateReceiveCount"], "2");
    assert_eq!(scene.left(&dispatch, &again).await, 1);
    assert_eq!(scene.claim().await["attempt"], 1, "a throttle is no attempt");
    let put_off = &dispatch.reports(1).await[0]["put_off_seconds"];
    assert!(put_off.as_u64().is_some_and(|seconds| (3..=5).contains(&seconds)), "{put_off}");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn with_the_table_or_sqs_down_nothing_is_lost() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest(&event("Ev1")).await;
    let batch = scene.batch().await;
    scene.dynamodb.always("UpdateItem", Fault::Break);
    scene.sqs.always("ChangeMessageVisibility", Fault::Hang);
    assert_eq!(scene.left(&dispatch, &batch).await, 1);
    assert_eq!(scene.agent.calls().len(), 0, "nobody knows whether somebody works on it");
    let deferred = dispatch.reports(1).await.remove(0);
    assert_eq!((&deferred["outcome"], &deferred["reason"]), (&json!("deferred"), &json!("store")));
    scene.dynamodb.heal();
    scene.sqs.heal();
    assert_eq!(scene.left(&dispatch, &batch).await, 1);
    assert_eq!(scene.claim().await["outcome"], "claimed");
    // With the table down nothing is known, and nothing is posted. The agent asks again.
    scene.dynamodb.always("UpdateItem", Fault::Break);
    let request = json!({
        "version": 1, "operation": "answer", "record": RECORD, "token": CLAIMERS, "text": "42"
    });
    let failed = scene.settle.function().invoke_for(&request, SETTLE_TIMEOUT).await;
    assert!(matches!(&failed, Ended::Failed(error) if error.contains("Settle.Unknown")), "{failed:?}");
    assert_eq!(scene.slack.posts().len(), 0);
    scene.dynamodb.heal();
    // A write that took effect though its answer was lost is one's own.
    scene.dynamodb.once("UpdateItem", Fault::LoseAnswer);
    assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "answered");
    assert_eq!(scene.slack.posts().len(), 1);
    assert_eq!(scene.messages().await, 0);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_dead_agents_question_goes_to_another_and_the_old_one_finds_its_token_gone() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    let batch = scene.claimed(&dispatch).await;
    // Its beats have ended, and the lease is over.
    let handle = batch["Records"][0]["receiptHandle"].as_str().unwrap();
    let visible = scene.queue.client.change_message_visibility().queue_url(&scene.queue.url);
    visible.receipt_handle(handle).visibility_timeout(0).send().await.expect("it is visible");
    scene.table.set_number(RECORD, "lease_until", 1).await;
    assert_eq!(scene.again(&dispatch).await, 1);
    assert_eq!(scene.agent.calls().len(), 2);
    assert_eq!(scene.ask("beat", json!({})).await, json!({ "outcome": "cancel", "why": "gone" }));
    assert_eq!(scene.ask("answer", json!({ "text": "too late" })).await["outcome"], "gone");
    let token = scene.work()["token"].as_str().unwrap().to_owned();
    let new = "f".repeat(32);
    assert_eq!(scene.ask_with(&token, "claim", json!({ "new": new })).await["attempt"], 2);
    assert_eq!(scene.ask_with(&new, "answer", json!({ "text": "42" })).await["outcome"], "answered");
    assert_eq!(scene.slack.posts().len(), 1);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_question_given_back_comes_again_at_once_and_its_attempt_is_not_counted() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.claimed(&dispatch).await;
    assert_eq!(scene.ask("release", json!({})).await["outcome"], "released");
    assert_eq!(scene.again(&dispatch).await, 1);
    assert_eq!(scene.claim().await["attempt"], 1);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_token_that_does_not_work_keeps_the_answer_until_it_is_put() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.claimed(&dispatch).await;
    scene.gateway.put_token("xoxb-wrong");
    assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "taken over");
    let reports = scene.settle.function().reports(3).await;
    let failure = reports.iter().find(|report| report["operation"] == "answer").expect("the answer's line");
    assert_eq!((&failure["AnswerFailures"], &failure["Reason"]), (&json!(1), &json!("slack_invalid_auth")));
    let record = scene.record().await;
    assert_eq!((record["state"].as_str(), record["text"].as_str()), ("posting", "42"));
    scene.gateway.put_token(test_support::slack::api::TOKEN);
    assert_eq!(scene.again(&dispatch).await, 1);
    scene.slack.posted(1).await;
    scene.table.becomes(RECORD, "answered").await;
    eventually("an empty queue", async || (scene.messages().await == 0).then_some(())).await;
    assert_eq!(scene.agent.calls().len(), 1, "nobody thinks twice");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_post_whose_answer_is_lost_is_found_and_not_posted_again() {
    for (fault, calls) in [(SlackFault::LoseAnswer, 1), (SlackFault::Break, 2)] {
        let scene = Scene::fifo().await;
        let dispatch = scene.environment().await;
        let batch = scene.claimed(&dispatch).await;
        scene.slack.fail_next("chat.postMessage", fault.clone());
        assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "taken over");
        // Its visibility ends.
        let mut handle = batch["Records"][0]["receiptHandle"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let visible = scene.queue.client.change_message_visibility().queue_url(&scene.queue.url);
            visible.receipt_handle(&handle).visibility_timeout(0).send().await.expect("it is visible");
            let batch = scene.batch().await;
            batch["Records"][0]["receiptHandle"].as_str().unwrap().clone_into(&mut handle);
            assert_eq!(scene.left(&dispatch, &batch).await, 1);
            // It was put off for the wait, which the test does not sit out to the end.
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
        scene.table.becomes(RECORD, "answered").await;
        let [post] = scene.slack.posts().try_into().unwrap();
        assert_eq!(post.text, "42");
        assert_eq!(scene.slack.calls("chat.postMessage").len(), calls, "{fault:?}");
        assert_eq!(scene.slack.calls("conversations.replies").len(), 1);
        eventually("an empty queue", async || (scene.messages().await == 0).then_some(())).await;
    }
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_refusal_tells_the_asker_once_and_leaves_a_letter_with_its_reason() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.claimed(&dispatch).await;
    assert_eq!(scene.ask("refuse", json!({ "why": "thinking_failed" })).await["outcome"], "told");
    let [post] = scene.slack.posts().try_into().unwrap();
    assert!(post.text.starts_with("Sorry") && post.thread_ts.as_deref() == Some(TS), "{post:?}");
    assert_eq!(scene.again(&dispatch).await, 0);
    let [letter] = scene.dead_letters.take_all().await.try_into().unwrap();
    assert_eq!(letter.attributes["dead_letter_reason"], "thinking_failed");
    assert_eq!(
        (letter.body.as_bytes(), &letter.attributes["event_id"]),
        (&*mention("Ev1", "hello"), &"Ev1".to_owned())
    );
    assert_eq!(scene.record().await["state"], "told");
    let report = dispatch.reports(2).await.remove(1);
    assert_eq!((&report["DeadLettered"], &report["reason"]), (&json!(1), &json!("thinking_failed")));
    // Sent back, it starts over.
    let send = scene.queue.client.send_message().queue_url(&scene.queue.url).message_body(&letter.body);
    let text = |value: &str| {
        use aws_sdk_sqs::types::MessageAttributeValue as Attribute;
        Attribute::builder().data_type("String").string_value(value).build().unwrap()
    };
    let attributes = letter.attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let send = send.set_message_attributes(Some(attributes));
    send.message_group_id("g").message_deduplication_id("back").send().await.expect("it is sent back");
    assert_eq!(scene.again(&dispatch).await, 1);
    assert_eq!(scene.claim().await["attempt"], 1);
    assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "answered");
    assert_eq!((scene.slack.posts().len(), scene.messages().await), (2, 0));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn after_its_attempts_the_asker_is_told() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    let batch = scene.claimed(&dispatch).await;
    scene.table.set_number(RECORD, "attempts", 2).await;
    scene.table.set_number(RECORD, "lease_until", 1).await;
    let handle = batch["Records"][0]["receiptHandle"].as_str().unwrap();
    let visible = scene.queue.client.change_message_visibility().queue_url(&scene.queue.url);
    visible.receipt_handle(handle).visibility_timeout(0).send().await.expect("it is visible");
    assert_eq!(scene.again(&dispatch).await, 1);
    let [post] = scene.slack.posted(1).await.try_into().unwrap();
    assert!(post.text.contains("tried this several times"), "{post:?}");
    assert_eq!(scene.again(&dispatch).await, 0);
    let [letter] = scene.dead_letters.take_all().await.try_into().unwrap();
    assert_eq!(letter.attributes["dead_letter_reason"], "gave_up");
    assert_eq!(scene.agent.calls().len(), 1);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_stop_passes_the_question_that_it_stops_and_says_how_many() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.claimed(&dispatch).await;
    let stop = json!({
        "token": "x", "team_id": "T061EG9R6", "api_app_id": "A0MDYCDME", "type": "event_callback",
        "event_id": "Ev9", "event_time": 1_515_449_530,
        "authorizations": [{ "team_id": "T061EG9R6", "user_id": "U0LAN0Z89", "is_bot": true }],
        "event": {
            "type": "agent_session_stopped", "channel": CHANNEL, "thread_ts": TS, "user": "W021FGA1Z",
            "streaming_message_ts": [], "event_ts": "1515449530.000100"
        }
    });
    scene.ingest(&Request::json(stop.to_string())).await;
    // It has a group of its own, so SQS gives it out though the question is in flight.
    let batch = scene.batch().await;
    assert_eq!(batch["Records"][0]["messageAttributes"]["event_id"]["stringValue"], "Ev9");
    assert_eq!(scene.left(&dispatch, &batch).await, 1);
    assert_eq!(scene.ask("beat", json!({})).await, json!({ "outcome": "cancel", "why": "stopped" }));
    assert_eq!(scene.again(&dispatch).await, 0, "the question's own message is done");
    assert_eq!(scene.ask("answer", json!({ "text": "too late" })).await["outcome"], "gone");
    assert_eq!(scene.slack.posts().len(), 0);
    assert_eq!(scene.again(&dispatch).await, 1, "after its grace");
    let [post] = scene.slack.posted(1).await.try_into().unwrap();
    assert_eq!((post.text.as_str(), post.thread_ts.as_deref()), ("Stopped: 1 question.", Some(TS)));
    eventually("an empty queue", async || (scene.messages().await == 0).then_some(())).await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_an_agent_that_knows_nothing_answers_is_posted_for_it() {
    let scene = Scene::fifo().await;
    let plain = [("AGENT_PROTOCOL", "plain"), ("AGENT_TIMEOUT_SECONDS", "2")];
    let dispatch = scene.environment_with(&plain).await;
    scene.agent.once(Answer::Says("text/event-stream", "data: \"4\"\n\ndata: \"2\"\n\n"));
    scene.ingest(&event("Ev1")).await;
    let batch = scene.batch().await;
    let ended = dispatch.invoke_for(&batch, Duration::from_secs(50)).await;
    assert!(matches!(&ended, Ended::Answered(_)), "{ended:?}");
    assert_eq!(scene.slack.posts().into_iter().map(|post| post.text).collect::<Vec<_>>(), ["42"]);
    assert_eq!((scene.record().await["state"].as_str(), scene.messages().await), ("answered", 0));

    let ts = "1515449533.000016";
    scene.agent.once(Answer::Says("text/event-stream", "data: {\"error\": \"out of tokens\"}\n\n"));
    scene.ingest(&Request::json(mention_in(CHANNEL, ts, "Ev2", "hello"))).await;
    let batch = scene.batch().await;
    dispatch.invoke_for(&batch, Duration::from_secs(50)).await;
    let report = dispatch.reports(2).await.remove(1);
    assert_eq!((&report["outcome"], &report["level"]), (&json!("failed"), &json!("ERROR")));
    assert_eq!((scene.slack.posts().len(), scene.messages().await), (1, 1));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_an_earlier_dispatcher_handed_over_is_not_handed_over_again() {
    let scene = Scene::fifo().await;
    let dispatch = scene.environment().await;
    scene.ingest(&event("Ev1")).await;
    scene.table.put("dispatch#Ev1", "forwarded", 1, 4_000_000_000).await;
    assert_eq!(scene.again(&dispatch).await, 0);
    assert_eq!(scene.agent.calls().len(), 0);
    assert_eq!(dispatch.reports(1).await[0]["outcome"], "duplicate");
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_killed_dispatcher_leaves_its_question_to_the_lease_and_calls_nobody_twice_before() {
    let scene = Scene::fifo().await;
    let (mut first, second) = (scene.environment().await, scene.environment().await);
    scene.ingest(&event("Ev1")).await;
    let batch = scene.batch().await;
    scene.agent.once(Answer::Hangs);
    let invoked = first.invoke_for(&batch, TIMEOUT);
    eventually("the agent's call", async || (!scene.agent.calls().is_empty()).then_some(())).await;
    first.kill().await;
    assert!(matches!(invoked.await, Ended::Died));
    assert_eq!(scene.left(&second, &batch).await, 1);
    assert_eq!(scene.agent.calls().len(), 1, "the agent may have it");
    // The agent had it, and works on: nothing is asked of it twice.
    assert_eq!(scene.claim().await["outcome"], "claimed");
    assert_eq!(scene.ask("answer", json!({ "text": "42" })).await["outcome"], "answered");
    assert_eq!(scene.messages().await, 0);
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
    assert_eq!(scene.left(&dispatch, &batch).await, 1);
    let payload = scene.payload();
    assert_eq!(
        (&payload["event_id"], &payload["attributes"]["type"]),
        (&json!("Ev1"), &json!("app_mention"))
    );
    assert_eq!(payload["body"], serde_json::from_slice::<Value>(&mention("Ev1", "hello")).unwrap());
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn what_is_no_request_is_answered_with_what_is_wrong_and_quotes_nothing() {
    let scene = Scene::fifo().await;
    let request = json!({ "version": 1, "operation": "beat", "record": "Ev1", "token": "secret" });
    let ended = scene.settle.function().invoke_for(&request, SETTLE_TIMEOUT).await;
    let Ended::Answered(answer) = ended else { panic!("{ended:?}") };
    assert_eq!(answer["outcome"], "invalid");
    assert!(answer["why"].as_str().unwrap().starts_with("record"), "{answer}");
    let log = scene.settle.function().stderr().join("\n");
    assert!(!log.contains("secret"), "{log}");
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
async fn a_bad_environment_stops_each_with_every_problem_at_once() {
    let bad = variables([("EVENT_QUEUE", "stdout:"), ("DEDUP_STORE", "memory:")]);
    for (name, problems) in [
        (
            "agent-dispatch",
            &[
                "AGENT_RUNTIME_ARN is missing",
                "DEDUP_STORE: ",
                "EVENT_QUEUE: ",
                "DEAD_LETTER_QUEUE is missing",
                "SETTLE_FUNCTION is missing",
            ][..],
        ),
        ("agent-settle", &["DEDUP_STORE: ", "EVENT_QUEUE: ", "GATEWAY_URL is missing"]),
    ] {
        let output = output(&binary(name), &bad).await;
        assert!(!output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        for problem in problems {
            assert!(log.contains(problem), "{name}: {problem}: {log}");
        }
    }
}
