//! Which thing has answered a request: the function, or something in front of it that did not pass the request on. It is told by
//! headers and bodies.
//!
//! The function refuses with an empty body. What stands in front of it adds its headers to the function's answers as well, so a
//! header alone says what is there, and the body says who refused. What each looks like:
//! - API Gateway, HTTP API: `apigw-requestid`, and `{"message":"…"}`
//!   ([AWS](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html)).
//! - API Gateway, REST API: `x-amz-apigw-id` and `x-amzn-errortype`, and the body `{"message":"…"}` or `{"Message":"…"}`
//!   ([AWS](https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html),
//!   [aws/chalice #12](https://github.com/aws/chalice/issues/12)).
//! - Function URL: `x-amzn-errortype` without `x-amz-apigw-id`
//!   ([AWS](https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html)).
//! - Application Load Balancer: `server: awselb/2.0`, and a page in HTML
//!   ([AWS](https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html)).
//! - CloudFront: `x-cache: Error from cloudfront`.
//! - `cargo lambda watch`: the body `{"title":"Missing function","detail":"…"}` (its `trigger_router.rs`).

use reqwest::header::HeaderMap;
use serde_json::Value;

/// How many characters of a message are shown.
const LONGEST_MESSAGE: usize = 160;

/// The answer to a request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Who gave an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnsweredBy {
    HttpApi,
    RestApi,
    FunctionUrl,
    LoadBalancer,
    CloudFront,
    CargoLambda,
    /// The function, or something that is not known here.
    Unknown,
}

impl AnsweredBy {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::HttpApi => Some("API Gateway (HTTP API)"),
            Self::RestApi => Some("API Gateway (REST API)"),
            Self::FunctionUrl => Some("the Function URL"),
            Self::LoadBalancer => Some("the load balancer"),
            Self::CloudFront => Some("CloudFront"),
            Self::CargoLambda => Some("cargo lambda watch"),
            Self::Unknown => None,
        }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The text of this field of a JSON body.
    fn text(&self, field: &str) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.get(field)?.as_str()?.chars().take(LONGEST_MESSAGE).collect())
    }

    /// The text that an error of AWS's, or of cargo-lambda's, has in its body.
    fn message(&self) -> Option<String> {
        ["message", "Message", "detail"].into_iter().find_map(|field| self.text(field))
    }

    /// Who refused or could not do what was asked, if it was not the function.
    pub(super) fn by(&self) -> AnsweredBy {
        let has = |name| self.header(name).is_some();
        let server = self.header("server").unwrap_or_default();
        let error_type = self.header("x-amzn-errortype").unwrap_or_default();
        let has_message = self.message().is_some();
        if has("apigw-requestid") && has_message {
            AnsweredBy::HttpApi
        } else if has_message
            && (has("x-amz-apigw-id") || error_type.starts_with("MissingAuthenticationToken"))
        {
            AnsweredBy::RestApi
        } else if !error_type.is_empty() {
            AnsweredBy::FunctionUrl
        } else if server.starts_with("awselb/") && self.body.trim_ascii_start().starts_with(b"<") {
            AnsweredBy::LoadBalancer
        } else if self.header("x-cache").is_some_and(|cache| cache == "Error from cloudfront")
            // It says so of the function's refusals too, and may have a page of its own for them. By itself it answers no 401.
            && self.status != 401
            && !self.body.is_empty()
        {
            AnsweredBy::CloudFront
        } else if self.text("title").is_some() && self.text("detail").is_some() {
            AnsweredBy::CargoLambda
        } else {
            AnsweredBy::Unknown
        }
    }

    /// The status, who gave the answer, and what it says, for people.
    pub(super) fn described(&self) -> String {
        let status = self.status;
        match (self.by().name(), self.header("server"), self.message()) {
            (Some(by), _, Some(message)) => format!("{status} by {by} ({message})"),
            (Some(by), _, None) => format!("{status} by {by}"),
            (None, Some(server), _) => format!("{status} (server: {server})"),
            (None, None, _) => status.to_string(),
        }
    }

    /// What to do about an answer that the ingress does not give.
    pub(super) fn what_to_do(&self) -> &'static str {
        use AnsweredBy::{CargoLambda, CloudFront, FunctionUrl, HttpApi, LoadBalancer, RestApi, Unknown};
        match (self.by(), self.status) {
            (HttpApi, 404) => {
                "The API has no route for a POST to this path: give the stack's output RequestUrl, which ends in /slack/events"
            }
            (HttpApi | RestApi, 429) => {
                "The API's throttle turned it away: docs/operate.md, Throttles. Slack gives up after its fourth attempt"
            }
            (HttpApi, 401 | 403) => {
                "The API let nobody through to the function: its route must have no authoriser, and its domain a mapping to the API"
            }
            (HttpApi, _) => {
                "The API could not call the function, or the function failed: the API's access log has the reason, and \
                 docs/operate.md what to do"
            }
            (RestApi, 403) if self.is_missing_authentication_token() => {
                "The API has no method POST at this path, or one that needs IAM: look at the stage in the URL, at the path and at the \
                 method's authorization (NONE), and deploy the API"
            }
            (RestApi, 401 | 403) => {
                "The API let nobody through to the function: its method must have no authoriser and no API key, and neither its \
                 resource policy nor a firewall may keep Slack out"
            }
            (RestApi, 504) => "The function did not answer in time: look at its log",
            (RestApi, _) => {
                "The API could not call the function, or the function failed: look at the function's log and at its permission for \
                 the API"
            }
            (FunctionUrl, 403) => {
                "The Function URL lets nobody in: it needs the auth type NONE, and the function a policy that allows everybody \
                 lambda:InvokeFunctionUrl and lambda:InvokeFunction"
            }
            (FunctionUrl, 404) => {
                "There is no function behind this URL: take it from the stack's output RequestUrl"
            }
            (FunctionUrl, 429) => {
                "The function is throttled: look at its reserved concurrency and at the account's; docs/operate.md"
            }
            (FunctionUrl, _) => {
                "The function does not start or does not answer: look at its log; docs/operate.md"
            }
            (LoadBalancer, 502) => {
                "The load balancer got no answer of the function's: look at its log, and at its permission for \
                 elasticloadbalancing.amazonaws.com"
            }
            (LoadBalancer, 503) => {
                "The load balancer has no target for this: register the function in the target group of the rule"
            }
            (LoadBalancer, _) => {
                "The load balancer did not pass it on: look at the listener's rules for a POST to this path, and at its firewall"
            }
            (CloudFront, _) => {
                "CloudFront did not get it from the function: the behaviour must allow all methods, cache nothing and pass all headers \
                 but Host on"
            }
            (CargoLambda, _) => {
                "Give the function's name in the path: /lambda-url/slack-ingress/slack/events"
            }
            (Unknown, status) => by_status(status),
        }
    }

    /// Whether a REST API says so of a path or a method that it does not have.
    pub(super) fn is_missing_authentication_token(&self) -> bool {
        self.status == 403 && self.message().is_some_and(|message| message == "Missing Authentication Token")
    }
}

