//! The files that came with a message: what Slack says of them, within bounds.
//!
//! Slack sends them in the field `files` of a message (`subtype: file_share`) and of a mention ([the file
//! object](https://docs.slack.dev/reference/objects/file-object/)). Of a file from a workspace of Slack Connect there may be only
//! an id, with `file_access: check_file_info`: what else there is of it is asked for when it is read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many files of a question can be read. They are kept in the work record, which must stay small; Slack's own limit on the
/// files of a message is of this order.
pub const MAX_FILES: usize = 10;

/// The longest id. Slack's have 11 characters.
const MAX_ID: usize = 40;
/// The longest name, in characters; a longer one is cut.
const MAX_NAME: usize = 150;
/// The longest media type.
const MAX_MIMETYPE: usize = 100;
/// The longest URL. Of a file with a longer one the URL is asked for when the file is read.
const MAX_URL: usize = 1000;

/// The modes of what is no file any more: it was deleted, or a free plan hides it.
const NO_FILE: [&str; 2] = ["tombstone", "hidden_by_limit"];

/// A file that came with a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct File {
    /// Slack's id of it.
    pub id: String,
    /// What it is called; absent if Slack has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its media type, such as `application/pdf`; absent if Slack has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mimetype: Option<String>,
    /// How many bytes it has; absent if Slack has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where its content is; absent if Slack has not said. It is never shown to the agent, which has no use for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl File {
    /// Reads Slack's file object; `None` if it has no id.
    pub fn read(file: &Value) -> Option<Self> {
        let text = |name: &str| file[name].as_str().filter(|text| !text.is_empty());
        let is_id = |id: &&str| id.len() <= MAX_ID && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // For a PDF, `url_private` has been seen to redirect to another host, where the token must not go.
        let url = text("url_private_download").or_else(|| text("url_private"));
        Some(Self {
            id: text("id").filter(is_id)?.to_owned(),
            name: text("name").or_else(|| text("title")).map(|name| name.chars().take(MAX_NAME).collect()),
            mimetype: text("mimetype").filter(|mimetype| mimetype.len() <= MAX_MIMETYPE).map(str::to_owned),
            size: file["size"].as_u64(),
            url: url.filter(|url| url.len() <= MAX_URL).map(str::to_owned),
        })
    }
}

/// The files of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Those that can be read, in Slack's order, at most [`MAX_FILES`].
    pub listed: Vec<File>,
    /// How many more there were.
    pub left_out: usize,
}

impl Files {
    /// The files of a message.
    pub(super) fn of(message: &Value) -> Self {
        let mut files = Self::default();
        for file in in_message(message).filter_map(File::read) {
            if files.listed.iter().any(|listed| listed.id == file.id) {
                continue;
            }
            if files.listed.len() < MAX_FILES {
                files.listed.push(file);
            } else {
                files.left_out += 1;
            }
        }
        files
    }
}

/// What Slack lists as the files of a message, without what is no file any more.
pub(super) fn in_message(message: &Value) -> impl Iterator<Item = &Value> {
    let files = message["files"].as_array().into_iter().flatten();
    files.filter(|file| file["mode"].as_str().is_none_or(|mode| !NO_FILE.contains(&mode)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_each_file_is_kept_what_is_needed_to_read_it() {
        let hosted = json!({
            "id": "F04EEHX1EES", "name": "notes.txt", "title": "Notes", "mimetype": "text/plain", "filetype": "text",
            "mode": "snippet", "size": 12, "url_private": "https://files.slack.com/files-pri/T0-F04EEHX1EES/notes.txt",
            "url_private_download": "https://files.slack.com/files-pri/T0-F04EEHX1EES/download/notes.txt",
            "permalink_public": "https://slack-files.com/T0-F04EEHX1EES-0ce8936320", "preview": "hug a kitten"
        });
        let read = File {
            id: "F04EEHX1EES".to_owned(),
            name: Some("notes.txt".to_owned()),
            mimetype: Some("text/plain".to_owned()),
            size: Some(12),
            url: Some("https://files.slack.com/files-pri/T0-F04EEHX1EES/download/notes.txt".to_owned()),
        };
        assert_eq!(File::read(&hosted).unwrap(), read);
        let mut without_download = hosted;
        without_download["url_private_download"] = json!(null);
        let url = File::read(&without_download).unwrap().url.unwrap();
        assert_eq!(url, "https://files.slack.com/files-pri/T0-F04EEHX1EES/notes.txt");
    }

    #[test]
    fn of_a_file_of_slack_connect_there_is_an_id_alone() {
        let file = json!({
            "id": "F12345678", "mode": "file_access", "file_access": "check_file_info", "created": 0, "timestamp": 0,
            "user": ""
        });
        let id = "F12345678".to_owned();
        let expected = File { id, name: None, mimetype: None, size: None, url: None };
        assert_eq!(File::read(&file), Some(expected.clone()));
        assert_eq!(serde_json::to_string(&expected).unwrap(), r#"{"id":"F12345678"}"#);
    }

    #[test]
    fn what_is_gone_or_has_no_id_or_came_twice_is_no_file() {
        let message = json!({ "files": [
            { "id": "F1", "mode": "tombstone" }, { "id": "F2", "mode": "hidden_by_limit" }, { "name": "x" }, 7,
            { "id": "F3#1" }, { "id": "" }, { "id": "F4", "mode": "hosted" }, { "id": "F4" },
        ]});
        let files = Files::of(&message);
        assert_eq!(files.listed.iter().map(|file| &*file.id).collect::<Vec<_>>(), ["F4"]);
        assert_eq!(files.left_out, 0);
        assert_eq!(Files::of(&json!({ "files": "F1" })), Files::default());
    }

    /// A work record has at most 150 KB, of which the text of an answer may have 100.
    #[test]
    fn the_list_is_bounded_in_number_and_in_bytes() {
        let file = |n: usize| {
            json!({
                "id": format!("F{n:0>39}"), "name": "\u{1f642}".repeat(1000), "mimetype": "a".repeat(100), "size": u64::MAX,
                "url_private_download": "\"".repeat(1000)
            })
        };
        let files = Files::of(&json!({ "files": (0..25).map(file).collect::<Vec<_>>() }));
        assert_eq!((files.listed.len(), files.left_out), (MAX_FILES, 15));
        let kept = serde_json::to_string(&files.listed).unwrap();
        assert!(kept.len() < 30_000, "{}", kept.len());
        let long = json!({ "id": "F1", "mimetype": "a".repeat(101), "url_private": "u".repeat(1001) });
        let read = File::read(&long).unwrap();
        assert_eq!((read.mimetype, read.url), (None, None));
    }
}
