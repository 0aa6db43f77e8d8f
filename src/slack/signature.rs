//! Slack's request signature, version 0: whether Slack sent a request, and for which app.
//!
//! The signature is HMAC-SHA256 over `v0:{timestamp}:{raw body}`, and its key is the text of the signing secret. (The text
//! looks like hexadecimal digits, and is not decoded.) Source:
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack/>.
//!
//! [`verify`] takes the raw bytes and returns a [`Verified`], which nobody else can make. The parser in
//! [`crate::slack::payload`] takes nothing else: code that parses bytes without a signature does not compile.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

use crate::time::clock::UnixMillis;

/// Slack's timestamp may be this many seconds before or after our clock. It is Slack's own recommendation of five minutes.
pub const MAX_SKEW_SECONDS: u64 = 300;

const VERSION_PREFIX: &str = "v0=";
const HEX_DIGEST_LEN: usize = 64;

type HmacSha256 = Hmac<Sha256>;

/// One signing secret. It is kept as an HMAC whose key is expanded, so that this is done once, and not for each request.
#[derive(Clone)]
pub struct SigningSecret {
    mac: HmacSha256,
    app: Option<Arc<str>>,
}

impl SigningSecret {
    /// The secret as Slack's page of the app shows it (Basic Information, Signing Secret). It speaks for every app.
    pub fn new(secret: &str) -> Self {
        let mac = HmacSha256::new_from_slice(secret.as_bytes());
        #[allow(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
        let mac = mac.expect("HMAC takes a key of any length");
        Self { mac, app: None }
    }

    /// The secret of the app with this id, such as `A0F7YS25R`. It speaks for no other app.
    pub fn of_app(api_app_id: &str, secret: &str) -> Self {
        Self { app: Some(api_app_id.into()), ..Self::new(secret) }
    }

    /// Signs `body` as Slack does: the value of `X-Slack-Signature` for a request with this `X-Slack-Request-Timestamp`, which
    /// is in Unix seconds. Tests and tools use it to send what Slack would send.
    ///
    /// ```
    /// use slack_ingress::slack::signature::SigningSecret;
    ///
    /// let secret = SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5");
    /// let signature = secret.sign("1531420618", br#"{"type":"event_callback"}"#);
    /// assert_eq!(signature, "v0=5025a102182f11161096c0dc2fc26d579158446c928c56fabda14fecd7be4a08");
    /// ```
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let digest = self.hex_digest(timestamp, body);
        let mut signature = String::with_capacity(VERSION_PREFIX.len() + HEX_DIGEST_LEN);
        signature.push_str(VERSION_PREFIX);
        signature.extend(digest.iter().map(|&byte| char::from(byte)));
        signature
    }

    fn hex_digest(&self, timestamp: &str, body: &[u8]) -> [u8; HEX_DIGEST_LEN] {
        let digest = self
            .mac
            .clone()
            .chain_update("v0:")
            .chain_update(timestamp)
            .chain_update(":")
            .chain_update(body)
            .finalize()
            .into_bytes();
        let mut hex_digest = [0; HEX_DIGEST_LEN];
        #[allow(clippy::expect_used, reason = "both lengths are constants of SHA-256")]
        hex::encode_to_slice(digest, &mut hex_digest).expect("64 digits hold 32 bytes");
        hex_digest
    }
}

impl SigningSecret {
    /// The id of the app that the secret belongs to; `None` if it speaks for every app.
    pub fn app(&self) -> Option<&str> {
        self.app.as_deref()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// The two headers of the signature as they arrived.
#[derive(Clone, Copy, Default)]
pub struct SignatureHeaders<'a> {
    /// `X-Slack-Signature`: `v0=` and 64 lower-case hexadecimal digits; absent if the request has none.
    pub signature: Option<&'a str>,
    /// `X-Slack-Request-Timestamp`: when Slack signed the request, in Unix seconds; absent if the request has none.
    pub timestamp: Option<&'a str>,
}

/// Which apps a signature speaks for, by the secret that it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// One entry for each secret that gives this signature: the app that the secret belongs to, or [`None`] for a secret that
    /// speaks for every app.
    apps: Vec<Option<Arc<str>>>,
}

impl Signer {
    /// Whether a payload that names this app may have this signature. A payload that names no app may have it only if the
    /// secret speaks for every app.
    pub fn speaks_for(&self, api_app_id: Option<&str>) -> bool {
        self.apps.iter().any(|app| app.is_none() || app.as_deref() == api_app_id)
    }

