//! Checks the endpoint from the outside: that it can be reached, that it accepts a request with the app's signature, and that it
//! refuses one without a signature, with another secret's, and with one that is an hour old.
//!
//! Only what Slack does counts, and Slack posts. What a GET is answered depends on what is in front of the function, so it is a
//! hint: an HTTP API that has only routes for POST answers it itself.

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use slack_ingress::slack::retries::ANSWER_LIMIT;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::answered_by::{Answer, AnsweredBy};
use super::clock::ClockSkew;
use super::report::Check;

/// The doctor waits longer than Slack for an answer, to tell a slow endpoint from an absent one.
const TIME_LIMIT: Duration = Duration::from_secs(10);

const NAME: &str = "endpoint, name";
const TCP: &str = "endpoint, connection";
const TLS: &str = "endpoint, TLS";
const GET: &str = "endpoint, GET";
const UNSIGNED: &str = "endpoint, unsigned";
const SIGNED: &str = "signature, right";
const FORGED: &str = "signature, wrong";
const OLD: &str = "signature, old";

/// How old the signature of [`OLD`] is. The function takes none that is more than five minutes off, and this machine's clock may be
/// minutes off as well.
const OLD_SECONDS: u64 = 3600;

pub(super) async fn examine(url: Option<&str>, secrets: &[SigningSecret]) -> (Vec<Check>, Option<ClockSkew>) {
    let Some(url) = url else { return (vec![Check::skip("endpoint", "no --url")], None) };
    let mut examination = Examination { checks: Vec::new(), skew: None };
    if let Err(stopped) = examination.go_through(url, secrets.first()).await {
        examination.checks.push(stopped);
    }
    (examination.checks, examination.skew)
}

struct Examination {
    checks: Vec<Check>,
    skew: Option<ClockSkew>,
}

impl Examination {
    /// Makes the checks in order.
    ///
    /// # Errors
    /// The first failed check without which the next ones make no sense.
    async fn go_through(&mut self, url: &str, secret: Option<&SigningSecret>) -> Result<(), Check> {
        let wrong = || {
            Check::fail(
                "endpoint",
                "--url is no http:// or https:// URL",
                "Give the request URL of the Slack app",
            )
        };
        let url = Url::parse(url).map_err(|_| wrong())?;
        let (true, Some(host), Some(port)) =
            (matches!(url.scheme(), "http" | "https"), url.host_str(), url.port_or_known_default())
        else {
            return Err(wrong());
        };
        self.connect(host.trim_matches(['[', ']']), port).await?;
        let is_https = url.scheme() == "https";
        if !is_https {
            let check =
                Check::warn(TLS, "http://, without TLS", "Fine on your own machine; Slack wants https://");
            self.checks.push(check);
        }
        let client = reqwest::Client::builder().timeout(TIME_LIMIT).redirect(Policy::none()).build();
        let client = client.map_err(|error| Check::fail(GET, crate::with_causes(&error), "Report this"))?;
        let got = self.ask(GET, client.get(url.clone())).await;
        if let Err(check) = &got
            && check.found.starts_with(CONNECTING)
        {
            if is_https {
                let todo =
                    "Look at the certificate: Slack accepts no self-signed one, and needs the whole chain";
                return Err(Check::fail(TLS, check.found.replace(CONNECTING, "no TLS connection"), todo));
            }
            return Err(check.clone());
        }
        if is_https {
            self.checks.push(Check::ok(TLS, "the certificate is good"));
        }
        self.checks.push(match got {
            Ok(answer) => hint_of_a_get(&answer),
            Err(check) => Check::skip(GET, format!("{}. A hint only: Slack posts", check.found)),
        });
        self.unsigned(&client, &url).await?;
        let Some(secret) = secret else {
            let why = "no signing secret to sign with: set SLACK_SIGNING_SECRET or SLACK_SIGNING_SECRET_ARN";
            self.checks.push(Check::skip(SIGNED, why));
            return Ok(());
        };
        let is_right = self.signed(&client, &url, secret).await?;
        self.forged(&client, &url).await?;
        if is_right {
            self.old(&client, &url, secret).await?;
        } else {
            self.checks.push(Check::skip(OLD, "says nothing while a new signature is not taken either"));
        }
        Ok(())
    }

