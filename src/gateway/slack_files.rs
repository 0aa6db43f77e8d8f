//! The download of a file from Slack, by the bot token, and what Slack's answers mean.
//!
//! The token goes to Slack's host for files and nowhere else: a URL of another host is not called, and no redirect is followed.
//! Where the token is not good, or lacks the scope `files:read`, Slack answers with the page of its login: as a redirect to it,
//! or with status 200 and HTML in the place of the file.

use aws_sdk_secretsmanager::Client;

use super::installations::Installations;
use super::{FileOutcome, Retry};
use crate::aws::download::{Download, Downloads, NotDownloaded};
use crate::slack::question::File;
use crate::slack::token_secrets::{
    BotTokens, Installation, NO_TOKEN_FOR_TENANT, NoToken, TokenSecrets, TokenText,
};
use crate::time::clock::Moment;

/// Slack's host for files.
pub const SLACK_FILES: &str = "https://files.slack.com";

/// The largest file that is read. A Lambda answer has at most 6 MB (6,291,456 bytes), and base64 makes 5,000,000 bytes of this.
/// It is also the limit on an image for a model of Amazon Bedrock.
pub const MAX_BYTES: usize = 3_750_000;

/// Slack's files.
#[derive(Debug)]
pub struct SlackFiles {
    downloads: Downloads,
    tokens: BotTokens,
    base: String,
}

impl SlackFiles {
    /// Files that are downloaded with the tokens in these secrets. `base` is [`SLACK_FILES`], but for tests.
    pub fn new(client: Client, secrets: TokenSecrets, base: &str) -> Self {
        let downloads = Downloads::new(super::agent_core::TIME_LIMITS.connect);
        let base = base.trim_end_matches('/').to_owned();
        Self { downloads, tokens: BotTokens::new(client, secrets), base }
    }

    /// Downloads a file whose URL is known.
    pub(super) async fn read(
        &self,
        file: &File,
        tenant: Option<&str>,
        installations: &Installations,
        until: Moment,
    ) -> FileOutcome {
        let Some(url) = &file.url else { return unreadable("no_url", Retry::Never) };
        if !is_at(&self.base, url) {
            return unreadable("not_at_slack", Retry::Never);
        }
        if installations.target(tenant).is_none() {
            return unreadable(NO_TOKEN_FOR_TENANT, Retry::AfterChange);
        }
        let installation = Installation::of_tenant(tenant, installations.targets().count() == 1);
        let (token, was_known) = match self.tokens.of(&installation).await {
            Ok(found) => found,
            Err(NoToken { reason, is_temporary }) => {
                return unreadable(reason, if is_temporary { Retry::Later } else { Retry::AfterChange });
            }
        };
        let outcome = self.get(file, url, &token, until).await;
        let is_refused =
            matches!(&outcome, FileOutcome::Unreadable { reason, .. } if REFUSED.contains(&reason.as_str()));
        if !(is_refused && was_known) {
            return outcome;
        }
        // Somebody may have put another token since it was read.
        self.tokens.forget();
        match self.tokens.of(&installation).await {
            Ok((new, _)) if new != token => self.get(file, url, &new, until).await,
            _ => outcome,
        }
    }

    async fn get(&self, file: &File, url: &str, token: &TokenText, until: Moment) -> FileOutcome {
        meaning(file, self.downloads.get(url, token.authorization(), MAX_BYTES, until).await)
    }
}

/// The reasons by which Slack says that the token is not good, or lacks the scope.
const REFUSED: [&str; 4] = ["slack_login_page", "slack_redirect", "files_401", "files_403"];

/// Whether a URL is of this host.
fn is_at(base: &str, url: &str) -> bool {
    url.strip_prefix(base).is_some_and(|path| path.starts_with('/'))
}

pub(super) fn unreadable(reason: &str, retry: Retry) -> FileOutcome {
    FileOutcome::Unreadable { reason: reason.to_owned(), retry }
}

/// What an answer means.
fn meaning(file: &File, downloaded: Result<Download, NotDownloaded>) -> FileOutcome {
    let Download { status, content_type, content } = match downloaded {
        Ok(answer) => answer,
        Err(NotDownloaded::CannotBeMade) => return unreadable("no_url", Retry::Never),
        Err(NotDownloaded::TooLarge) => return unreadable("too_large", Retry::Never),
        Err(NotDownloaded::Failed(code)) => return unreadable(code, Retry::Later),
    };
    match status {
        200 if is_login_page(file, content_type.as_deref(), &content) => {
            unreadable("slack_login_page", Retry::AfterChange)
        }
        200 => {
            let (name, mimetype) = (file.name.clone(), file.mimetype.clone());
            FileOutcome::Read { name, mimetype, content }
        }
        300..=399 => unreadable("slack_redirect", Retry::AfterChange),
        408 | 429 | 500.. => unreadable(&format!("files_{status}"), Retry::Later),
        _ => unreadable(&format!("files_{status}"), Retry::AfterChange),
    }
}

/// The media type of a canvas, and how one begins: Slack gives it as a piece of HTML, of another size than it has told before. No page
/// of Slack's login begins so.
const CANVAS: (&str, &[u8]) = ("application/vnd.slack-docs", b"<div class=\"quip-canvas-content\"");

