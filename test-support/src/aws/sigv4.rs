//! AWS's signature, version 4, as the service checks it. It is written by AWS's documentation ("Signature Version 4 signing
//! process") and shares no code with the SDK that signs, so that it is a second opinion. The emulators do not check it.

use hmac::{Hmac, KeyInit, Mac};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};

/// A secret access key that may not be taken for anything else.
pub const OTHER_SECRET_KEY: &str = "the-secret-access-key";

/// Why AWS would refuse the request; [`None`] if it would not. An access key's secret is the key's id here, or [`OTHER_SECRET_KEY`].
#[must_use]
pub fn refusal(parts: &Parts, body: &[u8]) -> Option<&'static str> {
    let header = |name: &str| {
        let values: Vec<_> =
            parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (!values.is_empty()).then(|| values.join(","))
    };
    let Some(authorization) = header("authorization") else { return Some("it is not signed") };
    let field = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}="))?;
        rest.split(',').next()
    };
    let (Some(credential), Some(signed), Some(signature)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        return Some("its signature is not of version 4");
    };
    let Some((access_key, scope)) = credential.split_once('/') else {
        return Some("its signature has no scope");
    };

    let date = header("x-amz-date").unwrap_or_default();
    let must_be_signed = ["host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    for name in must_be_signed.into_iter().filter(|name| header(name).is_some()) {
        if !signed.split(';').any(|signed| signed == name) {
            return Some("a header that must be signed is not");
        }
    }
    let mut canonical = format!("{}\n{}\n\n", parts.method, parts.uri.path());
    for name in signed.split(';') {
        canonical += &format!("{name}:{}\n", header(name).unwrap_or_default().trim());
    }
    canonical += &format!("\n{signed}\n{}", hex::encode(Sha256::digest(body)));

    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let secrets = [access_key, OTHER_SECRET_KEY];
    let is_signed = secrets.into_iter().any(|secret| {
        let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part));
        hex::encode(hmac(&key, &to_sign)) == signature
    });
    let is_of_its_day = scope.split('/').next() == date.split('T').next();
    (!is_signed || !is_of_its_day).then_some("its signature is not the request's")
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
