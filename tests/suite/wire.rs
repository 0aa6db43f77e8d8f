//! Checks for every kind of request that the shortcut sends the same bytes as the SDK, except for the time, the call's id and the
//! signature, which depends on both.

use aws_sdk_dynamodb::config::Credentials;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use slack_ingress::dedup::dynamodb::DynamoDbStore;
use slack_ingress::dedup::{Claim, Lease, Store};
use slack_ingress::sink::Sink;
use slack_ingress::sink::contract::message;
use slack_ingress::sink::message::Message;
#[cfg(feature = "sns")]
use slack_ingress::sink::sns::SnsSink;
use slack_ingress::sink::sqs::SqsSink;
use std::sync::{Arc, Mutex};
use test_support::aws::sdk_config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stores::claim;

/// A service that keeps the bytes of each request and answers each with success.
struct Recorder {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { url, requests }
    }

    /// The last request, with words in place of the port and of what differs each time.
    fn last(&self) -> String {
        let request = self.requests.lock().expect("not poisoned").last().expect("a request").clone();
        let port = self.url.rsplit(':').next().expect("a port");
        let request = request.replace(&format!("127.0.0.1:{port}"), "<address>");
        let lines = request.split("\r\n").map(|line| match line.split_once(": ") {
            Some((name @ ("x-amz-date" | "amz-sdk-invocation-id"), _)) => {
                format!("{name}: <other each time>")
            }
            Some((name @ "authorization", value)) => format!("{name}: {}", without_time_and_signature(value)),
            _ => line.to_owned(),
        });
        let lines = lines.collect::<Vec<_>>().join("\r\n");
        let (head, body) = lines.split_once("\r\n\r\n").expect("a head and a body");
        format!("{head}\r\n\r\n{}", in_one_order(body))
    }
}

/// Sorts the attributes in a body. The SDK keeps attributes in hash maps, so even two of its own requests have them in another
/// order. They differ in nothing else, because the head has the length.
fn in_one_order(body: &str) -> String {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(body) {
        return sorted(&json);
    }
    let (mut fields, mut entries) = (Vec::new(), std::collections::BTreeMap::<&str, Vec<String>>::new());
    for field in body.split('&') {
        match field.strip_prefix("MessageAttributes.entry.").and_then(|entry| entry.split_once('.')) {
            Some((number, rest)) => entries.entry(number).or_default().push(rest.to_owned()),
            None => fields.push(field.to_owned()),
        }
    }
    let mut entries: Vec<_> = entries.into_values().map(|entry| entry.join("&")).collect();
    entries.sort();
    fields.extend(entries);
    fields.join("\n")
}