/// Whether HTML came that is not the file. An HTML file is known by its size, of which Slack has told before, and a canvas by its
/// beginning.
fn is_login_page(file: &File, content_type: Option<&str>, content: &[u8]) -> bool {
    let begins_with = |mark: &[u8]| {
        let begin = content.trim_ascii_start();
        begin.get(..mark.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(mark))
    };
    let is_html = content_type.is_some_and(|content_type| content_type.starts_with("text/html"))
        || begins_with(b"<!doctype html")
        || begins_with(b"<html");
    let is_text = file.mimetype.as_deref().is_some_and(|mimetype| mimetype.starts_with("text/"));
    let has_its_size = file.size.is_some_and(|size| usize::try_from(size) == Ok(content.len()));
    let is_canvas = file.mimetype.as_deref() == Some(CANVAS.0) && begins_with(CANVAS.1);
    is_html && !(is_text && has_its_size) && !is_canvas
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &[u8] = b"\n<!DOCTYPE html><html><title>Login</title></html>";

    fn file(mimetype: Option<&str>, size: Option<usize>) -> File {
        File {
            id: "F1".to_owned(),
            name: Some("a".to_owned()),
            mimetype: mimetype.map(str::to_owned),
            size: size.map(|size| u64::try_from(size).unwrap()),
            url: None,
        }
    }

    fn answered(file: &File, status: u16, content_type: Option<&str>, content: &[u8]) -> FileOutcome {
        let content_type = content_type.map(str::to_owned);
        meaning(file, Ok(Download { status, content_type, content: content.to_owned() }))
    }

    #[test]
    fn the_page_of_slacks_login_is_never_the_file() {
        let login = unreadable("slack_login_page", Retry::AfterChange);
        for mimetype in
            [Some("image/png"), Some("application/pdf"), Some("text/plain"), Some("text/html"), None]
        {
            for content_type in [Some("text/html; charset=utf-8"), None] {
                let answer = answered(&file(mimetype, Some(7)), 200, content_type, PAGE);
                assert_eq!(answer, login, "{mimetype:?}, {content_type:?}");
            }
            let unknown_size = answered(&file(mimetype, None), 200, Some("text/html"), PAGE);
            assert_eq!(unknown_size, login, "{mimetype:?}");
        }
        // No image is HTML, whatever its size.
        assert_eq!(answered(&file(Some("image/png"), Some(PAGE.len())), 200, None, PAGE), login);
    }

    #[test]
    fn a_canvas_comes_as_html_and_is_no_page_of_the_login() {
        let canvas = b"<div class=\"quip-canvas-content\"><h1>Plan</h1></div>";
        let is = |mimetype, content: &[u8]| {
            matches!(
                answered(&file(Some(mimetype), Some(7)), 200, Some("text/html"), content),
                FileOutcome::Read { .. }
            )
        };
        assert!(is(CANVAS.0, canvas));
        assert!(!is(CANVAS.0, PAGE), "the login of a token that may not read it");
        assert!(!is("image/png", canvas));
    }

    #[test]
    fn a_file_is_what_it_is_also_if_it_is_html() {
        let html = file(Some("text/html"), Some(PAGE.len()));
        let FileOutcome::Read { content, mimetype, .. } = answered(&html, 200, Some("text/html"), PAGE)
        else {
            panic!()
        };
        assert_eq!((content.as_slice(), mimetype.as_deref()), (PAGE, Some("text/html")));
        for content in [&b"%PDF-1.7"[..], b"", b"<htm"] {
            let answer = answered(&file(None, None), 200, None, content);
            assert!(matches!(answer, FileOutcome::Read { content: read, .. } if read == content));
        }
    }

    #[test]
    fn every_other_answer_has_no_content_and_says_whether_to_ask_again() {
        for (status, reason, retry) in [
            (302, "slack_redirect", Retry::AfterChange),
            (303, "slack_redirect", Retry::AfterChange),
            (403, "files_403", Retry::AfterChange),
            (404, "files_404", Retry::AfterChange),
            (429, "files_429", Retry::Later),
            (503, "files_503", Retry::Later),
        ] {
            let answer = answered(&file(Some("image/png"), None), status, None, b"");
            assert_eq!(answer, unreadable(reason, retry), "{status}");
        }
        for (error, reason, retry) in [
            (NotDownloaded::TooLarge, "too_large", Retry::Never),
            (NotDownloaded::CannotBeMade, "no_url", Retry::Never),
            (NotDownloaded::Failed("timed_out"), "timed_out", Retry::Later),
        ] {
            assert_eq!(meaning(&file(None, None), Err(error)), unreadable(reason, retry));
        }
    }

    #[test]
    fn a_token_is_sent_to_slacks_host_for_files_alone() {
        assert!(is_at(SLACK_FILES, "https://files.slack.com/files-pri/T1-F1/download/a.pdf"));
        for other in [
            "https://files.slack.com",
            "https://files.slack.com.example.com/a",
            "https://files.slack.com@example.com/a",
            "https://files.slack.com:444/a",
            "https://files.slack.com\\@example.com/a",
            "http://files.slack.com/a",
            "https://slack-files.com/T1-F1-0ce8936320",
            "https://docs.google.com/document/d/1",
            "",
        ] {
            assert!(!is_at(SLACK_FILES, other), "{other}");
        }
    }

    #[test]
    fn the_largest_file_fits_into_an_answer_of_lambda() {
        let content = "A".repeat(MAX_BYTES.div_ceil(3) * 4);
        assert!(content.len() + 10_000 < 6 * 1024 * 1024);
    }
}
