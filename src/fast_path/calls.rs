//! The calls of the fast path: to Slack, to a server and to a Lambda function of the user's own. Each is made once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use std::time::Duration;

use super::request::SignedForm;
use crate::aws::signed_call::{Answer, CallError, Post, SignedCalls, TimeLimits};
use crate::slack::token_secrets::{BotTokens, Installation, TokenText};
use crate::telemetry::report::ingress::ImmediateAnswer;
use crate::time::clock::{Clock, Moment, SystemClock};

/// What may be connected to within this time is within the reach of three seconds.
pub const TIME_LIMITS: TimeLimits =
    TimeLimits { connect: Duration::from_millis(1000), call: Duration::from_millis(3000) };

/// Slack shows no more options than this, and refuses a list that has more.
const MAX_OPTIONS: usize = 100;

/// What is not itself in a path, such as the colons of an ARN.
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const JSON: &str = "application/json";

/// What the rules' calls are made with.
#[derive(Debug)]
pub struct Calls {
    calls: SignedCalls,
    /// Absent if no rule opens a modal.
    tokens: Option<BotTokens>,
    /// Slack's Web API, without a slash at the end.
    slack_api: String,
    /// Lambda's API; absent: the region's own.
    lambda: Option<String>,
}

/// Why there is no answer, as a short code for the log.
pub(super) type Failure = String;

/// Slack's errors that mean that the token is not good any more.
const TOKEN_REFUSED: [&str; 5] =
    ["invalid_auth", "token_expired", "token_revoked", "account_inactive", "not_authed"];

impl Calls {
    /// `lambda` is the address of Lambda's API, if it is another than AWS's.
    pub fn new(
        calls: SignedCalls,
        tokens: Option<BotTokens>,
        slack_api: &str,
        lambda: Option<String>,
    ) -> Self {
        let slack_api = slack_api.trim_end_matches('/').to_owned();
        Self { calls, tokens, slack_api, lambda }
    }

