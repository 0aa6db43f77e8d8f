//! Tests every answer in the table of HTTP answers, with the real binary, `memory:` and `stdout:`.

use serde_json::{Value, json};
use slack_ingress::time::clock::{Clock, SystemClock};
use test_support::lambda::answers::{bad_request, challenge, empty_ok, method_not_allowed, ok, unauthorized};
use test_support::lambda::http_api::base64;
use test_support::lambda::{Ended, reply, variables};
use test_support::slack::{Request, SECRET, mention};

use crate::support::ingress;

#[tokio::test]
async fn an_event_is_answered_200_and_sent_and_its_retries_are_answered_200_and_not_sent() {
    let lambda = ingress::start_local().await;
    let body = mention("Ev0PV52K21", "Grüße 🦀");
    let first = Request::json(body.clone());
    assert_eq!(lambda.post(&first).await, ok());
    for (num, reason) in [(1, "http_timeout"), (2, "http_error"), (3, "unknown_error")] {
        assert_eq!(lambda.post(&first.clone().retry(num, reason)).await, ok());
    }
    assert_eq!(lambda.post(&Request::json(mention("Ev0PV52K22", "again"))).await, ok());
    let messages = lambda.messages(2).await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["body"].as_str().unwrap().as_bytes(), body);
    assert_eq!(messages[0]["attributes"]["event_id"], "Ev0PV52K21");
    assert_eq!(messages[1]["attributes"]["event_id"], "Ev0PV52K22");
}

