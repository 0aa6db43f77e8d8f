//! The message that says that nobody has decided in time, and the one-time schedule of [Amazon EventBridge
//! Scheduler](https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html) that puts it on the queue. SQS
//! itself keeps nothing back for longer than a quarter of an hour.

use aws_config::SdkConfig;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::QueueError;
use super::token::Token;
use crate::aws::signed_call::{Post, SignedCalls, TimeLimits};
use crate::time::clock::{Clock, SystemClock, UnixMillis};

/// The value of the message's attribute `kind`. What Slack sends is of other kinds.
pub const KIND: &str = "lapse";

/// How long the call of the Scheduler may take.
const LIMITS: TimeLimits = TimeLimits { connect: Duration::from_millis(2500), call: Duration::from_secs(5) };

/// The service that the call is signed for.
const SERVICE: &str = "scheduler";

/// That nobody has decided about a call in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lapse {
    /// The number of the call in the question's journal.
    pub number: u32,
    /// The id of the approval.
    pub approval: Token,
    /// The question.
    pub question_id: String,
}

impl Lapse {
    /// What the message is known by.
    pub fn event_id(&self) -> String {
        format!("lapse:{}", self.approval.as_str())
    }

    /// The message's body.
    pub fn to_json(&self) -> Value {
        json!({ "n": self.number, "approval": self.approval.as_str(), "question_id": self.question_id })
    }

    /// Reads a message with these attributes; `None` if it is none of these.
    pub fn read(attributes: &BTreeMap<String, String>, body: &str) -> Option<Self> {
        if attributes.get("kind").map(String::as_str) != Some(KIND) {
            return None;
        }
        let body: Value = serde_json::from_str(body).ok()?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let number = body.get("n").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        Some(Self {
            number: number.filter(|number| *number > 0)?,
            approval: Token::parse(text("approval")?)?,
            question_id: text("question_id").filter(|id| !id.is_empty())?.to_owned(),
        })
    }
}

/// Where schedules are made, and with which right they put messages on the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleConfig {
    /// The group of the schedules (`SCHEDULE_GROUP`).
    pub group: String,
    /// The ARN of the role that the Scheduler takes on (`SCHEDULE_ROLE`).
    pub role: String,
    /// The Scheduler's URL (`AWS_ENDPOINT_URL_SCHEDULER`, for tests); absent: the region's own.
    pub endpoint: Option<String>,
}

/// Makes schedules.
#[derive(Clone, Debug)]
pub struct Schedules {
    calls: SignedCalls,
    endpoint: String,
    group: String,
    role: String,
    partition: String,
}

impl Schedules {
    /// Schedules of this configuration.
    ///
    /// # Errors
    /// When the configuration of AWS has no region or no credentials, or the role is no ARN.
    pub fn new(aws: &SdkConfig, config: ScheduleConfig) -> Result<Self, &'static str> {
        let calls = SignedCalls::new(aws, LIMITS)?;
        let partition = config.role.split(':').nth(1).ok_or("SCHEDULE_ROLE is no ARN")?.to_owned();
        let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let region = calls.region().unwrap_or_default();
        let endpoint = config.endpoint.unwrap_or_else(|| format!("https://scheduler.{region}.{suffix}"));
        Ok(Self { calls, endpoint, group: config.group, role: config.role, partition })
    }

    /// Has the message put on the queue at `at`, once. The same schedule made again is the same one. On a FIFO queue it stands in
    /// the `conversation` of its question, behind every click that was made in time: a click may have to wait there for another
    /// question's answer.
    ///
    /// # Errors
    /// When it is unknown whether there is such a schedule.
    pub async fn make(
        &self,
        queue_url: &str,
        lapse: &Lapse,
        conversation: Option<&str>,
        at: UnixMillis,
    ) -> Result<(), QueueError> {
        let url = format!("{}/schedules/{}", self.endpoint, lapse.approval.as_str());
        let body = self.request(queue_url, lapse, conversation, at).to_string();
        let headers = [("content-type", "application/json")];
        let post = Post { url: &url, service: Some(SERVICE), headers: &headers, body: body.as_bytes() };
        let until = SystemClock.moment().after(LIMITS.call);
        let answer = self.calls.post(post, until, |_, _| false).await;
        let answer = answer.map_err(|error| QueueError::Unknown(error.into()))?;
        match answer.status {
            // There is one of this name already, and only this approval has such a name.
            200..=299 | 409 => Ok(()),
            status => Err(QueueError::Unknown(format!("EventBridge Scheduler: HTTP status {status}").into())),
        }
    }

    fn request(&self, queue_url: &str, lapse: &Lapse, conversation: Option<&str>, at: UnixMillis) -> Value {
        let attribute = |value: &str| json!({ "DataType": "String", "StringValue": value });
        let event_id = lapse.event_id();
        let mut message = json!({
            "QueueUrl": queue_url,
            "MessageBody": lapse.to_json().to_string(),
            "MessageAttributes": { "kind": attribute(KIND), "event_id": attribute(&event_id) },
        });
        if queue_url.ends_with(".fifo")
            && let Some(message) = message.as_object_mut()
        {
            // A record of an earlier version does not say it.
            let group = conversation.unwrap_or(&event_id);
            message.insert("MessageGroupId".to_owned(), group.into());
            message.insert("MessageDeduplicationId".to_owned(), event_id.as_str().into());
        }
        json!({
            "ClientToken": lapse.approval.as_str(),
            "GroupName": self.group,
            "ScheduleExpression": format!("at({})", at.to_utc().trim_end_matches('Z')),
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "ActionAfterCompletion": "DELETE",
            "Target": {
                "Arn": format!("arn:{}:scheduler:::aws-sdk:sqs:sendMessage", self.partition),
                "RoleArn": self.role,
                "Input": message.to_string(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lapse() -> Lapse {
        Lapse { number: 3, approval: Token::from_bits(7), question_id: "A1:C1:1.2".to_owned() }
    }

    #[test]
    fn the_message_is_read_as_it_was_written() {
        let attributes = |kind: &str| BTreeMap::from([("kind".to_owned(), kind.to_owned())]);
        let body = lapse().to_json().to_string();
        assert_eq!(Lapse::read(&attributes(KIND), &body), Some(lapse()));
        assert_eq!(Lapse::read(&attributes("interaction"), &body), None);
        for wrong in ["", "{}", r#"{"n":0,"approval":"00000000000000000000000000000007","question_id":"Q"}"#]
        {
            assert_eq!(Lapse::read(&attributes(KIND), wrong), None, "{wrong}");
        }
    }
}
