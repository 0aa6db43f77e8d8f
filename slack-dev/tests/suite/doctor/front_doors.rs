//! Tests the doctor with each thing that may be in front of the function: the real function behind it, and the answers that it
//! gives itself, byte for byte as AWS gives them. The sources are in `slack-dev/src/doctor/answered_by.rs`; the ids in the headers
//! are made up.

use super::*;
use crate::support::invoke;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Map, json};
use std::sync::Arc;
use test_support::http::{ReceivedRequest, response};
use test_support::lambda::{RuntimeApi, http_api};

type Headers = &'static [(&'static str, &'static str)];

const HTTP_API: Headers = &[("content-type", "application/json"), ("apigw-requestid", "cPt3sgDxoAMEZ7w=")];
const REST_API: Headers = &[
    ("content-type", "application/json"),
    ("x-amzn-requestid", "c68ec83f-e660-4737-b57f-3e633546abc4"),
    ("x-amz-apigw-id", "OPwe_ErKvHcF5ZA="),
];
const FUNCTION_URL: Headers =
    &[("content-type", "application/json"), ("x-amzn-requestid", "9d7959b4-3241-400a-816a-03112dc50e82")];
const LOAD_BALANCER: Headers = &[("server", "awselb/2.0"), ("content-type", "text/html")];

const MISSING_TOKEN: Headers = &[
    ("content-type", "application/json"),
    ("x-amzn-requestid", "c68ec83f-e660-4737-b57f-3e633546abc4"),
    ("x-amz-apigw-id", "OPwe_ErKvHcF5ZA="),
    ("x-amzn-errortype", "MissingAuthenticationTokenException"),
];

/// What is in front of the function.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FrontDoor {
    /// As the stacks deploy it: it has a route for `POST /slack/events`, and no other.
    HttpApi,
    /// With the method POST on one path of the stage `prod`.
    RestApi,
    FunctionUrl,
    LoadBalancer,
    CargoLambda,
}

impl FrontDoor {
    const ALL: [Self; 5] =
        [Self::HttpApi, Self::RestApi, Self::FunctionUrl, Self::LoadBalancer, Self::CargoLambda];

