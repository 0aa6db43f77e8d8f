//! Who may use a refresh token: one item of the ingress's table for each, written on the condition that there is none.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use sha2::{Digest, Sha256};
use std::time::Duration;

use crate::dedup::StoreError;
use crate::time::clock::UnixMillis;
use crate::work::token::Token;

/// The keys of the claims begin with this.
pub const PREFIX: &str = "rotation#";

/// How long a claim is kept. A token that could not be refreshed has expired long before.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

const EVENT_ID: &str = "event_id";
const CLAIMED_AT: &str = "claimed_at";

/// A refresh token's SHA-256 in hexadecimal. It is the key of the claim, and the id of the version of the secret that the new
/// token is stored in: whoever finds the claim finds the version.
pub fn fingerprint(refresh_token: &str) -> String {
    hex::encode(Sha256::digest(refresh_token.as_bytes()))
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is this run's.
    Own,
    /// Another run has had it since then.
    Others(UnixMillis),
}

/// The claims in one table.
#[derive(Clone, Debug)]
pub struct Claims {
    client: Client,
    table: String,
}

impl Claims {
    /// The claims in the table with this name or ARN.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Claims a refresh token for `owner`, also one whose claim was made exactly at `over`. It is one conditional write. It may be
    /// repeated: the condition also holds for a claim of the same owner.
    ///
    /// # Errors
    /// When it is unknown whether it was claimed.
    pub async fn claim(
        &self,
        fingerprint: &str,
        owner: &Token,
        over: Option<UnixMillis>,
        now: UnixMillis,
    ) -> Result<Claimed, StoreError> {
        let number = |number: u64| AttributeValue::N(number.to_string());
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(EVENT_ID, AttributeValue::S(format!("{PREFIX}{fingerprint}")))
            .item("owner", AttributeValue::S(owner.as_str().to_owned()))
            .item(CLAIMED_AT, number(now.as_millis()))
            .item("expires_at", number(now.after(KEPT).as_secs()))
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner.as_str().to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        put = match over {
            None => put
                .condition_expression("attribute_not_exists(#key) OR #owner = :owner")
                .expression_attribute_names("#key", EVENT_ID),
            Some(over) => put
                .condition_expression("#owner = :owner OR #at = :over")
                .expression_attribute_names("#at", CLAIMED_AT)
                .expression_attribute_values(":over", number(over.as_millis())),
        };
        match put.send().await {
            Ok(_) => Ok(Claimed::Own),
            Err(SdkError::ServiceError(error)) => match error.into_err() {
                PutItemError::ConditionalCheckFailedException(failed) => {
                    let item = failed.item.unwrap_or_default();
                    let at = item.get(CLAIMED_AT).and_then(|at| at.as_n().ok()?.parse().ok());
                    // An item that cannot be read is taken for an old claim: a person looks, and nobody uses the token.
                    Ok(Claimed::Others(UnixMillis::from_millis(at.unwrap_or(0))))
                }
                error => Err(StoreError::new("DynamoDB PutItem", error)),
            },
            Err(error) => Err(StoreError::new("DynamoDB PutItem", error)),
        }
    }

    /// Gives a claim back, if it is still this owner's.
    ///
    /// # Errors
    /// When it is unknown whether it was given back. It is the owner's then, and nobody uses the refresh token.
    pub async fn give_back(&self, fingerprint: &str, owner: &Token) -> Result<(), StoreError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(EVENT_ID, AttributeValue::S(format!("{PREFIX}{fingerprint}")))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", "owner")
            .expression_attribute_values(":owner", AttributeValue::S(owner.as_str().to_owned()));
        match delete.send().await {
            Ok(_) => Ok(()),
            // The SDK's first attempt took effect, and its answer was lost.
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), DeleteItemError::ConditionalCheckFailedException(_)) =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::new("DynamoDB DeleteItem", error)),
        }
    }
}
