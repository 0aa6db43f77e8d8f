//! What stands in a signing secret: one app's secret, or the secrets of several apps; and which of two versions count.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;

use crate::slack::apps::Apps;
use crate::slack::signature::SigningSecret;

/// The text of a signing secret, read.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretText {
    /// The signing secrets of one app. There are several during a rotation. None of them is empty.
    Plain(Vec<String>),
    /// From app id to signing secret, such as `{"A0F7YS25R":"8f742231b10e8888abcd99yyyzzz85a5"}`. None of them is empty.
    ByApp(BTreeMap<String, String>),
}

/// Why a text has no signing secret in it. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretTextError {
    /// The text is empty, or names no app, or the secret of an app is empty.
    Empty,
    /// The text begins like a JSON object, and is none from app ids to signing secrets.
    Malformed,
}

impl SecretText {
    /// Reads a text that is one signing secret, or a JSON object from app id to signing secret.
    ///
    /// # Errors
    /// When there is no signing secret in the text, or an empty one, which anybody could guess.
    pub fn parse(text: &str) -> Result<Self, SecretTextError> {
        Self::parse_object_or(text, std::iter::once)
    }

    /// Reads a text that is one or more signing secrets separated by commas, or a JSON object from app id to signing secret.
    ///
    /// # Errors
    /// As [`SecretText::parse`].
    pub fn parse_list(text: &str) -> Result<Self, SecretTextError> {
        Self::parse_object_or(text, |text| text.split(','))
    }

    /// Reads a JSON object, or else the plain secrets that `split` finds in the text.
    fn parse_object_or<'a, I: Iterator<Item = &'a str>>(
        text: &'a str,
        split: impl FnOnce(&'a str) -> I,
    ) -> Result<Self, SecretTextError> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::parse_object(text);
        }
        let secrets = split(text).map(str::trim).filter(|secret| !secret.is_empty()).map(str::to_owned);
        let secrets: Vec<_> = secrets.collect();
        if secrets.is_empty() { Err(SecretTextError::Empty) } else { Ok(Self::Plain(secrets)) }
    }

    fn parse_object(text: &str) -> Result<Self, SecretTextError> {
        // The parser's own error would quote the secret.
        let by_app: BTreeMap<String, String> =
            serde_json::from_str(text).map_err(|_| SecretTextError::Malformed)?;
        let by_app: BTreeMap<_, _> =
            by_app.into_iter().map(|(app, secret)| (app, secret.trim().to_owned())).collect();
        if by_app.is_empty() || by_app.iter().any(|(app, secret)| app.is_empty() || secret.is_empty()) {
            return Err(SecretTextError::Empty);
        }
        Ok(Self::ByApp(by_app))
    }

    fn names_several_apps(&self) -> bool {
        matches!(self, Self::ByApp(by_app) if by_app.len() > 1)
    }

    /// The secrets as a signature is verified by them. A plain one speaks for every app.
    pub fn signing_secrets(&self) -> Vec<SigningSecret> {
        match self {
            Self::Plain(secrets) => secrets.iter().map(|secret| SigningSecret::new(secret)).collect(),
            Self::ByApp(by_app) => {
                by_app.iter().map(|(app, secret)| SigningSecret::of_app(app, secret)).collect()
            }
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(secrets) => write!(f, "{} secrets of one app", secrets.len()),
            Self::ByApp(by_app) => write!(f, "{} secrets by app", by_app.len()),
        }
    }
}

impl fmt::Display for SecretTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the signing secret is empty",
            Self::Malformed => "the signing secret is no JSON object from api_app_id to signing secret",
        })
    }
}

impl Error for SecretTextError {}

/// The secrets that count, made from the versions of the signing secret.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The secrets that a signature may be made with.
    pub secrets: Vec<SigningSecret>,
    /// Whether they are one app's or several apps'.
    pub apps: Apps,
    /// Whether the current version does not count, because it is one plain secret and the version before it has the secrets of
    /// several apps. Nobody can know which app the plain one is for. It would speak for all of them, and lock out all but one.
    pub current_is_ignored: bool,
}