    /// Reads the token of an app that has one, so that no modal waits for it. What fails is done when it is needed.
    pub async fn warm_up(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.read_all().await;
        }
    }

    /// Opens a modal (`views.open`). The id of what triggered it is good for three seconds, and for once.
    pub(super) async fn open(
        &self,
        view: &Value,
        form: &SignedForm,
        installation: &Installation,
        until: Moment,
    ) -> Result<(), Failure> {
        let trigger_id = form.trigger_id().ok_or("no_trigger_id")?;
        let tokens = self.tokens.as_ref().ok_or("no_bot_token")?;
        let body = json!({"trigger_id": trigger_id, "view": view}).to_string();
        let (token, was_known) = tokens.of(installation).await.map_err(|missing| missing.reason)?;
        let opened = self.open_with(&token, &body, until).await;
        match &opened {
            Err(code) if TOKEN_REFUSED.contains(&code.as_str()) => {
                // Somebody may have put another token since it was read. Slack has not looked at the trigger.
                tokens.forget();
                match tokens.of(installation).await {
                    Ok((new, _)) if was_known && new != token => self.open_with(&new, &body, until).await,
                    _ => opened,
                }
            }
            _ => opened,
        }
    }

    async fn open_with(&self, token: &TokenText, body: &str, until: Moment) -> Result<(), Failure> {
        let url = format!("{}/views.open", self.slack_api);
        let authorization = token.authorization();
        let headers =
            [("content-type", "application/json; charset=utf-8"), ("authorization", &*authorization)];
        let post = Post { url: &url, service: None, headers: &headers, body: body.as_bytes() };
        let answer = whole(self.post(post, until).await)?;
        let said: Value = serde_json::from_slice(&answer).map_err(|_| "slack_not_json")?;
        match said.get("error").and_then(Value::as_str) {
            _ if said.get("ok") == Some(&Value::Bool(true)) => Ok(()),
            Some(error) => Err(code(error)),
            None => Err("slack_not_ok".to_owned()),
        }
    }

    /// Asks a server of the user's own for the options of a menu, with Slack's own request.
    pub(super) async fn source(
        &self,
        url: &str,
        form: &SignedForm,
        until: Moment,
    ) -> Result<ImmediateAnswer, Failure> {
        let headers: Vec<(&'static str, &str)> =
            form.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let post = Post { url, service: None, headers: &headers, body: form.body.as_bytes() };
        let answer = whole(self.post(post, until).await)?;
        let options: Value = serde_json::from_slice(&answer).map_err(|_| "source_not_json")?;
        let is_list = |name: &str| {
            let list = options.get(name).and_then(Value::as_array);
            list.is_some_and(|list| list.len() <= MAX_OPTIONS && list.iter().all(Value::is_object))
        };
        if !is_list("options") && !is_list("option_groups") {
            return Err("source_no_options".to_owned());
        }
        let body = String::from_utf8(answer).map_err(|_| "source_not_json")?;
        Ok(ImmediateAnswer { is_json: true, body })
    }

    /// Hands Slack's request to a Lambda function as an HTTP API of API Gateway would (payload 2.0) for this path, with the bytes
    /// that Slack signed and the headers to verify them: a Bolt app on Lambda is such a function.
    pub(super) async fn function(
        &self,
        function: &str,
        path: &str,
        form: &SignedForm,
        until: Moment,
    ) -> Result<ImmediateAnswer, Failure> {
        let url = self.function_url(function)?;
        let event = http_event(path, form).to_string();
        let headers = [("content-type", JSON), ("x-amz-invocation-type", "RequestResponse")];
        let post = Post { url: &url, service: Some("lambda"), headers: &headers, body: event.as_bytes() };
        let answer = self.post(post, until).await;
        if answer.as_ref().is_ok_and(|answer| answer.headers.get("x-amz-function-error").is_some()) {
            return Err("function_error".to_owned());
        }
        http_answer(&whole(answer)?)
    }

    /// One call, whose answer is read to its end.
    async fn post(&self, post: Post<'_>, until: Moment) -> Result<Answer, CallError> {
        self.calls.post(post, until, |_, _| false).await
    }

    fn function_url(&self, function: &str) -> Result<String, Failure> {
        let region = self.calls.region().ok_or("no_region")?;
        // `arn:aws:lambda:<region>:…`
        if function.split(':').nth(3).is_some_and(|of_arn| of_arn != region) {
            return Err("other_region".to_owned());
        }
        let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let base = match &self.lambda {
            Some(base) => base.trim_end_matches('/').to_owned(),
            None => format!("https://lambda.{region}.{suffix}"),
        };
        let function = utf8_percent_encode(function, &RESERVED);
        Ok(format!("{base}/2015-03-31/functions/{function}/invocations"))
    }
}

/// The body of an answer of status 200.
fn whole(called: Result<Answer, CallError>) -> Result<Vec<u8>, Failure> {
    let answer = called.map_err(|error| error.code.to_owned())?;
    if answer.status != 200 {
        return Err(format!("status_{}", answer.status));
    }
    answer.body.map_err(|error| error.code.to_owned())
}

/// One of Slack's error codes, and nothing else that an answer might say.
fn code(error: &str) -> String {
    let is_code = error.len() <= 64 && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_code { error.to_owned() } else { "slack_error".to_owned() }
}

/// The event of an HTTP API ([payload
/// 2.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html)).
///
/// The path is the rule's and not the one that Slack posted to: Slack does not sign it, and Socket Mode has none.
fn http_event(path: &str, form: &SignedForm) -> Value {
    let headers: Map<String, Value> =
        form.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let route = format!("POST {path}");
    json!({
        "version": "2.0",
        "routeKey": route,
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "", "userAgent": ""},
            "routeKey": route,
            "stage": "$default",
            "timeEpoch": SystemClock.now().as_millis(),
        },
        "body": form.body,
        "isBase64Encoded": false,
    })
}

