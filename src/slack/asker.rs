//! Who asks: a member of the workspace, a guest, somebody of another company, a bot; and which of them may (`WHO_MAY_ASK`). All
//! of it is pure.
//!
//! An event says whose workspace its author is in, where a channel is shared with another company. It never says who is a guest;
//! that stands in Slack's `users.info`.

use serde_json::{Map, Value};
use std::fmt;

/// What an asker is to the installation of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AskerKind {
    /// A full member of the workspace or the organisation.
    Member,
    /// A guest of it, who sees some channels or one.
    Guest,
    /// Somebody of another company, in a channel that is shared with it.
    External,
    /// A bot that is not this app.
    Bot,
}

/// The words of the configuration.
const WORDS: [(&str, AskerKind); 4] = [
    ("members", AskerKind::Member),
    ("guests", AskerKind::Guest),
    ("external", AskerKind::External),
    ("bots", AskerKind::Bot),
];

impl AskerKind {
    /// The word for it, in the configuration, in requests and in the table.
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, kind)| *kind == self).map_or("members", |(word, _)| *word)
    }

    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
    }
}

/// Who may ask (`WHO_MAY_ASK`). Members always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhoMayAsk {
    guests: bool,
    external: bool,
    bots: bool,
}

impl WhoMayAsk {
    /// Everybody.
    pub const EVERYBODY: Self = Self { guests: true, external: true, bots: true };

    /// Reads `members`, and what else may ask, divided by commas: `members,guests`.
    ///
    /// # Errors
    /// When a word is none of them, or `members` is not among them; the text says so.
    pub fn read(value: &str) -> Result<Self, String> {
        let kinds: Option<Vec<AskerKind>> =
            value.split(',').map(|word| AskerKind::parse(word.trim())).collect();
        match kinds {
            Some(kinds) if kinds.contains(&AskerKind::Member) => {
                let has = |kind| kinds.contains(&kind);
                Ok(Self {
                    guests: has(AskerKind::Guest),
                    external: has(AskerKind::External),
                    bots: has(AskerKind::Bot),
                })
            }
            Some(_) => Err("members may always ask: name them too".to_owned()),
            None => Err("a word of it is none of these".to_owned()),
        }
    }

    /// Whether somebody of this kind may ask.
    pub const fn may(self, kind: AskerKind) -> bool {
        match kind {
            AskerKind::Member => true,
            AskerKind::Guest => self.guests,
            AskerKind::External => self.external,
            AskerKind::Bot => self.bots,
        }
    }

    /// Whether this asker may ask, if what the message says is enough to know. `None`: Slack has to be asked.
    pub fn decide(self, asker: &Asker) -> Option<bool> {
        let kinds: &[AskerKind] = match (asker.is_bot, asker.home) {
            (true, _) => &[AskerKind::Bot],
            (false, Home::Another) => &[AskerKind::External],
            (false, Home::Ours) => &[AskerKind::Member, AskerKind::Guest],
            (false, Home::Unknown) => &[AskerKind::Member, AskerKind::Guest, AskerKind::External],
        };
        let may: Vec<bool> = kinds.iter().map(|kind| self.may(*kind)).collect();
        match (may.contains(&true), may.contains(&false)) {
            (true, true) => None,
            (may, _) => Some(may),
        }
    }
}

impl fmt::Display for WhoMayAsk {
    /// As [`read`](Self::read) takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> =
            WORDS.iter().filter(|(_, kind)| self.may(*kind)).map(|(word, _)| *word).collect();
        f.write_str(&words.join(","))
    }
}

/// Whose workspace an asker is in, as far as a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The app's own, or one of its organisation.
    Ours,
    /// Another company's.
    Another,
    /// The message does not say.
    Unknown,
}

/// What a message says of who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Whether it is a bot.
    pub is_bot: bool,
    /// Whose workspace it is in.
    pub home: Home,
    /// The ids by which whose installation it is is known: the workspace's or the organisation's that the app is installed in, and that
    /// of the organisation that the workspace is a part of.
    pub installation: Vec<String>,
}

/// What Slack says of a person (`users.info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    is_bot: bool,
    is_guest: bool,
    is_stranger: bool,
    team_id: Option<String>,
    enterprise_id: Option<String>,
    teams: Vec<String>,
}

impl Person {
    /// Reads Slack's `user`.
    pub fn read(user: &Map<String, Value>) -> Self {
        let text = |of: &Value| of.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let field = |name: &str| user.get(name).unwrap_or(&Value::Null);
        let is = |name: &str| field(name).as_bool() == Some(true);
        let of_enterprise = |name: &str| field("enterprise_user").get(name).unwrap_or(&Value::Null);
        let teams = of_enterprise("teams").as_array().into_iter().flatten().filter_map(text).collect();
        Self {
            is_bot: is("is_bot"),
            is_guest: is("is_restricted") || is("is_ultra_restricted"),
            is_stranger: is("is_stranger"),
            team_id: text(field("team_id")),
            enterprise_id: text(of_enterprise("enterprise_id")),
            teams,
        }
    }

