//! What is decided about a token: whether it is due, what a claim that another run has means, and what comes after a call of
//! Slack's.

use std::time::Duration;

use crate::slack::bot_token::{BotToken, TokenKind};
use crate::slack::oauth::NotGranted;
use crate::time::clock::UnixMillis;

/// A token is refreshed when this much of its twelve hours is left. The token before it is good for as long, so whoever has
/// kept it has time, and so has a person if no new one is got.
pub const REFRESH_WITH_LEFT: Duration = Duration::from_secs(6 * 3600);

/// A token that has less than this left is reported as expiring.
pub const EXPIRING_WITH_LEFT: Duration = Duration::from_secs(2 * 3600);

/// A run that has claimed a refresh token is over by then: the function's time-out is two minutes.
pub const CLAIM_LEASE: Duration = Duration::from_secs(180);

/// A bot token that expires does so twelve hours after it was granted. A claim on its refresh token is younger than it.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The pause before the second call of Slack's. Each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What a look at a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It does not expire.
    Plain,
    /// It is no bot token.
    NoBotToken(TokenKind),
    /// It expires, and there is nothing to get a new one for.
    NoRefreshToken,
    /// There is time.
    Fresh,
    /// A new one is to be got.
    Due,
}

/// Looks at a token.
pub fn look(token: &BotToken, now: UnixMillis) -> Look {
    match (token.kind(), &token.refresh_token) {
        (TokenKind::Plain, _) => Look::Plain,
        (TokenKind::Rotating, None) => Look::NoRefreshToken,
        (TokenKind::Rotating, Some(_)) => match token.left(now) {
            Some(left) if left > REFRESH_WITH_LEFT => Look::Fresh,
            _ => Look::Due,
        },
        (kind, _) => Look::NoBotToken(kind),
    }
}

/// What to do about a refresh token that another run has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// That run has stored the new token: it becomes the current one.
    Finish,
    /// That run may be at work.
    Wait,
    /// That run is over and has stored nothing. The refresh token may have been used, and a second use may end the token of
    /// before, which is still good: so it is not used again.
    Lost,
    /// The same, and the token of before has expired. There is nothing left to lose, so this run asks once more.
    TakeOver,
}

/// Decides it by whether the new token is stored, when the claim was made, and how long the token of before is still good, if
/// anybody knows.
pub fn taken(is_stored: bool, claimed_at: UnixMillis, left: Option<Duration>, now: UnixMillis) -> Taken {
    let has_expired = left.map_or(now >= claimed_at.after(LIFETIME), |left| left.is_zero());
    match (is_stored, now < claimed_at.after(CLAIM_LEASE), has_expired) {
        (true, ..) => Taken::Finish,
        (false, true, _) => Taken::Wait,
        (false, false, false) => Taken::Lost,
        (false, false, true) => Taken::TakeOver,
    }
}

/// What to do after a call that granted nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCall {
    /// The refresh token was certainly not used: the claim is given back, and a later run tries.
    GiveBack,
    /// The same run asks again, with the same refresh token.
    Again,
    /// Slack does not take the refresh token, and no run of this claim has used it. It may be good with the credentials of
    /// another app, so the claim is given back, and a person is told.
    Refused,
    /// The refresh token may have been used, and nobody has what was got for it.
    Lost,
}

/// Decides it by the call's outcome, by whether an earlier call may have used the refresh token, and by whether there is time
/// for another call after the pause.
pub fn after_call(failed: &NotGranted, may_be_used: bool, has_time: bool) -> AfterCall {
    match failed {
        NotGranted::Spent if may_be_used => AfterCall::Lost,
        NotGranted::Spent => AfterCall::Refused,
        NotGranted::NotUsed(_) if !may_be_used => AfterCall::GiveBack,
        NotGranted::NotUsed(_) | NotGranted::Unknown(_) if has_time => AfterCall::Again,
        NotGranted::NotUsed(_) | NotGranted::Unknown(_) => AfterCall::Lost,
    }
}

/// How long to wait after so many calls, at least for as long as Slack has asked for. Slack lets a refresh token be used again
/// for a short while, so that an answer that was lost can be had again; and an outage of half a minute is over by then.
pub fn pause(calls: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = FIRST_PAUSE * 2_u32.saturating_pow(calls.saturating_sub(1).min(16));
    doubled.min(LONGEST_PAUSE).max(retry_after.unwrap_or_default())
}