#[tokio::test]
async fn a_challenge_is_echoed_as_plain_text_and_only_if_it_is_signed() {
    let lambda = ingress::start_local().await;
    let body = json!({ "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "challenge": "3eZbrw1aB10FEMAGAZd4FyFQ<b>", "type": "url_verification" });
    let request = Request::json(body.to_string());
    let echoed = challenge("3eZbrw1aB10FEMAGAZd4FyFQ<b>");
    assert_eq!(lambda.post(&request).await, echoed);
    assert_eq!(lambda.post(&request.without("X-Slack-Signature")).await, unauthorized());
    let without = json!({ "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl", "type": "url_verification" });
    assert_eq!(lambda.post(&Request::json(without.to_string())).await, bad_request());
}

#[tokio::test]
async fn a_rate_limit_notice_is_200_and_not_forwarded() {
    let lambda = ingress::start_local().await;
    let body = json!({
        "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
        "type": "app_rate_limited",
        "team_id": "T123456",
        "minute_rate_limited": 1_518_467_820_u64,
        "api_app_id": "A123456"
    });
    assert_eq!(lambda.post(&Request::json(body.to_string())).await, ok());
    assert_eq!(lambda.reports(1).await[0]["RateLimited"], 1);
    assert_eq!(lambda.stdout(), Vec::<String>::new());
}

#[tokio::test]
async fn slacks_tls_check_is_200_and_empty_and_needs_no_signature() {
    let lambda = ingress::start_local().await;
    let form = "application/x-www-form-urlencoded";
    let signed = Request::signed(form, "token=Jhj5dZrVaK7ZwHHjRyZWjbDl&ssl_check=1");
    let unsigned = signed.clone().without("X-Slack-Signature").without("X-Slack-Request-Timestamp");
    for request in [signed, unsigned] {
        assert_eq!(lambda.post(&request).await, empty_ok());
    }
    // Only in a form does this field make a request a TLS check.
    let json = Request::json("ssl_check=1").without("X-Slack-Signature");
    assert_eq!(lambda.post(&json).await, unauthorized());
    assert_eq!(lambda.stdout(), Vec::<String>::new());
}

#[tokio::test]
async fn what_slack_did_not_sign_is_401_and_leaves_no_trace() {
    let lambda = ingress::start_local().await;
    let good = Request::json(mention("Ev1", "hello"));
    let now = SystemClock.now().as_secs();
    let at = |seconds| Request::signed_with(SECRET, seconds, "application/json", mention("Ev1", "hello"));
    let mut other_body = good.clone();
    other_body.body = mention("Ev1", "hullo");
    let refused = [
        good.clone().without("X-Slack-Signature"),
        good.clone().without("X-Slack-Request-Timestamp"),
        good.clone().header("X-Slack-Signature", ""),
        good.clone().header("X-Slack-Signature", "v0=00"),
        good.clone().header("X-Slack-Signature", &format!("v0={}", "0".repeat(64))),
        good.clone().header("X-Slack-Request-Timestamp", "soon"),
        good.clone().header("X-Slack-Request-Timestamp", &(now - 1).to_string()),
        Request::signed_with("another secret", now, "application/json", mention("Ev1", "hello")),
        at(now - 302),
        at(now + 302),
        other_body,
    ];
    for request in refused {
        assert_eq!(lambda.post(&request).await, unauthorized(), "{request:?}");
    }
    // If one of the refused requests had been recorded, this one would be a duplicate and not be sent.
    assert_eq!(lambda.post(&good).await, ok());
    assert_eq!(lambda.messages(1).await.len(), 1);
}

#[tokio::test]
async fn every_secret_of_the_list_is_accepted() {
    let lambda = ingress::start(variables([
        ("DEDUP_STORE", "memory:"),
        ("EVENT_SINK", "stdout:"),
        ("SLACK_SIGNING_SECRET", "old-secret, new-secret"),
    ]))
    .await;
    let now = SystemClock.now().as_secs();
    for (secret, expected) in [("old-secret", ok()), ("new-secret", ok()), (SECRET, unauthorized())] {
        let request = Request::signed_with(secret, now, "application/json", mention(secret, "hello"));
        assert_eq!(lambda.post(&request).await, expected, "{secret}");
    }
}

#[tokio::test]
async fn what_is_signed_but_not_slacks_is_400_and_slack_is_told_not_to_retry() {
    let lambda = ingress::start_local().await;
    let event_without = |field: &str| {
        let mut event: Value = serde_json::from_slice(&mention("Ev1", "hello")).unwrap();
        event.as_object_mut().unwrap().remove(field);
        event.to_string()
    };
    let refused = [
        Request::json(&b"\xff\xfe not UTF-8"[..]),
        Request::json("{\"type\":\"event_callback\","),
        Request::json(""),
        Request::json("[]"),
        Request::json(event_without("event_id")),
        Request::json(event_without("type")),
        Request::json(r#"{"type":"a_type_of_tomorrow"}"#),
        Request::json(mention("", "hello")),
        Request::json(mention("Ev1", "hello")).without("Content-Type"),
        Request::signed("text/plain", mention("Ev1", "hello")),
        Request::signed("application/xml", "<event/>"),
    ];
    for request in refused {
        assert_eq!(lambda.post(&request).await, bad_request(), "{request:?}");
    }
    assert_eq!(lambda.stdout(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_is_no_post_is_answered_405() {
    let lambda = ingress::start_local().await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = Request { method, ..Request::json(mention("Ev1", "hello")) };
        assert_eq!(lambda.post(&request).await, method_not_allowed(), "{method}");
    }
}

#[tokio::test]
async fn bots_are_ignored_as_bot_events_says() {
    let with = |id: &str, fields: Value| {
        let mut event: Value = serde_json::from_slice(&mention(id, "beep")).unwrap();
        event["event"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Request::json(event.to_string())
    };
    let own = |id: &str| with(id, json!({ "bot_id": "B1", "app_id": "A0MDYCDME" }));
    let own_user = |id: &str| with(id, json!({ "type": "message", "user": "U0LAN0Z89" }));
    let other = |id: &str| with(id, json!({ "bot_id": "B2", "app_id": "A0OTHER" }));
    let person = |id: &str| Request::json(mention(id, "hello"));
    for (policy, through) in [
        ("drop", vec!["person"]),
        ("own", vec!["other", "person"]),
        ("forward", vec!["other", "own", "own_user", "person"]),
    ] {
        let lambda = ingress::start(variables([
            ("DEDUP_STORE", "memory:"),
            ("EVENT_SINK", "stdout:"),
            ("BOT_EVENTS", policy),
        ]))
        .await;
        for request in [other("other"), own("own"), own_user("own_user"), person("person")] {
            assert_eq!(lambda.post(&request).await, ok(), "{policy}");
        }
        let messages = lambda.messages(through.len()).await;
        let ids: Vec<_> =
            messages.iter().map(|message| message["attributes"]["event_id"].as_str().unwrap()).collect();
        assert_eq!(ids, through, "{policy}");
        let ignored = lambda.reports(4).await.iter().filter(|report| report["Ignored"] == 1).count();
        assert_eq!(ignored, 4 - through.len(), "{policy}");
    }
}

/// The same request as each front door (HTTP API, REST API, Function URL, load balancer) passes it to the function.
fn front_doors(request: &Request) -> Vec<(&'static str, Value)> {
    let text = String::from_utf8(request.body.clone()).expect("the body is text");
    let shouted: serde_json::Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.to_uppercase(), json!(value))).collect();
    let as_written: serde_json::Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let lists: serde_json::Map<_, _> =
        request.headers.iter().map(|(name, value)| (name.to_lowercase(), json!([value]))).collect();
    let encoded = {
        let mut event = request.event();
        event["body"] = json!(base64(&request.body));
        event["isBase64Encoded"] = json!(true);
        event
    };
    let rest = json!({
        "version": "1.0",
        "resource": "/slack/events",
        "path": "/slack/events",
        "httpMethod": "POST",
        "headers": as_written,
        "multiValueHeaders": lists,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": { "accountId": "123456789012", "apiId": "id", "httpMethod": "POST", "stage": "prod" },
        "body": text,
        "isBase64Encoded": false
    });
    let load_balancer = |headers: (&str, &serde_json::Map<String, Value>)| {
        let (name, headers) = headers;
        json!({
            "requestContext": { "elb": { "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/lambda/49e9d65c45c6791a" } },
            "httpMethod": "POST",
            "path": "/slack/events",
            name: headers,
            "body": base64(&request.body),
            "isBase64Encoded": true
        })
    };
    vec![
        ("HTTP API, text", request.event()),
        ("HTTP API or Function URL, base64", encoded),
        ("REST API", rest),
        ("load balancer", load_balancer(("headers", &shouted))),
        ("load balancer with multi-value headers", load_balancer(("multiValueHeaders", &lists))),
    ]
}

#[tokio::test]
async fn every_front_door_leads_to_the_same_message() {
    let lambda = ingress::start_local().await;
    let body = mention("Ev1", "Grüße \u{1f980} \u{ffff}");
    for (front_door, event) in front_doors(&Request::json(body.clone())) {
        let ended = lambda.invoke(&event).await;
        assert_eq!(reply(ended), ok(), "{front_door}");
    }
    assert_eq!(lambda.stdout().len(), 1, "they are all the same event");
    for (n, _) in front_doors(&Request::json("{}")).iter().enumerate() {
        let request = Request::json(mention(&format!("Ev-{n}"), "one for each"));
        let (front_door, event) = front_doors(&request).swap_remove(n);
        assert_eq!(reply(lambda.invoke(&event).await), ok(), "{front_door}");
    }
    assert_eq!(lambda.messages(6).await.len(), 6);
}

#[tokio::test]
async fn a_load_balancer_gets_single_headers_and_lists_of_values() {
    let lambda = ingress::start_local().await;
    let events = front_doors(&Request::json(mention("Ev1", "hello")));
    for (front_door, event) in events.iter().filter(|(front_door, _)| front_door.starts_with("load")) {
        let Ended::Answered(answer) = lambda.invoke(event).await else { panic!("no answer") };
        assert_eq!(answer["statusDescription"], "200 OK", "{front_door}");
        assert_eq!(answer["isBase64Encoded"], false);
        // A load balancer reads the one of the two that its target group is set to.
        assert_eq!(answer["headers"]["content-type"], "application/json", "{front_door}");
        assert_eq!(answer["multiValueHeaders"]["content-type"], json!(["application/json"]), "{front_door}");
    }
}

#[tokio::test]
async fn an_event_that_is_no_http_request_is_an_error_and_the_next_request_is_served() {
    let lambda = ingress::start_local().await;
    for event in [json!("hello"), json!({ "headers": 1 }), json!({ "body": {} })] {
        let Ended::Failed(error) = lambda.invoke(&event).await else { panic!("no error: {event}") };
        assert!(error.contains("errorType"), "{error}");
    }
    // The test event of Lambda's console has no method.
    assert_eq!(reply(lambda.invoke(&json!({ "key1": "value1" })).await).status, 405);
    assert_eq!(lambda.post(&Request::json(mention("Ev1", "hello"))).await, ok());
}

#[tokio::test]
async fn a_body_that_is_not_the_base64_it_is_said_to_be_is_401() {
    let lambda = ingress::start_local().await;
    let mut event = Request::json(mention("Ev1", "hello")).event();
    event["isBase64Encoded"] = json!(true);
    assert_eq!(reply(lambda.invoke(&event).await), unauthorized());
    assert_eq!(lambda.post(&Request::json(mention("Ev1", "hello"))).await, ok());
}

/// Sends events that `lambda_http` panics on or refuses.
#[tokio::test]
async fn an_event_that_lambda_http_refuses_or_panics_on_is_answered_and_so_is_the_next_request() {
    let lambda = ingress::start_local().await;
    let set = |event: &mut Value, (path, value): &(&str, Value)| {
        let place = path.split('/').fold(event, |place, name| &mut place[name]);
        *place = value.clone();
    };
    let oddities = [
        ("rawPath", json!("//[")),
        ("rawPath", json!("no slash")),
        ("path", json!("//[")),
        ("rawQueryString", json!("a=%%%\u{1}<>^")),
        ("queryStringParameters", json!({ "\u{0}": "\u{1}" })),
        ("requestContext/domainName", json!("[::1")),
        ("requestContext/stage", json!("//[")),
        ("requestContext/authorizer", json!([1])),
    ];
    for (number, oddity) in oddities.iter().enumerate() {
        let request = Request::json(mention(&format!("Ev-{number}"), "hello"));
        for (front_door, mut event) in front_doors(&request) {
            set(&mut event, oddity);
            assert_eq!(reply(lambda.invoke(&event).await), ok(), "{front_door}: {oddity:?}");
        }
    }
    for (header, value) in [("host", "[::1"), ("host", ""), ("x-forwarded-proto", "ht tp"), ("bad name", "x")]
    {
        let mut event = Request::json(mention("Ev-headers", "hello")).event();
        event["headers"][header] = json!(value);
        assert_eq!(reply(lambda.invoke(&event).await), ok(), "{header}: {value}");
    }
    for headers in [Value::Null, json!({}), json!({ "host": null })] {
        let mut event = Request::json(mention("Ev-null", "hello")).event();
        event["headers"] = headers.clone();
        assert_eq!(reply(lambda.invoke(&event).await), unauthorized(), "{headers}");
    }
    assert_eq!(lambda.post(&Request::json(mention("Ev-last", "hello"))).await, ok());
    assert_eq!(lambda.messages(oddities.len() + 2).await.len(), oddities.len() + 2);
}

/// Under `cargo lambda watch` whoever knows the URL can send this header, and nothing starts the process again.
#[tokio::test]
async fn a_client_context_that_cannot_be_read_ends_nothing_and_is_not_quoted() {
    let lambda = ingress::start_local().await;
    let pid = lambda.pid();
    for context in ["xyzzy", r#""xyzzy""#, r#"{"client":"xyzzy"}"#] {
        lambda.invoke_with_client_context(&json!({}), context);
        let id = format!("Ev-{}", context.len());
        assert_eq!(lambda.post(&Request::json(mention(&id, "hello"))).await, ok(), "{context}");
    }
    assert_eq!(lambda.pid(), pid);
    let log = lambda.stderr().join("\n");
    assert!(log.contains("the headers of an invocation cannot be read") && !log.contains("xyzzy"), "{log}");
}

#[tokio::test]
async fn slacks_check_of_the_certificate_may_be_a_get() {
    let lambda = ingress::start_local().await;
    let mut event = Request::json("").event();
    event["requestContext"]["http"]["method"] = json!("GET");
    assert_eq!(reply(lambda.invoke(&event).await), method_not_allowed());
    event["rawQueryString"] = json!("ssl_check=1");
    assert_eq!(reply(lambda.invoke(&event).await), empty_ok());
}

#[tokio::test]
async fn a_signature_header_that_comes_twice_is_401() {
    let lambda = ingress::start_local().await;
    let request = Request::json(mention("Ev1", "hello"));
    let (_, mut rest) = front_doors(&request).swap_remove(2);
    let signature = rest["multiValueHeaders"]["x-slack-signature"][0].clone();
    rest["multiValueHeaders"]["x-slack-signature"] = json!([signature, signature]);
    assert_eq!(reply(lambda.invoke(&rest).await), unauthorized());
}

#[tokio::test]
async fn a_megabyte_of_deeply_nested_json_is_an_event_like_any_other() {
    let lambda = ingress::start_local().await;
    let deep = format!("{}{}", "[".repeat(250_000), "]".repeat(250_000));
    let body = format!(
        r#"{{"type":"event_callback","event_id":"Ev1","deep":{deep},"event":{{"type":"message","deep":{deep}}}}}"#
    );
    assert_eq!(lambda.post(&Request::json(body)).await, ok());
    assert_eq!(lambda.messages(1).await.len(), 1);
}
