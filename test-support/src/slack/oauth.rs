//! A stand-in for `oauth.v2.access` and `auth.test` of Slack's Web API. It grants a bot token for a code, or for a refresh token
//! that it has granted before, and refuses a refresh token that was used: at once, or, as Slack's documents have it, after a
//! grace period, which ends here when a test says so. Of the tokens that expire, the newest two of an installation are good. It
//! fails on demand.
//!
//! Not checked: scopes. Not played: tokens that expire by themselves.

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::http::{listen, response, serve};
use crate::plan::Plan;
use crate::wait::eventually;

/// The app's client id.
pub const CLIENT_ID: &str = "123.456";
/// The app's client secret.
pub const CLIENT_SECRET: &str = "made-up-client-secret";

/// How long a token is good, in seconds.
const EXPIRES_IN: u64 = 43_200;

/// How many tokens of an installation that expire are good at a time: with a further one the oldest ends.
const GOOD_AT_A_TIME: usize = 2;

/// What happens to a call of `oauth.v2.access`.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Slack refuses it with this error, and it has no effect.
    Error(&'static str),
    /// It has no effect, as there were too many.
    RateLimit,
    /// It has no effect, and no answer comes.
    Hang,
    /// It takes effect, and the connection breaks before the answer.
    LoseAnswer,
    /// It takes effect, and no answer comes.
    HangAfter,
}

/// Where the app is installed.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a workspace.
    Workspace(&'static str),
    /// In all of an organisation.
    Organisation(&'static str),
}

impl Place {
    fn fields(&self) -> Value {
        match self {
            Self::Workspace(id) => {
                json!({ "team": { "id": id, "name": "one" }, "enterprise": null, "is_enterprise_install": false })
            }
            Self::Organisation(id) => {
                json!({ "team": null, "enterprise": { "id": id, "name": "all" }, "is_enterprise_install": true })
            }
        }
    }

    fn id(&self) -> &'static str {
        match self {
            Self::Workspace(id) | Self::Organisation(id) => id,
        }
    }
}

#[derive(Default)]
struct State {
    granted: usize,
    /// The bot tokens that are good, the oldest first.
    tokens: Vec<(String, Place)>,
    /// The refresh tokens that were granted, and how often each was used with success.
    refresh_tokens: HashMap<String, (Place, usize)>,
    /// The codes that were given out, with the redirect URL that each came to.
    codes: HashMap<String, (Place, String)>,
    calls: usize,
    has_grace: bool,
    rotates: bool,
}

/// Slack.
#[derive(Clone)]
pub struct OAuth {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// What is to go wrong with `oauth.v2.access`.
    pub plan: Arc<Plan<Fault>>,
}

impl OAuth {
    /// Starts it, for an app whose tokens rotate.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let (listener, address) = listen().await;
        let state = Arc::new(Mutex::new(State { rotates: true, ..State::default() }));
        let slack = Self { address, state, plan: Arc::default() };
        let served = slack.clone();
        tokio::spawn(serve(listener, move |request| served.clone().answer(request)));
        slack
    }

    /// The address of its Web API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/api", self.address)
    }

    /// From now on tokens rotate, or do not.
    pub fn rotates(&self, rotates: bool) {
        self.lock().rotates = rotates;
    }

    /// From now on a refresh token may be used again, or may not: the grace period.
    pub fn grace(&self, has_grace: bool) {
        self.lock().has_grace = has_grace;
    }

    /// Installs the app: a bot token and its refresh token.
    #[must_use]
    pub fn install(&self, place: Place) -> (String, String) {
        let granted = self.lock().grant(&place);
        let of = |name: &str| granted[name].as_str().unwrap_or_default().to_owned();
        (of("access_token"), of("refresh_token"))
    }

    /// A code as the browser brings it, for an installation there.
    #[must_use]
    pub fn code(&self, place: Place, redirect_url: &str) -> String {
        let mut state = self.lock();
        let code = format!("code-{}", state.codes.len());
        state.codes.insert(code.clone(), (place, redirect_url.to_owned()));
        code
    }

    /// How often this refresh token was used with success.
    #[must_use]
    pub fn uses(&self, refresh_token: &str) -> usize {
        self.lock().refresh_tokens.get(refresh_token).map_or(0, |(_, uses)| *uses)
    }

    /// How often `oauth.v2.access` was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.lock().calls
    }

    /// Whether this bot token is good.
    #[must_use]
    pub fn is_good(&self, token: &str) -> bool {
        self.lock().whose_is(token).is_some()
    }

    /// Waits for the `count`th call of `oauth.v2.access`.
    pub async fn called(&self, count: usize) {
        eventually("a call of oauth.v2.access", async || (self.calls() >= count).then_some(())).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let broken = || io::Error::from(io::ErrorKind::ConnectionReset);
        let path = request.uri().path().to_owned();
        let bearer =
            request.headers().get("authorization").and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        let bearer = bearer.map(str::to_owned);
        let body = request.into_body().collect().await.map_err(|_| broken())?.to_bytes();
        let answer = match path.as_str() {
            "/api/auth.test" => self.lock().whose(bearer.as_deref().unwrap_or_default()),
            "/api/oauth.v2.access" => {
                let fault = {
                    self.lock().calls += 1;
                    self.plan.next("oauth.v2.access")
                };
                let form = form(&body);
                match fault {
                    None => self.lock().access(&form),
                    Some(Fault::Error(error)) => json!({ "ok": false, "error": error }),
                    Some(Fault::RateLimit) => return Ok(response(429, &[("retry-after", "1")], "")),
                    Some(Fault::Hang) => std::future::pending().await,
                    Some(Fault::LoseAnswer) => {
                        self.lock().access(&form);
                        return Err(broken());
                    }
                    Some(Fault::HangAfter) => {
                        self.lock().access(&form);
                        std::future::pending().await
                    }
                }
            }
            _ => return Ok(response(404, &[], "")),
        };
        Ok(response(200, &[("content-type", "application/json")], answer.to_string()))
    }
}