    /// What this person is to an [installation](Asker::installation). Somebody of whom Slack does not say where they belong is taken for
    /// one of another company.
    pub fn kind(&self, installation: &[String]) -> AskerKind {
        let theirs = [&self.team_id, &self.enterprise_id].into_iter().flatten().chain(&self.teams);
        let is_ours = !self.is_stranger && theirs.into_iter().any(|id| installation.contains(id));
        match (self.is_bot, is_ours, self.is_guest) {
            (true, ..) => AskerKind::Bot,
            (false, false, _) => AskerKind::External,
            (false, true, true) => AskerKind::Guest,
            (false, true, false) => AskerKind::Member,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asker(is_bot: bool, home: Home) -> Asker {
        Asker { is_bot, home, installation: Vec::new() }
    }

    #[test]
    fn the_configuration_names_who_may_ask_beside_members() {
        assert_eq!(WhoMayAsk::read("members"), Ok(WhoMayAsk::default()));
        assert_eq!(WhoMayAsk::read("members, guests,external,bots"), Ok(WhoMayAsk::EVERYBODY));
        let guests = WhoMayAsk::read("guests,members").unwrap();
        let kinds = [AskerKind::Member, AskerKind::Guest, AskerKind::External, AskerKind::Bot];
        assert_eq!(kinds.map(|kind| guests.may(kind)), [true, true, false, false]);
        for all in [WhoMayAsk::default(), guests, WhoMayAsk::EVERYBODY] {
            assert_eq!(WhoMayAsk::read(&all.to_string()), Ok(all));
        }
        for wrong in ["", "guests", "members,everybody", "members,,guests", "Members"] {
            assert!(WhoMayAsk::read(wrong).is_err(), "{wrong}");
        }
        for kind in kinds {
            assert_eq!(AskerKind::parse(kind.as_str()), Some(kind));
        }
    }

    #[test]
    fn slack_is_asked_only_where_the_message_leaves_it_open() {
        let members = WhoMayAsk::default();
        assert_eq!(members.decide(&asker(true, Home::Ours)), Some(false));
        assert_eq!(members.decide(&asker(false, Home::Another)), Some(false));
        assert_eq!(members.decide(&asker(false, Home::Ours)), None);
        let with_guests = WhoMayAsk::read("members,guests").unwrap();
        assert_eq!(with_guests.decide(&asker(false, Home::Ours)), Some(true));
        assert_eq!(with_guests.decide(&asker(false, Home::Another)), Some(false));
        assert_eq!(with_guests.decide(&asker(false, Home::Unknown)), None);
        for home in [Home::Ours, Home::Another, Home::Unknown] {
            for is_bot in [false, true] {
                assert_eq!(WhoMayAsk::EVERYBODY.decide(&asker(is_bot, home)), Some(true));
            }
        }
    }

    #[test]
    fn a_person_is_what_slack_says_in_the_eyes_of_the_installation() {
        let kind = |changes: Value| {
            let mut user = json!({ "id": "U1", "team_id": "T1" });
            user.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            Person::read(user.as_object().unwrap()).kind(&["T1".to_owned(), "E1".to_owned()])
        };
        for (changes, expected) in [
            (json!({}), AskerKind::Member),
            (json!({ "is_restricted": true }), AskerKind::Guest),
            (json!({ "is_restricted": true, "is_ultra_restricted": true }), AskerKind::Guest),
            (json!({ "is_bot": true, "is_restricted": true }), AskerKind::Bot),
            (json!({ "team_id": "T2" }), AskerKind::External),
            // A guest of another company is first of all of another company.
            (json!({ "team_id": "T2", "is_restricted": true }), AskerKind::External),
            (json!({ "is_stranger": true }), AskerKind::External),
            (json!({ "team_id": null }), AskerKind::External),
            // Another workspace of the same organisation.
            (json!({ "team_id": "T3", "enterprise_user": { "enterprise_id": "E1" } }), AskerKind::Member),
            (
                json!({ "team_id": "E2", "enterprise_user": { "enterprise_id": "E2", "teams": ["T1"] } }),
                AskerKind::Member,
            ),
            (
                json!({ "team_id": "E2", "enterprise_user": { "enterprise_id": "E2", "teams": ["T2"] } }),
                AskerKind::External,
            ),
        ] {
            assert_eq!(kind(changes.clone()), expected, "{changes}");
        }
    }
}