/// Whether a new token may take an old one's place: not if they are of two tenants, nor if it cannot be refreshed in its turn.
pub fn may_replace(old: &BotToken, new: &BotToken) -> Result<(), &'static str> {
    let is_same = |(old, new): (&String, &String)| old == new;
    if !old.tenant.as_ref().zip(new.tenant.as_ref()).is_none_or(is_same) {
        return Err("the new token is another tenant's");
    }
    match (new.kind(), &new.refresh_token, new.expires_at) {
        (TokenKind::Rotating, Some(_), Some(_)) => Ok(()),
        _ => Err("the new token does not rotate"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_000_000);

    fn token(token: &str, refresh_token: Option<&str>, left: Option<i64>) -> BotToken {
        BotToken {
            token: token.to_owned(),
            refresh_token: refresh_token.map(str::to_owned),
            expires_at: left.map(|left| NOW.as_secs().saturating_add_signed(left)),
            tenant: None,
        }
    }

    #[test]
    fn a_token_is_due_in_the_second_half_of_its_twelve_hours() {
        let (rotating, refresh) = ("xoxe.xoxb-1", Some("xoxe-1"));
        for (token, expected) in [
            (token("xoxb-1", None, None), Look::Plain),
            (token("xoxb-1", refresh, Some(1)), Look::Plain),
            (token("xoxp-1", refresh, Some(1)), Look::NoBotToken(TokenKind::User)),
            (token("made up", None, None), Look::NoBotToken(TokenKind::Unknown)),
            (token(rotating, None, Some(43_200)), Look::NoRefreshToken),
            (token(rotating, refresh, Some(43_200)), Look::Fresh),
            (token(rotating, refresh, Some(21_601)), Look::Fresh),
            (token(rotating, refresh, Some(21_600)), Look::Due),
            (token(rotating, refresh, Some(-1)), Look::Due),
            // Somebody has put the two tokens by hand, and perhaps an end in milliseconds.
            (token(rotating, refresh, Some(1_795_554_000_000)), Look::Due),
            (token(rotating, refresh, None), Look::Due),
        ] {
            assert_eq!(look(&token, NOW), expected, "{token:?}");
        }
    }

    #[test]
    fn a_claimed_refresh_token_is_used_again_only_if_there_is_nothing_left_to_lose() {
        let (old, young) = (UnixMillis::from_secs(999_820), UnixMillis::from_secs(999_821));
        let half_a_day_ago = UnixMillis::from_secs(1_000_000 - 12 * 3600);
        let (good, expired) = (Some(Duration::from_secs(1)), Some(Duration::ZERO));
        for (is_stored, claimed_at, left, expected) in [
            (true, young, good, Taken::Finish),
            (true, old, expired, Taken::Finish),
            (false, young, good, Taken::Wait),
            (false, young, expired, Taken::Wait),
            (false, old, good, Taken::Lost),
            (false, old, expired, Taken::TakeOver),
            // The secret does not say when the token expires.
            (false, old, None, Taken::Lost),
            (false, half_a_day_ago, None, Taken::TakeOver),
        ] {
            assert_eq!(
                taken(is_stored, claimed_at, left, NOW),
                expected,
                "{is_stored} {claimed_at:?} {left:?}"
            );
        }
    }

    #[test]
    fn a_claim_is_given_back_only_if_the_refresh_token_was_certainly_not_used() {
        let not_used = NotGranted::NotUsed("ratelimited".to_owned());
        let unknown = NotGranted::Unknown("timed_out".to_owned());
        for (failed, may_be_used, has_time, expected) in [
            (&not_used, false, true, AfterCall::GiveBack),
            (&not_used, false, false, AfterCall::GiveBack),
            (&not_used, true, true, AfterCall::Again),
            (&not_used, true, false, AfterCall::Lost),
            (&unknown, false, true, AfterCall::Again),
            (&unknown, true, true, AfterCall::Again),
            (&unknown, false, false, AfterCall::Lost),
            (&NotGranted::Spent, false, true, AfterCall::Refused),
            (&NotGranted::Spent, true, true, AfterCall::Lost),
        ] {
            assert_eq!(
                after_call(failed, may_be_used, has_time),
                expected,
                "{failed:?} {may_be_used} {has_time}"
            );
        }
    }

    #[test]
    fn the_pauses_grow_and_slacks_own_wish_counts() {
        let seconds = |calls, retry_after| pause(calls, retry_after).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 60].map(|calls| seconds(calls, None)), [1, 2, 4, 8, 8, 8]);
        assert_eq!(seconds(1, Some(Duration::from_secs(30))), 30);
        assert_eq!(seconds(4, Some(Duration::from_secs(1))), 8);
    }

    #[test]
    fn a_token_of_another_tenant_or_one_that_ends_for_good_takes_no_place() {
        let of = |tenant: Option<&str>| BotToken {
            tenant: tenant.map(str::to_owned),
            ..token("xoxe.xoxb-1", Some("xoxe-1"), Some(43_200))
        };
        for (old, new) in [(Some("T1"), Some("T1")), (None, Some("T1")), (Some("T1"), None)] {
            assert_eq!(may_replace(&of(old), &of(new)), Ok(()));
        }
        assert!(may_replace(&of(Some("T1")), &of(Some("T2"))).is_err());
        for ends in [
            token("xoxe.xoxb-1", None, Some(43_200)),
            token("xoxe.xoxb-1", Some("xoxe-1"), None),
            token("xoxb-1", Some("xoxe-1"), Some(43_200)),
        ] {
            assert!(may_replace(&of(None), &ends).is_err(), "{ends:?}");
        }
    }
}
