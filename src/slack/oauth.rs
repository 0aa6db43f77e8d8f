//! What `oauth.v2.access` answers: to the code of an installation, and to a refresh token
//! (<https://docs.slack.dev/reference/methods/oauth.v2.access>).

use serde_json::Value;

use super::bot_token::{BotToken, TokenKind};
use crate::time::clock::UnixMillis;

/// The method, below the address of Slack's Web API.
pub const METHOD: &str = "oauth.v2.access";

/// Slack's Web API.
pub const API_URL: &str = "https://slack.com/api";

/// Slack's errors that come before it looks at the refresh token: the token was not used. `team_access_not_granted` and
/// `ekm_access_denied` are none of them: whose team it is Slack knows only by the refresh token.
const NOT_USED: [&str; 10] = [
    "accesslimited",
    "bad_client_secret",
    "invalid_arguments",
    "invalid_client_id",
    "invalid_form_data",
    "invalid_grant_type",
    "invalid_post_type",
    "missing_post_type",
    "rate_limited",
    "ratelimited",
];

/// Slack's error for a refresh token that was used already, or was revoked.
pub const INVALID_REFRESH_TOKEN: &str = "invalid_refresh_token";

/// What Slack has granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The bot's token, whose tenant is the organisation if the app was installed in all of it, and else the workspace.
    pub token: BotToken,
    /// The app's id.
    pub app_id: Option<String>,
    /// The scopes, separated by commas.
    pub scope: String,
}

/// Why nothing was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotGranted {
    /// Slack refused before it looked at the refresh token, which is good as before.
    NotUsed(String),
    /// The refresh token is not good any more.
    Spent,
    /// Nobody knows whether the refresh token was used.
    Unknown(String),
}

/// Reads an answer with this HTTP status. The token's twelve hours are counted from `now`, which should be before the call.
///
/// # Errors
/// When Slack has granted no bot token.
pub fn read(status: u16, body: &[u8], now: UnixMillis) -> Result<Granted, NotGranted> {
    if status == 429 {
        return Err(NotGranted::NotUsed("ratelimited".to_owned()));
    }
    let unknown = |why: String| Err(NotGranted::Unknown(why));
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return unknown(format!("status_{status}"));
    };
    let at = |pointer: &str| answer.pointer(pointer);
    let text = |pointer: &str| at(pointer)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match (at("/ok").and_then(Value::as_bool), text("/error").as_deref()) {
        (Some(true), _) => {}
        (Some(false), Some(INVALID_REFRESH_TOKEN)) => return Err(NotGranted::Spent),
        (Some(false), Some(error)) if NOT_USED.contains(&error) => {
            return Err(NotGranted::NotUsed(error.to_owned()));
        }
        (Some(false), Some(error)) => return unknown(code(error)),
        _ => return unknown(format!("status_{status}")),
    }
    let Some(token) = text("/access_token") else { return unknown("no_access_token".to_owned()) };
    if !matches!(TokenKind::of(&token), TokenKind::Plain | TokenKind::Rotating) {
        return unknown("no_bot_token".to_owned());
    }
    let is_org_wide = at("/is_enterprise_install").and_then(Value::as_bool).unwrap_or(false);
    let organisation = text("/enterprise/id");
    let expires_in = at("/expires_in").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
    Ok(Granted {
        token: BotToken {
            token,
            refresh_token: text("/refresh_token"),
            expires_at: expires_in.map(|seconds| now.as_secs().saturating_add(seconds)),
            tenant: if is_org_wide { organisation } else { text("/team/id").or(organisation) },
        },
        app_id: text("/app_id"),
        scope: text("/scope").unwrap_or_default(),
    })
}

/// The name of an error, if it looks like one: it goes into the log.
fn code(error: &str) -> String {
    let is_code = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if error.len() <= 64 && error.bytes().all(is_code) { error.to_owned() } else { "odd_error".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMillis = UnixMillis::from_secs(1_000);

    fn granted() -> Value {
        json!({
            "ok": true, "access_token": "xoxe.xoxb-1-2", "expires_in": 43_200, "refresh_token": "xoxe-1-2",
            "token_type": "bot", "scope": "chat:write,im:history", "bot_user_id": "U1", "app_id": "A1",
            "team": { "name": "one", "id": "T1" }, "enterprise": { "name": "all", "id": "E1" },
            "is_enterprise_install": false, "authed_user": { "id": "U2" },
        })
    }

    fn read_json(answer: &Value) -> Result<Granted, NotGranted> {
        read(200, answer.to_string().as_bytes(), NOW)
    }

    #[test]
    fn a_token_is_the_workspaces_and_of_an_installation_in_all_of_an_organisation_the_organisations() {
        let one = read_json(&granted()).unwrap();
        assert_eq!(one.token.tenant.as_deref(), Some("T1"));
        assert_eq!((one.token.expires_at, one.app_id.as_deref()), (Some(44_200), Some("A1")));
        assert_eq!(one.token.refresh_token.as_deref(), Some("xoxe-1-2"));
        let mut all = granted();
        all["is_enterprise_install"] = json!(true);
        all["team"] = Value::Null;
        assert_eq!(read_json(&all).unwrap().token.tenant.as_deref(), Some("E1"));
        let mut plain = granted();
        plain["access_token"] = json!("xoxb-1");
        plain.as_object_mut().unwrap().retain(|name, _| name != "expires_in" && name != "refresh_token");
        let plain = read_json(&plain).unwrap().token;
        assert_eq!((plain.kind(), plain.refresh_token, plain.expires_at), (TokenKind::Plain, None, None));
    }

    #[test]
    fn an_answer_says_whether_the_refresh_token_was_used_only_if_it_is_certain() {
        let error = |error: &str| read_json(&json!({ "ok": false, "error": error })).unwrap_err();
        for not_used in ["ratelimited", "bad_client_secret", "invalid_client_id"] {
            assert_eq!(error(not_used), NotGranted::NotUsed(not_used.to_owned()));
        }
        assert_eq!(error("invalid_refresh_token"), NotGranted::Spent);
        for unknown in [
            "internal_error",
            "fatal_error",
            "team_access_not_granted",
            "ekm_access_denied",
            "one_of_tomorrow",
        ] {
            assert_eq!(error(unknown), NotGranted::Unknown(unknown.to_owned()));
        }
        assert_eq!(error("xoxe-1 is odd"), NotGranted::Unknown("odd_error".to_owned()));
        assert_eq!(read(429, b"", NOW), Err(NotGranted::NotUsed("ratelimited".to_owned())));
        for (status, body) in [(200, ""), (503, "<html>"), (200, "{}"), (200, r#"{"ok": false}"#)] {
            assert!(matches!(read(status, body.as_bytes(), NOW), Err(NotGranted::Unknown(_))), "{body}");
        }
        for (field, value) in [("access_token", json!("")), ("access_token", json!("xoxp-1"))] {
            let mut answer = granted();
            answer[field] = value;
            assert!(matches!(read_json(&answer), Err(NotGranted::Unknown(_))), "{answer}");
        }
    }
}
