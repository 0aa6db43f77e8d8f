//! The answers of the HTTP table, to compare with.

use super::lambda::Reply;

fn answer<const N: usize>(status: u64, headers: [(&str, &str); N], body: &str) -> Reply {
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    Reply { status, headers, body: body.to_owned() }
}

/// To JSON that is on the queue, or need not be.
pub(crate) fn ok() -> Reply {
    answer(200, [("content-type", "application/json")], r#"{"ok":true}"#)
}

/// To a form.
pub(crate) fn empty_ok() -> Reply {
    answer(200, [], "")
}

pub(crate) fn challenge(challenge: &str) -> Reply {
    answer(200, [("content-type", "text/plain; charset=utf-8")], challenge)
}

pub(crate) fn bad_request() -> Reply {
    answer(400, [("x-slack-no-retry", "1")], "")
}

pub(crate) fn unauthorized() -> Reply {
    answer(401, [], "")
}

pub(crate) fn method_not_allowed() -> Reply {
    answer(405, [("allow", "POST")], "")
}

pub(crate) fn too_large() -> Reply {
    answer(413, [("x-slack-no-retry", "1")], "")
}

/// 503, and nothing that would keep Slack from it.
pub(crate) fn ask_again() -> Reply {
    answer(503, [], "")
}
