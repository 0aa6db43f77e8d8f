//! Tests `slack-dev install`: the real process, with a stand-in for Slack's OAuth, and Secrets Manager on an emulator.

use serde_json::json;
use slack_ingress::slack::bot_token::{BotToken, TokenKind};
use std::process::Stdio;
use std::time::Duration;
use test_support::aws::proxy::{Fault, Proxy};
use test_support::aws::{VARIABLES, sdk_config};
use test_support::http::listen;
use test_support::servers::{fresh_name, server};
use test_support::slack::oauth::{CLIENT_ID, CLIENT_SECRET, OAuth, Place};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::{fresh_file, slack_dev_with};

const REDIRECT_URL: &str = "https://localhost:8765/slack/install";
const PATIENCE: Duration = Duration::from_secs(60);

/// A slack-dev that waits for the redirect.
struct Install {
    process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    shown: String,
    state: String,
}

/// How it ended.
#[derive(Debug)]
struct Ended {
    code: i32,
    /// All that it has written.
    shown: String,
}

impl Install {
    async fn start(slack: &OAuth, arguments: &[&str]) -> Self {
        Self::start_with(slack, arguments, &[("SLACK_CLIENT_SECRET", CLIENT_SECRET)], None).await
    }

    async fn start_with(
        slack: &OAuth,
        arguments: &[&str],
        variables: &[(&str, &str)],
        first_line: Option<&str>,
    ) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slack-dev"));
        command.arg("install").args(arguments).env_clear().envs(VARIABLES);
        command.envs(std::env::var("MINISTACK_URL").map(|url| ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url)));
        command.envs(variables.iter().copied());
        command.env("SLACK_CLIENT_ID", CLIENT_ID).env("SLACK_API_URL", slack.url());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        if let Some(line) = first_line {
            stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut install = Self { process, stdin, lines, shown: String::new(), state: String::new() };
        let url = install.line_with("https://slack.com/oauth/v2/authorize?").await;
        assert!(url.contains("client_id=123.456") && url.contains("scope=app_mentions%3Aread%2C"), "{url}");
        assert!(url.contains("redirect_uri=https%3A%2F%2Flocalhost%3A8765%2Fslack%2Finstall"), "{url}");
        let state = url.split("state=").nth(1).unwrap();
        install.state = state.split('&').next().unwrap().to_owned();
        assert_eq!(install.state.len(), 32);
        install
    }

    async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("a line").unwrap();
            let line = line.unwrap_or_else(|| panic!("{text} was never shown: {}", self.shown));
            self.shown.push_str(&line);
            self.shown.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Pastes the address that a browser ends at.
    async fn paste(&mut self, code: &str, state: &str) {
        let line = format!("{REDIRECT_URL}?code={code}&state={state}\n");
        self.stdin.write_all(line.as_bytes()).await.unwrap();
    }

    async fn end(mut self) -> Ended {
        while let Some(line) = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap()
        {
            self.shown.push_str(&line);
            self.shown.push('\n');
        }
        let mut stderr = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
        self.shown.push_str(&stderr);
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await.unwrap().unwrap();
        for never in ["xoxb-", "xoxe", CLIENT_SECRET, "code-"] {
            assert!(!self.shown.contains(never), "{never}: {}", self.shown);
        }
        Ended { code: status.code().unwrap(), shown: self.shown }
    }
}

