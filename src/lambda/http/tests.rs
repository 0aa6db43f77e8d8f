use super::super::untrusted::reduce;
use super::*;
use crate::slack::payload::Malformed;
use crate::telemetry::report::ingress::Dependency;
use crate::telemetry::report::ingress::RequestDetails;
use futures_util::FutureExt;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, LambdaEvent, Service, service_fn};
use serde_json::{Value, json};

const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const TIMESTAMP: &str = "1531420618";
const BODY: &str = r#"{"type":"event_callback","text":"Zürich 🗼"}"#;
const BODY_BASE64: &str = "eyJ0eXBlIjoiZXZlbnRfY2FsbGJhY2siLCJ0ZXh0IjoiWsO8cmljaCDwn5e8In0=";

/// API Gateway HTTP API, payload format 2.0.
fn http_api() -> Value {
    json!({
        "version": "2.0",
        "routeKey": "POST /slack/events",
        "rawPath": "/slack/events",
        "rawQueryString": "",
        "headers": {
            "accept": "*/*",
            "accept-encoding": "gzip,deflate",
            "content-length": "52",
            "content-type": "application/json",
            "host": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
            "x-forwarded-for": "205.255.255.176",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-slack-request-timestamp": TIMESTAMP,
            "x-slack-retry-num": "1",
            "x-slack-retry-reason": "http_timeout",
            "x-slack-signature": SIGNATURE
        },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "r3pmxmplak",
            "domainName": "r3pmxmplak.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "r3pmxmplak",
            "http": {
                "method": "POST",
                "path": "/slack/events",
                "protocol": "HTTP/1.1",
                "sourceIp": "205.255.255.176",
                "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "POST /slack/events",
            "stage": "$default",
            "time": "10/Mar/2020:05:16:23 +0000",
            "timeEpoch": 1_583_817_383_220_u64
        },
        "body": BODY,
        "isBase64Encoded": false
    })
}

/// Lambda Function URL: the HTTP API's format, with another context and a body that is often base64.
fn function_url() -> Value {
    let mut event = http_api();
    event["routeKey"] = json!("$default");
    event["requestContext"] = json!({
        "accountId": "anonymous",
        "apiId": "mwaxmplurlid",
        "domainName": "mwaxmplurlid.lambda-url.eu-central-1.on.aws",
        "domainPrefix": "mwaxmplurlid",
        "http": {
            "method": "POST",
            "path": "/slack/events",
            "protocol": "HTTP/1.1",
            "sourceIp": "205.255.255.176",
            "userAgent": "Slackbot 1.0 (+https://api.slack.com/robots)"
        },
        "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599",
        "routeKey": "$default",
        "stage": "$default",
        "time": "12/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1_584_039_838_000_u64
    });
    event["body"] = json!(BODY_BASE64);
    event["isBase64Encoded"] = json!(true);
    event
}

/// API Gateway REST API, payload format 1.0: headers in the caller's spelling, once single and once as lists.
fn rest_api() -> Value {
    json!({
        "resource": "/slack/events",
        "path": "/slack/events",
        "httpMethod": "POST",
        "headers": {
            "Content-Type": "application/json",
            "Host": "gy415nuibc.execute-api.eu-central-1.amazonaws.com",
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "X-Slack-Request-Timestamp": TIMESTAMP,
            "X-Slack-Retry-Num": "1",
            "X-Slack-Retry-Reason": "http_timeout",
            "X-Slack-Signature": SIGNATURE
        },
        "multiValueHeaders": {
            "Content-Type": ["application/json"],
            "Host": ["gy415nuibc.execute-api.eu-central-1.amazonaws.com"],
            "User-Agent": ["Slackbot 1.0 (+https://api.slack.com/robots)"],
            "X-Slack-Request-Timestamp": [TIMESTAMP],
            "X-Slack-Retry-Num": ["1"],
            "X-Slack-Retry-Reason": ["http_timeout"],
            "X-Slack-Signature": [SIGNATURE]
        },
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "resourceId": "jxmpl1",
            "resourcePath": "/slack/events",
            "httpMethod": "POST",
            "extendedRequestId": "JJbxmplHYosFVYQ=",
            "requestTime": "10/Mar/2020:00:03:59 +0000",
            "path": "/prod/slack/events",
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": "prod",
            "domainPrefix": "gy415nuibc",
            "requestTimeEpoch": 1_583_798_639_428_u64,
            "requestId": "77375676-xmpl-4b79-853a-f982474efe18",
            "identity": { "accountId": null, "sourceIp": "52.255.255.12", "userAgent": null },
            "domainName": "gy415nuibc.execute-api.eu-central-1.amazonaws.com",
            "apiId": "gy415nuibc"
        },
        "body": BODY,
        "isBase64Encoded": false
    })
}

