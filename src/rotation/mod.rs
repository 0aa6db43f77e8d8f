//! Gets new bot tokens before the old ones expire. Only this file knows the order of a run.
//!
//! ```text
//! for each secret: read ─▶ due? ─▶ claim the refresh token ─▶ ask Slack ─▶ store as pending ─▶ make it the current version
//! ```
//!
//! A refresh token is good once, so no two runs use the same one while there is something to lose: who uses it is decided by one
//! conditional write ([`claims`]), and a claim is given back only if its run has certainly not used the refresh token. The new
//! token is stored under an id that is made of the refresh token ([`claims::fingerprint`]), so that a later run finds it.
//! What a run leaves that dies:
//!
//! - Before the claim: nothing. The next run begins anew.
//! - After the claim, before Slack has answered: nobody knows whether the refresh token was used, so nobody uses it again. It
//!   counts as lost when the claim's lease is over, and somebody has to install the app again. The token of before is good
//!   until it expires, which is six hours at first. When it has expired, there is nothing left to lose, and each run asks once.
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
use decide::{AfterCall, EXPIRING_WITH_LEFT, Look, Taken, after_call, look, may_replace, pause, taken};
use refresh::{AppCredentials, SlackOAuth};
use vault::{Vault, Version};

/// How long one call of AWS's may take, with its repetitions.
pub const CALL_BUDGET: Duration = Duration::from_secs(10);

/// No call of AWS's begins when the invocation has less than this left, so that there is time for the report.
const KEPT_BACK: Duration = Duration::from_secs(15);

/// No secret is read with less than this left, so that a run that has used up its time for one token ends.
const NEEDED_TO_LOOK: Duration = Duration::from_secs(20);

/// Before what is kept back, this much is for the storing of what Slack grants.
const TO_STORE: Duration = Duration::from_secs(15);

/// How long Slack is asked for one token, if there is so much time.
const TO_ASK: Duration = Duration::from_secs(60);

/// A refresh token is not claimed if the invocation has less than this left.
const NEEDED: Duration = Duration::from_secs(90);

/// A claim whose answer was lost is repeated while this much is left: when it has answered, Slack can be asked for half a minute.
const NEEDED_TO_CLAIM_AGAIN: Duration = Duration::from_secs(70);

/// No call of Slack's begins with less time than this.
const SHORTEST_CALL: Duration = Duration::from_secs(2);

/// The pause before a call of AWS's is repeated.
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

/// One run.
struct Run {
    /// When the invocation ends.
    deadline: UnixMillis,
    report: RotationReport,
    /// The app's credentials or why there are none, once they were asked for.
    app: Option<Result<AppCredentials, String>>,
    /// Why this run uses no further refresh token.
    why_it_stops: Option<&'static str>,
}

impl Run {
    fn left(&self) -> Duration {
        SystemClock.now().until(self.deadline)
    }

    fn has(&self, needed: Duration) -> bool {
        self.left() >= needed
    }
}

