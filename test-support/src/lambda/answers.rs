//! The answers in the table of HTTP answers, to compare with.

use super::Reply;

fn answer<const N: usize>(status: u64, headers: [(&str, &str); N], body: &str) -> Reply {
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Reply { status, headers, body: body.to_owned() }
}

/// 200 to JSON that is on the queue, or need not be.
#[must_use]
pub fn ok() -> Reply {
    answer(200, [("content-type", "application/json")], r#"{"ok":true}"#)
}

/// 200 to a form.
#[must_use]
pub fn empty_ok() -> Reply {
    answer(200, [], "")
}

/// 200 to `url_verification`, with its challenge.
#[must_use]
pub fn challenge(challenge: &str) -> Reply {
    answer(200, [("content-type", "text/plain; charset=utf-8")], challenge)
}

/// 400: Slack is not to ask again.
#[must_use]
pub fn bad_request() -> Reply {
    answer(400, [("x-slack-no-retry", "1")], "")
}

/// 401, after which Slack may ask again.
#[must_use]
pub fn unauthorized() -> Reply {
    answer(401, [], "")
}

/// 405.
#[must_use]
pub fn method_not_allowed() -> Reply {
    answer(405, [("allow", "POST")], "")
}

/// 413: Slack is not to ask again.
#[must_use]
pub fn too_large() -> Reply {
    answer(413, [("x-slack-no-retry", "1")], "")
}

/// 503, without the header that would keep Slack from asking again.
#[must_use]
pub fn ask_again() -> Reply {
    answer(503, [], "")
}