impl InForce {
    /// All of `secrets`. They are several apps' if they belong to more than one app.
    pub fn of(secrets: impl IntoIterator<Item = SigningSecret>) -> Self {
        let secrets: Vec<_> = secrets.into_iter().collect();
        let apps: BTreeSet<_> = secrets.iter().filter_map(SigningSecret::app).collect();
        let apps = if apps.len() > 1 { Apps::Several } else { Apps::One };
        Self { secrets, apps, current_is_ignored: false }
    }

    /// The secrets of the current version, and those of the version before it that still count:
    ///
    /// - If both are plain, both count.
    /// - If both are by app, the secrets of the version before count for the apps that the current version names. An app that was
    ///   taken out has no secret any more.
    /// - If the current version is by app and the one before is plain, the plain secret counts for the one app that the current
    ///   version names. If it names several apps, the plain secret counts for nobody, because it would speak for all of them.
    /// - If the current version is plain and the one before is by app, the secret of the one app that is named there counts, too.
    ///   If several apps are named there, the plain secret is a mistake, and the version before counts alone
    ///   ([`InForce::current_is_ignored`]).
    pub fn of_versions(current: &SecretText, previous: Option<&SecretText>) -> Self {
        use SecretText::{ByApp, Plain};
        let mut in_force = Self::of(current.signing_secrets());
        match (current, previous) {
            (_, None) => {}
            (Plain(_), Some(previous)) if previous.names_several_apps() => {
                return Self { current_is_ignored: true, ..Self::of(previous.signing_secrets()) };
            }
            (Plain(_), Some(previous)) => in_force.secrets.extend(previous.signing_secrets()),
            (ByApp(current), Some(ByApp(previous))) => {
                let still_named = previous.iter().filter(|(app, _)| current.contains_key(*app));
                let secrets = still_named.map(|(app, secret)| SigningSecret::of_app(app, secret));
                in_force.secrets.extend(secrets);
            }
            (ByApp(current), Some(Plain(previous))) => {
                if let (1, Some(app)) = (current.len(), current.keys().next()) {
                    let secrets = previous.iter().map(|secret| SigningSecret::of_app(app, secret));
                    in_force.secrets.extend(secrets);
                }
            }
        }
        in_force
    }

    /// Whether these secrets may be put into force in a process that began with those of `before`, or with none yet. They may
    /// not if that would make one app's process one of several apps, or the other way round. What an event's record is called
    /// depends on that, and must not change between Slack's attempts at it.
    pub fn may_follow(&self, before: Option<Apps>) -> bool {
        match (before, self.apps) {
            (None, _) | (Some(Apps::One), Apps::One) | (Some(Apps::Several), Apps::Several) => true,
            // Apps were taken out, and one is left. Its events keep the keys that they have in this process.
            (Some(Apps::Several), Apps::One) => self.secrets.iter().all(|secret| secret.app().is_some()),
            (Some(Apps::One), Apps::Several) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slack::signature::{self, SignatureHeaders};
    use crate::time::clock::UnixMillis;

    /// Which of the apps A1, A2 and none a signature speaks for that was made with `signer`.
    fn speaks_for(secrets: &[SigningSecret], signer: &str) -> Vec<Option<&'static str>> {
        let (timestamp, body) = ("1531420618", b"{}");
        let signature = SigningSecret::new(signer).sign(timestamp, body);
        let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(timestamp) };
        let now = UnixMillis::from_millis(1_531_420_618_000);
        let verified = signature::verify(headers, body.into(), secrets, now);
        let apps = [Some("A1"), Some("A2"), None].into_iter();
        verified.map_or_else(|_| Vec::new(), |v| apps.filter(|app| v.signer().speaks_for(*app)).collect())
    }