/// Application Load Balancer.
fn load_balancer() -> Value {
    json!({
        "requestContext": {
            "elb": {
                "targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/slack/49e9d65c45c6791a"
            }
        },
        "httpMethod": "POST",
        "path": "/slack/events",
        "queryStringParameters": {},
        "headers": {
            "accept": "*/*",
            "content-type": "application/json",
            "host": "lb-1846910315.eu-central-1.elb.amazonaws.com",
            "user-agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            "x-amzn-trace-id": "Root=1-5c536348-3d683b8b04734faae651f476",
            "x-forwarded-for": "72.12.164.125",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
            "x-slack-request-timestamp": TIMESTAMP,
            "x-slack-retry-num": "1",
            "x-slack-retry-reason": "http_timeout",
            "x-slack-signature": SIGNATURE
        },
        "body": BODY,
        "isBase64Encoded": false
    })
}

/// The same, with `lambda.multi_value_headers.enabled`.
fn load_balancer_with_lists() -> Value {
    let mut event = load_balancer();
    let lists = event["headers"].take();
    let lists = lists.as_object().unwrap().iter().map(|(name, value)| (name.clone(), json!([value])));
    event["multiValueHeaders"] = lists.collect();
    let fields = event.as_object_mut().unwrap();
    fields.remove("headers");
    fields.remove("queryStringParameters");
    fields.insert("multiValueQueryStringParameters".to_owned(), json!({}));
    event
}

