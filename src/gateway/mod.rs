//! stub
#![allow(missing_docs)]
use crate::time::clock::UnixMillis;
use std::future::Future;
use std::time::Duration;
pub struct Post<'a> {
    pub channel: &'a str,
    pub thread_ts: Option<&'a str>,
    pub text: &'a str,
    pub nonce: &'a str,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostOutcome {
    Posted { ts: Option<String> },
    Refused { reason: String, retry_after: Option<Duration>, is_for_good: bool },
    Unknown { reason: String },
}
pub struct Search<'a> {
    pub channel: &'a str,
    pub thread_ts: Option<&'a str>,
    pub since: UnixMillis,
    pub nonce: &'a str,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindOutcome {
    Found { ts: String },
    NotFound,
    CannotAsk { reason: String, is_for_good: bool },
}
pub enum SessionStatus {
    Active,
    Processing,
}
pub struct StatusPlace<'a> {
    pub channel: &'a str,
    pub thread_ts: &'a str,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusOutcome {
    Shown,
    NotShown { reason: String },
}
pub trait SlackTools: Send + Sync {
    fn post(&self, post: &Post<'_>) -> impl Future<Output = PostOutcome> + Send;
    fn find(&self, search: &Search<'_>) -> impl Future<Output = FindOutcome> + Send;
    fn set_status(
        &self,
        place: &StatusPlace<'_>,
        status: SessionStatus,
    ) -> impl Future<Output = StatusOutcome> + Send;
    fn respond(&self, response_url: &str, text: &str) -> impl Future<Output = PostOutcome> + Send;
}
#[derive(Debug)]
pub struct AgentCoreGateway;
impl AgentCoreGateway {
    pub fn new(
        _aws: &aws_config::SdkConfig,
        _url: String,
        _target: String,
        _hooks: String,
    ) -> Result<Self, &'static str> {
        Ok(Self)
    }
}
impl SlackTools for AgentCoreGateway {
    async fn post(&self, _: &Post<'_>) -> PostOutcome {
        PostOutcome::Unknown { reason: String::new() }
    }
    async fn find(&self, _: &Search<'_>) -> FindOutcome {
        FindOutcome::NotFound
    }
    async fn set_status(&self, _: &StatusPlace<'_>, _: SessionStatus) -> StatusOutcome {
        StatusOutcome::Shown
    }
    async fn respond(&self, _: &str, _: &str) -> PostOutcome {
        PostOutcome::Unknown { reason: String::new() }
    }
}