    const fn path(self) -> &'static str {
        match self {
            Self::RestApi => "/prod/slack/events",
            Self::CargoLambda => "/lambda-url/slack-ingress/slack/events",
            _ => "/slack/events",
        }
    }

    /// What it answers to a request that it does not pass on.
    fn own_answer(self, request: &ReceivedRequest) -> Option<Response<Full<Bytes>>> {
        let is_post = request.method == "POST" && request.path == self.path();
        match self {
            Self::HttpApi if !is_post => Some(response(404, HTTP_API, r#"{"message":"Not Found"}"#)),
            Self::RestApi if !is_post => {
                Some(response(403, MISSING_TOKEN, r#"{"message":"Missing Authentication Token"}"#))
            }
            Self::CargoLambda if request.path != self.path() => Some(response(
                404,
                &[],
                r#"{"title":"Missing function","detail":"that function doesn't exist as a binary in your project. Available functions: {\"slack-ingress\"}"}"#,
            )),
            _ => None,
        }
    }

    /// The event that it invokes the function with.
    fn event(self, request: &ReceivedRequest) -> Value {
        let headers = || request.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
        let (method, body) = (request.method.as_str(), String::from_utf8(request.body.clone()).unwrap());
        let mut event = http_api::event(method, headers(), &request.body);
        match self {
            Self::HttpApi => event,
            Self::FunctionUrl | Self::CargoLambda => {
                event["routeKey"] = json!("$default");
                event["requestContext"]["routeKey"] = json!("$default");
                event
            }
            Self::RestApi => {
                let lists: Map<_, _> =
                    headers().map(|(name, value)| (name.to_owned(), json!([value]))).collect();
                json!({
                    "resource": "/slack/events", "path": "/slack/events", "httpMethod": method,
                    "headers": event["headers"], "multiValueHeaders": lists, "queryStringParameters": null,
                    "multiValueQueryStringParameters": null, "pathParameters": null, "stageVariables": null,
                    "requestContext": {
                        "resourceId": "jxmpl1", "resourcePath": "/slack/events", "httpMethod": method,
                        "path": "/prod/slack/events", "accountId": "123456789012", "protocol": "HTTP/1.1", "stage": "prod",
                        "requestId": "77375676-xmpl-4b79-853a-f982474efe18", "apiId": "gy415nuibc",
                        "identity": { "sourceIp": "52.255.255.12" },
                    },
                    "body": body, "isBase64Encoded": false,
                })
            }
            Self::LoadBalancer => json!({
                "requestContext": { "elb": { "targetGroupArn":
                    "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/slack/49e9d65c45c6791a" } },
                "httpMethod": method, "path": "/slack/events", "queryStringParameters": {}, "headers": event["headers"],
                "body": body, "isBase64Encoded": false,
            }),
        }
    }

    /// The headers that it adds to the function's answer.
    const fn headers(self) -> Headers {
        match self {
            Self::HttpApi => HTTP_API,
            Self::RestApi => REST_API,
            Self::FunctionUrl => FUNCTION_URL,
            // To an answer of a function without the header `server` it adds its own.
            Self::LoadBalancer => LOAD_BALANCER,
            Self::CargoLambda => &[],
        }
    }

    async fn answer(self, api: Arc<RuntimeApi>, request: ReceivedRequest) -> Response<Full<Bytes>> {
        if let Some(answer) = self.own_answer(&request) {
            return answer;
        }
        let mut answer = invoke(&api, &self.event(&request)).await;
        for (name, value) in self.headers() {
            answer
                .headers_mut()
                .entry(HeaderName::from_static(name))
                .or_insert(HeaderValue::from_static(value));
        }
        answer
    }

    /// The function behind it, and the URL that Slack is given.
    async fn open(self) -> (Ingress, String) {
        let ingress = Ingress::behind(move |api, request| self.answer(api, request)).await;
        let url = ingress.url.replace("/slack/events", self.path());
        (ingress, url)
    }
}

#[tokio::test]
async fn a_healthy_function_is_ok_behind_each_front_door_whatever_that_answers_to_a_get() {
    for door in FrontDoor::ALL {
        let (_ingress, url) = door.open().await;
        let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
        assert!(examined.with("fail").is_empty(), "{door:?}: {}", examined.text);
        for check in CHECKS_OF_AN_ENDPOINT {
            assert!(examined.with("ok").contains(&check), "{door:?}, {check}: {}", examined.text);
        }
        let hint = match door {
            FrontDoor::HttpApi => "404 by API Gateway (HTTP API) (Not Found): it has no route for GET",
            FrontDoor::RestApi => {
                "403 by API Gateway (REST API) (Missing Authentication Token): it has no method GET"
            }
            _ => "405, as the function answers it",
        };
        assert!(examined.found("endpoint, GET").starts_with(hint), "{door:?}: {}", examined.text);
    }
}

#[tokio::test]
async fn a_wrong_path_is_told_by_what_answers_it() {
    for (door, path, found, todo) in [
        (
            FrontDoor::HttpApi,
            "/slack/event",
            "404 by API Gateway (HTTP API) (Not Found) instead of 401",
            "RequestUrl",
        ),
        (
            FrontDoor::RestApi,
            "/slack/events",
            "403 by API Gateway (REST API) (Missing",
            "the stage in the URL",
        ),
        (
            FrontDoor::CargoLambda,
            "/slack/events",
            "404 by cargo lambda watch (that function",
            "/lambda-url/slack-ingress/",
        ),
    ] {
        let (ingress, _) = door.open().await;
        let url = ingress.url.replace("/slack/events", path);
        let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
        examined.fails(REFUSED, found);
        assert!(examined.text.contains(todo), "{door:?}: {}", examined.text);
        assert!(examined.with("skip").contains(&"signature, old"), "{}", examined.text);
    }
}

#[tokio::test]
async fn a_wrong_secret_is_told_behind_each_front_door() {
    for door in FrontDoor::ALL {
        let (_ingress, url) = door.open().await;
        let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", "another")]).await;
        examined.fails(&["signature, right"], "401: the endpoint has another signing secret");
    }
}

#[tokio::test]
async fn what_did_not_let_a_request_through_is_named_and_what_to_do_about_it() {
    const JWT: Headers = &[("www-authenticate", "Bearer"), ("apigw-requestid", "Mc7UVioPPHcEKPA=")];
    const DENIED: Headers = &[
        ("x-amz-apigw-id", "QZFY0GF8PHcEDJg="),
        ("x-amzn-errortype", "AccessDeniedException"),
        ("x-cache", "Error from cloudfront"),
    ];
    const URL_DENIED: Headers = &[
        ("x-amzn-requestid", "9d7959b4-3241-400a-816a-03112dc50e82"),
        ("x-amzn-errortype", "AccessDeniedException"),
    ];
    const CLOUDFRONT: Headers = &[("server", "CloudFront"), ("x-cache", "Error from cloudfront")];
    for (status, headers, body, found, todo) in [
        (
            401,
            JWT,
            r#"{"message":"Unauthorized"}"#,
            "401 by API Gateway (HTTP API) (Unauthorized)",
            "no authoriser",
        ),
        (429, HTTP_API, r#"{"message":"Too Many Requests"}"#, "429 by API Gateway (HTTP API)", "throttle"),
        (
            500,
            HTTP_API,
            r#"{"message":"Internal Server Error"}"#,
            "500 by API Gateway (HTTP API)",
            "access log",
        ),
        (
            403,
            DENIED,
            r#"{"Message":"User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-west-2:********7089:u1hp5d8r0b/api/GET/prod"}"#,
            "403 by API Gateway (REST API) (User: anonymous",
            "resource policy",
        ),
        (502, REST_API, r#"{"message": "Internal server error"}"#, "502 by API Gateway (REST API)", "log"),
        (
            403,
            URL_DENIED,
            r#"{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}"#,
            "403 by the Function URL (Forbidden. For",
            "lambda:InvokeFunctionUrl and lambda:InvokeFunction",
        ),
        (
            503,
            LOAD_BALANCER,
            "<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<body>\r\n<center><h1>503 Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n",
            "503 by the load balancer",
            "target group",
        ),
        (
            403,
            CLOUDFRONT,
            "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01 Transitional//EN\" \"http://www.w3.org/TR/html4/loose.dtd\">\n<HTML>",
            "403 by CloudFront",
            "allow all methods",
        ),
    ] {
        let url = servers::answering(status, headers, body).await;
        let examined = Examined::of(&["--url", &url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
        examined.fails(REFUSED, found);
        assert!(examined.text.contains(todo), "{todo}: {}", examined.text);
        assert!(examined.with("skip").contains(&"endpoint, GET"), "{}", examined.text);
    }
}

#[tokio::test]
async fn a_front_door_that_answers_no_get_at_all_is_no_fault() {
    let ingress = Ingress::behind(async |api, request| {
        if request.method == "GET" {
            std::future::pending::<()>().await;
        }
        FrontDoor::FunctionUrl.answer(api, request).await
    })
    .await;
    let examined = Examined::of(&["--url", &ingress.url], &[("SLACK_SIGNING_SECRET", SECRET)]).await;
    assert!(examined.with("fail").is_empty(), "{}", examined.text);
    assert!(examined.found("endpoint, GET").contains("no answer"), "{}", examined.text);
    assert!(examined.with("ok").contains(&"signature, right"), "{}", examined.text);
}
