//! AWS: [`Table`], [`Queue`] and [`Topic`] are made on the emulators, as the stacks make them. Before an emulator stands a
//! [`proxy`], which fails calls on demand and checks their signatures ([`sigv4`]), or a [`meter`], which only counts.

mod audit_table;
pub mod meter;
pub mod proxy;
mod queue;
pub mod sigv4;
mod table;
mod topic;

pub use audit_table::AuditTable;
pub use queue::{FOUR_DAYS, FOURTEEN_DAYS, Queue, QueueMessage};
pub use table::{Schema, Table};
pub use topic::Topic;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::{Credentials, SharedCredentialsProvider};

/// The region that everything on the emulators is in.
pub const REGION: &str = "us-east-1";

/// Region and credentials for a process that calls the emulators.
pub const VARIABLES: [(&str, &str); 3] =
    [("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// The variables that lead a process's SDK to the emulators; none where `tests/servers.py` has started none.
pub fn endpoints() -> impl Iterator<Item = (String, String)> {
    [("AWS_ENDPOINT_URL_DYNAMODB", "DYNAMODB_URL"), ("AWS_ENDPOINT_URL_SQS", "SQS_URL")]
        .into_iter()
        .filter_map(|(name, given)| Some((name.to_owned(), std::env::var(given).ok()?)))
}

/// The configuration of a client of the service at this URL.
#[must_use]
pub fn sdk_config(url: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}