    /// The app that the secret belongs to; `None` if it is no app's in particular, or the same for several apps.
    pub fn sole_app(&self) -> Option<&str> {
        match self.apps.as_slice() {
            [Some(app), others @ ..] if others.iter().all(|other| other.as_ref() == Some(app)) => Some(app),
            _ => None,
        }
    }
}

/// A body that Slack signed. Only [`verify`] makes one.
pub struct Verified {
    body: Vec<u8>,
    signer: Signer,
    signed_at: UnixMillis,
}

impl Verified {
    /// When Slack signed the body, in whole seconds. Of a replay that is up to five minutes ago.
    pub fn signed_at(&self) -> UnixMillis {
        self.signed_at
    }

    /// Which apps the signature speaks for.
    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The bytes that Slack signed, as they arrived.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes that Slack signed, as they arrived.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({} bytes)", self.body.len())
    }
}

/// Why a request does not count as Slack's. All of them are answered with the same 401; only the log tells which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// One of the two headers of the signature is absent.
    MissingHeader,
    /// The signature is not `v0=` and 64 lower-case hexadecimal digits.
    MalformedSignature,
    /// The timestamp is not a whole number of seconds.
    MalformedTimestamp,
    /// The timestamp is more than [`MAX_SKEW_SECONDS`] before or after our clock.
    Stale,
    /// None of the signing secrets gives this signature for this body.
    Mismatch,
    /// The secret of one app signed a payload that names another app.
    OtherApp,
    /// The body is marked as base64 and is none, so the bytes that were signed are unknown.
    UnreadableBody,
}

impl Rejection {
    /// The value of the log's field `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingHeader => "missing_header",
            Self::MalformedSignature => "malformed_signature",
            Self::MalformedTimestamp => "malformed_timestamp",
            Self::Stale => "stale_timestamp",
            Self::Mismatch => "signature_mismatch",
            Self::OtherApp => "other_app",
            Self::UnreadableBody => "unreadable_body",
        }
    }
}

/// A request that [`verify`] refused. It gives the body back, so that it can be verified by another secret.
pub struct Refused {
    /// Why the request was refused.
    pub reason: Rejection,
    /// The body as it arrived. Slack is not known to have signed it.
    pub body: Vec<u8>,
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({:?}, {} bytes)", self.reason, self.body.len())
    }
}

/// Checks that one of `secrets` signed `body`, within five minutes of `now`.
///
/// Every secret is tried, and every digest is compared in constant time. The time that this takes tells neither how much of a
/// guess was right nor which secret matched.
///
/// ```
/// use slack_ingress::slack::signature::{Rejection, SignatureHeaders, SigningSecret, verify};
/// use slack_ingress::time::clock::UnixMillis;
///
/// let secrets = [SigningSecret::new("8f742231b10e8888abcd99yyyzzz85a5")];
/// let (timestamp, now) = ("1531420618", UnixMillis::from_millis(1_531_420_618_000));
/// let body = br#"{"type":"event_callback"}"#.to_vec();
/// let signature = secrets[0].sign(timestamp, &body);
/// let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(timestamp) };
///
/// let verified = verify(headers, body.clone(), &secrets, now).unwrap();
/// assert_eq!(verified.into_body(), body);
///
/// let refused = verify(headers, b"{}".to_vec(), &secrets, now).unwrap_err();
/// assert_eq!(refused.reason, Rejection::Mismatch);
/// ```
///
/// # Errors
/// [`Refused`], with the reason and the body, when Slack is not known to have signed it.
pub fn verify(
    headers: SignatureHeaders<'_>,
    body: Vec<u8>,
    secrets: &[SigningSecret],
    now: UnixMillis,
) -> Result<Verified, Refused> {
    match check(headers, &body, secrets, now) {
        Ok((signer, signed_at)) => Ok(Verified { body, signer, signed_at }),
        Err(reason) => Err(Refused { reason, body }),
    }
}

