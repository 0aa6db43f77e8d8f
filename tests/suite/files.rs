//! The files of a question, as `agent-settle` reads them: over HTTP, with stand-ins for the Gateway and for Slack, and with a
//! token from Secrets Manager.

use slack_ingress::gateway::agent_core::AgentCoreGateway;
use slack_ingress::gateway::installations::Installations;
use slack_ingress::gateway::slack_files::{MAX_BYTES, SlackFiles};
use slack_ingress::gateway::{FileOutcome, Retry, SlackTools};
use slack_ingress::slack::question::File;
use slack_ingress::slack::token_secrets::TokenSecrets;
use slack_ingress::time::clock::{Clock, Moment, SystemClock};
use std::time::Duration;
use test_support::aws::sdk_config;
use test_support::gateway::{Gateway, SETTLE_TOOLS, TARGET};
use test_support::servers::{fresh_name, server};
use test_support::slack::api::{Fault, SlackApi, TOKEN};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more, \0 included";

struct Scene {
    slack: SlackApi,
    /// Without it the Gateway would stop.
    gateway: Gateway,
    secrets: aws_sdk_secretsmanager::Client,
}

impl Scene {
    async fn start() -> Self {
        let slack = SlackApi::start().await;
        let gateway = Gateway::start(&slack, &SETTLE_TOOLS).await;
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk_config(&server("MINISTACK_URL")));
        Self { slack, gateway, secrets }
    }

    async fn secret(&self, value: &str) -> String {
        let created =
            self.secrets.create_secret().name(fresh_name("bot-token")).secret_string(value).send().await;
        created.expect("the secret is created").arn.expect("its ARN")
    }

    async fn put(&self, secret: &str, value: &str) {
        let put = self.secrets.put_secret_value().secret_id(secret).secret_string(value).send().await;
        put.expect("it is put");
    }

    fn tools(&self, installations: Installations, secrets: Option<TokenSecrets>) -> AgentCoreGateway {
        let files =
            secrets.map(|secrets| SlackFiles::new(self.secrets.clone(), secrets, &self.slack.files_url()));
        AgentCoreGateway::new(
            &sdk_config("http://127.0.0.1:1"),
            &self.gateway.url(),
            installations,
            &self.slack.hooks_url(),
        )
        .expect("a region and credentials")
        .with_files(files)
    }

    /// The tools of an app that is installed once, with its token in a secret as the stack makes it.
    async fn single(&self) -> AgentCoreGateway {
        let secret = self.secret(&format!(r#"{{"token": "{TOKEN}"}}"#)).await;
        self.tools(Installations::One(TARGET.to_owned()), Some(TokenSecrets::One(secret)))
    }

    fn upload(&self, content: &[u8]) -> File {
        File::read(&self.slack.upload("F1", "a.png", "image/png", content)).expect("a file")
    }
}

fn until() -> Moment {
    SystemClock.moment().after(Duration::from_secs(60))
}

async fn read(tools: &AgentCoreGateway, tenant: Option<&str>, file: &File) -> FileOutcome {
    tools.read_file(tenant, file, until()).await
}

fn content(content: &[u8]) -> FileOutcome {
    let (name, mimetype) = (Some("a.png".to_owned()), Some("image/png".to_owned()));
    FileOutcome::Read { name, mimetype, content: content.to_owned() }
}

fn unreadable(reason: &str, retry: Retry) -> FileOutcome {
    FileOutcome::Unreadable { reason: reason.to_owned(), retry }
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_file_is_read_byte_by_byte_with_the_token_of_the_secret() {
    let scene = Scene::start().await;
    let tools = scene.single().await;
    let file = scene.upload(PNG);
    assert_eq!(read(&tools, Some("T1"), &file).await, content(PNG));
    let [asked] = scene.slack.file_requests().try_into().expect("one request");
    assert_eq!(asked.authorization, format!("Bearer {TOKEN}"));
    assert_eq!(asked.path, "/files-pri/T0-F1/download/a.png");
    assert_eq!(scene.slack.calls("files.info"), [], "all was known");
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn what_is_not_known_of_a_file_of_slack_connect_is_asked_for_by_the_gateway() {
    let scene = Scene::start().await;
    let tools = scene.single().await;
    scene.upload(PNG);
    let id_alone = |id: &str| File { id: id.to_owned(), name: None, mimetype: None, size: None, url: None };
    assert_eq!(read(&tools, None, &id_alone("F1")).await, content(PNG));
    assert_eq!(scene.gateway.calls("read_file_info").len(), 1);
    let gone = unreadable("slack_file_not_found", Retry::AfterChange);
    assert_eq!(read(&tools, None, &id_alone("F2")).await, gone);
    scene.slack.take_files_scope();
    let refused = unreadable("slack_missing_scope", Retry::AfterChange);
    assert_eq!(read(&tools, None, &id_alone("F1")).await, refused);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn the_page_of_the_login_is_an_error_and_a_token_that_was_put_since_is_found() {
    let scene = Scene::start().await;
    let secret = scene.secret(r#"{"token": "xoxb-old"}"#).await;
    let one = Installations::One(TARGET.to_owned());
    let tools = scene.tools(one, Some(TokenSecrets::One(secret.clone())));
    let file = scene.upload(PNG);
    let login = unreadable("slack_login_page", Retry::AfterChange);
    assert_eq!(read(&tools, None, &file).await, login);
    assert_eq!(scene.slack.file_requests().len(), 1, "the token was read just now");
    scene.put(&secret, &format!(r#"{{"token": "{TOKEN}"}}"#)).await;
    assert_eq!(read(&tools, None, &file).await, content(PNG));
    scene.slack.take_files_scope();
    assert_eq!(read(&tools, None, &file).await, login);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn no_redirect_is_followed_with_the_token_and_no_other_host_gets_it() {
    let (scene, other) = (Scene::start().await, SlackApi::start().await);
    let tools = scene.single().await;
    let file = scene.upload(PNG);
    let elsewhere = File::read(&other.upload("F1", "a.png", "image/png", PNG)).expect("a file");
    scene.slack.redirect_files_to(elsewhere.url.as_deref().expect("its URL"));
    assert_eq!(read(&tools, None, &file).await, unreadable("slack_redirect", Retry::AfterChange));
    assert_eq!(read(&tools, None, &elsewhere).await, unreadable("not_at_slack", Retry::Never));
    assert_eq!(other.file_requests(), []);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn a_file_that_is_too_large_is_not_read_whatever_slack_says_of_its_size() {
    let scene = Scene::start().await;
    let tools = scene.single().await;
    let too_large = unreadable("too_large", Retry::Never);
    let file = scene.upload(&vec![7; MAX_BYTES + 1]);
    assert_eq!(read(&tools, None, &file).await, too_large);
    assert_eq!(scene.slack.file_requests(), [], "its size is known");
    assert_eq!(read(&tools, None, &File { size: None, ..file.clone() }).await, too_large);
    assert_eq!(read(&tools, None, &File { size: Some(7), ..file }).await, too_large);
    let largest = vec![7; MAX_BYTES];
    let file = File::read(&scene.slack.upload("F2", "a.png", "image/png", &largest)).expect("a file");
    assert!(read(&tools, None, &file).await == content(&largest));
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn the_file_of_one_tenant_is_never_read_with_the_token_of_another() {
    let scene = Scene::start().await;
    let file = scene.upload(PNG);
    let two = || Installations::parse(r#"{"T1": "slack", "T2": "slack-t2"}"#).expect("installations");
    let (first, second) = (scene.secret(TOKEN).await, scene.secret("xoxb-second").await);
    let separate = [("T1".to_owned(), first.clone()), ("T2".to_owned(), second)].into();
    let tools = scene.tools(two(), Some(TokenSecrets::Named(separate)));
    assert_eq!(read(&tools, Some("T1"), &file).await, content(PNG));
    assert_eq!(read(&tools, Some("T2"), &file).await, unreadable("slack_login_page", Retry::AfterChange));
    let asked: Vec<_> = scene.slack.file_requests().into_iter().map(|it| it.authorization).collect();
    assert_eq!(asked, [format!("Bearer {TOKEN}"), "Bearer xoxb-second".to_owned()]);

    let no_token = unreadable("no_token_for_tenant", Retry::AfterChange);
    // A token that does not say whose it is, and tenants that nothing is done for.
    let shared = scene.tools(two(), Some(TokenSecrets::One(first)));
    for (tools, tenant) in
        [(&shared, Some("T1")), (&shared, Some("T2")), (&tools, Some("T3")), (&tools, None)]
    {
        assert_eq!(read(tools, tenant, &file).await, no_token, "{tenant:?}");
    }
    let both = scene.secret(&format!(r#"{{"T1": "{TOKEN}", "T2": "xoxb-second"}}"#)).await;
    let both = scene.tools(two(), Some(TokenSecrets::One(both)));
    assert_eq!(read(&both, Some("T1"), &file).await, content(PNG));
    assert_eq!(scene.slack.file_requests().len(), 3);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn without_a_token_nothing_is_asked_of_slack() {
    let scene = Scene::start().await;
    let file = scene.upload(PNG);
    let one = || Installations::One(TARGET.to_owned());
    let off = scene.tools(one(), None);
    assert_eq!(read(&off, None, &file).await, unreadable("files_are_off", Retry::AfterChange));
    let random = scene.secret(r#"{"token": "Ab3dEf6hIj"}"#).await;
    for secret in [random, "there-is-none".to_owned()] {
        let tools = scene.tools(one(), Some(TokenSecrets::One(secret)));
        assert_eq!(read(&tools, None, &file).await, unreadable("no_bot_token", Retry::AfterChange));
    }
    assert_eq!(scene.slack.file_requests(), []);
}

#[tokio::test]
#[ignore = "needs MiniStack: make test"]
async fn what_may_go_better_later_says_so() {
    let scene = Scene::start().await;
    let tools = scene.single().await;
    let file = scene.upload(PNG);
    for (fault, reason, retry) in [
        (Fault::Status(429), "files_429", Retry::Later),
        (Fault::Status(503), "files_503", Retry::Later),
        (Fault::Break, "connection_lost", Retry::Later),
        (Fault::Status(404), "files_404", Retry::AfterChange),
    ] {
        scene.slack.fail_next("files", fault);
        assert_eq!(read(&tools, None, &file).await, unreadable(reason, retry));
    }
    assert_eq!(read(&tools, None, &file).await, content(PNG));
}