/// The JSON with the members of each object sorted by name.
fn sorted(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Object(members) => {
            let members: std::collections::BTreeMap<_, _> = members.iter().collect();
            let members = members.into_iter().map(|(name, value)| format!("{name:?}: {}", sorted(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// `AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, SignedHeaders=…, Signature=…`
fn without_time_and_signature(authorization: &str) -> String {
    let (rest, _signature) = authorization.rsplit_once("Signature=").expect("a signature");
    let mut parts: Vec<_> = rest.split('/').collect();
    parts[1] = "<date>";
    format!("{}Signature=<other each time>", parts.join("/"))
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = end_of_request(&bytes) else {
            match stream.read_buf(&mut bytes).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let request = String::from_utf8(bytes.drain(..end).collect()).expect("these requests are text");
        let answer = if request.contains("Action=") {
            if request.contains("Action=Publish") {
                "<PublishResponse><PublishResult><MessageId>m1</MessageId></PublishResult></PublishResponse>"
            } else {
                "<GetTopicAttributesResponse><GetTopicAttributesResult/></GetTopicAttributesResponse>"
            }
        } else {
            "{}"
        };
        kept.lock().expect("not poisoned").push(request);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.expect("the client reads");
    }
}

/// The length of a request that has been received completely; `None` if it has not.
fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let lines = std::str::from_utf8(&bytes[..head]).expect("headers are text").lines();
    let length = lines.filter_map(|line| line.split_once(": ")).find(|(name, _)| *name == "content-length");
    let end = head + length.map_or(0, |(_, value)| value.parse::<usize>().expect("a length"));
    (bytes.len() >= end).then_some(end)
}

/// A configuration with a session token, which every function on Lambda has.
fn config(recorder: &Recorder) -> aws_config::SdkConfig {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".to_owned()), None, "tests");
    sdk_config(&recorder.url)
        .into_builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

/// Makes the same call by the SDK and by the shortcut, and returns the two requests.
async fn both(call: impl AsyncFn(bool) -> String) -> [String; 2] {
    [call(false).await, call(true).await]
}

async fn assert_same_call_of_the_store(call: impl AsyncFn(&DynamoDbStore, &Claim)) {
    let claim = Claim { owner: "Grüße \"\u{1f5fc}\"".to_owned(), ..claim("Ev1") };
    let [by_sdk, by_shortcut] = both(async |is_enabled| {
        let recorder = Recorder::start().await;
        let client = aws_sdk_dynamodb::Client::new(&config(&recorder));
        let store = DynamoDbStore::new(&client, "slack-ingress").with_shortcut(is_enabled);
        store.warm_up().await.expect("the recorder answers");
        call(&store, &claim).await;
        recorder.last()
    })
    .await;
    assert_eq!(by_shortcut, by_sdk);
    println!("{by_sdk}");
}

#[tokio::test]
async fn the_shortcut_sends_the_sdks_requests_to_the_table() {
    assert_same_call_of_the_store(async |store, claim| {
        store.record(claim).await.expect("recorded");
    })
    .await;
    assert_same_call_of_the_store(async |store, claim| {
        store.confirm(Lease::granted(claim)).await.expect("confirmed");
    })
    .await;
}

fn messages() -> Vec<Message> {
    let plain = message("Ev1", "1.0", r#"{"text":"Grüße & <mehr> \u{1f5fc}"}"#);
    let traced = Message {
        trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned()),
        ..plain.clone()
    };
    let bare = Message { attributes: Vec::new(), ..plain.clone() };
    vec![plain, traced, bare]
}

#[tokio::test]
async fn the_shortcut_sends_the_sdks_requests_to_a_queue() {
    for queue in ["events", "events.fifo"] {
        for message in messages() {
            let [by_sdk, by_shortcut] = both(async |is_enabled| {
                let recorder = Recorder::start().await;
                let url = format!("https://sqs.us-east-1.amazonaws.com/123456789012/{queue}");
                let client = aws_sdk_sqs::Client::new(&config(&recorder));
                let sink = SqsSink::new(&client, url).with_shortcut(is_enabled);
                sink.warm_up().await.expect("the recorder answers");
                sink.send(&message).await.expect("sent");
                recorder.last()
            })
            .await;
            assert_eq!(by_shortcut, by_sdk);
        }
    }
}

#[cfg(feature = "sns")]
#[tokio::test]
async fn the_shortcut_sends_the_sdks_requests_to_a_topic() {
    for topic in ["events", "events.fifo"] {
        for message in messages() {
            let [by_sdk, by_shortcut] = both(async |is_enabled| {
                let recorder = Recorder::start().await;
                let arn = format!("arn:aws:sns:us-east-1:123456789012:{topic}");
                let client = aws_sdk_sns::Client::new(&config(&recorder));
                let sink = SnsSink::new(&client, arn).with_shortcut(is_enabled);
                sink.warm_up().await.expect("the recorder answers");
                sink.send(&message).await.expect("sent");
                recorder.last()
            })
            .await;
            assert_eq!(by_shortcut, by_sdk);
        }
    }
}

/// On Lambda each call carries the invocation's trace. The variables are the process's, so that this needs one of its own.
#[test]
fn the_requests_are_the_sdks_with_a_trace_too() {
    let this_binary = std::env::current_exe().expect("it runs");
    let run = std::process::Command::new(this_binary)
        .args(["wire::", "--skip", "the_requests_are_the_sdks_with_a_trace_too", "--nocapture"])
        .env("AWS_LAMBDA_FUNCTION_NAME", "slack-ingress")
        .env("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a:1|b:2 \u{1}")
        .output();
    let output = run.expect("it runs again");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("x-amzn-trace-id: Root=1-5759e988"), "the requests had a trace: {stdout}");
}