fn front_doors() -> [(&'static str, Value); 5] {
    [
        ("HTTP API", http_api()),
        ("Function URL", function_url()),
        ("REST API", rest_api()),
        ("load balancer", load_balancer()),
        ("load balancer with lists", load_balancer_with_lists()),
    ]
}

/// As `serve` has it: reduced, then read by the library.
fn request(event: &Value) -> Request {
    let reduced = reduce(event.to_string().as_bytes());
    lambda_http::request::from_str(std::str::from_utf8(&reduced).unwrap()).unwrap()
}

fn inbound(event: &Value) -> Inbound {
    super::inbound(request(event)).unwrap_or_else(|outcome| panic!("{outcome:?}: {event}"))
}

fn refused(event: &Value) -> RequestOutcome {
    super::inbound(request(event)).err().unwrap()
}

/// What the front door gets, as the library writes it.
fn respond(event: &Value, outcome: RequestOutcome, encoding: Option<Encoding>) -> Value {
    let report = RequestReport { outcome, details: RequestDetails { encoding, ..RequestDetails::default() } };
    let answering = service_fn(move |_: Request| {
        let answer = answer(&report);
        async move { Ok::<_, lambda_http::Error>(answer) }
    });
    let payload: LambdaRequest = serde_json::from_slice(&reduce(event.to_string().as_bytes())).unwrap();
    let event = LambdaEvent::new(payload, lambda_http::Context::default());
    let answered = Adapter::from(answering).call(event).now_or_never().unwrap().unwrap();
    serde_json::to_value(answered).unwrap()
}

/// An HTTP API's event with these headers and no others.
fn with_headers(headers: Value) -> Value {
    let mut event = http_api();
    event["headers"] = headers;
    event
}

#[test]
fn every_front_door_hands_over_the_same_request() {
    for (name, event) in front_doors() {
        let inbound = inbound(&event);
        assert_eq!(inbound.signature.as_deref(), Some(SIGNATURE), "{name}");
        assert_eq!(inbound.timestamp.as_deref(), Some(TIMESTAMP), "{name}");
        assert_eq!(inbound.content_type.as_deref(), Some("application/json"), "{name}");
        let attempt = Attempt { retry_num: Some(1), retry_reason: Some("http_timeout".to_owned()) };
        assert_eq!(inbound.attempt, attempt, "{name}");
        assert_eq!(inbound.body, BODY.as_bytes(), "{name}");
    }
}

#[test]
fn a_body_is_text_or_base64_at_every_front_door() {
    for (name, mut event) in front_doors() {
        for (body, is_base64, expected) in [
            (json!(BODY), json!(false), BODY.as_bytes()),
            (json!(BODY), Value::Null, BODY.as_bytes()),
            (json!(BODY_BASE64), json!(true), BODY.as_bytes()),
            (json!(BODY_BASE64), json!(false), BODY_BASE64.as_bytes()),
            (json!("//4A"), json!(true), b"\xff\xfe\0"),
            (json!(""), json!(true), b""),
            (json!(""), json!(false), b""),
            (Value::Null, json!(false), b""),
            (Value::Null, json!(true), b""),
        ] {
            event["body"] = body.clone();
            event["isBase64Encoded"] = is_base64.clone();
            assert_eq!(inbound(&event).body, expected, "{name}: {body} {is_base64}");
        }
        event.as_object_mut().unwrap().remove("body");
        event.as_object_mut().unwrap().remove("isBase64Encoded");
        assert_eq!(inbound(&event).body, b"", "{name}");
    }
}

#[test]
fn a_body_that_is_not_base64_though_it_should_be_is_rejected_and_not_a_crash() {
    for body in ["%%%", "eyJ0e", "eyJ0eXBlIjoi Zg==", BODY] {
        for (name, mut event) in front_doors() {
            event["body"] = json!(body);
            event["isBase64Encoded"] = json!(true);
            assert_eq!(
                refused(&event),
                RequestOutcome::Rejected(Rejection::UnreadableBody),
                "{name}: {body}"
            );
        }
    }
}

#[test]
fn a_headers_case_does_not_matter() {
    let lower = ["x-slack-signature", "x-slack-request-timestamp", "content-type", "x-slack-retry-num"];
    let upper = lower.map(str::to_uppercase);
    let mixed = ["X-Slack-Signature", "x-SLACK-Request-timestamP", "Content-type", "X-slack-Retry-Num"];
    for names in [lower, upper.each_ref().map(String::as_str), mixed] {
        let [signature, timestamp, content_type, retry_num] = names;
        let inbound = inbound(&with_headers(
            json!({ signature: "s", timestamp: "t", content_type: "c", retry_num: "2" }),
        ));
        assert_eq!(inbound.signature.as_deref(), Some("s"));
        assert_eq!(inbound.timestamp.as_deref(), Some("t"));
        assert_eq!(inbound.content_type.as_deref(), Some("c"));
        assert_eq!(inbound.attempt.retry_num, Some(2));
    }
}

#[test]
fn absent_and_null_headers_are_no_headers() {
    for headers in [Value::Null, json!({}), json!({ "x-slack-signature": null, "accept": null })] {
        for lists in [Value::Null, json!({})] {
            let mut event = with_headers(headers.clone());
            event["multiValueHeaders"] = lists;
            let inbound = inbound(&event);
            assert_eq!(
                (inbound.signature, inbound.timestamp, inbound.content_type, inbound.attempt),
                (None, None, None, Attempt::default()),
                "{event}"
            );
        }
    }
}

#[test]
fn a_signature_that_comes_twice_is_not_one_signature() {
    let other = SIGNATURE.replace("a2", "b3");
    let both = Some(format!("{SIGNATURE},{other}"));
    let twice = with_headers(json!({ "x-slack-signature": SIGNATURE, "X-Slack-Signature": other }));
    // An object's fields are sorted by json!: the upper-case name comes first.
    assert_eq!(inbound(&twice).signature, Some(format!("{other},{SIGNATURE}")));

    let mut rest = rest_api();
    rest["multiValueHeaders"]["X-Slack-Signature"] = json!([SIGNATURE, other]);
    assert_eq!(inbound(&rest).signature, both, "the lists hold what the single headers hide");
    let mut balanced = load_balancer_with_lists();
    balanced["multiValueHeaders"]["x-slack-signature"] = json!([SIGNATURE, other]);
    assert_eq!(inbound(&balanced).signature, both);
}

#[test]
fn a_retry_number_is_a_whole_number_or_nothing() {
    for (given, expected) in [
        ("0", Some(0)),
        ("3", Some(3)),
        (" 3 ", Some(3)),
        ("", None),
        ("three", None),
        ("-1", None),
        ("1,1", None),
        ("1.0", None),
        ("4294967296", None),
    ] {
        let attempt = inbound(&with_headers(json!({ "x-slack-retry-num": given }))).attempt;
        assert_eq!(attempt, Attempt { retry_num: expected, retry_reason: None }, "{given:?}");
    }
    let reason = inbound(&with_headers(json!({ "x-slack-retry-reason": "" }))).attempt.retry_reason;
    assert_eq!(reason, None);
}

#[test]
fn only_a_post_goes_on() {
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post", ""] {
        for (name, mut event) in front_doors() {
            if event["httpMethod"].is_string() {
                event["httpMethod"] = json!(method);
            } else {
                event["requestContext"]["http"]["method"] = json!(method);
            }
            // Even when the body cannot be read.
            event["body"] = json!("%%%");
            event["isBase64Encoded"] = json!(true);
            assert_eq!(refused(&event), RequestOutcome::MethodNotAllowed, "{name}: {method}");
        }
    }
    // The test event of Lambda's console, and one of another service.
    for event in [json!({}), json!({ "key1": "value1" }), json!({ "Records": [] })] {
        assert_eq!(refused(&event), RequestOutcome::MethodNotAllowed, "{event}");
    }
}

