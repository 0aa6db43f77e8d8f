//! Checks how the function reads the event that it is invoked with: any bytes are a request or an error, each field has the value
//! that was sent, and for every outcome the front door accepts the answer.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Context, LambdaEvent, Request, Service, service_fn};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::{Value, json};
use slack_ingress::ingress::Inbound;
use slack_ingress::lambda::http::{answer, inbound};
use slack_ingress::lambda::untrusted::reduce;
use slack_ingress::slack::payload::{Encoding, Malformed};
use slack_ingress::slack::signature::Rejection;
use slack_ingress::telemetry::report::ingress::{Dependency, RequestDetails, RequestOutcome, RequestReport};
use slack_ingress_fuzz::{bounded, mutate, unambiguous};

/// In a header's list of values, `""` and its comma are three bytes of the input. `serde` keeps 32 bytes for each value before it
/// knows that it is a string, and the list grows by doubling. Measured: 40.
const BYTES_PER_BYTE: usize = 64;

/// Reads the request as the function does: the event is reduced, and then `lambda_http` reads it, which must never panic.
fn read(event: &[u8]) -> Option<Result<Inbound, RequestOutcome>> {
    let reduced = bounded(event.len(), BYTES_PER_BYTE, || reduce(event));
    let request = lambda_http::request::from_str(std::str::from_utf8(&reduced).expect("JSON is text"));
    request.ok().map(inbound)
}

/// The answer that the front door gets.
fn respond(event: &[u8], report: RequestReport) -> Value {
    let answering = service_fn(move |_: Request| {
        let answer = answer(&report);
        async move { Ok::<_, lambda_http::Error>(answer) }
    });
    let payload: LambdaRequest = serde_json::from_slice(&reduce(event)).expect("it was read before");
    let event = LambdaEvent::new(payload, Context::default());
    let answered = Adapter::from(answering).call(event).now_or_never().expect("nothing is waited for");
    serde_json::to_value(answered.expect("an answer")).expect("an answer is JSON")
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let request = read(data);
    let event = std::str::from_utf8(data).ok().and_then(unambiguous);

    // The same event in another spelling must give the same fields.
    if let Some(event) = event.as_ref().filter(|event| is_lambdas(event)) {
        let again = read(event.to_string().as_bytes());
        assert_eq!(request.is_some(), again.is_some(), "another spelling, another verdict");
        if let Some(request) = &again {
            assert_same(event, request);
            assert_answers(event, request);
        }
    }

    // Any bytes in base64 are passed on unchanged as the body.
    let event = json!({ "httpMethod": "POST", "body": BASE64.encode(data), "isBase64Encoded": true });
    let Some(Ok(inbound)) = read(event.to_string().as_bytes()) else { panic!("{event} is a request") };
    assert_eq!(inbound.body, data);
});

/// Whether Lambda could send the event. `serde` accepts an array of an object's values in place of the object, but no front door
/// sends that.
fn is_lambdas(event: &Value) -> bool {
    let context = &event["requestContext"];
    event.is_object() && !context.is_array() && !context["http"].is_array()
}

/// The values of one header, joined with commas as HTTP says.
fn header(headers: &Value, name: &str) -> Option<String> {
    let values: Vec<_> = headers
        .as_object()?
        .iter()
        .filter(|(other, value)| other.eq_ignore_ascii_case(name) && !value.is_null())
        .flat_map(|(_, value)| match value.as_array() {
            // An empty list is a header with an empty value.
            Some(values) if values.is_empty() => vec![""],
            Some(values) => values.iter().filter_map(Value::as_str).collect(),
            None => vec![value.as_str().expect("a header's value is a string or a list of them")],
        })
        .collect();
    // A value that HTTP does not allow in a header counts as absent.
    let value = values.join(",");
    let is_allowed = value.bytes().all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    (!values.is_empty() && is_allowed).then_some(value)
}

fn assert_same(event: &Value, request: &Result<Inbound, RequestOutcome>) {
    let http = &event["requestContext"]["http"];
    let method = if http.is_null() { &event["httpMethod"] } else { &http["method"] };
    let body = event["body"].as_str().unwrap_or_default();
    let is_base64 = event["isBase64Encoded"] == true;
    let inbound = match request {
        Ok(inbound) => inbound,
        Err(RequestOutcome::MethodNotAllowed) => return assert_ne!(method, "POST"),
        Err(RequestOutcome::SslCheck) => return assert_eq!(method, "GET"),
        Err(RequestOutcome::Rejected(Rejection::UnreadableBody)) => return assert!(is_base64),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(method, "POST");
    if is_base64 {
        assert_eq!(BASE64.encode(&inbound.body), body);
    } else {
        assert_eq!(inbound.body, body.as_bytes());
    }
    let several = &event["multiValueHeaders"];
    let has_several = several.as_object().is_some_and(|headers| !headers.is_empty());
    let headers = if has_several { several } else { &event["headers"] };
    assert_eq!(inbound.signature, header(headers, "X-Slack-Signature"));
    assert_eq!(inbound.timestamp, header(headers, "X-Slack-Request-Timestamp"));
    assert_eq!(inbound.content_type, header(headers, "Content-Type"));
    let num = header(headers, "X-Slack-Retry-Num");
    assert_eq!(inbound.attempt.retry_num, num.and_then(|num| num.trim().parse().ok()));
    let reason = header(headers, "X-Slack-Retry-Reason").filter(|reason| !reason.is_empty());
    assert_eq!(inbound.attempt.retry_reason, reason);
}

fn assert_answers(event: &Value, request: &Result<Inbound, RequestOutcome>) {
    let content_type = request.as_ref().ok().and_then(|inbound| inbound.content_type.as_deref());
    let encoding = Encoding::of(content_type);
    let challenge = event["body"].as_str().unwrap_or_default();
    let outcomes = [
        (200, RequestOutcome::Accepted),
        (200, RequestOutcome::Challenge(challenge.to_owned())),
        (200, RequestOutcome::Suggestion),
        (200, RequestOutcome::SslCheck),
        (400, RequestOutcome::Malformed(Malformed::Json)),
        (401, RequestOutcome::Rejected(Rejection::Mismatch)),
        (405, RequestOutcome::MethodNotAllowed),
        (413, RequestOutcome::TooLarge),
        (503, RequestOutcome::InFlight),
        (503, RequestOutcome::Unavailable(Dependency::Store)),
    ];
    for (status, outcome) in outcomes {
        let is_challenge = matches!(outcome, RequestOutcome::Challenge(_));
        let report =
            RequestReport { outcome, details: RequestDetails { encoding, ..RequestDetails::default() } };
        let answer = respond(event.to_string().as_bytes(), report);
        assert_eq!(answer["statusCode"], status);
        assert_eq!(answer["isBase64Encoded"], false);
        assert_eq!(answer["body"] == challenge, is_challenge || challenge.is_empty() && answer["body"] == "");
        let of = |field: &str| answer[field].as_object().cloned().unwrap_or_default();
        let (single, lists) = (of("headers"), of("multiValueHeaders"));
        let has = |name: &str| single.contains_key(name) || lists.contains_key(name);
        assert_eq!(has("x-slack-no-retry"), matches!(status, 400 | 413), "{status}");
        for (name, value) in single.iter().filter(|(name, _)| lists.contains_key(*name)) {
            assert_eq!(lists[name], json!([value]));
        }
    }
}
