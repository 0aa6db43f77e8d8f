//! Checks with Slack whose a bot token is, and whether it has the scopes that the app's manifest asks for.

use super::report::Check;
use super::slack::{NotDone, Reply, SlackApi};
use crate::install::{FILES_SCOPE, GROUPS_SCOPE, SCOPES};

const WHOSE: &str = "bot token, Slack";
const MAY: &str = "bot token, scopes";

const INSTALL_AGAIN: &str = "Install the app again and put its token: slack-dev install --secret-id <this secret>, or docs/slack-app.md";

/// What does not work without a scope: docs/slack-app.md, "What each scope is for".
const WITHOUT: [(&str, &str); 13] = [
    ("app_mentions:read", "no mention arrives"),
    ("im:history", "no direct message arrives"),
    ("chat:write", "nothing can be answered"),
    ("assistant:write", "no stop button, no prompts, no titles"),
    (
        "channels:history",
        "the agent knows nothing of a public thread, and a post whose answer was lost is not looked for",
    ),
    ("groups:history", "the same in private channels"),
    ("mpim:history", "the same in direct messages of several people"),
    ("files:read", "the files of a question are not read"),
    ("usergroups:read", "where a user group decides, nobody can, and the tool is not called"),
    ("reactions:write", "the tool add_reaction"),
    ("canvases:write", "the tools create_canvas and edit_canvas"),
    ("canvases:read", "the tool find_canvas_sections"),
    ("users:read", "nobody is answered: whether somebody may ask cannot be found out"),
];

/// Without this scope the agent is of no use.
const ANSWER_SCOPE: &str = "chat:write";

/// Nor without this one, by which Slack is asked who somebody is, unless that does not matter. The others may be left out on purpose.
const PEOPLE_SCOPE: &str = "users:read";

/// What the deployment says of the app.
#[derive(Clone, Copy, Debug)]
pub(super) struct App {
    pub(super) is_agent_view: bool,
    pub(super) reads_files: bool,
    /// Whether the members of a user group decide about a tool.
    pub(super) asks_user_groups: bool,
    /// Whether it is found out who somebody is, if the deployment says.
    pub(super) looks_people_up: Option<bool>,
}

impl App {
    /// The scopes that its manifest asks for. That of a slash command is not among them: no output says whether there is one.
    fn scopes(self) -> impl Iterator<Item = &'static str> {
        let files = self.reads_files.then_some(FILES_SCOPE);
        let groups = self.asks_user_groups.then_some(GROUPS_SCOPE);
        let is_asked_for = move |scope: &&str| match *scope {
            "assistant:write" => self.is_agent_view,
            PEOPLE_SCOPE => self.looks_people_up != Some(false),
            _ => true,
        };
        SCOPES.split(',').filter(is_asked_for).chain(files).chain(groups)
    }
}

/// Who the bot is, as Slack says.
#[derive(Clone, Debug)]
pub(super) struct Bot {
    pub(super) user_id: String,
    pub(super) team_id: Option<String>,
    pub(super) enterprise_id: Option<String>,
    pub(super) is_enterprise_install: bool,
    /// The workspace's address, with a slash at its end.
    pub(super) url: Option<String>,
}

impl Bot {
    fn of(reply: &Reply) -> Option<Self> {
        let owned = |name: &str| reply.text(name).map(str::to_owned);
        let is_enterprise_install = reply.body.get("is_enterprise_install");
        Some(Self {
            user_id: owned("user_id")?,
            team_id: owned("team_id"),
            enterprise_id: owned("enterprise_id"),
            is_enterprise_install: is_enterprise_install == Some(&serde_json::Value::Bool(true)),
            url: owned("url"),
        })
    }

    /// The installation's id: the organisation's if the app is installed in all of it, and else the workspace's.
    fn tenant(&self) -> Option<&str> {
        if self.is_enterprise_install { self.enterprise_id.as_deref() } else { self.team_id.as_deref() }
    }
}

/// Asks Slack. `tenant` is the installation that the token is to be of, if somebody has said so; `whose` begins each finding.
pub(super) async fn examine(
    slack: &SlackApi,
    app: App,
    tenant: Option<&str>,
    whose: &str,
) -> (Vec<Check>, Option<Bot>) {
    let reply = match slack.auth_test().await {
        Ok(reply) => reply,
        Err(why) => return (vec![not_taken(&why, whose)], None),
    };
    let Some(bot) = Bot::of(&reply) else {
        let found = format!("{whose}auth.test does not say who the bot is");
        return (
            vec![Check::warn(WHOSE, found, "Look at the answer of https://slack.com/api/auth.test")],
            None,
        );
    };
    (
        vec![whose_check(&reply, &bot, tenant, whose), scopes_check(reply.scopes.as_deref(), app, whose)],
        Some(bot),
    )
}