impl State {
    fn access(&mut self, form: &HashMap<String, String>) -> Value {
        let error = |error: &str| json!({ "ok": false, "error": error });
        let of = |name: &str| form.get(name).map_or("", String::as_str);
        if of("client_id") != CLIENT_ID {
            return error("invalid_client_id");
        }
        if of("client_secret") != CLIENT_SECRET {
            return error("bad_client_secret");
        }
        if of("grant_type") == "refresh_token" {
            let has_grace = self.has_grace;
            let Some((place, uses)) = self.refresh_tokens.get_mut(of("refresh_token")) else {
                return error("invalid_refresh_token");
            };
            if *uses > 0 && !has_grace {
                return error("invalid_refresh_token");
            }
            *uses += 1;
            let place = place.clone();
            return self.grant(&place);
        }
        // A code is good once.
        match self.codes.remove(of("code")) {
            Some((place, redirect_url)) if redirect_url == of("redirect_uri") => self.grant(&place),
            Some(_) => error("bad_redirect_uri"),
            None => error("invalid_code"),
        }
    }

    fn grant(&mut self, place: &Place) -> Value {
        self.granted += 1;
        let n = self.granted;
        let mut granted = place.fields();
        granted["ok"] = json!(true);
        granted["token_type"] = json!("bot");
        granted["scope"] = json!("chat:write,im:history");
        granted["bot_user_id"] = json!("U0LAN0Z89");
        granted["app_id"] = json!("A0MDYCDME");
        let token = if self.rotates {
            let refresh_token = format!("xoxe-1-refresh-{n}");
            self.refresh_tokens.insert(refresh_token.clone(), (place.clone(), 0));
            granted["refresh_token"] = json!(refresh_token);
            granted["expires_in"] = json!(EXPIRES_IN);
            format!("xoxe.xoxb-1-access-{n}")
        } else {
            format!("xoxb-access-{n}")
        };
        granted["access_token"] = json!(token);
        if self.rotates {
            let is_theirs = |(_, of): &(String, Place)| of.id() == place.id();
            let too_many =
                (self.tokens.iter().filter(|it| is_theirs(it)).count() + 1).saturating_sub(GOOD_AT_A_TIME);
            for _ in 0..too_many {
                self.tokens.remove(self.tokens.iter().position(is_theirs).expect("one of them"));
            }
        }
        self.tokens.push((token, place.clone()));
        granted
    }

    fn whose_is(&self, token: &str) -> Option<&Place> {
        self.tokens.iter().find(|(known, _)| known == token).map(|(_, place)| place)
    }

    fn whose(&self, token: &str) -> Value {
        match self.whose_is(token) {
            Some(place @ Place::Workspace(_)) => {
                json!({ "ok": true, "team_id": place.id(), "is_enterprise_install": false })
            }
            Some(place) => {
                json!({ "ok": true, "team_id": place.id(), "enterprise_id": place.id(), "is_enterprise_install": true })
            }
            None => json!({ "ok": false, "error": "invalid_auth" }),
        }
    }
}

/// The fields of a form.
fn form(body: &[u8]) -> HashMap<String, String> {
    let text = |bytes: &[u8]| {
        let (mut decoded, mut rest) = (Vec::new(), bytes);
        while let [first, after @ ..] = rest {
            rest = after;
            match (first, after) {
                (b'%', [high, low, after @ ..]) => {
                    decoded.extend(hex::decode([*high, *low]).expect("two hexadecimal digits"));
                    rest = after;
                }
                (b'+', _) => decoded.push(b' '),
                (byte, _) => decoded.push(*byte),
            }
        }
        String::from_utf8(decoded).expect("UTF-8")
    };
    body.split(|&byte| byte == b'&')
        .filter_map(|field| {
            let equals = field.iter().position(|&byte| byte == b'=')?;
            Some((text(&field[..equals]), text(&field[equals + 1..])))
        })
        .collect()
}
