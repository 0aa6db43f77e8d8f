//! The files in `tests/fixtures`: whole bodies as Slack sends them. `events/*.json` are events; `forms/*.txt` are forms,
//! each with the JSON of its payload beside it.

use std::path::PathBuf;

/// The folder of the fixtures of this kind: `events` or `forms`.
#[must_use]
pub fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(kind)
}

/// The content of a fixture, such as `read("events", "app_mention.json")`.
///
/// # Panics
/// If there is no such file; the message names it.
#[must_use]
pub fn read(kind: &str, file: &str) -> String {
    std::fs::read_to_string(folder(kind).join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The fixtures of this kind whose names end in `.<extension>`, sorted.
///
/// # Panics
/// If there is no such folder.
#[must_use]
pub fn files(kind: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(kind)).expect("the fixtures");
    let mut files: Vec<_> = entries.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    files
}
