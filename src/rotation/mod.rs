//! Gets new bot tokens before the old ones expire. Only this file knows the order of a run.
//!
//! ```text
//! for each secret: read ─▶ due? ─▶ claim the refresh token ─▶ ask Slack ─▶ store as pending ─▶ make it the current version
//! ```
//!
//! A refresh token is good once, so no two runs ever use the same one: who uses it is decided by one conditional write
//! ([`claims`]), and a claim is given back only if the refresh token was certainly not used. The new token is stored under an id
//! that is made of the refresh token ([`claims::fingerprint`]), so that a later run finds it. What a run leaves that dies:
//!
//! - Before the claim: nothing. The next run begins anew.
//! - After the claim, before Slack has answered: nobody knows whether the refresh token was used, so nobody uses it again. It
//!   counts as lost when the claim's lease is over, and somebody has to install the app again. The token of before is good
//!   until it expires, which is six hours at first.
//! - After Slack has answered, before the new token is stored: the same.
//! - After it is stored: the next run finds the claim and, by its id, the version, and makes it the current one.
//!
//! A token that somebody puts meanwhile stays: a version becomes the current one only in the place of the one that was read.
//!
//! In reading order: [`Rotation::run`], `refresh_if_due`, `get_new_token`; [`decide`], what is decided; then [`claims`],
//! [`vault`] and [`refresh`], who is asked. This room imports `aws`, `dedup` (its error), `slack`, `telemetry` (the report),
//! `time` and `work` (its tokens).

pub mod claims;
pub mod decide;
pub mod refresh;
pub mod vault;

use std::time::Duration;

use crate::dedup::StoreError;
use crate::slack::bot_token::{BotToken, TokenKind};
use crate::slack::oauth::NotGranted;
use crate::telemetry::report::rotation::{RotationReport, TokenOutcome, TokenReport};
use crate::time::clock::{Clock, SystemClock, UnixMillis};
use crate::work::token::{RandomTokens, Token, Tokens};

use claims::{Claimed, Claims, fingerprint};
use decide::{AfterCall, EXPIRING_WITH_LEFT, Look, Taken, after_call, look, may_replace, taken};
use refresh::{AppCredentials, SlackOAuth};
use vault::{Vault, Version};

/// How long one call of AWS's may take, with its repetitions.
pub const CALL_BUDGET: Duration = Duration::from_secs(10);

/// A refresh token is not claimed if the invocation has less than this left: Slack's calls and the storing have to fit in.
const NEEDED: Duration = Duration::from_secs(60);

/// The pause before Slack is asked again, and before a new token is stored again.
const PAUSE: Duration = Duration::from_secs(1);

/// The sequence, with the secrets that it looks after.
#[derive(Debug)]
pub struct Rotation {
    vault: Vault,
    claims: Claims,
    slack: SlackOAuth,
    /// The secrets with the bot tokens, by ARN or name.
    bot_tokens: Vec<String>,
    /// The secret with the app's credentials.
    app: String,
}

/// What became of a token, or the error of a step after which the token is as it was.
type Done = Result<TokenOutcome, StoreError>;

impl Rotation {
    /// Looks after these secrets.
    pub fn new(
        vault: Vault,
        claims: Claims,
        slack: SlackOAuth,
        bot_tokens: Vec<String>,
        app: String,
    ) -> Self {
        Self { vault, claims, slack, bot_tokens, app }
    }

    /// Looks at every token once, and gets a new one for each that is due. The invocation ends at `deadline`.
    pub async fn run(&self, deadline: UnixMillis) -> RotationReport {
        let start = SystemClock.instant();
        let mut report = RotationReport::default();
        for secret in &self.bot_tokens {
            let outcome = self.refresh_if_due(secret, deadline).await.unwrap_or_else(|error| {
                report.errors.add(secret, &error);
                TokenOutcome::Failed { why: "a call of AWS's failed".to_owned() }
            });
            let read = self.read(secret).await;
            let token =
                read.as_ref().ok().and_then(Option::as_ref).and_then(|(_, token)| token.as_ref().ok());
            let left = token.and_then(|token| token.left(SystemClock.now()));
            let is_expiring = match token.map(BotToken::kind) {
                Some(TokenKind::Rotating) => left.is_none_or(|left| left < EXPIRING_WITH_LEFT),
                Some(_) => false,
                // What cannot be read may be expiring.
                None => read.is_err(),
            };
            report.tokens.push(TokenReport { secret: secret.clone(), outcome, left, is_expiring });
        }
        report.total = SystemClock.instant() - start;
        report
    }

    /// The current version of a secret, and the token in it or why there is none.
    async fn read(
        &self,
        secret: &str,
    ) -> Result<Option<(Version, Result<BotToken, &'static str>)>, StoreError> {
        let current = self.vault.current(secret).await?;
        Ok(current.map(|version| {
            let token = BotToken::read(&version.text);
            (version, token)
        }))
    }