/// Repeats a call of AWS's until it answers, or the invocation has less than `needed` left.
async fn repeated<T>(
    run: &Run,
    needed: Duration,
    call: impl AsyncFn() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        match call().await {
            Err(error) if run.has(needed + PAUSE) => {
                tracing::warn!(error = crate::telemetry::report::with_causes(&error), "it is tried again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

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
        let mut run = Run { deadline, report: RotationReport::default(), app: None, why_it_stops: None };
        for secret in &self.bot_tokens {
            let token = self.look_after(secret, &mut run).await;
            run.report.tokens.push(token);
        }
        run.report.total = SystemClock.instant() - start;
        run.report
    }

    /// What became of one token, and how long it is good.
    async fn look_after(&self, secret: &str, run: &mut Run) -> TokenReport {
        let outcome = if run.has(NEEDED_TO_LOOK) {
            self.refresh_if_due(secret, run).await.unwrap_or_else(|error| {
                run.report.errors.add(secret, &error);
                TokenOutcome::Failed { why: "a call of AWS's failed".to_owned() }
            })
        } else {
            TokenOutcome::Waits { why: NO_TIME }
        };
        let read = if run.has(NEEDED_TO_LOOK) { self.read(secret).await.ok() } else { None };
        let token = read.as_ref().and_then(Option::as_ref).and_then(|(_, token)| token.as_ref().ok());
        let left = token.and_then(|token| token.left(SystemClock.now()));
        let is_expiring = match token.map(BotToken::kind) {
            Some(TokenKind::Rotating) => left.is_none_or(|left| left < EXPIRING_WITH_LEFT),
            Some(_) => false,
            // What was not read may be expiring.
            None => read.is_none(),
        };
        TokenReport { secret: secret.to_owned(), outcome, left, is_expiring }
    }

    /// The app's credentials, or why there are none. They are read once in a run.
    async fn app(&self, run: &mut Run) -> Result<AppCredentials, TokenOutcome> {
        let read = match run.app.take() {
            Some(read) => read,
            None => match self.vault.current(&self.app).await {
                Ok(Some(version)) => AppCredentials::read(&version.text).map_err(str::to_owned),
                Ok(None) => Err("the secret has no value".to_owned()),
                Err(error) => {
                    run.report.errors.add("the app's credentials", &error);
                    Err("a call of AWS's failed".to_owned())
                }
            },
        };
        run.app = Some(read.clone());
        read.map_err(|why| TokenOutcome::Failed { why: format!("the app's credentials: {why}") })
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

    async fn refresh_if_due(&self, secret: &str, run: &mut Run) -> Done {
        let Some((current, token)) = self.read(secret).await? else {
            return Ok(TokenOutcome::NoToken { why: "the secret has no value".to_owned() });
        };
        let token = match token {
            Ok(token) => token,
            Err(why) => return Ok(TokenOutcome::NoToken { why: why.to_owned() }),
        };
        let is_due = match look(&token, SystemClock.now()) {
            Look::Plain => return Ok(TokenOutcome::Plain),
            Look::NoBotToken(kind) => return Ok(TokenOutcome::NoToken { why: kind.as_str().to_owned() }),
            Look::NoRefreshToken => return Ok(lost("the secret has no refresh_token")),
            Look::Fresh => false,
            Look::Due => true,
        };
        // Also for a token that has time: what is missing is to be known hours before it is needed. And before the claim: what
        // cannot be used must not be claimed.
        let app = match self.app(run).await {
            Ok(app) => app,
            Err(failed) => return Ok(failed),
        };
        if !is_due {
            return Ok(TokenOutcome::Fresh);
        }
        if let Some(why) = run.why_it_stops {
            return Ok(TokenOutcome::Waits { why });
        }
        if !run.has(NEEDED) {
            return Ok(TokenOutcome::Waits { why: NO_TIME });
        }
        let id = fingerprint(token.refresh_token.as_deref().unwrap_or_default());
        let mine = Mine { secret, id: &id, owner: &RandomTokens.next(), old: &token };
        let mut is_taken_over = false;
        let mut claimed = self.claim(&mine, None, run).await?;
        if let Claimed::Others(claimed_at) = claimed {
            let stored = self.vault.with_id(secret, &id).await?;
            let now = SystemClock.now();
            match (taken(stored.is_some(), claimed_at, token.left(now), now), stored) {
                (Taken::Finish, Some(stored)) => {
                    return match BotToken::read(&stored.text) {
                        Ok(new) => {
                            self.make_current(&mine, &current, &new, TokenOutcome::Finished, run).await
                        }
                        Err(why) => Ok(lost(why)),
                    };
                }
                (Taken::Finish | Taken::Wait, _) => return Ok(TokenOutcome::Waits { why: ANOTHER_RUN }),
                (Taken::Lost, _) => return Ok(lost("a run claimed the refresh token and stored nothing")),
                (Taken::TakeOver, _) => {
                    claimed = self.claim(&mine, Some(claimed_at), run).await?;
                    is_taken_over = true;
                }
            }
        }
        match claimed {
            Claimed::Own => match self.get_new_token(&mine, &app, is_taken_over, run).await {
                Ok(new) => self.make_current(&mine, &current, &new, TokenOutcome::Refreshed, run).await,
                Err(outcome) => Ok(outcome),
            },
            Claimed::Others(_) => Ok(TokenOutcome::Waits { why: ANOTHER_RUN }),
        }
    }

    /// Claims a refresh token. A claim whose answers were all lost is given back: Slack was not asked.
    async fn claim(
        &self,
        mine: &Mine<'_>,
        over: Option<UnixMillis>,
        run: &mut Run,
    ) -> Result<Claimed, StoreError> {
        let claim = async || self.claims.claim(mine.id, mine.owner, over, SystemClock.now()).await;
        let claimed = repeated(run, NEEDED_TO_CLAIM_AGAIN, claim).await;
        // The claim of another run that was taken over stays: that run may have used the refresh token.
        if claimed.is_err() && over.is_none() {
            self.give_back(mine, run).await;
        }
        claimed
    }

    /// Gives a claim back. If that fails to the end, it is in the report, and the claim counts like that of a run that died.
    async fn give_back(&self, mine: &Mine<'_>, run: &mut Run) {
        let give_back = async || self.claims.give_back(mine.id, mine.owner).await;
        if let Err(error) = repeated(run, KEPT_BACK, give_back).await {
            run.report.errors.add(mine.secret, &error);
        }
    }

    /// Asks Slack with a refresh token that this run has claimed, and stores what it grants. Returns the new token if it is
    /// stored, and otherwise what became of the old one.
    async fn get_new_token(
        &self,
        mine: &Mine<'_>,
        app: &AppCredentials,
        is_taken_over: bool,
        run: &mut Run,
    ) -> Result<BotToken, TokenOutcome> {
        let (mut calls, mut may_be_used) = (0, is_taken_over);
        let refresh_token = mine.old.refresh_token.as_deref().unwrap_or_default();
        let to_ask = run.left().saturating_sub(KEPT_BACK + TO_STORE).min(TO_ASK);
        let until = SystemClock.moment().after(to_ask);
        let mut new = loop {
            calls += 1;
            let failed = match self.slack.refresh(app, refresh_token, until).await {
                Ok(granted) => break granted.token,
                Err(failed) => failed,
            };
            let pause = pause(calls, failed.retry_after);
            // The run before has asked often enough; this one asks once.
            let has_time = !is_taken_over && SystemClock.instant() + pause + SHORTEST_CALL <= until.instant;
            let why = format!("Slack: {}", reason(&failed.why));
            match after_call(&failed.why, may_be_used, has_time) {
                AfterCall::GiveBack => {
                    self.give_back(mine, run).await;
                    return Err(TokenOutcome::Failed { why });
                }
                AfterCall::Refused => {
                    self.give_back(mine, run).await;
                    return Err(lost(why));
                }
                AfterCall::Again => {
                    may_be_used = true;
                    tokio::time::sleep(pause).await;
                }
                AfterCall::Lost => {
                    // What has cost this token would cost the next one too.
                    if failed.why != NotGranted::Spent {
                        run.why_it_stops = Some("Slack did not answer for another token");
                    }
                    return Err(lost(why));
                }
            }
        };
        // Whose it is stays known, also if this answer does not say it.
        new.tenant = new.tenant.or_else(|| mine.old.tenant.clone());
        // Nobody else has the new token, so it is stored for as long as the process lives.
        let text = new.to_json();
        let store = async || self.vault.store(mine.secret, mine.id, &text).await;
        if let Err(error) = repeated(run, KEPT_BACK, store).await {
            run.report.errors.add(mine.secret, &error);
            return Err(lost("Slack has granted a new token, and it could not be stored"));
        }
        Ok(new)
    }

    /// Makes the stored version the current one, in the place of the one that was read.
    async fn make_current(
        &self,
        mine: &Mine<'_>,
        current: &Version,
        new: &BotToken,
        done: TokenOutcome,
        run: &Run,
    ) -> Done {
        if let Err(why) = may_replace(mine.old, new) {
            return Ok(lost(why));
        }
        if !run.has(KEPT_BACK) {
            return Ok(TokenOutcome::Waits {
                why: "the new token is stored, and the next run makes it current",
            });
        }
        let is_done = self.vault.promote(mine.secret, &current.id, mine.id).await?;
        Ok(if is_done { done } else { TokenOutcome::Overtaken })
    }
}

/// The token that is at hand, and by which names its new one is claimed and stored.
struct Mine<'a> {
    secret: &'a str,
    /// The fingerprint of its refresh token.
    id: &'a str,
    /// Who this run is, as the owner of the claim.
    owner: &'a Token,
    old: &'a BotToken,
}

const NO_TIME: &str = "this invocation has no time left";
const ANOTHER_RUN: &str = "another run has claimed the refresh token";

fn lost(why: impl Into<String>) -> TokenOutcome {
    TokenOutcome::Lost { why: why.into() }
}

fn reason(failed: &NotGranted) -> &str {
    match failed {
        NotGranted::NotUsed(reason) | NotGranted::Unknown(reason) => reason,
        NotGranted::Spent => crate::slack::oauth::INVALID_REFRESH_TOKEN,
    }
}