fn check(
    headers: SignatureHeaders<'_>,
    body: &[u8],
    secrets: &[SigningSecret],
    now: UnixMillis,
) -> Result<(Signer, UnixMillis), Rejection> {
    let (Some(signature), Some(timestamp)) = (headers.signature, headers.timestamp) else {
        return Err(Rejection::MissingHeader);
    };
    let digest = parse_signature(signature).ok_or(Rejection::MalformedSignature)?;
    let signed_at = parse_timestamp(timestamp).ok_or(Rejection::MalformedTimestamp)?;
    if now.as_secs().abs_diff(signed_at) > MAX_SKEW_SECONDS {
        return Err(Rejection::Stale);
    }
    let matches = |secret: &&SigningSecret| bool::from(secret.hex_digest(timestamp, body).ct_eq(digest));
    let apps: Vec<_> = secrets.iter().filter(matches).map(|secret| secret.app.clone()).collect();
    if apps.is_empty() {
        return Err(Rejection::Mismatch);
    }
    Ok((Signer { apps }, UnixMillis::from_secs(signed_at)))
}

/// The digits of the header's digest; `None` if the header is not `v0=` and 64 lower-case hexadecimal digits, as Slack writes
/// them.
fn parse_signature(header: &str) -> Option<&[u8]> {
    let digest = header.strip_prefix(VERSION_PREFIX)?.as_bytes();
    let well_formed =
        digest.len() == HEX_DIGEST_LEN && digest.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    well_formed.then_some(digest)
}