fn not_taken(why: &NotDone, whose: &str) -> Check {
    match why {
        NotDone::Error(error) => {
            Check::fail(WHOSE, format!("{whose}Slack does not take it: {error}"), INSTALL_AGAIN)
        }
        NotDone::RateLimited(_) | NotDone::NoAnswer(_) => Check::warn(
            WHOSE,
            format!("{whose}not known whether Slack takes it: {}", why.words()),
            "Look at this machine's connection to slack.com, and try again",
        ),
    }
}

fn whose_check(reply: &Reply, bot: &Bot, tenant: Option<&str>, whose: &str) -> Check {
    let named = |name: &str, id: Option<&str>| match (reply.text(name), id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (name, id) => name.or(id).unwrap_or("unknown").to_owned(),
    };
    let found = format!(
        "{whose}Slack takes it: the bot {} in {}",
        named("user", Some(&bot.user_id)),
        named("team", bot.tenant())
    );
    if let (Some(tenant), Some(other)) = (tenant, bot.tenant())
        && tenant != other
    {
        let todo =
            "Put the token of the installation that the secret is for: docs/agent.md, \"Several workspaces\"";
        return Check::fail(WHOSE, format!("{found}, and its secret is for {tenant}"), todo);
    }
    if reply.text("bot_id").is_none() {
        let todo = "Put the Bot User OAuth Token (xoxb-…) of OAuth & Permissions; docs/slack-app.md";
        return Check::fail(WHOSE, format!("{found}, and it is a person's and no bot's"), todo);
    }
    Check::ok(WHOSE, found)
}

fn scopes_check(granted: Option<&[String]>, app: App, whose: &str) -> Check {
    let Some(granted) = granted else {
        return Check::skip(MAY, format!("{whose}Slack did not say which scopes it has"));
    };
    let missing: Vec<_> = app.scopes().filter(|scope| !granted.iter().any(|it| it == scope)).collect();
    if missing.is_empty() {
        return Check::ok(MAY, format!("{whose}all {} of the manifest", app.scopes().count()));
    }
    let words = missing.iter().map(|scope| {
        let without = WITHOUT.iter().find(|(known, _)| known == scope).map_or("", |(_, without)| without);
        format!("{scope} ({without})")
    });
    let found = format!("{whose}without {}", words.collect::<Vec<_>>().join(", "));
    let needs_people = app.looks_people_up == Some(true) && missing.contains(&PEOPLE_SCOPE);
    if missing.contains(&ANSWER_SCOPE) || needs_people {
        let todo = "Print the manifest again, paste it, and install the app again; docs/slack-app.md, \"What each scope is for\"";
        return Check::fail(MAY, found, todo);
    }
    let todo = "Print the manifest again, paste it, and install the app again, unless you left these out on purpose; \
                docs/slack-app.md, \"What each scope is for\"";
    Check::warn(MAY, found, todo)
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;
    use std::path::Path;

    const AGENT: App =
        App { is_agent_view: true, reads_files: false, asks_user_groups: false, looks_people_up: Some(true) };

    #[test]
    fn each_scope_of_the_manifest_has_what_is_lost_without_it_here_and_in_the_docs() {
        let all: Vec<_> = App { reads_files: true, asks_user_groups: true, ..AGENT }.scopes().collect();
        assert_eq!(all.len(), WITHOUT.len());
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/slack-app.md");
        let docs = std::fs::read_to_string(docs).unwrap();
        for scope in all {
            assert!(WITHOUT.iter().any(|(known, _)| *known == scope), "{scope}");
            assert!(docs.contains(&format!("| `{scope}` |")), "{scope} is not in docs/slack-app.md");
        }
    }

    #[test]
    fn a_scope_that_is_missing_is_named_with_what_does_not_work_and_two_make_the_agent_useless() {
        let with = |app: App, left_out: &[&str]| {
            let scopes: Vec<_> =
                app.scopes().filter(|scope| !left_out.contains(scope)).map(str::to_owned).collect();
            scopes_check(Some(&scopes), app, "")
        };
        assert_eq!(with(AGENT, &[]).found, "all 11 of the manifest");
        let check = with(AGENT, &["reactions:write"]);
        assert_eq!(
            (check.status, check.found.as_str()),
            (Status::Warn, "without reactions:write (the tool add_reaction)")
        );
        assert_eq!(with(AGENT, &["chat:write", "im:history"]).status, Status::Fail);
        assert_eq!(scopes_check(None, AGENT, "").status, Status::Skip);

        assert_eq!(with(AGENT, &["users:read"]).status, Status::Fail);

        for (looks_people_up, status) in [(Some(false), Status::Ok), (None, Status::Warn)] {
            let app = App { looks_people_up, ..AGENT };
            assert_eq!(with(app, &["users:read"]).status, status, "{looks_people_up:?}");
        }
        let plain = App { is_agent_view: false, ..AGENT };
        assert_eq!(with(plain, &["assistant:write"]).status, Status::Ok, "it is not asked for");
        let files = App { reads_files: true, ..AGENT };
        assert_eq!(with(files, &["files:read"]).status, Status::Warn);
        let groups = App { asks_user_groups: true, ..AGENT };
        assert_eq!(with(groups, &["usergroups:read"]).status, Status::Warn);
    }
}
