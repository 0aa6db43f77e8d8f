//! Checks the endpoint from the outside: that it can be reached, that it accepts a request with the app's signature, and that it
//! refuses a request without one.

use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use slack_ingress::slack::retries::ANSWER_LIMIT;
use slack_ingress::slack::signature::SigningSecret;
use slack_ingress::time::clock::{Clock, SystemClock};
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

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

/// The status and the body of an answer.
struct Answer {
    status: u16,
    body: Vec<u8>,
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
        let answer = self.ask(GET, client.get(url.clone())).await.map_err(|check| {
            if is_https && check.found.starts_with(CONNECTING) {
                let todo =
                    "Look at the certificate: Slack accepts no self-signed one, and needs the whole chain";
                return Check::fail(TLS, check.found.replace(CONNECTING, "no TLS connection"), todo);
            }
            check
        })?;
        if is_https {
            self.checks.push(Check::ok(TLS, "the certificate is good"));
        }
        self.checks.push(match answer.status {
            405 => Check::ok(GET, "405, as it should be"),
            status => Check::fail(GET, format!("{status} instead of 405"), what_answers(status)),
        });
        self.unsigned(&client, &url).await?;
        let Some(secret) = secret else {
            let why = "no signing secret to sign with: set SLACK_SIGNING_SECRET or SLACK_SIGNING_SECRET_ARN";
            self.checks.push(Check::skip(SIGNED, why));
            return Ok(());
        };
        self.signed(&client, &url, secret).await?;
        self.forged(&client, &url).await
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
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(fail)?.to_vec();
        Ok(Answer { status, body })
    }

    async fn unsigned(&mut self, client: &reqwest::Client, url: &Url) -> Result<(), Check> {
        let request = client.post(url.clone()).header("content-type", "application/json").body("{}");
        let answer = self.ask(UNSIGNED, request).await?;
        self.checks.push(match answer.status {
            401 => Check::ok(UNSIGNED, "401, as it should be"),
            status @ 200..=299 => Check::fail(
                UNSIGNED,
                format!("{status}: it accepts a request without a signature"),
                "Is this slack-ingress? Look at the URL",
            ),
            status => Check::fail(UNSIGNED, format!("{status} instead of 401"), what_answers(status)),
        });
        Ok(())
    }

    async fn signed(
        &mut self,
        client: &reqwest::Client,
        url: &Url,
        secret: &SigningSecret,
    ) -> Result<(), Check> {
        let challenge = format!("slack-dev-{:016x}", fastrand::u64(..));
        let start = tokio::time::Instant::now();
        let answer = self.ask(SIGNED, challenged(client, url, secret, &challenge)).await?;
        let took = start.elapsed();
        self.checks.push(match answer.status {
            200 if answer.body == challenge.as_bytes() && took > ANSWER_LIMIT => Check::warn(
                SIGNED,
                format!("the challenge came back after {:.1} s", took.as_secs_f64()),
                format!(
                    "Slack waits for {} s: give the function more memory, or look at the API or proxy in front of it",
                    ANSWER_LIMIT.as_secs()
                ),
            ),
            200 if answer.body == challenge.as_bytes() => {
                Check::ok(SIGNED, format!("the challenge came back after {} ms", took.as_millis()))
            }
            200 => Check::fail(
                SIGNED,
                "200, but not with the challenge",
                "Is this slack-ingress? Look at the URL",
            ),
            401 => Check::fail(
                SIGNED,
                "401: the endpoint has another signing secret, or its clock is wrong",
                "Give both the app's secret (Basic Information → Signing Secret); docs/rotate-secret.md",
            ),
            status => Check::fail(SIGNED, format!("{status} instead of 200"), what_answers(status)),
        });
        Ok(())
    }

    async fn forged(&mut self, client: &reqwest::Client, url: &Url) -> Result<(), Check> {
        let another = SigningSecret::new(&format!("{:032x}", fastrand::u128(..)));
        let answer = self.ask(FORGED, challenged(client, url, &another, "slack-dev-forged")).await?;
        self.checks.push(match answer.status {
            401 => Check::ok(FORGED, "401, as it should be"),
            status @ 200..=299 => Check::fail(
                FORGED,
                format!("{status}: it accepts a signature made with another secret"),
                "Take it off the internet until it verifies signatures",
            ),
            status => Check::fail(FORGED, format!("{status} instead of 401"), what_answers(status)),
        });
        Ok(())
    }
}

const CONNECTING: &str = "no connection";

/// A signed `url_verification` request of Slack's. The ingress only returns its challenge.
fn challenged(
    client: &reqwest::Client,
    url: &Url,
    secret: &SigningSecret,
    challenge: &str,
) -> RequestBuilder {
    let body = serde_json::json!({ "type": "url_verification", "token": "none", "challenge": challenge })
        .to_string();
    let timestamp = SystemClock.now().as_secs().to_string();
    client
        .post(url.clone())
        .header("content-type", "application/json")
        .header("x-slack-signature", secret.sign(&timestamp, body.as_bytes()))
        .header("x-slack-request-timestamp", timestamp)
        .body(body)
}

/// What to do about a status that the ingress itself does not answer here.
const fn what_answers(status: u16) -> &'static str {
    match status {
        300..=399 => "It redirects: give the URL that it redirects to",
        403 => {
            "Something in front of the function refuses the request: a Function URL needs the auth type NONE, an API no authoriser"
        }
        404 => "Nothing is there: look at the path and the stage of the URL",
        429 => "It is throttled: look at the concurrency of the function and the limits of the API",
        503 => "It cannot do its work: look at the log for `unavailable` and its reason",
        500..=599 => "The function does not start or does not answer: look at its log; docs/operate.md",
        _ => "Is this slack-ingress? Look at the URL",
    }
}
