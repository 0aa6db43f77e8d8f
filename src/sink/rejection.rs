//! Which error of SQS or SNS rejects this one message, and which is a failure that any other message would meet as well.
//!
//! The redrive lets nothing wait for a message that is rejected, and counts a failure against the service. So a rejection is
//! only what names the message as its reason. Everything else counts as a failure: no answer, a 5xx, throttling, a queue that
//! is gone, a key of KMS that is disabled, a right or a credential that is missing, and every code that is not known here. If
//! that is a mistake, events wait that need not wait; the other way round, a conversation could lose its order.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The error codes that name the message as their reason ([SendMessage
/// errors](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors),
/// [Publish errors](https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors), [common
/// errors](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html)).
const CODES: [&str; 11] = [
    // Characters that SQS does not take.
    "InvalidMessageContents",
    // A group id, a de-duplication id or an attribute that is not valid; a message that is too long.
    "InvalidParameterValue",
    "InvalidParameterCombination",
    "MissingParameter",
    "InvalidAttributeName",
    "InvalidAttributeValue",
    "UnsupportedOperation",
    "ValidationError",
    // The same from SNS.
    "InvalidParameter",
    "ParameterValueInvalid",
    "ValidationException",
];

/// Whether the service answered that it does not take this message.
pub(super) fn is_rejection<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(answer) = error else { return false };
    let is_4xx = answer.raw().status().is_client_error();
    is_4xx && error_code(answer.err()).is_some_and(|code| CODES.contains(&code))
}

/// The code without the prefixes of SQS's older errors, such as `AWS.SimpleQueueService.UnsupportedOperation`.
fn error_code(error: &impl ProvideErrorMetadata) -> Option<&str> {
    error.code()?.rsplit('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_types::body::SdkBody;
    use aws_smithy_types::error::ErrorMetadata;

    fn answer(status: u16, code: &str) -> SdkError<ErrorMetadata, HttpResponse> {
        let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        SdkError::service_error(ErrorMetadata::builder().code(code).build(), response)
    }

    #[test]
    fn a_rejection_names_the_message_as_its_reason() {
        for code in [
            "InvalidMessageContents",
            "InvalidParameterValue",
            "InvalidParameterCombination",
            "MissingParameter",
            "InvalidAttributeName",
            "InvalidAttributeValue",
            "UnsupportedOperation",
            "ValidationError",
            "InvalidParameter",
            "ParameterValueInvalid",
            "ValidationException",
        ] {
            assert!(is_rejection(&answer(400, code)), "{code}");
            assert!(!is_rejection(&answer(500, code)), "{code}: the service is not well");
        }
        assert!(is_rejection(&answer(400, "AWS.SimpleQueueService.UnsupportedOperation")));
    }

    #[test]
    fn whatever_any_other_message_would_meet_as_well_is_a_failure() {
        for code in [
            "RequestThrottled",
            "ThrottlingException",
            "Throttling",
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "InvalidClientTokenId",
            "SignatureDoesNotMatch",
            "RequestExpired",
            "InvalidSecurity",
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            "InvalidAddress",
            "KmsDisabled",
            "KmsThrottled",
            "KMSDisabled",
            "NotFound",
            "AuthorizationError",
            "OverLimit",
            "InternalError",
            "a code of tomorrow",
        ] {
            assert!(!is_rejection(&answer(400, code)), "{code}");
        }
        let unanswered = SdkError::<ErrorMetadata, HttpResponse>::timeout_error("no answer");
        assert!(!is_rejection(&unanswered));
    }
}