/// A browser that is sent to this path of the listener; it returns the status.
async fn browse(port: u16, target: &str) -> String {
    let mut stream = loop {
        // The process opens the port in a moment.
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => break stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

fn secrets() -> aws_sdk_secretsmanager::Client {
    aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")))
}

async fn text_of(secret: &str) -> String {
    let got = secrets().get_secret_value().secret_id(secret).send().await.unwrap();
    got.secret_string.unwrap()
}

#[tokio::test]
#[cfg(unix)]
async fn a_pasted_address_installs_the_app_and_the_token_is_in_a_file_that_nobody_else_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let slack = OAuth::start().await;
    let file = fresh_file("token.json");
    let arguments = ["--to-file", file.to_str().unwrap()];
    let mut install = Install::start(&slack, &arguments).await;
    let code = slack.code(Place::Workspace("T061EG9R6"), REDIRECT_URL);
    // One with a wrong state, and something that is no address, are refused; the right one comes after them.
    install.paste(&code, "0123456789abcdef0123456789abcdef").await;
    install.stdin.write_all(b"what now?\n").await.unwrap();
    let state = install.state.clone();
    install.paste(&code, &state).await;
    let ended = install.end().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.shown.matches("that is not the redirect").count(), 2, "{ended:?}");
    assert!(
        ended.shown.contains("Installed in T061EG9R6 (app A0MDYCDME): a rotating bot token"),
        "{ended:?}"
    );
    assert_eq!(slack.calls(), 1);

    let token = BotToken::read(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!((token.kind(), token.tenant.as_deref()), (TokenKind::Rotating, Some("T061EG9R6")));
    assert!(token.refresh_token.is_some() && token.expires_at.is_some() && slack.is_good(&token.token));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    // A file that is there is not written over.
    let variables = [("SLACK_CLIENT_ID", "1"), ("SLACK_CLIENT_SECRET", "2")];
    let again = slack_dev_with(&[&["install"], &arguments[..]].concat(), &variables).await;
    assert!(again.code == 2 && again.stderr.contains("is there already"), "{again:?}");
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn the_listener_refuses_a_wrong_state_and_goes_on_and_a_secret_is_made_for_the_tenant() {
    let slack = OAuth::start().await;
    slack.rotates(false);
    let (listener, address) = listen().await;
    drop(listener);
    let port = address.port();
    // An id that no other run has.
    let tenant: &'static str = fresh_name("E").to_uppercase().replace('-', "").leak();
    let port_text = port.to_string();
    // The client secret comes on standard input.
    let arguments = ["--listen", &port_text, "--client-secret-stdin"];
    let install = Install::start_with(&slack, &arguments, &[], Some(CLIENT_SECRET)).await;
    let code = slack.code(Place::Organisation(tenant), REDIRECT_URL);
    assert_eq!(browse(port, "/favicon.ico").await, "404");
    assert_eq!(browse(port, &format!("/slack/install?code={code}&state=x")).await, "400");
    assert_eq!(slack.calls(), 0);
    let target = format!("/slack/install?code={code}&state={}", install.state);
    assert_eq!(browse(port, &target).await, "200");
    let ended = install.end().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.shown.contains(&format!("-c moreWorkspaces={tenant}=arn:")), "{ended:?}");
    assert!(!ended.shown.contains("rotatingTokens"), "{ended:?}");
    let token = BotToken::read(&text_of(&format!("slack-ingress/bot-token/{tenant}")).await).unwrap();
    assert_eq!((token.kind(), token.tenant.as_deref()), (TokenKind::Plain, Some(tenant)));

    // The same again: the secret gets the new token.
    let mut install = Install::start(&slack, &[]).await;
    let (code, state) = (slack.code(Place::Organisation(tenant), REDIRECT_URL), install.state.clone());
    install.paste(&code, &state).await;
    assert_eq!(install.end().await.code, 0);
    let again = BotToken::read(&text_of(&format!("slack-ingress/bot-token/{tenant}")).await).unwrap();
    assert_ne!(again.token, token.token);
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn a_secret_with_another_tenants_token_is_never_written() {
    let slack = OAuth::start().await;
    let (other, _) = slack.install(Place::Workspace("T0OTHER"));
    let plain = |token: &str| json!({ "token": token }).to_string();
    let of_stack = |tenant: &str| format!("slack-ingress: the Slack app's bot token in {tenant}, as …");
    for (description, text, is_written) in [
        (of_stack("T0OTHER"), plain("madeUp"), false),
        (of_stack("T061EG9R6"), plain("madeUp"), true),
        // Slack says whose a token is that says nothing of itself.
        (String::new(), plain(&other), false),
        (String::new(), json!({ "token": "xoxb-revoked", "tenant": "T0OTHER" }).to_string(), false),
        (String::new(), json!({ "token": "xoxb-revoked", "tenant": "T061EG9R6" }).to_string(), true),
    ] {
        let secret = fresh_name("bot-token");
        let create = secrets().create_secret().name(&secret).description(&description).secret_string(&text);
        create.send().await.unwrap();
        let mut install = Install::start(&slack, &["--secret-id", &secret]).await;
        let (code, state) = (slack.code(Place::Workspace("T061EG9R6"), REDIRECT_URL), install.state.clone());
        install.paste(&code, &state).await;
        let ended = install.end().await;
        assert_eq!(ended.code == 0, is_written, "{description} {text}: {ended:?}");
        assert_eq!(text_of(&secret).await != text, is_written, "{description} {text}");
        if !is_written {
            assert!(ended.shown.contains("the secret is for T0OTHER"), "{ended:?}");
        }
    }
}

/// Runs it with a secret of this description and text, and returns what it says before anybody has gone to Slack.
async fn refused_before_slack(slack: &OAuth, description: &str, text: &str, more: &[&str]) -> String {
    let secret = fresh_name("bot-token");
    let create = secrets().create_secret().name(&secret).description(description).secret_string(text);
    create.send().await.unwrap();
    refused_with(slack, &[&["--secret-id", &secret], more].concat(), &server("MINISTACK_URL")).await
}

async fn refused_with(slack: &OAuth, more: &[&str], secrets_manager: &str) -> String {
    let arguments = [&["install", "--client-id", CLIENT_ID], more].concat();
    let slack = slack.url();
    let variables = [
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets_manager),
        ("SLACK_CLIENT_SECRET", "x"),
        ("SLACK_API_URL", &slack),
    ];
    let output = slack_dev_with(&arguments, &variables).await;
    assert!(output.code == 2 && !output.stdout.contains("authorize"), "{output:?}");
    assert!(!output.stderr.contains("xoxb-"), "{output:?}");
    output.stderr
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
async fn what_can_be_known_before_is_said_before_anybody_goes_to_slack() {
    let slack = OAuth::start().await;
    let missing = refused_with(&slack, &["--secret-id", "no-such-secret"], &server("MINISTACK_URL")).await;
    assert!(missing.contains("ResourceNotFound"), "{missing}");
    // What is no bot token is not written over: a signing secret, the app's credentials, a value of somebody's own.
    for text in [
        "8f742231b10e8888abcd99yyyzzz85a5",
        r#"{"client_id": "1", "client_secret": "2"}"#,
        r#"{"token": "mine"}"#,
    ] {
        for more in [&[][..], &["--replace"]] {
            let said = refused_before_slack(&slack, "mine", text, more).await;
            assert!(said.contains("no bot token"), "{said}");
        }
    }
    // Nobody knows whose a token was that Slack does not take any more.
    let expired = r#"{"token": "xoxb-expired"}"#;
    let said = refused_before_slack(&slack, "", expired, &[]).await;
    assert!(said.contains("--replace"), "{said}");
    let of_other = r#"{"token": "xoxb-1", "tenant": "T0OTHER"}"#;
    let said = refused_before_slack(&slack, "", of_other, &["--team", "T061EG9R6"]).await;
    assert!(said.contains("the secret is for T0OTHER"), "{said}");
    // Without a secret of that name it is at least known that Secrets Manager answers.
    let said = refused_with(&slack, &[], "http://127.0.0.1:9").await;
    assert!(said.contains("Secrets Manager"), "{said}");
    assert_eq!(slack.calls(), 0);

    let secret = fresh_name("bot-token");
    secrets().create_secret().name(&secret).secret_string(expired).send().await.unwrap();
    let mut install = Install::start(&slack, &["--secret-id", &secret, "--replace"]).await;
    let (code, state) = (slack.code(Place::Workspace("T061EG9R6"), REDIRECT_URL), install.state.clone());
    install.paste(&code, &state).await;
    assert_eq!(install.end().await.code, 0);
    assert_ne!(text_of(&secret).await, expired);
}

#[tokio::test]
#[ignore = "needs servers: make test-dev"]
#[cfg(unix)]
async fn a_token_that_cannot_be_put_is_in_a_file_and_one_of_another_team_is_not_kept() {
    use std::os::unix::fs::PermissionsExt;
    let slack = OAuth::start().await;
    let proxy = Proxy::start(&server("MINISTACK_URL")).await;
    let url = proxy.url();
    let secret = fresh_name("bot-token");
    let before = json!({ "token": "xoxb-before", "tenant": "T061EG9R6" }).to_string();
    secrets().create_secret().name(&secret).secret_string(before).send().await.unwrap();
    for (arguments, operation) in [(vec!["--secret-id", &secret], "PutSecretValue"), (vec![], "CreateSecret")]
    {
        proxy.always(operation, Fault::Refuse(400, "AccessDeniedException"));
        let variables =
            [("SLACK_CLIENT_SECRET", CLIENT_SECRET), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.as_str())];
        let mut install = Install::start_with(&slack, &arguments, &variables, None).await;
        let (code, state) = (slack.code(Place::Workspace("T061EG9R6"), REDIRECT_URL), install.state.clone());
        install.paste(&code, &state).await;
        let ended = install.end().await;
        assert!(ended.code == 2 && ended.shown.contains("AccessDenied"), "{ended:?}");
        let file = ended.shown.split("The token is in ").nth(1).unwrap().split(',').next().unwrap();
        let token = BotToken::read(&std::fs::read_to_string(file).unwrap()).unwrap();
        let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        std::fs::remove_file(file).unwrap();
        assert!(slack.is_good(&token.token) && token.refresh_token.is_some());
        assert_eq!((mode, token.tenant.as_deref()), (0o600, Some("T061EG9R6")));
        assert!(ended.shown.contains(&format!("--secret-string file://{file}")), "{ended:?}");
    }

    let file = fresh_file("other.json");
    let arguments = ["--to-file", file.to_str().unwrap(), "--team", "T061EG9R6"];
    let mut install = Install::start(&slack, &arguments).await;
    let (code, state) = (slack.code(Place::Workspace("T0OTHER"), REDIRECT_URL), install.state.clone());
    install.paste(&code, &state).await;
    let ended = install.end().await;
    assert!(
        ended.code == 2 && ended.shown.contains("installed in T0OTHER, and not in T061EG9R6"),
        "{ended:?}"
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn scopes_of_files_and_of_a_command_are_asked_for_and_what_was_not_granted_is_said() {
    let slack = OAuth::start().await;
    let file = fresh_file("scopes.json");
    let arguments = ["--to-file", file.to_str().unwrap(), "--files", "--command"];
    let mut install = Install::start(&slack, &arguments).await;
    assert!(
        install.shown.contains("reactions%3Awrite%2Cusers%3Aread%2Cfiles%3Aread%2Ccommands&"),
        "{}",
        install.shown
    );
    let (code, state) = (slack.code(Place::Workspace("T1"), REDIRECT_URL), install.state.clone());
    install.paste(&code, &state).await;
    let ended = install.end().await;
    // The stand-in grants chat:write and im:history.
    let line = ended.shown.lines().find(|it| it.starts_with("Not granted")).expect("the line");
    assert!(line.contains("reactions:write, users:read, files:read, commands."), "{line}");
    assert!(!line.contains(" chat:write") && !line.contains(" im:history"), "{line}");
}

#[tokio::test]
async fn what_slack_refuses_is_said_with_what_to_do() {
    let slack = OAuth::start().await;
    let file = fresh_file("none.json");
    let arguments = ["--to-file", file.to_str().unwrap()];
    let wrong = [("SLACK_CLIENT_SECRET", "another")];
    let mut install = Install::start_with(&slack, &arguments, &wrong, None).await;
    let (code, state) = (slack.code(Place::Workspace("T1"), REDIRECT_URL), install.state.clone());
    install.paste(&code, &state).await;
    let ended = install.end().await;
    assert!(ended.code == 2 && ended.shown.contains("bad_client_secret"), "{ended:?}");

    let mut install = Install::start(&slack, &arguments).await;
    let state = install.state.clone();
    install
        .stdin
        .write_all(format!("{REDIRECT_URL}?error=access_denied&state={state}\n").as_bytes())
        .await
        .unwrap();
    let ended = install.end().await;
    assert!(ended.code == 2 && ended.shown.contains("access_denied"), "{ended:?}");
    assert!(!file.exists());

    for (arguments, variables, problem) in [
        (vec!["install"], vec![("SLACK_CLIENT_SECRET", "x")], "--client-id"),
        (vec!["install", "--client-id", "1"], vec![], "SLACK_CLIENT_SECRET"),
        (vec!["install", "--redirect-url", "http://localhost:1/"], vec![], "only https://"),
    ] {
        let output = slack_dev_with(&arguments, &variables).await;
        assert!(output.code == 2 && output.stderr.contains(problem), "{problem}: {output:?}");
    }
}