    fn alone(text: &str) -> InForce {
        InForce::of(SecretText::parse(text).unwrap().signing_secrets())
    }

    #[test]
    fn a_text_is_one_secret_that_is_no_apps_in_particular() {
        let everybody = [Some("A1"), Some("A2"), None];
        for text in ["8f742231b10e8888abcd99yyyzzz85a5", "a,b", "[\"a\"]", "\"a\"", "x{}", "a b"] {
            let in_force = alone(&format!(" {text}\n"));
            assert_eq!(speaks_for(&in_force.secrets, text), everybody, "{text}");
            assert_eq!(speaks_for(&in_force.secrets, "another"), []);
            assert_eq!(in_force.apps, Apps::One);
        }
    }

    #[test]
    fn an_object_is_a_secret_for_each_app() {
        let text = r#"{ "A1": "one", "A2": " two\n" }"#;
        let in_force = alone(text);
        assert_eq!(speaks_for(&in_force.secrets, "one"), [Some("A1")]);
        assert_eq!(speaks_for(&in_force.secrets, "two"), [Some("A2")]);
        for signer in [text, "three", "", "A1", " two\n"] {
            assert_eq!(speaks_for(&in_force.secrets, signer), [], "{signer}");
        }
        let same = alone(r#"{"A1":"same","A2":"same"}"#);
        assert_eq!(speaks_for(&same.secrets, "same"), [Some("A1"), Some("A2")]);
        assert_eq!((in_force.apps, same.apps), (Apps::Several, Apps::Several));
        assert_eq!(alone(r#"{"A1":"one"}"#).apps, Apps::One);
    }

    #[test]
    fn a_list_is_several_secrets_of_one_app_and_an_object_stays_one() {
        for text in ["one,two", " one , two ", "one,,two,", ",one\n,\ttwo\n"] {
            let expected = SecretText::Plain(vec!["one".to_owned(), "two".to_owned()]);
            assert_eq!(SecretText::parse_list(text), Ok(expected), "{text:?}");
        }
        let object = r#"{"A1":"one","A2":"two"}"#;
        assert_eq!(SecretText::parse_list(object), SecretText::parse(object));
    }

    #[test]
    fn a_secret_that_signs_nothing_is_an_error_and_not_one_that_anybody_could_guess() {
        for text in ["", " ", "{}", r#"{"A1":""}"#, r#"{"A1":"one","A2":" \t"}"#, r#"{"":"one"}"#] {
            assert_eq!(SecretText::parse(text), Err(SecretTextError::Empty), "{text}");
            assert_eq!(SecretText::parse_list(text), Err(SecretTextError::Empty), "{text}");
        }
        assert_eq!(SecretText::parse_list(" , ,"), Err(SecretTextError::Empty));
    }

    #[test]
    fn what_begins_like_an_object_and_is_none_is_an_error_that_quotes_nothing() {
        for text in [
            "{",
            r#"{"A1":"xyzzy""#,
            r#"{"A1":"xyzzy"} x"#,
            r#"{"A1":17}"#,
            r#"{"A1":null}"#,
            r#"{"A1":["xyzzy"]}"#,
            r#"{"A1":{"secret":"xyzzy"}}"#,
            "{A1: xyzzy}",
            "{'A1':'xyzzy'}",
        ] {
            for error in [SecretText::parse(text).unwrap_err(), SecretText::parse_list(text).unwrap_err()] {
                assert_eq!(error, SecretTextError::Malformed, "{text}");
                assert!(!format!("{error} {error:?}").contains("xyzzy"), "{text}");
                assert!(error.source().is_none(), "{text}");
            }
        }
    }

    #[test]
    fn no_secret_is_shown() {
        for text in ["xyzzy", r#"{"A1":"xyzzy"}"#] {
            let text = SecretText::parse(text).unwrap();
            assert!(!format!("{text:?} {:?}", InForce::of(text.signing_secrets())).contains("xyzzy"));
        }
    }

    #[test]
    fn of_the_version_before_counts_what_is_bound_to_an_app_that_is_still_there() {
        const BOTH: [Option<&str>; 3] = [Some("A1"), Some("A2"), None];
        let (a1, a2, nobody) = (&[Some("A1")][..], &[Some("A2")][..], &[][..]);
        let two = r#"{"A1":"one","A2":"two"}"#;
        // The current version, the one before; who is meant by a signature of the current secrets, and of the one before.
        for (current, previous, apps, signers) in [
            ("new", "old", Apps::One, &[("new", &BOTH[..]), ("old", &BOTH[..])][..]),
            (r#"{"A1":"new"}"#, "old", Apps::One, &[("new", a1), ("old", a1)]),
            ("new", r#"{"A1":"old"}"#, Apps::One, &[("new", &BOTH[..]), ("old", a1)]),
            (r#"{"A1":"new"}"#, r#"{"A1":"old"}"#, Apps::One, &[("new", a1), ("old", a1)]),
            // From one app to two: a plain secret would speak for both.
            (two, "old", Apps::Several, &[("one", a1), ("two", a2), ("old", nobody)]),
            (two, r#"{"A1":"old"}"#, Apps::Several, &[("one", a1), ("two", a2), ("old", a1)]),
            (two, r#"{"A1":"old","A2":"old2"}"#, Apps::Several, &[("old", a1), ("old2", a2), ("two", a2)]),
            // An app that was taken out.
            (r#"{"A1":"one"}"#, two, Apps::One, &[("one", a1), ("two", nobody)]),
        ] {
            let [current, previous] = [current, previous].map(|text| SecretText::parse(text).unwrap());
            let in_force = InForce::of_versions(&current, Some(&previous));
            assert_eq!(in_force.apps, apps, "{current:?}");
            assert!(!in_force.current_is_ignored);
            for (signer, expected) in signers {
                assert_eq!(
                    speaks_for(&in_force.secrets, signer),
                    *expected,
                    "{current:?} {previous:?} {signer}"
                );
            }
        }
    }

    #[test]
    fn a_plain_secret_put_over_those_of_several_apps_locks_nobody_out() {
        let [current, previous] =
            ["new", r#"{"A1":"one","A2":"two"}"#].map(|text| SecretText::parse(text).unwrap());
        let in_force = InForce::of_versions(&current, Some(&previous));
        assert!(in_force.current_is_ignored);
        assert_eq!(in_force.apps, Apps::Several);
        assert_eq!(speaks_for(&in_force.secrets, "one"), [Some("A1")]);
        assert_eq!(speaks_for(&in_force.secrets, "two"), [Some("A2")]);
        assert_eq!(speaks_for(&in_force.secrets, "new"), []);
    }

    #[test]
    fn one_apps_secrets_never_follow_several_apps_nor_the_other_way_round_unless_apps_were_taken_out() {
        let (plain, one, several) = ("plain", r#"{"A1":"one"}"#, r#"{"A1":"one","A2":"two"}"#);
        for (before, text, expected) in [
            (None, plain, true),
            (None, one, true),
            (None, several, true),
            (Some(Apps::One), plain, true),
            (Some(Apps::One), one, true),
            (Some(Apps::One), several, false),
            (Some(Apps::Several), plain, false),
            (Some(Apps::Several), one, true),
            (Some(Apps::Several), several, true),
        ] {
            assert_eq!(alone(text).may_follow(before), expected, "{before:?} {text}");
        }
    }

    #[test]
    fn without_a_version_before_the_current_one_is_all_there_is() {
        let current = SecretText::parse(r#"{"A1":"one","A2":"two"}"#).unwrap();
        let in_force = InForce::of_versions(&current, None);
        assert_eq!((in_force.secrets.len(), in_force.apps), (2, Apps::Several));
    }
}
