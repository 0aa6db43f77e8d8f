//! What makes a rotation of its configuration.

use std::error::Error;

use crate::aws::clients;
use crate::config::RotationConfig;
use crate::rotation::claims::Claims;
use crate::rotation::refresh::SlackOAuth;
use crate::rotation::vault::Vault;
use crate::rotation::{CALL_BUDGET, Rotation};
use crate::time::budget::CallTimeouts;

/// Makes the rotation that `config` describes.
///
/// # Errors
/// When no region is set.
pub async fn rotation(config: RotationConfig) -> Result<Rotation, Box<dyn Error>> {
    let aws = clients::sdk_config(CallTimeouts::for_budget(CALL_BUDGET)).await?;
    let claims = Claims::new(aws_sdk_dynamodb::Client::new(&aws), config.table);
    let vault = Vault::new(aws_sdk_secretsmanager::Client::new(&aws));
    let slack = SlackOAuth::new(&aws, &config.slack_api)?;
    Ok(Rotation::new(vault, claims, slack, config.bot_tokens, config.app))
}