/// The header's seconds; `None` if it has anything but digits. (`u64::from_str` by itself would take a plus sign, too.)
fn parse_timestamp(header: &str) -> Option<u64> {
    let digits_only = header.bytes().all(|byte| byte.is_ascii_digit());
    digits_only.then(|| header.parse().ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::string_slice, reason = "of constants")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
    const TIMESTAMP: &str = "1531420618";
    const BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis::from_millis(seconds * 1000)
    }

    fn verdict(signature: Option<&str>, timestamp: Option<&str>, now: u64) -> Result<(), Rejection> {
        let secrets = [SigningSecret::new(SECRET)];
        let headers = SignatureHeaders { signature, timestamp };
        check(headers, BODY.as_bytes(), &secrets, at(now)).map(drop)
    }

    #[test]
    fn slacks_published_example_verifies() {
        assert_eq!(verdict(Some(SIGNATURE), Some(TIMESTAMP), 1_531_420_618), Ok(()));
        assert_eq!(SigningSecret::new(SECRET).sign(TIMESTAMP, BODY.as_bytes()), SIGNATURE);
    }

    #[test]
    fn a_request_is_good_for_exactly_five_minutes_either_way() {
        let signed_at = 1_531_420_618;
        for now in [signed_at - 300, signed_at - 1, signed_at + 299, signed_at + 300] {
            assert_eq!(verdict(Some(SIGNATURE), Some(TIMESTAMP), now), Ok(()), "{now}");
        }
        for now in [0, signed_at - 301, signed_at + 301, u64::MAX / 1000] {
            assert_eq!(verdict(Some(SIGNATURE), Some(TIMESTAMP), now), Err(Rejection::Stale), "{now}");
        }
    }

    #[test]
    fn an_absent_or_odd_header_is_named() {
        use Rejection::{MalformedSignature, MalformedTimestamp, Mismatch, MissingHeader};
        let upper = SIGNATURE.to_uppercase();
        let upper_digits = format!("v0={}", SIGNATURE[3..].to_uppercase());
        let doubled = format!("{SIGNATURE},{SIGNATURE}");
        let longer = format!("{SIGNATURE}0");
        let other_digit = format!("v0=b{}", &SIGNATURE[4..]);
        let cases: &[(Option<&str>, Option<&str>, Rejection)] = &[
            (None, Some(TIMESTAMP), MissingHeader),
            (Some(SIGNATURE), None, MissingHeader),
            (None, None, MissingHeader),
            (Some(""), Some(TIMESTAMP), MalformedSignature),
            (Some("v0="), Some(TIMESTAMP), MalformedSignature),
            (Some(&SIGNATURE[3..]), Some(TIMESTAMP), MalformedSignature),
            (Some(&SIGNATURE[..66]), Some(TIMESTAMP), MalformedSignature),
            (Some(&upper), Some(TIMESTAMP), MalformedSignature),
            (Some(&upper_digits), Some(TIMESTAMP), MalformedSignature),
            (Some(&doubled), Some(TIMESTAMP), MalformedSignature),
            (Some(&longer), Some(TIMESTAMP), MalformedSignature),
            (Some("v1=00"), Some(TIMESTAMP), MalformedSignature),
            (Some(SIGNATURE), Some(""), MalformedTimestamp),
            (Some(SIGNATURE), Some("+1531420618"), MalformedTimestamp),
            (Some(SIGNATURE), Some("-1531420618"), MalformedTimestamp),
            (Some(SIGNATURE), Some(" 1531420618"), MalformedTimestamp),
            (Some(SIGNATURE), Some("1531420618.0"), MalformedTimestamp),
            (Some(SIGNATURE), Some("99999999999999999999999"), MalformedTimestamp),
            (Some(SIGNATURE), Some("01531420618"), Mismatch),
            (Some(SIGNATURE), Some("1531420619"), Mismatch),
            (Some(&other_digit), Some(TIMESTAMP), Mismatch),
        ];
        for (signature, timestamp, expected) in cases {
            assert_eq!(
                verdict(*signature, *timestamp, 1_531_420_618),
                Err(*expected),
                "{signature:?} {timestamp:?}"
            );
        }
    }

    #[test]
    fn nothing_verifies_without_a_secret() {
        let headers = SignatureHeaders { signature: Some(SIGNATURE), timestamp: Some(TIMESTAMP) };
        assert_eq!(
            check(headers, BODY.as_bytes(), &[], at(1_531_420_618)).map(drop),
            Err(Rejection::Mismatch)
        );
    }

    #[test]
    fn a_secret_of_one_app_speaks_for_no_other() {
        let secrets = [
            SigningSecret::of_app("A1", "one"),
            SigningSecret::of_app("A2", "two"),
            SigningSecret::of_app("A3", "two"),
            SigningSecret::new("anybody's"),
            // The version of before has the same secret.
            SigningSecret::of_app("A1", "one"),
        ];
        let everybody = [Some("A1"), Some("A2"), Some("A3"), Some("A4"), None];
        for (secret, allowed) in
            [("one", &[Some("A1")][..]), ("two", &[Some("A2"), Some("A3")]), ("anybody's", &everybody)]
        {
            let signature = SigningSecret::new(secret).sign(TIMESTAMP, BODY.as_bytes());
            let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(TIMESTAMP) };
            let verified = verify(headers, BODY.into(), &secrets, at(1_531_420_618)).unwrap();
            for app in everybody {
                assert_eq!(verified.signer().speaks_for(app), allowed.contains(&app), "{secret} {app:?}");
            }
            assert_eq!(verified.signer().sole_app(), (secret == "one").then_some("A1"));
        }
    }

    #[test]
    fn debug_shows_neither_secret_nor_body() {
        let secret = SigningSecret::new(SECRET);
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
        let headers = SignatureHeaders { signature: Some(SIGNATURE), timestamp: Some(TIMESTAMP) };
        let verified = verify(headers, BODY.into(), &[secret], at(1_531_420_618)).unwrap();
        assert_eq!(format!("{verified:?}"), format!("Verified({} bytes)", BODY.len()));
        let refused = verify(headers, BODY.into(), &[], at(1_531_420_618)).unwrap_err();
        assert_eq!(format!("{refused:?}"), format!("Refused(Mismatch, {} bytes)", BODY.len()));
    }

    proptest! {
        #[test]
        fn what_a_secret_signed_verifies_under_any_secret_of_the_list(
            secrets in prop::collection::vec(".{0,100}", 1..4),
            chosen in any::<prop::sample::Index>(),
            body in prop::collection::vec(any::<u8>(), 0..300),
            signed_at in 0u64..4_000_000_000,
            skew in -300i64..=300,
        ) {
            let secrets: Vec<_> = secrets.iter().map(|s| SigningSecret::new(s)).collect();
            let timestamp = signed_at.to_string();
            let signature = secrets[chosen.index(secrets.len())].sign(&timestamp, &body);
            let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(&timestamp) };
            let now = at(signed_at.saturating_add_signed(skew));
            let verified = verify(headers, body.clone(), &secrets, now).unwrap();
            prop_assert_eq!(verified.signed_at(), at(signed_at));
            prop_assert_eq!(verified.into_body(), body);
        }

        #[test]
        fn one_flipped_bit_of_the_body_is_refused(
            mut body in prop::collection::vec(any::<u8>(), 1..300),
            position in any::<prop::sample::Index>(),
            bit in 0u8..8,
        ) {
            let secret = SigningSecret::new(SECRET);
            let signature = secret.sign(TIMESTAMP, &body);
            let index = position.index(body.len());
            body[index] ^= 1 << bit;
            let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(TIMESTAMP) };
            prop_assert_eq!(
                check(headers, &body, &[secret], at(1_531_420_618)).map(drop),
                Err(Rejection::Mismatch)
            );
        }
    }
}
