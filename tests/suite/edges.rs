//! Tests with the real binary how it answers unusual and hostile requests.

use serde_json::{Value, json};
use std::time::Duration;
use test_support::aws::QueueMessage;
use test_support::lambda::answers::{bad_request, empty_ok, ok, too_large, unauthorized};
use test_support::lambda::{Ended, Lambda, Reply, reply, variables};
use test_support::slack::{Request, mention};
use test_support::wait::eventually;

use crate::forms::{body_of, form, post};
use crate::support::ingress;
use crate::support::stage::Stage;

const TRIGGER: &str = "13345224609.738474920.8088930838d88f008e0";

/// The fields of a slash command, followed by these fields.
fn command_with(fields: &str) -> Vec<u8> {
    format!("team_id=T1&channel_id=C1&command=%2Fdeploy&api_app_id=A1&trigger_id={TRIGGER}{fields}").into()
}

/// A form with this JSON in the field `payload`.
fn payload(json: &str) -> Request {
    let encoded = percent_encoding::utf8_percent_encode(json, percent_encoding::NON_ALPHANUMERIC);
    form(format!("payload={encoded}"))
}

/// The only message on the queue.
async fn the_message(lambda: &Lambda) -> Value {
    lambda.messages(1).await.swap_remove(0)
}

async fn fields(lambda: &Lambda) -> Value {
    serde_json::from_str(body_of(&the_message(lambda).await)).expect("JSON")
}