    async fn connect(&mut self, host: &str, port: u16) -> Result<(), Check> {
        let looking_up = timeout(TIME_LIMIT, lookup_host((host, port))).await;
        let addresses: Vec<_> = match looking_up {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                return Err(Check::fail(
                    NAME,
                    format!("{host} is not found: {error}"),
                    "Look at the host's name, and at its DNS record",
                ));
            }
            Err(_) => return Err(Check::fail(NAME, "no answer from DNS", "Look at this machine's DNS")),
        };
        self.checks.push(Check::ok(NAME, format!("{host} has {} address(es)", addresses.len())));
        match timeout(TIME_LIMIT, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(_)) => {
                self.checks.push(Check::ok(TCP, format!("port {port} is open")));
                Ok(())
            }
            Ok(Err(error)) => Err(Check::fail(
                TCP,
                format!("port {port}: {error}"),
                "Is it running, and is the port right?",
            )),
            Err(_) => Err(Check::fail(
                TCP,
                format!("port {port} does not answer"),
                "Look at firewalls, security groups and the tunnel",
            )),
        }
    }

    async fn ask(&mut self, check: &'static str, request: RequestBuilder) -> Result<Answer, Check> {
        let fail = |error: reqwest::Error| {
            let what = if error.is_connect() { CONNECTING } else { "no answer" };
            let found = format!("{what}: {}", crate::with_causes(&error.without_url()));
            Check::fail(check, found, "Look at the function's log, and at the API or proxy in front of it")
        };
        let response = request.send().await.map_err(fail)?;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        self.skew = date.and_then(ClockSkew::of_date).or(self.skew);
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.map_err(fail)?.to_vec();
        Ok(Answer { status, headers, body })
    }

    async fn unsigned(&mut self, client: &reqwest::Client, url: &Url) -> Result<(), Check> {
        let request = client.post(url.clone()).header("content-type", "application/json").body("{}");
        let answer = self.ask(UNSIGNED, request).await?;
        self.checks.push(refusal(UNSIGNED, &answer, "a request without a signature", LOOK_AT_THE_URL));
        Ok(())
    }

    /// Whether the challenge came back.
    async fn signed(
        &mut self,
        client: &reqwest::Client,
        url: &Url,
        secret: &SigningSecret,
    ) -> Result<bool, Check> {
        let challenge = format!("slack-dev-{:016x}", fastrand::u64(..));
        let start = tokio::time::Instant::now();
        let answer = self.ask(SIGNED, challenged(client, url, secret, &challenge, 0)).await?;
        let took = start.elapsed();
        let is_right = answer.status == 200 && answer.body == challenge.as_bytes();
        self.checks.push(match answer.status {
            200 if is_right && took > ANSWER_LIMIT => Check::warn(
                SIGNED,
                format!("the challenge came back after {:.1} s", took.as_secs_f64()),
                format!(
                    "Slack waits for {} s: give the function more memory, or look at the API or proxy in front of it",
                    ANSWER_LIMIT.as_secs()
                ),
            ),
            200 if is_right => {
                Check::ok(SIGNED, format!("the challenge came back after {} ms", took.as_millis()))
            }
            200 => Check::fail(
                SIGNED,
                format!("{}, but not with the challenge", answer.described()),
                LOOK_AT_THE_URL,
            ),
            401 if answer.by() == AnsweredBy::Unknown => Check::fail(
                SIGNED,
                "401: the endpoint has another signing secret, or its clock is wrong",
                "Give both the app's secret (Basic Information → Signing Secret); docs/rotate-secret.md",
            ),
            _ => Check::fail(SIGNED, format!("{} instead of 200", answer.described()), answer.what_to_do()),
        });
        Ok(is_right)
    }

    async fn forged(&mut self, client: &reqwest::Client, url: &Url) -> Result<(), Check> {
        let another = SigningSecret::new(&format!("{:032x}", fastrand::u128(..)));
        let answer = self.ask(FORGED, challenged(client, url, &another, "slack-dev-forged", 0)).await?;
        self.checks.push(refusal(FORGED, &answer, "a signature made with another secret", TAKE_IT_OFF));
        Ok(())
    }

    async fn old(
        &mut self,
        client: &reqwest::Client,
        url: &Url,
        secret: &SigningSecret,
    ) -> Result<(), Check> {
        let answer = self.ask(OLD, challenged(client, url, secret, "slack-dev-old", OLD_SECONDS)).await?;
        self.checks.push(refusal(OLD, &answer, "a signature that is an hour old", TAKE_IT_OFF));
        Ok(())
    }
}

const CONNECTING: &str = "no connection";
const LOOK_AT_THE_URL: &str = "Is this slack-ingress? Look at the URL";
const TAKE_IT_OFF: &str = "Take it off the internet until it verifies signatures";

/// What a GET says of what is there. It says nothing of whether Slack's POSTs are taken, so it is never a fault.
fn hint_of_a_get(answer: &Answer) -> Check {
    match (answer.by(), answer.status) {
        (AnsweredBy::Unknown, 405) => Check::ok(GET, "405, as the function answers it"),
        (AnsweredBy::HttpApi, 404) => {
            Check::ok(GET, format!("{}: it has no route for GET, and needs none", answer.described()))
        }
        (AnsweredBy::RestApi, 403) if answer.is_missing_authentication_token() => {
            Check::ok(GET, format!("{}: it has no method GET, and needs none", answer.described()))
        }
        _ => Check::skip(GET, format!("{}. A hint only: Slack posts", answer.described())),
    }
}

/// Whether a request was refused that must be, and by the function.
fn refusal(check: &'static str, answer: &Answer, request: &str, if_accepted: &str) -> Check {
    match answer.status {
        401 if answer.by() == AnsweredBy::Unknown => Check::ok(check, "401, as it should be"),
        200..=299 => Check::fail(check, format!("{}: it accepts {request}", answer.described()), if_accepted),
        401 => {
            let found = format!("{}, which the function was not asked for", answer.described());
            Check::fail(check, found, answer.what_to_do())
        }
        _ => Check::fail(check, format!("{} instead of 401", answer.described()), answer.what_to_do()),
    }
}

/// A signed `url_verification` request of Slack's. The ingress only returns its challenge.
fn challenged(
    client: &reqwest::Client,
    url: &Url,
    secret: &SigningSecret,
    challenge: &str,
    age_seconds: u64,
) -> RequestBuilder {
    let body = serde_json::json!({ "type": "url_verification", "token": "none", "challenge": challenge })
        .to_string();
    let timestamp = SystemClock.now().as_secs().saturating_sub(age_seconds).to_string();
    client
        .post(url.clone())
        .header("content-type", "application/json")
        .header("x-slack-signature", secret.sign(&timestamp, body.as_bytes()))
        .header("x-slack-request-timestamp", timestamp)
        .body(body)
}
