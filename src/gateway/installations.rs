//! Which target of a Gateway acts in which installation of the app. A bot token belongs to one installation, and a target has
//! one token: whoever took another's target would post into a stranger's workspace.

use std::collections::{BTreeMap, BTreeSet};

use crate::slack::token_secrets::is_tenant;

/// AgentCore's limit on the length of a target's name.
const MAX_TARGET: usize = 100;

/// The target for each installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installations {
    /// The app is installed once, and this target has its token, whatever a question says of its tenant.
    One(String),
    /// From tenant (`T…` or `E…`) to target. For whoever is not in it nothing is ever done.
    Named(BTreeMap<String, String>),
}

impl Installations {
    /// The target that acts for this tenant; `None` if there is none, and no other may take its place.
    pub fn target(&self, tenant: Option<&str>) -> Option<&str> {
        match self {
            Self::One(target) => Some(target),
            Self::Named(targets) => targets.get(tenant?).map(String::as_str),
        }
    }

    /// The targets, each once.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let (one, named) = match self {
            Self::One(target) => (Some(target), None),
            Self::Named(targets) => (None, Some(targets.values())),
        };
        one.into_iter().chain(named.into_iter().flatten()).map(String::as_str)
    }

    /// Reads a JSON object from tenant to target.
    ///
    /// # Errors
    /// All that is wrong with it. No text of it quotes a value that is neither a tenant's id nor a target's name.
    pub fn parse(json: &str) -> Result<Self, Vec<String>> {
        let Ok(targets) = serde_json::from_str::<BTreeMap<String, String>>(json) else {
            return Err(vec!["that is no JSON object of texts".to_owned()]);
        };
        let mut problems = Vec::new();
        if targets.is_empty() {
            problems.push("it names no installation".to_owned());
        }
        let mut taken = BTreeSet::new();
        for (index, (tenant, target)) in targets.iter().enumerate() {
            let entry = index + 1;
            if !is_tenant(tenant) {
                problems.push(format!(
                    "entry {entry} is not for the id of a workspace (T…) or of an organisation (E…)"
                ));
            } else if !is_target(target) {
                problems.push(format!("the target for {tenant} is not of a-z, 0-9 and single hyphens"));
            } else if !taken.insert(target) {
                problems.push(format!(
                    "{tenant} has the target {target} of another installation, and so its token"
                ));
            }
        }
        if problems.is_empty() { Ok(Self::Named(targets)) } else { Err(problems) }
    }
}

/// Whether a text can be the name of a target: what AgentCore allows, in lower case, as the stack makes them.
pub fn is_target(text: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_TARGET).contains(&text.len())
        && text.bytes().all(is_known)
        && !text.starts_with('-')
        && !text.contains("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_installation_has_its_own_target_and_a_stranger_has_none() {
        let named = Installations::parse(r#"{"T1": "slack", "E2": "slack-e2"}"#).unwrap();
        assert_eq!(named.target(Some("T1")), Some("slack"));
        assert_eq!(named.target(Some("E2")), Some("slack-e2"));
        for stranger in [None, Some("T2"), Some("t1"), Some("A1"), Some(""), Some("slack")] {
            assert_eq!(named.target(stranger), None, "{stranger:?}");
        }
        assert_eq!(named.targets().collect::<Vec<_>>(), ["slack-e2", "slack"]);
    }

    #[test]
    fn with_one_installation_it_does_not_matter_what_the_tenant_is_called() {
        let one = Installations::One("slack".to_owned());
        for tenant in [None, Some("T1"), Some("A1")] {
            assert_eq!(one.target(tenant), Some("slack"));
        }
    }

    #[test]
    fn every_wrong_entry_is_named_at_once_and_no_two_installations_share_a_target() {
        let problems = |json: &str| Installations::parse(json).unwrap_err().len();
        for (json, count) in [
            ("", 1),
            ("[]", 1),
            ("{}", 1),
            (r#"{"T1": 1}"#, 1),
            (r#"{"A1": "slack"}"#, 1),
            (r#"{"t1": "slack"}"#, 1),
            (r#"{"T": "slack"}"#, 1),
            (r#"{"T1": "Slack"}"#, 1),
            (r#"{"T1": "sl_ack"}"#, 1),
            (r#"{"T1": "slack--1"}"#, 1),
            (r#"{"T1": ""}"#, 1),
            (r#"{"T1": "slack", "T2": "slack"}"#, 1),
            (r#"{"T1": "a___b", "xoxb-1": "slack", "T2": "slack", "T3": "slack"}"#, 3),
        ] {
            assert_eq!(problems(json), count, "{json}");
        }
        let quoted = Installations::parse(r#"{"xoxb-1": "xoxb-2", "T1": "xoxb_3"}"#).unwrap_err().join(" ");
        assert!(!quoted.contains("xoxb"), "{quoted}");
    }
}