/// Checks that each request is answered with 400 for the reason beside it, and that none is recorded or forwarded.
async fn refused(requests: impl IntoIterator<Item = (Request, &'static str)>) {
    let lambda = ingress::start_local().await;
    let mut count = 0;
    for (request, reason) in requests {
        let body = String::from_utf8_lossy(&request.body).chars().take(200).collect::<String>();
        assert_eq!(post(&lambda, &request).await, bad_request(), "{body}");
        count += 1;
        let reports = lambda.reports(count).await;
        assert_eq!(reports[count - 1]["reason"], reason, "{body}");
    }
    lambda.messages(0).await;
}

#[tokio::test]
async fn a_json_key_that_decides_something_twice_is_400() {
    let event = |inner: &str, outer: &str| {
        Request::json(format!(
            r#"{{"type":"event_callback","event_id":"Ev1","team_id":"T1","api_app_id":"A1","event":{{"type":"message","user":"U1"{inner}}}{outer}}}"#
        ))
    };
    let outer =
        ["type", "event_id", "team_id", "api_app_id"].map(|key| event("", &format!(r#","{key}":"x""#)));
    // The same key in another spelling is the same key.
    let spelled = event("", r#","\u0065vent_id":"Ev2""#);
    let inner = ["type", "user"].map(|key| event(&format!(r#","{key}":"x""#), ""));
    let whole = event("", r#","event":{"type":"message","bot_id":"B1"}"#);
    let interactions = [
        r#""type":"x""#,
        r#""user":{"id":"U2"}"#,
        r#""api_app_id":"A2""#,
        r#""team":{"id":"T2"}"#,
    ]
    .map(|twice| {
        payload(&format!(
            r#"{{"type":"shortcut","user":{{"id":"U1"}},"api_app_id":"A1","team":{{"id":"T1"}},{twice}}}"#
        ))
    });
    let all = outer.into_iter().chain([spelled]).chain(inner).chain([whole]).chain(interactions);
    refused(all.map(|request| (request, "not_json"))).await;
}

#[tokio::test]
async fn a_json_key_that_decides_nothing_may_stand_twice_and_is_forwarded_as_it_came() {
    let lambda = ingress::start_local().await;
    let event = r#"{"type":"event_callback","token":"a","token":"b","event_id":"Ev1","event":{"type":"message","text":"a","text":"b","blocks":[{"id":1,"id":2}]}}"#;
    assert_eq!(lambda.post(&Request::json(event)).await, ok());
    let interaction = r#"{"type":"shortcut","trigger_id":"1","trigger_id":"2","callback_id":"a","callback_id":"b","user":{"id":"U1","name":"x","name":"y"}}"#;
    assert_eq!(post(&lambda, &payload(interaction)).await, empty_ok());
    let messages = lambda.messages(2).await;
    assert_eq!([body_of(&messages[0]), body_of(&messages[1])], [event, interaction]);
}

#[tokio::test]
async fn a_form_field_twice_is_400_whichever_it_is_and_however_it_is_spelled() {
    let payload = "payload=%7B%22type%22%3A%22shortcut%22%7D";
    let forms = [
        command_with("&command=%2Fdestroy"),
        command_with("&team_id=T1"),
        command_with("&text=a&text=b"),
        command_with("&text=a&text"),
        command_with("&=&="),
        command_with("&te%78t=a&text=b"),
        command_with("&a+b=1&a%20b=2"),
        format!("{payload}&{payload}").into(),
        format!("{payload}&%70ayload=%7B%7D").into(),
    ];
    refused(forms.map(|body| (form(body), "repeated_field"))).await;
}

#[tokio::test]
async fn a_form_that_is_neither_command_nor_interaction_is_400() {
    let unsupported =
        ["", "&", "&&=", "text=hello", "command=", "command", "Command=%2Fdeploy", "ssl_check=0"];
    let no_type = ["{}", r#"{"type":null}"#, r#"{"type":""}"#, r#"{"type":7}"#, r#"{"event":{}}"#];
    let not_json =
        ["", "null", "[]", "7", r#""shortcut""#, r#"{"type":"shortcut""#, r#"{"type":"shortcut"} x"#];
    let unsupported = unsupported.into_iter().map(form).chain(no_type.into_iter().map(payload));
    let requests = unsupported.map(|request| (request, "unsupported_type"));
    refused(requests.chain(not_json.into_iter().map(|json| (payload(json), "not_json")))).await;
}

#[tokio::test]
async fn a_json_body_said_to_be_a_form_is_400_and_so_is_a_form_said_to_be_json() {
    let json = |body: &[u8]| Request::json(body);
    refused([
        (form(mention("Ev1", "hello")), "unsupported_type"),
        (form(r#"{"command":"/deploy","trigger_id":"1"}"#), "unsupported_type"),
        (json(&command_with("")), "not_json"),
        (json(b"payload=%7B%22type%22%3A%22shortcut%22%7D"), "not_json"),
        // This is the payload of a form, without the form.
        (json(br#"{"type":"shortcut","trigger_id":"1"}"#), "unsupported_type"),
        (json(b"ssl_check=1"), "not_json"),
    ])
    .await;
}

#[tokio::test]
async fn an_empty_body_is_400_if_it_is_signed_and_401_if_not() {
    refused([(Request::json(""), "not_json"), (form(""), "unsupported_type")]).await;
    let lambda = ingress::start_local().await;
    for request in [Request::json(""), form("")] {
        let mut event = request.event();
        event["body"] = Value::Null;
        assert_eq!(reply(lambda.invoke(&event).await), bad_request(), "a body of null is none");
        let unsigned = request.without("X-Slack-Signature");
        assert_eq!(post(&lambda, &unsigned).await, unauthorized());
    }
}

#[tokio::test]
async fn what_does_not_decode_to_utf8_in_a_form_is_400() {
    let bad = [
        &b"&text=%FF"[..],
        b"&text=Z%FCrich",
        b"&text=%C0%AF",
        b"&text=%ED%A0%80",
        b"&text=%F0%9F%97",
        b"&text=%F5%80%80%80",
        b"&text=\xff",
        b"&te%FFxt=a",
        b"&text=%C3&x=%BC",
    ];
    let commands = bad.map(|fields| form([&command_with("")[..], fields].concat()));
    let payloads = [
        form("payload=%7B%22type%22%3A%22shortcut%22%2C%22x%22%3A%22%FF%22%7D"),
        form(&b"payload={\"type\":\"shortcut\",\"x\":\"\xfc\"}"[..]),
    ];
    refused(commands.into_iter().chain(payloads).map(|request| (request, "not_utf8"))).await;
}

#[tokio::test]
async fn a_percent_sign_that_encodes_nothing_is_a_percent_sign() {
    let lambda = ingress::start_local().await;
    let body = command_with("&text=100%&a=%4&b=%zz&c=%%41&d=%2525&e=%u00fc&f=%00");
    assert_eq!(post(&lambda, &form(body)).await, empty_ok());
    let fields = fields(&lambda).await;
    for (name, expected) in
        [("text", "100%"), ("a", "%4"), ("b", "%zz"), ("c", "%A"), ("d", "%25"), ("e", "%u00fc"), ("f", "\0")]
    {
        assert_eq!(fields[name], expected, "{name}");
    }
}

#[tokio::test]
async fn a_form_is_decoded_once() {
    let lambda = ingress::start_local().await;
    let body = command_with("&text=a%252Bb%2Bc+d%26e%3Df=g==&x&y=&=z&&");
    assert_eq!(post(&lambda, &form(body)).await, empty_ok());
    let expected = json!({
        "team_id": "T1", "channel_id": "C1", "command": "/deploy", "api_app_id": "A1", "trigger_id": TRIGGER,
        "text": "a%2Bb+c d&e=f=g==", "x": "", "y": "", "": "z"
    });
    assert_eq!(fields(&lambda).await, expected);
}

#[tokio::test]
async fn lone_surrogates_and_noncharacters_are_forwarded() {
    let lambda = ingress::start_local().await;
    let interaction =
        r#"{"type":"shortcut","trigger_id":"1","callback_id":"\ud800","x":{"\udfff":"\udc00x"}}"#;
    assert_eq!(post(&lambda, &payload(interaction)).await, empty_ok());
    let event = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","text":"\ud83d"}}"#;
    assert_eq!(lambda.post(&Request::json(event)).await, ok());
    assert_eq!(post(&lambda, &form(command_with("&text=%EF%BF%BE%EF%BF%BF\u{ffff}"))).await, empty_ok());
    let messages = lambda.messages(3).await;
    assert_eq!([body_of(&messages[0]), body_of(&messages[1])], [interaction, event]);
    // SQS accepts these two characters only as escapes.
    assert!(body_of(&messages[2]).contains(r#""text":"\ufffe\uffff\uffff""#), "{}", messages[2]);
}

#[tokio::test]
async fn a_compressed_body_is_400_though_its_bytes_are_signed() {
    // `printf '{"type":"url_verification","challenge":"c"}' | gzip -n | base64`
    const GZIP: &str = "H4sIAAAAAAAAA6tWKqksSFWyUiotyokvSy3KTMtMTizJzM9T0lFKzkjMyUnNSwdJJyvVAgBRLithKwAAAA==";
    let decode = |text: &str| base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text);
    let zipped = decode(GZIP).expect("base64");
    let json = Request::json(zipped.clone()).header("Content-Encoding", "gzip");
    refused([
        (json.clone(), "not_utf8"),
        (form(zipped.clone()).header("Content-Encoding", "gzip"), "not_utf8"),
        (Request::signed("application/gzip", zipped), "content_type"),
    ])
    .await;
    // The header alone changes nothing: only the bytes count.
    let lambda = ingress::start_local().await;
    let plain =
        Request::json(r#"{"type":"url_verification","challenge":"c"}"#).header("Content-Encoding", "gzip");
    assert_eq!(lambda.post(&plain).await.body, "c");
    // A body is not decompressed before its signature is verified either.
    let mut unpacked = json;
    unpacked.body = plain.body;
    assert_eq!(lambda.post(&unpacked).await, unauthorized());
}

#[tokio::test]
async fn a_signed_header_that_comes_twice_is_401_at_every_front_door() {
    let lambda = ingress::start_local().await;
    let good = Request::json(mention("Ev1", "hello"));
    let wrong = format!("v0={}", "0".repeat(64));
    for name in ["X-Slack-Signature", "X-Slack-Request-Timestamp"] {
        let lower = name.to_lowercase();
        let right = good.headers.iter().find(|(known, _)| known == name).expect("the header").1.clone();
        for values in [[&right, &right], [&right, &wrong], [&wrong, &right]] {
            // An HTTP API joins them.
            for comma in [",", ", "] {
                let joined = good.clone().header(name, &values.map(String::as_str).join(comma));
                assert_eq!(lambda.post(&joined).await, unauthorized(), "{name} {values:?}");
            }
            // A REST API gives the last value as the single header, and both values in the list.
            let mut rest = good.event();
            rest["requestContext"] =
                json!({ "accountId": "123456789012", "httpMethod": "POST", "stage": "prod" });
            rest["httpMethod"] = json!("POST");
            let lists = rest["headers"].as_object().expect("headers").iter();
            rest["multiValueHeaders"] = lists.map(|(name, value)| (name.clone(), json!([value]))).collect();
            assert_eq!(reply(lambda.invoke(&rest).await).status, 200, "this is a good request");
            rest["multiValueHeaders"][&lower] = json!(values);
            assert_eq!(reply(lambda.invoke(&rest).await), unauthorized(), "{name} {values:?}");
            // A load balancer has either lists or single headers.
            rest["requestContext"] = json!({ "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/slack/49e9d65c45c6791a" } });
            rest.as_object_mut().expect("an object").remove("headers");
            assert_eq!(reply(lambda.invoke(&rest).await), unauthorized(), "{name} {values:?}");
        }
    }
    // An object with both spellings of a name counts as two headers.
    let mut twice = good.event();
    twice["headers"]["X-Slack-Signature"] = json!(wrong);
    assert_eq!(reply(lambda.invoke(&twice).await), unauthorized());
    lambda.messages(1).await;
}

#[tokio::test]
async fn a_content_type_that_comes_twice_is_400() {
    let lambda = ingress::start_local().await;
    let twice =
        Request::json(mention("Ev1", "hello")).header("Content-Type", "application/json,application/json");
    assert_eq!(lambda.post(&twice).await, bad_request());
}

#[tokio::test]
async fn depth_is_no_reason_to_refuse_an_event_or_a_payload() {
    const LEVELS: usize = 100_000;
    let lambda = ingress::start_local().await;
    let arrays = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let objects = format!("{}1{}", r#"{"id":"#.repeat(LEVELS), "}".repeat(LEVELS));
    let mut sent = Vec::new();
    for deep in [arrays, objects] {
        for field in ["message", "channel", "state"] {
            let id = sent.len();
            let event = format!(
                r#"{{"type":"event_callback","event_id":"Ev{id}","event":{{"type":"message","{field}":{deep}}}}}"#
            );
            assert_eq!(lambda.post(&Request::json(event.clone())).await, ok(), "{field}");
            let interaction = format!(r#"{{"type":"shortcut","trigger_id":"{id}","{field}":{deep}}}"#);
            assert_eq!(post(&lambda, &payload(&interaction)).await, empty_ok(), "{field}");
            sent.extend([event, interaction]);
        }
    }
    let messages = lambda.messages(sent.len()).await;
    for (message, sent) in messages.iter().zip(&sent) {
        assert!(body_of(message) == sent, "not as it came");
    }
}

/// The most memory, in bytes, that the process with this function name has used. Only Linux tells it; elsewhere this is 0.
#[cfg(not(target_os = "linux"))]
fn peak_memory(_function_name: &str) -> usize {
    0
}

#[cfg(target_os = "linux")]
fn peak_memory(function_name: &str) -> usize {
    use std::fs;
    let parent = format!("PPid:\t{}\n", std::process::id());
    let variable = format!("AWS_LAMBDA_FUNCTION_NAME={function_name}\0");
    let processes = fs::read_dir("/proc").expect("/proc").filter_map(|entry| Some(entry.ok()?.path()));
    // Only the children of this process, which are the functions that these tests started, are searched.
    let mut children = processes.filter_map(|process| {
        let status =
            fs::read_to_string(process.join("status")).ok().filter(|status| status.contains(&parent))?;
        fs::read_to_string(process.join("environ")).ok()?.contains(&variable).then_some(status)
    });
    let status = children.next().expect("the process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    peak.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

#[tokio::test]
async fn a_hundred_thousand_fields_or_keys_are_answered_quickly_and_in_proportionate_memory() {
    const NAME: &str = "a-hundred-thousand";
    // The debug binary is at least ten times slower, so it gets a tenth of the fields; with more it would exceed the ack budget.
    let count = if std::env::var_os("SLACK_INGRESS_BIN").is_some() { 100_000 } else { 10_000 };
    let lambda = ingress::start(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "stdout:"),
        ("AWS_LAMBDA_FUNCTION_NAME", NAME),
    ]))
    .await;
    assert_eq!(lambda.post(&Request::json(mention("Ev0", "hello"))).await, ok());
    let at_rest = peak_memory(NAME);

    let fields: String = (0..count).map(|n| format!("&f{n}={n}")).collect();
    let members: String = (0..count).map(|n| format!(r#""k{n}":{n},"#)).collect();
    let command = form(command_with(&fields));
    let repeated = form(command_with(&format!("{fields}&f0=0")));
    let empty_fields =
        form(command_with(&"&".repeat(count * 10)).into_iter().chain(*b"1").collect::<Vec<_>>());
    let event = format!(
        r#"{{{members}"type":"event_callback","event_id":"Ev1","event":{{{members}"type":"message"}}}}"#
    );
    let interaction = format!(r#"{{{members}"type":"shortcut","trigger_id":"1"}}"#);
    let largest = event.len();
    for (request, expected) in [
        (command, empty_ok()),
        (repeated, bad_request()),
        (empty_fields, empty_ok()),
        (Request::json(event), ok()),
        (payload(&interaction), empty_ok()),
    ] {
        assert_eq!(post(&lambda, &request).await, expected);
    }
    for report in lambda.reports(6).await {
        assert!(report["AckTime"].as_f64().unwrap() < 1_000.0, "{report}");
    }
    // The body is in memory several times: in the event, as base64, as bytes, as fields, in the message and in its line.
    let grown = peak_memory(NAME) - at_rest;
    assert!(grown < 16 * largest, "{grown} bytes for bodies of {largest}");
    assert_eq!(lambda.messages(5).await.len(), 5);
}

#[tokio::test]
async fn an_id_too_long_for_a_store_is_replaced_by_its_hash_and_still_tells_apart() {
    let lambda = ingress::start_local().await;
    let long = "x".repeat(5_000);
    let event = |id: &str| Request::json(mention(id, "hello"));
    let other = format!("{long}y");
    for id in [&long, &other, &long] {
        assert_eq!(lambda.post(&event(id)).await, ok());
    }
    let messages = lambda.messages(2).await;
    for message in messages {
        let id = message["attributes"]["event_id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 64, "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_base64_is_401_for_a_form_too() {
    let lambda = ingress::start_local().await;
    let mut event = form(command_with("")).encoded_event();
    for body in ["%%%", "YQ", "YQ==YQ=="] {
        event["body"] = json!(body);
        let Ended::Answered(_) = lambda.invoke(&event).await else { panic!("no answer: {body}") };
        assert_eq!(reply(lambda.invoke(&event).await), unauthorized(), "{body}");
    }
}

/// SQS's limit on the size of a message, including its attributes.
const SQS_LIMIT: usize = 1_048_576;

fn attribute_size((name, value): (&String, &String)) -> usize {
    name.len() + "String".len() + value.len()
}

/// A mention whose body has this many bytes.
fn mention_of_size(id: &str, bytes: usize) -> Request {
    let text = "x".repeat(bytes - mention(id, "").len());
    Request::json(mention(id, &text))
}

/// Whether a message may lack this attribute if there is no room for it.
fn gives_way(name: &str) -> bool {
    name.starts_with("retry_") || name == "unguarded"
}

/// Sends three messages: one to measure the size of the attributes that every message has, one that with them has exactly the
/// limit, and one that is one byte larger. Returns the one at the limit.
async fn at_the_limit(
    stage: &Stage,
    request: impl Fn(&str, usize) -> Request,
    accepted: Reply,
) -> QueueMessage {
    let lambda = stage.environment().await;
    assert_eq!(lambda.post(&request("Ev1", 2_000)).await, accepted);
    let [measured] = stage.queue.take_all().await.try_into().expect("one message");
    assert_eq!(measured.body.len(), 2_000);
    let always = measured.attributes.iter().filter(|(name, _)| !gives_way(name));
    let room = SQS_LIMIT - always.map(attribute_size).sum::<usize>();

    assert_eq!(lambda.post(&request("Ev3", room + 1)).await, too_large());
    assert_eq!(lambda.post(&request("Ev2", room)).await, accepted);
    let [largest] = stage.queue.take_all().await.try_into().expect("one message");
    let size = largest.body.len() + largest.attributes.iter().map(attribute_size).sum::<usize>();
    assert_eq!(size, SQS_LIMIT);
    assert_ne!(largest.attributes["event_id"], measured.attributes["event_id"]);
    assert_eq!(stage.table.state("Ev3").await, None, "what is too large is not recorded");
    assert_eq!(stage.sqs.calls("SendMessage"), 2, "nor is it sent");
    assert_eq!(lambda.reports(3).await[1]["outcome"], "too_large");
    largest
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_of_exactly_a_mebibyte_with_its_attributes_is_200_and_one_byte_more_is_413() {
    let stage = Stage::fifo().await;
    at_the_limit(&stage, mention_of_size, ok()).await;
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_that_fits_at_first_fits_at_a_retry_whose_attributes_give_way() {
    let stage = Stage::fifo().await;
    let retry = |id: &str, bytes| mention_of_size(id, bytes).retry(2, "too_many_redirects");
    let largest = at_the_limit(&stage, retry, ok()).await;
    assert!(!largest.attributes.keys().any(|name| gives_way(name)), "{:?}", largest.attributes);
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn a_delivery_that_is_sent_without_a_record_is_not_too_large_for_the_attribute_unguarded() {
    // Slack makes one attempt at a command. While the store is down the command is sent without a record.
    let stage = Stage::fifo().await;
    stage.dynamodb.always("PutItem", test_support::aws::proxy::Fault::Refuse(400, "ValidationException"));
    let command = |id: &str, bytes: usize| {
        let form_with = |text: &str| format!("command=%2Fdeploy&trigger_id={id}&text={text}");
        let json_with =
            |text: &str| json!({ "command": "/deploy", "trigger_id": id, "text": text }).to_string();
        form(form_with(&"x".repeat(bytes - json_with("").len())))
    };
    let largest = at_the_limit(&stage, command, empty_ok()).await;
    assert!(!largest.attributes.contains_key("unguarded"));
}

#[tokio::test]
#[ignore = "needs servers: make test"]
async fn an_event_that_its_escapes_make_larger_than_the_limit_is_413() {
    let stage = Stage::fifo().await;
    let lambda = stage.environment().await;
    // Each of these characters has three bytes in Slack's request and six as an escape in the message.
    let noncharacters = Request::json(mention("Ev1", &"\u{ffff}".repeat(180_000)));
    assert!(noncharacters.body.len() < SQS_LIMIT);
    assert_eq!(lambda.post(&noncharacters).await, too_large());
    assert_eq!(stage.sqs.calls("SendMessage"), 0);
    let fewer = Request::json(mention("Ev1", &"\u{ffff}".repeat(170_000)));
    assert_eq!(lambda.post(&fewer).await, ok());
    let patience = eventually("the message", async || stage.queue.take_all().await.pop());
    let message = tokio::time::timeout(Duration::from_secs(30), patience).await.expect("in time");
    assert_eq!(message.body.len(), mention("Ev1", "").len() + 6 * 170_000);
}
