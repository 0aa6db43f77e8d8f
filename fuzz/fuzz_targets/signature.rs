//! Checks that the verifier accepts exactly those signatures that an independent HMAC accepts.
//!
//! An input is the signature, the timestamp and the body, separated by line breaks.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use slack_ingress::slack::signature::{Rejection, SignatureHeaders, SigningSecret, verify};
use slack_ingress_fuzz::{NOW, SECRET, at, bounded, hmac, mutate};

/// The verifier may allocate no more than one copy of the body.
const BYTES_PER_BYTE: usize = 1;

const SECRETS: [&str; 3] =
    [SECRET, "", "a secret that is longer than one block of SHA-256, which is 64 bytes long"];

fn check(signature: Option<&str>, timestamp: Option<&str>, body: &[u8], now: u64) -> Result<(), Rejection> {
    let secrets = SECRETS.map(SigningSecret::new);
    let headers = SignatureHeaders { signature, timestamp };
    let verdict = bounded(body.len(), BYTES_PER_BYTE, || verify(headers, body.to_vec(), &secrets, at(now)));
    match verdict {
        Ok(verified) => {
            assert_eq!(verified.into_body(), body);
            Ok(())
        }
        Err(refused) => {
            assert_eq!(refused.body, body);
            Err(refused.reason)
        }
    }
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let mut line = || std::str::from_utf8(parts.next().unwrap_or_default());
    let (Ok(signature), Ok(timestamp)) = (line(), line()) else { return };
    let body = parts.next().unwrap_or_default();
    let fresh = |seconds: u64| (NOW - 300..=NOW + 300).contains(&seconds);

    // The input itself must get the same verdict from the independent HMAC.
    let signed = [b"v0:", timestamp.as_bytes(), b":", body].concat();
    let right = SECRETS.map(|secret| format!("v0={}", hmac(secret, &signed)));
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = digits.then(|| timestamp.parse().ok()).flatten();
    let authentic = right.iter().any(|right| right == signature) && seconds.is_some_and(fresh);
    let verdict = check(Some(signature), Some(timestamp), body, NOW);
    assert_eq!(verdict.is_ok(), authentic, "{verdict:?}");
    for (signature, timestamp) in [(None, Some(timestamp)), (Some(signature), None), (None, None)] {
        assert_eq!(check(signature, timestamp, body, NOW), Err(Rejection::MissingHeader));
    }

    // A correct signature is valid for five minutes before and after its timestamp, and not a second longer.
    let choice = usize::from(data.last().copied().unwrap_or_default());
    let right = &right[choice % right.len()];
    assert_eq!(*right, SigningSecret::new(SECRETS[choice % SECRETS.len()]).sign(timestamp, body));
    let check_right = |now| check(Some(right), Some(timestamp), body, now);
    let Some(seconds) = seconds else {
        assert_eq!(check_right(NOW), Err(Rejection::MalformedTimestamp));
        return;
    };
    // The clock counts milliseconds, so this is the last second that it can show.
    const LAST_SECOND: u64 = u64::MAX / 1000;
    for skew in [-301, -300, 0, 300, 301] {
        let Some(now) = seconds.checked_add_signed(skew).filter(|&now| now <= LAST_SECOND) else { continue };
        let expected = if skew.abs() <= 300 { Ok(()) } else { Err(Rejection::Stale) };
        assert_eq!(check_right(now), expected, "{skew} s");
    }

    // Any change of the signature, the timestamp or the body is refused.
    let now = seconds.min(LAST_SECOND);
    let mut forged = right.clone().into_bytes();
    let at = (choice ^ body.len()) % forged.len();
    forged[at] ^= if forged[at].is_ascii_alphabetic() { 0x20 } else { 1 };
    let forged = String::from_utf8(forged).expect("a bit of ASCII below the highest");
    let cut = &right[..at];
    let longer = format!("{right}{}", char::from(b'0' + choice as u8 % 10));
    for signature in [&forged, cut, &longer] {
        assert!(check(Some(signature), Some(timestamp), body, now).is_err(), "{signature:?}");
    }
    for timestamp in [format!("0{timestamp}"), format!("+{timestamp}"), format!("{timestamp} ")] {
        assert!(check(Some(right), Some(&timestamp), body, now).is_err(), "{timestamp:?}");
    }
    let mut forged = body.to_vec();
    match forged.get_mut(choice % body.len().max(1)) {
        Some(byte) => *byte ^= 1 << (choice % 8),
        None => forged.push(choice as u8),
    }
    assert!(check(Some(right), Some(timestamp), &forged, now).is_err());
});