/// What to do about a status of which nobody knows whose it is.
const fn by_status(status: u16) -> &'static str {
    match status {
        300..=399 => "It redirects: give the URL that it redirects to",
        403 => {
            "Something in front of the function refuses the request: a Function URL needs the auth type NONE, an API no authoriser"
        }
        404 => "Nothing is there: look at the path and the stage of the URL",
        429 => "It is throttled: look at the concurrency of the function and the limits of the API",
        503 => "It cannot do its work: look at the log for `unavailable` and its reason",
        500..=599 => "The function does not start or does not answer: look at its log; docs/operate.md",
        _ => "Is this slack-ingress? Look at the URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        Answer { status, headers: headers.iter().map(pair).collect(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn an_answer_of_the_functions_is_nobody_elses_though_it_has_the_headers_of_what_is_in_front() {
        for headers in [
            &[("apigw-requestid", "cPt3sgDxoAMEZ7w=")][..],
            &[
                ("x-amzn-requestid", "9d7959b4-3241-400a-816a-03112dc50e82"),
                ("x-amz-apigw-id", "OPwe_ErKvHcF5ZA="),
            ],
            &[("x-amzn-requestid", "9d7959b4-3241-400a-816a-03112dc50e82"), ("connection", "keep-alive")],
            &[("server", "awselb/2.0")],
            &[("x-cache", "Error from cloudfront"), ("via", "1.1 x.cloudfront.net (CloudFront)")],
        ] {
            for status in [200, 401, 405, 503] {
                assert_eq!(answer(status, headers, "").by(), AnsweredBy::Unknown, "{headers:?}");
            }
        }
    }

    #[test]
    fn what_an_error_says_is_told_and_not_more_than_a_line_of_it() {
        let long = format!(r#"{{"message":"{}"}}"#, "x".repeat(500));
        let described = answer(500, &[("apigw-requestid", "x=")], &long).described();
        assert!(
            described.starts_with("500 by API Gateway (HTTP API) (xxx") && described.len() < 200,
            "{described}"
        );
        assert_eq!(answer(502, &[("server", "nginx")], "<html>").described(), "502 (server: nginx)");
        assert_eq!(answer(502, &[], "").described(), "502");
        let page = answer(401, &[("x-cache", "Error from cloudfront")], "<html>");
        assert_eq!(
            page.by(),
            AnsweredBy::Unknown,
            "a page of CloudFront's in the place of the function's empty one"
        );
    }
}