    async fn refresh_if_due(&self, secret: &str, deadline: UnixMillis) -> Done {
        let Some((current, token)) = self.read(secret).await? else {
            return Ok(TokenOutcome::NoToken { why: "the secret has no value".to_owned() });
        };
        let token = match token {
            Ok(token) => token,
            Err(why) => return Ok(TokenOutcome::NoToken { why: why.to_owned() }),
        };
        match look(&token, SystemClock.now()) {
            Look::Plain => return Ok(TokenOutcome::Plain),
            Look::Fresh => return Ok(TokenOutcome::Fresh),
            Look::NoBotToken(kind) => return Ok(TokenOutcome::NoToken { why: kind.as_str().to_owned() }),
            Look::NoRefreshToken => return Ok(lost("the secret has no refresh_token")),
            Look::Due => {}
        }
        let refresh_token = token.refresh_token.as_deref().unwrap_or_default();
        let id = fingerprint(refresh_token);
        if SystemClock.now().until(deadline) < NEEDED {
            return Ok(TokenOutcome::Waits { why: "this invocation has no time left" });
        }
        // Before the claim: what cannot be used must not be claimed.
        let app = match self.vault.current(&self.app).await? {
            Some(version) => AppCredentials::read(&version.text),
            None => Err("the secret of the app's credentials has no value"),
        };
        let app = match app {
            Ok(app) => app,
            Err(why) => return Ok(TokenOutcome::Failed { why: format!("the app's credentials: {why}") }),
        };
        let owner = RandomTokens.next();
        match self.claims.claim(&id, &owner, SystemClock.now()).await? {
            Claimed::Own => match self.get_new_token(secret, &token, &id, &app, &owner, deadline).await? {
                Ok(new) => {
                    self.make_current(secret, &current, &token, (&id, &new), TokenOutcome::Refreshed).await
                }
                Err(outcome) => Ok(outcome),
            },
            Claimed::Others(claimed_at) => {
                let stored = self.vault.with_id(secret, &id).await?;
                match (taken(stored.is_some(), claimed_at, SystemClock.now()), stored) {
                    (Taken::Finish, Some(stored)) => match BotToken::read(&stored.text) {
                        Ok(new) => {
                            self.make_current(secret, &current, &token, (&id, &new), TokenOutcome::Finished)
                                .await
                        }
                        Err(why) => Ok(lost(why)),
                    },
                    (Taken::Finish | Taken::Wait, _) => {
                        Ok(TokenOutcome::Waits { why: "another run has claimed the refresh token" })
                    }
                    (Taken::Lost, _) => Ok(lost("a run claimed the refresh token and stored nothing")),
                }
            }
        }
    }

    /// Asks Slack with a refresh token that this run has claimed, and stores what it grants. Returns the new token if it is
    /// stored, and otherwise what became of the old one.
    async fn get_new_token(
        &self,
        secret: &str,
        old: &BotToken,
        id: &str,
        app: &AppCredentials,
        owner: &Token,
        deadline: UnixMillis,
    ) -> Result<Result<BotToken, TokenOutcome>, StoreError> {
        let (mut calls, mut may_be_used) = (0, false);
        let refresh_token = old.refresh_token.as_deref().unwrap_or_default();
        let until = SystemClock.moment().after(SystemClock.now().until(deadline).min(NEEDED));
        let mut new = loop {
            calls += 1;
            let failed = match self.slack.refresh(app, refresh_token, until).await {
                Ok(granted) => break granted.token,
                Err(failed) => failed,
            };
            match after_call(&failed, may_be_used, calls) {
                AfterCall::GiveBack => {
                    self.claims.give_back(id, owner).await?;
                    return Ok(Err(TokenOutcome::Failed { why: format!("Slack: {}", reason(&failed)) }));
                }
                AfterCall::Again => {
                    may_be_used = true;
                    tokio::time::sleep(PAUSE).await;
                }
                AfterCall::Lost => return Ok(Err(lost(format!("Slack: {}", reason(&failed))))),
            }
        };
        // Whose it is stays known, also if this answer does not say it.
        new.tenant = new.tenant.or_else(|| old.tenant.clone());
        // Nobody else has the new token, so it is stored for as long as the process lives.
        let text = new.to_json();
        loop {
            match self.vault.store(secret, id, &text).await {
                Ok(()) => return Ok(Ok(new)),
                Err(error) if SystemClock.now().after(CALL_BUDGET) < deadline => {
                    tracing::warn!(
                        error = crate::telemetry::report::with_causes(&error),
                        "a new token is not stored yet"
                    );
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the stored version the current one, in the place of the one that was read.
    async fn make_current(
        &self,
        secret: &str,
        current: &Version,
        old: &BotToken,
        (id, new): (&str, &BotToken),
        done: TokenOutcome,
    ) -> Done {
        if let Err(why) = may_replace(old, new) {
            return Ok(lost(why));
        }
        let is_done = self.vault.promote(secret, &current.id, id).await?;
        Ok(if is_done { done } else { TokenOutcome::Overtaken })
    }
}

fn lost(why: impl Into<String>) -> TokenOutcome {
    TokenOutcome::Lost { why: why.into() }
}

fn reason(failed: &NotGranted) -> &str {
    match failed {
        NotGranted::NotUsed(reason) | NotGranted::Unknown(reason) => reason,
        NotGranted::Spent => crate::slack::oauth::INVALID_REFRESH_TOKEN,
    }
}