#[test]
fn every_outcome_has_its_answer() {
    let json = Some(Encoding::Json);
    let form = Some(Encoding::Form);
    let ok = (200, json!({ "content-type": "application/json" }), r#"{"ok":true}"#);
    let empty = (200, json!({}), "");
    let again = (503, json!({}), "");
    let unauthorized = (401, json!({}), "");
    let malformed = (400, json!({ "x-slack-no-retry": "1" }), "");
    let mut cases = vec![
        (
            RequestOutcome::Challenge("3eZbrw1a".to_owned()),
            json,
            (200, json!({ "content-type": "text/plain; charset=utf-8" }), "3eZbrw1a"),
        ),
        (RequestOutcome::SslCheck, form, empty.clone()),
        (
            RequestOutcome::Suggestion,
            form,
            (200, json!({ "content-type": "application/json" }), r#"{"options":[]}"#),
        ),
        (RequestOutcome::InFlight, json, again.clone()),
        (RequestOutcome::InFlight, form, again.clone()),
        (RequestOutcome::TooLarge, json, (413, json!({ "x-slack-no-retry": "1" }), "")),
        (RequestOutcome::TooLarge, form, (413, json!({ "x-slack-no-retry": "1" }), "")),
        (RequestOutcome::Panicked, None, (500, json!({}), "")),
        (RequestOutcome::MethodNotAllowed, None, (405, json!({ "allow": "POST" }), "")),
    ];
    for outcome in [
        RequestOutcome::Accepted,
        RequestOutcome::Duplicate,
        RequestOutcome::Kept,
        RequestOutcome::Ignored,
        RequestOutcome::RateLimited,
    ] {
        cases.push((outcome.clone(), json, ok.clone()));
        cases.push((outcome, form, empty.clone()));
    }
    for encoding in [json, form, None] {
        for dependency in [Dependency::Secret, Dependency::Store, Dependency::Sink] {
            cases.push((RequestOutcome::Unavailable(dependency), encoding, again.clone()));
        }
        for rejection in [
            Rejection::MissingHeader,
            Rejection::MalformedSignature,
            Rejection::MalformedTimestamp,
            Rejection::Stale,
            Rejection::Mismatch,
            Rejection::OtherApp,
            Rejection::UnreadableBody,
        ] {
            cases.push((RequestOutcome::Rejected(rejection), encoding, unauthorized.clone()));
        }
        for reason in [
            Malformed::ContentType,
            Malformed::Utf8,
            Malformed::Json,
            Malformed::Unsupported,
            Malformed::RepeatedField,
            Malformed::MissingEventId,
            Malformed::MissingChallenge,
        ] {
            cases.push((RequestOutcome::Malformed(reason), encoding, malformed.clone()));
        }
    }
    for (outcome, encoding, (status, headers, body)) in cases {
        let lists: serde_json::Map<_, _> =
            headers.as_object().unwrap().iter().map(|(name, value)| (name.clone(), json!([value]))).collect();
        for (name, event) in front_doors() {
            let response = respond(&event, outcome.clone(), encoding);
            let told = format!("{name}: {outcome:?} {encoding:?}");
            assert_eq!(response["statusCode"], status, "{told}");
            assert_eq!(response["body"], body, "{told}");
            assert_eq!(response["isBase64Encoded"], false, "{told}");
            // A REST API merges both kinds of headers, so it gets one; a load balancer reads the kind that it is set to.
            let (single, several) = match name {
                "REST API" => (json!({}), json!(lists)),
                "HTTP API" | "Function URL" => (headers.clone(), json!({})),
                _ => (headers.clone(), json!(lists)),
            };
            assert_eq!((&response["headers"], &response["multiValueHeaders"]), (&single, &several), "{told}");
        }
    }
}

#[test]
fn a_load_balancer_is_told_the_status_by_name() {
    for (outcome, description) in [
        (RequestOutcome::Accepted, "200 OK"),
        (RequestOutcome::Malformed(Malformed::Json), "400 Bad Request"),
        (RequestOutcome::Rejected(Rejection::Stale), "401 Unauthorized"),
        (RequestOutcome::MethodNotAllowed, "405 Method Not Allowed"),
        (RequestOutcome::TooLarge, "413 Payload Too Large"),
        (RequestOutcome::InFlight, "503 Service Unavailable"),
    ] {
        for event in [load_balancer(), load_balancer_with_lists()] {
            let response = respond(&event, outcome.clone(), Some(Encoding::Json));
            assert_eq!(response["statusDescription"], description);
        }
    }
}

#[test]
fn a_challenge_is_answered_as_it_came_whatever_is_in_it() {
    for challenge in ["ü🗼", "<script>", "a\r\nb", "\u{fffe}", "\u{feff}a"] {
        let response =
            respond(&http_api(), RequestOutcome::Challenge(challenge.to_owned()), Some(Encoding::Json));
        assert_eq!(response["body"], challenge);
    }
}

#[test]
fn a_get_that_checks_a_certificate_is_answered_as_such() {
    for (name, mut event) in front_doors() {
        let is_http_api = !event["httpMethod"].is_string();
        for (query, method, expected) in [
            ("ssl_check=1", "GET", RequestOutcome::SslCheck),
            ("token=x&ssl_check=1", "GET", RequestOutcome::SslCheck),
            ("ssl_check=0", "GET", RequestOutcome::MethodNotAllowed),
            ("xssl_check=1", "GET", RequestOutcome::MethodNotAllowed),
            ("", "GET", RequestOutcome::MethodNotAllowed),
            ("ssl_check=1", "PUT", RequestOutcome::MethodNotAllowed),
        ] {
            let fields = query.split('&').filter_map(|field| field.split_once('='));
            if is_http_api {
                event["requestContext"]["http"]["method"] = json!(method);
                event["rawQueryString"] = json!(query);
            } else {
                event["httpMethod"] = json!(method);
                event["queryStringParameters"] =
                    fields.map(|(name, value)| (name.to_owned(), json!(value))).collect();
                if name == "load balancer with lists" {
                    event["multiValueQueryStringParameters"] = event["queryStringParameters"].take();
                    let lists = event["multiValueQueryStringParameters"].as_object_mut().unwrap();
                    lists.values_mut().for_each(|value| *value = json!([value.take()]));
                }
            }
            assert_eq!(refused(&event), expected, "{name}: {method} {query}");
        }
    }
}

/// Each of these is a panic or a refused event in the library.
#[test]
fn what_the_library_does_not_stand_is_served_all_the_same() {
    let oddities = [
        ("rawPath", json!("//[")),
        ("rawPath", json!("no slash at all")),
        ("rawPath", json!("/\u{0}\u{7f} ü")),
        ("rawPath", json!("/".repeat(70_000))),
        ("path", json!("//[")),
        ("rawQueryString", json!("a=%%%\u{1}<>\"{}|^`")),
        ("queryStringParameters", json!({ "\u{0}": "\u{1}" })),
        ("multiValueQueryStringParameters", json!({ "\u{0}": ["\u{1}"] })),
        ("queryStringParameters", Value::Null),
        ("pathParameters", json!({ "proxy": 1 })),
        ("stageVariables", json!([])),
        ("cookies", json!(["a\u{0}=b"])),
        ("version", json!(2)),
    ];
    let headers = [
        ("host", "[::1"),
        ("host", "a b"),
        ("host", ""),
        ("host", "999.999.999.999"),
        ("host", "xn--"),
        ("host", "h:99999"),
        ("x-forwarded-proto", "ht tp"),
        ("user-agent", "\u{0}"),
        ("bad name", "x"),
        ("", "x"),
        ("x-slack-ingress-unreadable-body", "forged"),
    ];
    for (name, event) in front_doors() {
        for (field, value) in &oddities {
            let mut event = event.clone();
            event[field] = value.clone();
            assert_eq!(inbound(&event).body, BODY.as_bytes(), "{name}: {field} {value}");
        }
        for (header, value) in headers {
            let mut event = event.clone();
            if event["multiValueHeaders"].is_object() {
                event["multiValueHeaders"][header] = json!([value]);
            } else {
                event["headers"][header] = json!(value);
            }
            assert_eq!(inbound(&event).signature.as_deref(), Some(SIGNATURE), "{name}: {header} {value:?}");
        }
        for context in ["stage", "domainName", "authorizer", "identity", "timeEpoch"] {
            let mut event = event.clone();
            event["requestContext"][context] = json!("//[");
            assert_eq!(inbound(&event).body, BODY.as_bytes(), "{name}: {context}");
        }
    }
}

#[test]
fn the_gateways_time_comes_from_the_context_and_never_from_a_header() {
    for (name, mut event) in front_doors() {
        let expected = match name {
            "HTTP API" => Some(1_583_817_383_220),
            "Function URL" => Some(1_584_039_838_000),
            "REST API" => Some(1_583_798_639_428),
            _ => None,
        };
        assert_eq!(inbound(&event).gateway_time, expected.map(UnixMillis::from_millis), "{name}");
        for headers in ["headers", "multiValueHeaders"] {
            if event[headers].is_object() {
                event[headers]["X-Slack-Ingress-Gateway-Time"] = event[headers]["x-slack-signature"].clone();
            }
        }
        assert_eq!(inbound(&event).gateway_time, expected.map(UnixMillis::from_millis), "{name}");
        for odd in [json!(null), json!("1583817383220"), json!(-1), json!(1.5), json!(1e30), json!({})] {
            event["requestContext"]["timeEpoch"] = odd.clone();
            event["requestContext"]["requestTimeEpoch"] = odd;
            assert_eq!(inbound(&event).gateway_time, None, "{name}");
        }
    }
}

#[test]
fn a_form_and_the_last_retry_are_not_repeated() {
    for (retry_num, content_type, is_last) in [
        ("2", "application/json", false),
        ("3", "application/json", true),
        ("4", "application/json", true),
        ("", "application/json", false),
        ("", "application/x-www-form-urlencoded", true),
        ("", "text/plain", false),
    ] {
        let event = with_headers(json!({ "content-type": content_type, "x-slack-retry-num": retry_num }));
        assert_eq!(is_last_attempt(&request(&event)), is_last, "{retry_num} {content_type}");
    }
}

#[test]
fn a_header_that_http_does_not_allow_counts_as_absent() {
    for value in ["a\nb", "a\u{0}", "\u{7f}"] {
        let inbound = inbound(&with_headers(json!({ "x-slack-signature": value, "content-type": "c" })));
        assert_eq!((inbound.signature, inbound.content_type.as_deref()), (None, Some("c")), "{value:?}");
    }
    let inbound = inbound(&with_headers(json!({ "x-slack-retry-reason": "grün" })));
    assert_eq!(inbound.attempt.retry_reason.as_deref(), Some("grün"));
}

#[test]
fn what_is_no_http_event_is_refused_in_words_that_quote_nothing() {
    for event in [
        "",
        "null",
        "xyzzy",
        r#"{"body":{"xyzzy":1}}"#,
        r#"{"headers":"xyzzy"}"#,
        r#"{"httpMethod":["xyzzy"]}"#,
    ] {
        let refused = serde_json::from_slice::<LambdaRequest>(&reduce(event.as_bytes())).unwrap_err();
        assert!(!refused.to_string().contains("xyzzy"), "{event}: {refused}");
    }
}
