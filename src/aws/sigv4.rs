//! Signs a request as AWS's services want it ([signature version
//! 4](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)), with the SDK's own signer.

use aws_sigv4::http_request::{self, SignableBody, SignableRequest, SigningSettings};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use std::time::SystemTime;

/// What a signature is valid for: the region, such as `eu-west-1`, and the service's name in signatures, such as `dynamodb`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValidFor<'a> {
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// Adds the signature's headers to a request. `body` is what will be sent, where the request does not have it yet. Headers that
/// are added later are not signed.
pub(crate) fn sign(
    request: &mut HttpRequest,
    body: Option<&[u8]>,
    identity: &Identity,
    valid_for: ValidFor<'_>,
    time: SystemTime,
) -> Result<(), BoxError> {
    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(valid_for.region)
        .name(valid_for.service)
        .time(time)
        .settings(SigningSettings::default())
        .build()?;
    let body = body.or(request.body().bytes()).ok_or("a body in pieces")?;
    let signable = SignableRequest::new(
        request.method(),
        request.uri(),
        request.headers().iter(),
        SignableBody::Bytes(body),
    )?;
    let (instructions, _signature) = http_request::sign(signable, &params.into())?.into_parts();
    let (signature, _query) = instructions.into_parts();
    for header in signature {
        request.headers_mut().try_insert(header.name(), header.value().to_owned())?;
    }
    Ok(())
}