/// The answer of a function, as API Gateway would read it: with a `statusCode`, or JSON that is itself the body.
fn http_answer(bytes: &[u8]) -> Result<ImmediateAnswer, Failure> {
    let answer: Value = serde_json::from_slice(bytes).map_err(|_| "function_not_json")?;
    let Some(status) = answer.get("statusCode") else {
        return match answer {
            Value::String(body) => Ok(ImmediateAnswer { is_json: false, body }),
            Value::Null => Ok(ImmediateAnswer { is_json: false, body: String::new() }),
            // What a runtime makes of an error that nobody has caught.
            Value::Object(answer) if !answer.contains_key("errorMessage") => {
                Ok(ImmediateAnswer::json(&Value::Object(answer)))
            }
            _ => Err("function_no_answer".to_owned()),
        };
    };
    let status = status.as_u64().or_else(|| status.as_str()?.parse().ok()).unwrap_or_default();
    if status != 200 {
        return Err(format!("function_status_{status}"));
    }
    let body = match answer.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(body)) => body,
        Some(_) => return Err("function_not_text".to_owned()),
    };
    let body = if answer.get("isBase64Encoded") == Some(&Value::Bool(true)) {
        let bytes = BASE64.decode(body).map_err(|_| "function_not_base64")?;
        String::from_utf8(bytes).map_err(|_| "function_not_text")?
    } else {
        body.to_owned()
    };
    let content_type = answer
        .get("headers")
        .and_then(Value::as_object)
        .and_then(|headers| headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")))
        .and_then(|(_, value)| value.as_str());
    let is_json =
        !body.is_empty() && content_type.map_or_else(|| body.starts_with('{'), |it| it.starts_with(JSON));
    if is_json && serde_json::from_str::<IgnoredAny>(&body).is_err() {
        return Err("function_not_json".to_owned());
    }
    Ok(ImmediateAnswer { is_json, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_functions_answer_is_read_as_api_gateway_reads_it() {
        let read = |answer: Value| http_answer(answer.to_string().as_bytes()).map(|it| (it.is_json, it.body));
        let text = |text: &str| Ok((false, text.to_owned()));
        let json_text = |text: &str| Ok((true, text.to_owned()));
        assert_eq!(read(json!({"statusCode": 200, "body": "on it"})), text("on it"));
        assert_eq!(read(json!({"statusCode": 200})), text(""));
        let headers = json!({"Content-Type": "application/json;charset=utf-8"});
        assert_eq!(read(json!({"statusCode": 200, "headers": headers, "body": "{}"})), json_text("{}"));
        assert_eq!(read(json!({"statusCode": 200, "body": "{\"a\":1}"})), json_text("{\"a\":1}"));
        assert_eq!(read(json!({"statusCode": 200, "body": "b24=", "isBase64Encoded": true})), text("on"));
        assert_eq!(read(json!({"response_action": "clear"})), json_text("{\"response_action\":\"clear\"}"));
        for (wrong, code) in [
            (json!({"statusCode": 401, "body": ""}), "function_status_401"),
            (json!({"statusCode": "x"}), "function_status_0"),
            (json!({"statusCode": 200, "body": "%", "isBase64Encoded": true}), "function_not_base64"),
            (json!({"statusCode": 200, "body": {"text": "x"}}), "function_not_text"),
            (
                json!({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{"}),
                "function_not_json",
            ),
            (json!({"errorMessage": "it broke", "errorType": "Error"}), "function_no_answer"),
            (json!([]), "function_no_answer"),
            (json!({"statusCode": 204}), "function_status_204"),
        ] {
            assert_eq!(read(wrong), Err(code.to_owned()));
        }
        assert_eq!(read(json!({"statusCode": "200", "body": "on it"})), text("on it"));
        assert_eq!((read(json!("on it")), read(json!(null))), (text("on it"), text("")));
        assert!(http_answer(b"").is_err());
    }

    #[test]
    fn the_log_gets_slacks_code_and_no_sentence() {
        for (said, logged) in
            [("expired_trigger_id", "expired_trigger_id"), ("the token xoxb-1", "slack_error")]
        {
            assert_eq!(code(said), logged);
        }
    }
}
