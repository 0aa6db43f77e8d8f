//! Verifies the signature, makes one conditional write and sends the event. It makes no third call to confirm the record.

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::types::AttributeValue;
use hmac::{Hmac, KeyInit, Mac};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use serde_json::Value;
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

struct Handler {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    signing_secret: String,
    table: String,
    queue: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let handler = Handler {
        dynamodb: aws_sdk_dynamodb::Client::new(&config),
        sqs: aws_sdk_sqs::Client::new(&config),
        signing_secret: std::env::var("SLACK_SIGNING_SECRET")?,
        table: std::env::var("TABLE_NAME")?,
        queue: std::env::var("QUEUE_URL")?,
    };
    let handler = &handler;
    run(service_fn(|request| handler.handle(request))).await
}

impl Handler {
    async fn handle(&self, request: Request) -> Result<Response<Body>, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        if !self.is_signed(&request, now) {
            return Ok(Response::builder().status(401).body(Body::Empty)?);
        }
        let payload: Value = serde_json::from_slice(request.body())?;
        let event_id = payload["event_id"].as_str().ok_or("no event_id")?;
        let recorded = self
            .dynamodb
            .put_item()
            .table_name(&self.table)
            .item("event_id", AttributeValue::S(event_id.to_owned()))
            .item("expires_at", AttributeValue::N((now + 3600).to_string()))
            .condition_expression("attribute_not_exists(event_id)")
            .send()
            .await;
        match recorded {
            Ok(_) => {
                self.sqs
                    .send_message()
                    .queue_url(&self.queue)
                    .message_body(String::from_utf8(request.body().to_vec())?)
                    .message_group_id(payload["event"]["channel"].as_str().unwrap_or("none"))
                    .message_deduplication_id(event_id)
                    .send()
                    .await?;
            }
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Response::builder()
            .header("Content-Type", "application/json")
            .body(Body::from(r#"{"ok":true}"#))?)
    }

    fn is_signed(&self, request: &Request, now: u64) -> bool {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let (Some(timestamp), Some(signature)) =
            (header("x-slack-request-timestamp"), header("x-slack-signature"))
        else {
            return false;
        };
        let is_fresh = timestamp.parse::<u64>().is_ok_and(|then| now.abs_diff(then) <= 300);
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(self.signing_secret.as_bytes()) else { return false };
        let mac = mac.chain_update(format!("v0:{timestamp}:")).chain_update(request.body());
        let digest = signature.strip_prefix("v0=").and_then(|digits| hex::decode(digits).ok());
        is_fresh && digest.is_some_and(|digest| mac.verify_slice(&digest).is_ok())
    }
}
