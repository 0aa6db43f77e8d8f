//! The configuration of `agent-settle`.

use std::collections::BTreeMap;
use std::time::Duration;
use tracing_subscriber::filter::Targets;

use super::ConfigError;
use super::approvals::approvals;
use super::parse::{
    QUEUE, WORK_STORES, log, number, one_of, queue, required, trimmed, value_or_problem, who_may_ask,
    work_table,
};
use crate::gateway::agent_core::SLACK_HOOKS;
use crate::gateway::installations::{self, Installations};
use crate::gateway::prompts::Prompts;
use crate::gateway::slack_files::SLACK_FILES;
use crate::gateway::tools_gateway::WorkspaceTools;
use crate::settle::SettleSettings;
use crate::slack::asker::WhoMayAsk;
use crate::slack::scope::Scope;
use crate::slack::token_secrets::TokenSecrets;
use crate::work::audit::{AuditRules, Redact};
use crate::work::lapse::ScheduleConfig;
use crate::work::usage::{DailyLimits, Limits, Unit};

/// What the environment of `agent-settle` says.
#[derive(Debug)]
pub struct SettleConfig {
    /// The name or the ARN of the table with the work records (`DEDUP_STORE`).
    pub table: String,
    /// The URL of the queue that the messages are on (`EVENT_QUEUE`).
    pub queue_url: String,
    /// The URL of the function's own AgentCore Gateway (`GATEWAY_URL`).
    pub gateway_url: String,
    /// The URL of the AgentCore Gateway with the tools of the agent's model (`TOOLS_GATEWAY_URL`); absent if it has none.
    pub tools_gateway_url: Option<String>,
    /// The tools that each installation has with a token of its own (`WORKSPACE_TOOLS_GATEWAY_URL`, `WORKSPACE_TOOLS`); absent
    /// if the app is installed once, or the model has no tools.
    pub workspace_tools: Option<WorkspaceTools>,
    /// The target with Slack's tools for each installation (`GATEWAY_TARGETS`). Without the variable the app is installed once,
    /// and its target is `GATEWAY_TARGET`, without which it is `slack`.
    pub installations: Installations,
    /// Where a `response_url` leads (`SLACK_HOOKS_URL`, for tests). Without the variable it is Slack's own host.
    pub slack_hooks: String,
    /// The secrets that have the bot tokens by which files are downloaded (`SLACK_BOT_TOKEN_ARN`); absent if none are.
    pub bot_tokens: Option<TokenSecrets>,
    /// Slack's host for files (`SLACK_FILES_URL`, for tests). Without the variable it is Slack's own.
    pub slack_files: String,
    /// Where it is scheduled that nobody has decided in time (`SCHEDULE_GROUP`, `SCHEDULE_ROLE`); absent if no tool asks a person.
    pub schedules: Option<ScheduleConfig>,
    /// The name or the ARN of the table with the audit trail (`AUDIT_TABLE`); absent if there is none.
    pub audit_table: Option<String>,
    /// What is said about the operations.
    pub settings: SettleSettings,
    /// What goes to the log (`RUST_LOG`). Without the variable it is `info`.
    pub log: Targets,
}

const TOKENS_A_DAY: &str = "TOKENS_A_DAY";
const TOKENS_A_QUESTION: &str = "TOKENS_A_QUESTION";

/// What one attempt at a question may use, if tokens are limited and nothing else is said: 20 calls of a model with some pages each.
const DEFAULT_TOKENS_A_QUESTION: u64 = 200_000;

/// For how many days an entry of the audit trail is kept, if nothing else is said.
const DEFAULT_AUDIT_DAYS: u64 = 365;

/// The most: ten years, and a day for each leap year in them.
const MOST_AUDIT_DAYS: u64 = 3653;

const MOST_A_DAY: u64 = 1_000_000_000_000;

/// What `GATEWAY_URL` may be, for the text of a problem.
const GATEWAY: &str = "the URL of an AgentCore Gateway, https://…/mcp";
/// What `GATEWAY_TARGETS` may be.
const TARGETS: &str = r#"{"T0123ABC": "slack", "E0456DEF": "slack-e0456def"}"#;
/// What `SLACK_FILES_URL` may be.
const FILES: &str = "Slack's host for files, https://files.slack.com";
/// What `WORKSPACE_TOOLS` may be.
const TOOLS: &str = "the names of targets, slack,canvases";

impl SettleConfig {
    /// Reads the configuration. `lookup` gives the value of a variable; an empty value is as good as none.
    ///
    /// # Errors
    /// When a variable is missing or wrong. The error has all problems, not only the first.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let get = |name: &str| trimmed(lookup(name));
        let table = value_or_problem(
            &mut problems,
            required("DEDUP_STORE", WORK_STORES, get("DEDUP_STORE"), work_table),
        );
        let queue_url =
            value_or_problem(&mut problems, required("EVENT_QUEUE", QUEUE, get("EVENT_QUEUE"), queue));
        let gateway_url =
            value_or_problem(&mut problems, required("GATEWAY_URL", GATEWAY, get("GATEWAY_URL"), url));
        let tools_gateway_url = match get("TOOLS_GATEWAY_URL") {
            None => Some(None),
            tools => {
                value_or_problem(&mut problems, required("TOOLS_GATEWAY_URL", GATEWAY, tools, url)).map(Some)
            }
        };
        if tools_gateway_url.as_ref().is_some_and(|tools| tools.is_some() && *tools == gateway_url) {
            // Whoever may have tools called could forge the mark of an answer, which only agent-settle's own Gateway takes.
            problems.push("TOOLS_GATEWAY_URL must be another Gateway than GATEWAY_URL".to_owned());
        }
        let installations = installations(&mut problems, get("GATEWAY_TARGETS"), get("GATEWAY_TARGET"));
        let named = installations.as_ref().filter(|it| matches!(it, Installations::Named(_)));
        let (tools_url, targets) = (get("WORKSPACE_TOOLS_GATEWAY_URL"), get("WORKSPACE_TOOLS"));
        let is_own = tools_url.is_some() || targets.is_some();
        let has_tools = get("TOOLS_GATEWAY_URL").is_some();
        let is_needed = has_tools && named.is_some_and(|named| named.targets().count() > 1);
        if is_own && !(has_tools && get("GATEWAY_TARGETS").is_some()) {
            let why = "it has no effect without TOOLS_GATEWAY_URL and GATEWAY_TARGETS: unset it and WORKSPACE_TOOLS";
            problems.push(format!("WORKSPACE_TOOLS_GATEWAY_URL: {why}"));
        }
        // Otherwise a tool of Slack's at TOOLS_GATEWAY_URL would act for all installations by the token of one.
        let is_wanted = is_own || is_needed;
        let workspace_tools = is_wanted.then(|| workspace_tools(&mut problems, tools_url, targets)).flatten();
        let bot_tokens = get("SLACK_BOT_TOKEN_ARN")
            .and_then(|value| token_secrets(&mut problems, &value, installations.as_ref()));
        let slack_files = get("SLACK_FILES_URL").or_else(|| Some(SLACK_FILES.to_owned()));
        let slack_files =
            value_or_problem(&mut problems, required("SLACK_FILES_URL", FILES, slack_files, url));
        let post_wait = number("POST_WAIT_SECONDS", get("POST_WAIT_SECONDS"), 90, 1, 900);
        let post_wait = value_or_problem(&mut problems, post_wait.map(Duration::from_secs));
        let prompts = get("SUGGESTED_PROMPTS").map(|value| Prompts::read(&value)).transpose();
        let prompts = prompts.unwrap_or_else(|wrong| {
            problems.extend(wrong.into_iter().map(|problem| format!("SUGGESTED_PROMPTS: {problem}")));
            None
        });
        let mut is_on = |name: &str| {
            let words = [("off", false), ("on", true)];
            value_or_problem(&mut problems, one_of(name, get(name), words)).unwrap_or_default()
        };
        let (session_titles, feedback_buttons) = (is_on("SESSION_TITLES"), is_on("FEEDBACK_BUTTONS"));
        let limits = limits(&mut problems, get);
        let (approvals, schedules) = approvals(&mut problems, get);
        let (audit_table, audit) = audit(&mut problems, get);
        let together = together(&mut problems, get);
        let log = value_or_problem(&mut problems, log(get("RUST_LOG")));
        match (table, queue_url, gateway_url, tools_gateway_url, installations, slack_files, post_wait, log) {
            (
                Some(table),
                Some(queue_url),
                Some(gateway_url),
                Some(tools_gateway_url),
                Some(installations),
                Some(slack_files),
                Some(post_wait),
                Some(log),
            ) if problems.is_empty() => {
                let slack_hooks = get("SLACK_HOOKS_URL").unwrap_or_else(|| SLACK_HOOKS.to_owned());
                let settings = SettleSettings {
                    post_wait,
                    prompts,
                    session_titles,
                    feedback_buttons,
                    limits,
                    approvals,
                    audit,
                    together,
                };
                Ok(Self {
                    table,
                    queue_url,
                    gateway_url,
                    tools_gateway_url,
                    workspace_tools,
                    installations,
                    slack_hooks,
                    bot_tokens,
                    slack_files,
                    schedules,
                    audit_table,
                    settings,
                    log,
                })
            }
            _ => Err(ConfigError { problems }),
        }
    }
}

/// Reads what may be used within a day: `QUESTIONS_A_DAY`, `TOKENS_A_DAY`, `TOOL_CALLS_A_DAY` and `TOKENS_A_QUESTION`.
fn limits(problems: &mut Vec<String>, get: impl Fn(&str) -> Option<String>) -> DailyLimits {
    let mut limits: BTreeMap<Scope, Limits> = BTreeMap::new();
    for (name, unit) in [
        ("QUESTIONS_A_DAY", Unit::Questions),
        (TOKENS_A_DAY, Unit::Tokens),
        ("TOOL_CALLS_A_DAY", Unit::ToolCalls),
    ] {
        for part in get(name).iter().flat_map(|value| value.split(',')) {
            match limit(part) {
                Some((scope, limit)) if limits.get(&scope).and_then(|limits| limits.of(unit)).is_none() => {
                    limits.entry(scope).or_default().set(unit, limit);
                }
                Some((scope, _)) => problems.push(format!("{name}: {} is there twice", scope.as_str())),
                None => problems.push(format!(
                    "{name}: {part:?} is no limit; expected person:20, channel:100 or workspace:1000, of one or several of them \
                     with commas between; a number from 1 to 10^12"
                )),
            }
        }
    }
    let limits_tokens = get(TOKENS_A_DAY).is_some();
    let a_question = get(TOKENS_A_QUESTION);
    let default = if limits_tokens { DEFAULT_TOKENS_A_QUESTION } else { 0 };
    let is_said = a_question.is_some();
    let a_question = number(TOKENS_A_QUESTION, a_question, default, 1_000, 10_000_000);
    let a_question = value_or_problem(problems, a_question).filter(|_| limits_tokens || is_said);
    for (scope, tokens) in limits.iter().filter_map(|(scope, limits)| Some((scope, limits.tokens?))) {
        if a_question.is_some_and(|a_question| tokens < a_question) {
            problems.push(format!(
                "{TOKENS_A_DAY}: {}:{tokens} is less than one attempt at a question may use (TOKENS_A_QUESTION), so there would be no answer at all",
                scope.as_str()
            ));
        }
    }
    DailyLimits { scopes: limits.into_iter().collect(), tokens_a_question: a_question }
}

/// Reads `TURNS`, and where questions are answered together `WHO_MAY_ASK`: whose they may be.
fn together(problems: &mut Vec<String>, get: impl Fn(&str) -> Option<String>) -> Option<WhoMayAsk> {
    let turns = one_of("TURNS", get("TURNS"), [("each", false), ("together", true)]);
    let who = value_or_problem(problems, who_may_ask(get("WHO_MAY_ASK")));
    value_or_problem(problems, turns).unwrap_or_default().then_some(who).flatten()
}

/// Reads what is said of the audit trail: `AUDIT_TABLE`, `AUDIT_DAYS`, `AUDIT_REDACT` and `AUDIT_TEXTS`.
fn audit(
    problems: &mut Vec<String>,
    get: impl Fn(&str) -> Option<String>,
) -> (Option<String>, Option<AuditRules>) {
    let Some(table) = get("AUDIT_TABLE") else {
        let rest = ["AUDIT_DAYS", "AUDIT_REDACT", "AUDIT_TEXTS"];
        let useless = rest.into_iter().filter(|name| get(name).is_some());
        problems.extend(useless.map(|name| format!("{name}: it has no effect without AUDIT_TABLE")));
        return (None, None);
    };
    let table_is = |c: char| c.is_ascii_alphanumeric() || "_-.:/".contains(c);
    if !table.chars().all(table_is) || table.len() > 1024 {
        problems.push("AUDIT_TABLE: that is neither the name nor the ARN of a table".to_owned());
    }
    let days = number("AUDIT_DAYS", get("AUDIT_DAYS"), DEFAULT_AUDIT_DAYS, 1, MOST_AUDIT_DAYS);
    let days = value_or_problem(problems, days);
    let redact = Redact::read(get("AUDIT_REDACT").as_deref().unwrap_or_default());
    let redact = value_or_problem(problems, redact.map_err(|problem| format!("AUDIT_REDACT: {problem}")));
    let words = [("on", true), ("off", false)];
    let texts = value_or_problem(problems, one_of("AUDIT_TEXTS", get("AUDIT_TEXTS"), words));
    match (days, redact, texts) {
        (Some(days), Some(redact), Some(texts)) => (Some(table), Some(AuditRules { days, redact, texts })),
        _ => (Some(table), None),
    }
}

/// Reads one limit, such as `person:20`.
fn limit(part: &str) -> Option<(Scope, u64)> {
    let (scope, limit) = part.trim().split_once(':')?;
    let limit = limit.trim().parse().ok().filter(|limit| (1..=MOST_A_DAY).contains(limit))?;
    Some((Scope::parse(scope.trim())?, limit))
}

/// Reads `GATEWAY_TARGETS` and `GATEWAY_TARGET`, of which one is set at most: a target for whoever is not in the map would post
/// with another workspace's token.
fn installations(
    problems: &mut Vec<String>,
    targets: Option<String>,
    target: Option<String>,
) -> Option<Installations> {
    let Some(targets) = targets else {
        return Some(Installations::One(target.unwrap_or_else(|| "slack".to_owned())));
    };
    if target.is_some() {
        problems.push(
            "GATEWAY_TARGET is set beside GATEWAY_TARGETS, which names all targets: unset it".to_owned(),
        );
    }
    match Installations::parse(&targets) {
        Ok(installations) => Some(installations),
        Err(wrong) => {
            problems.extend(
                wrong.into_iter().map(|problem| format!("GATEWAY_TARGETS: {problem}; expected {TARGETS}")),
            );
            None
        }
    }
}

/// Reads `WORKSPACE_TOOLS_GATEWAY_URL` and `WORKSPACE_TOOLS`, which are both needed.
fn workspace_tools(
    problems: &mut Vec<String>,
    gateway: Option<String>,
    targets: Option<String>,
) -> Option<WorkspaceTools> {
    let name = "WORKSPACE_TOOLS_GATEWAY_URL";
    let url = value_or_problem(problems, required(name, GATEWAY, gateway, url));
    let targets = value_or_problem(problems, required("WORKSPACE_TOOLS", TOOLS, targets, target_names));
    Some(WorkspaceTools { url: url?, targets: targets? })
}

/// Reads `SLACK_BOT_TOKEN_ARN`: one secret, or an object from tenant to the secret of this tenant alone.
fn token_secrets(
    problems: &mut Vec<String>,
    value: &str,
    installations: Option<&Installations>,
) -> Option<TokenSecrets> {
    let mut problem = |text: String| {
        problems.push(format!("SLACK_BOT_TOKEN_ARN: {text}"));
        None
    };
    let secrets = match TokenSecrets::parse(value) {
        Ok(secrets) => secrets,
        Err(why) => return problem(why),
    };
    if let (TokenSecrets::Named(secrets), Some(Installations::Named(names))) = (&secrets, installations) {
        // With GATEWAY_TARGET alone it does not matter what the one tenant is called.
        if let Some(stranger) = secrets.keys().find(|tenant| !names.contains_key(*tenant)) {
            return problem(format!(
                "{stranger} is none of GATEWAY_TARGETS, and for whoever is not in it nothing is done"
            ));
        }
    }
    Some(secrets)
}

/// Reads the names of targets.
fn target_names(value: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    let is_right = names.iter().all(|name| installations::is_target(name));
    if is_right { Ok(names) } else { Err("a target's name has a-z, 0-9 and single hyphens".to_owned()) }
}

/// Checks the URL of a Gateway. Without TLS only one's own machine is called.
fn url(value: &str) -> Result<String, String> {
    let is_own = ["http://127.0.0.1:", "http://localhost:"].iter().any(|own| value.starts_with(own));
    let is_url = value.len() > "https://".len() && value.starts_with("https://");
    if is_own || is_url { Ok(value.to_owned()) } else { Err("that is no https URL".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn config(changes: &[(&str, &str)]) -> Result<SettleConfig, Vec<String>> {
        let mut variables: HashMap<&str, &str> = [
            ("DEDUP_STORE", "dynamodb:events"),
            ("EVENT_QUEUE", "https://sqs.us-east-1.amazonaws.com/1/events.fifo"),
            ("GATEWAY_URL", "https://settle.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp"),
        ]
        .into();
        variables.extend(changes.iter().copied());
        SettleConfig::from_lookup(|name| variables.get(name).map(|value| (*value).to_owned()))
            .map_err(|error| error.problems)
    }

    #[test]
    fn what_is_not_set_has_the_documented_default() {
        let config = config(&[]).unwrap();
        assert_eq!(config.installations, Installations::One("slack".to_owned()));
        assert_eq!((config.slack_hooks.as_str(), config.workspace_tools), (SLACK_HOOKS, None));
        assert_eq!((config.settings.post_wait.as_secs(), config.table.as_str()), (90, "events"));
        assert_eq!(config.tools_gateway_url, None);
        assert_eq!((config.bot_tokens, config.slack_files.as_str()), (None, SLACK_FILES));
        let settings = config.settings;
        assert_eq!(settings.prompts, None);
        assert!(!settings.session_titles && !settings.feedback_buttons);
    }

    #[test]
    fn what_the_pane_shows_is_set() {
        let prompts = r#"{"prompts": [{"title": "Plan", "message": "Plan my day."}]}"#;
        let changes = [("SUGGESTED_PROMPTS", prompts), ("SESSION_TITLES", "on"), ("FEEDBACK_BUTTONS", "on")];
        let settings = config(&changes).unwrap().settings;
        assert_eq!(settings.prompts, Some(Prompts::read(prompts).unwrap()));
        assert!(settings.session_titles && settings.feedback_buttons);
    }

    #[test]
    fn the_tools_are_not_those_of_agent_settle() {
        let own = "https://settle.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp";
        let problems = config(&[("TOOLS_GATEWAY_URL", own)]).unwrap_err();
        assert_eq!(problems, ["TOOLS_GATEWAY_URL must be another Gateway than GATEWAY_URL"]);
        let other = "https://tools.gateway.bedrock-agentcore.eu-west-1.amazonaws.com/mcp";
        assert_eq!(
            config(&[("TOOLS_GATEWAY_URL", other)]).unwrap().tools_gateway_url.as_deref(),
            Some(other)
        );
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let problems = config(&[
            ("DEDUP_STORE", "memory:"),
            ("EVENT_QUEUE", "stdout:"),
            ("GATEWAY_URL", "http://example.com/mcp"),
            ("TOOLS_GATEWAY_URL", "ftp://example.com"),
            ("POST_WAIT_SECONDS", "0"),
            ("SUGGESTED_PROMPTS", r#"{"prompts": [{"title": "secret"}], "more": 7}"#),
            ("SESSION_TITLES", "true"),
            ("FEEDBACK_BUTTONS", "yes"),
            ("RUST_LOG", "=="),
        ])
        .unwrap_err();
        let names = [
            "DEDUP_STORE",
            "EVENT_QUEUE",
            "GATEWAY_URL",
            "TOOLS_GATEWAY_URL",
            "POST_WAIT_SECONDS",
            "SUGGESTED_PROMPTS: there is a field beside",
            "SUGGESTED_PROMPTS: the message of prompt 1",
            "SESSION_TITLES",
            "FEEDBACK_BUTTONS",
            "RUST_LOG",
        ];
        assert_eq!(problems.len(), names.len(), "{problems:#?}");
        for (problem, name) in problems.iter().zip(names) {
            assert!(problem.starts_with(name), "{name}: {problem}");
        }
    }

    #[test]
    fn limits_are_read_by_unit_and_scope() {
        assert_eq!(config(&[]).unwrap().settings.limits, DailyLimits::default());
        let limits = config(&[
            ("QUESTIONS_A_DAY", "person:20, workspace:1000"),
            ("TOKENS_A_DAY", "workspace:5000000"),
            ("TOOL_CALLS_A_DAY", " channel : 50 "),
        ]);
        let of = |questions, tokens, tool_calls| Limits { questions, tokens, tool_calls };
        let scopes = vec![
            (Scope::Person, of(Some(20), None, None)),
            (Scope::Channel, of(None, None, Some(50))),
            (Scope::Workspace, of(Some(1000), Some(5_000_000), None)),
        ];
        let expected = DailyLimits { scopes, tokens_a_question: Some(200_000) };
        assert_eq!(limits.unwrap().settings.limits, expected);
        let limits = config(&[("TOKENS_A_QUESTION", "50000"), ("QUESTIONS_A_DAY", "person:1")]).unwrap();
        assert_eq!(limits.settings.limits.tokens_a_question, Some(50_000));
    }

    #[test]
    fn a_limit_by_which_nobody_could_ask_is_refused() {
        for (name, value) in [
            ("QUESTIONS_A_DAY", "person"),
            ("QUESTIONS_A_DAY", "person:0"),
            ("QUESTIONS_A_DAY", "people:5"),
            ("QUESTIONS_A_DAY", "person:5,person:6"),
            ("TOOL_CALLS_A_DAY", "channel:1e3"),
            ("TOKENS_A_QUESTION", "10"),
            ("TOKENS_A_DAY", "person:199999"),
        ] {
            let problems = config(&[(name, value)]).unwrap_err();
            assert!(matches!(&*problems, [one] if one.starts_with(name)), "{value}: {problems:?}");
        }
    }

    #[test]
    fn the_audit_trail_is_off_unless_a_table_is_named_for_it() {
        let off = config(&[]).unwrap();
        assert_eq!((off.audit_table, off.settings.audit), (None, None));
        let on = config(&[("AUDIT_TABLE", "trail")]).unwrap();
        let usual = AuditRules { days: 365, redact: Redact::default(), texts: true };
        assert_eq!((on.audit_table.as_deref(), on.settings.audit), (Some("trail"), Some(usual)));
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/trail";
        let more =
            [("AUDIT_TABLE", arn), ("AUDIT_DAYS", "30"), ("AUDIT_REDACT", "email"), ("AUDIT_TEXTS", "off")];
        let rules = AuditRules { days: 30, redact: Redact::read("email").unwrap(), texts: false };
        assert_eq!(config(&more).unwrap().settings.audit, Some(rules));
    }

    #[test]
    fn a_trail_that_would_not_hold_what_is_said_is_refused() {
        let table = ("AUDIT_TABLE", "trail");
        for (changes, named) in [
            (vec![("AUDIT_DAYS", "30")], vec!["AUDIT_DAYS"]),
            (vec![("AUDIT_REDACT", "email"), ("AUDIT_TEXTS", "off")], vec!["AUDIT_REDACT", "AUDIT_TEXTS"]),
            (vec![("AUDIT_TABLE", "a trail")], vec!["AUDIT_TABLE"]),
            (vec![table, ("AUDIT_DAYS", "0")], vec!["AUDIT_DAYS"]),
            (vec![table, ("AUDIT_DAYS", "4000")], vec!["AUDIT_DAYS"]),
            (
                vec![table, ("AUDIT_REDACT", "a b"), ("AUDIT_TEXTS", "no")],
                vec!["AUDIT_REDACT", "AUDIT_TEXTS"],
            ),
        ] {
            let problems = config(&changes).unwrap_err();
            assert_eq!(problems.len(), named.len(), "{changes:?}: {problems:?}");
            for (problem, name) in problems.iter().zip(named) {
                assert!(problem.starts_with(name), "{name}: {problem}");
            }
        }
    }

    const SEVERAL: (&str, &str) = ("GATEWAY_TARGETS", r#"{"T1": "slack", "E2": "slack-e2"}"#);
    const TOOLS_GATEWAY: (&str, &str) = ("TOOLS_GATEWAY_URL", "https://tools/mcp");
    const WORKSPACE_TOOLS: [(&str, &str); 2] =
        [("WORKSPACE_TOOLS_GATEWAY_URL", "https://workspaces/mcp"), ("WORKSPACE_TOOLS", "slack, canvases")];

    #[test]
    fn each_installation_has_a_target_and_tools_of_its_own() {
        let [gateway, targets] = WORKSPACE_TOOLS;
        let config = config(&[SEVERAL, TOOLS_GATEWAY, gateway, targets]).unwrap();
        assert_eq!(config.installations.target(Some("E2")), Some("slack-e2"));
        assert_eq!(config.installations.target(Some("E3")), None);
        let own = config.workspace_tools.unwrap();
        assert_eq!((own.url.as_str(), own.targets.join(" ").as_str()), (gateway.1, "slack canvases"));
    }

    #[test]
    fn an_agent_without_tools_and_a_single_named_installation_need_no_gateway_more() {
        assert!(config(&[SEVERAL]).is_ok());
        let single = ("GATEWAY_TARGETS", r#"{"T1": "slack"}"#);
        assert!(config(&[single, TOOLS_GATEWAY]).is_ok());
    }

    #[test]
    fn the_bot_tokens_are_in_one_secret_or_in_one_for_each_installation() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:BotToken-Ab12Cd";
        let tokens = |value: &str| config(&[SEVERAL, ("SLACK_BOT_TOKEN_ARN", value)]).unwrap().bot_tokens;
        for id in [arn, "slack/bot-token"] {
            assert_eq!(tokens(id), Some(TokenSecrets::One(id.to_owned())));
        }
        let Some(TokenSecrets::Named(secrets)) = tokens(&format!(r#"{{"T1": "{arn}", "E2": "other"}}"#))
        else {
            panic!()
        };
        assert_eq!((secrets["T1"].as_str(), secrets["E2"].as_str()), (arn, "other"));
    }

    #[test]
    fn a_token_in_place_of_its_secret_or_anothers_secret_is_refused_and_not_quoted() {
        for value in [
            "xoxb-made-up",
            "a secret",
            "{",
            "{}",
            r#"{"T1": 7}"#,
            r#"{"T1": "xoxb-made-up"}"#,
            r#"{"A1": "xoxb"}"#,
            r#"{"T1": "a", "E2": "a"}"#,
            r#"{"T1": "a", "T3": "b"}"#,
        ] {
            let problems = config(&[SEVERAL, ("SLACK_BOT_TOKEN_ARN", value)]).unwrap_err();
            assert!(
                matches!(&*problems, [one] if one.starts_with("SLACK_BOT_TOKEN_ARN: ")),
                "{value}: {problems:?}"
            );
            assert!(!problems.concat().contains("made-up"), "{problems:?}");
        }
        // The token goes there.
        let problems = config(&[("SLACK_FILES_URL", "http://files.example.com")]).unwrap_err();
        assert!(problems.concat().starts_with("SLACK_FILES_URL"), "{problems:?}");
    }

    #[test]
    fn a_configuration_by_which_one_installation_would_act_for_another_is_refused() {
        let [gateway, targets] = WORKSPACE_TOOLS;
        for (changes, names) in [
            // Tools of Slack's for all, with one token.
            (vec![SEVERAL, TOOLS_GATEWAY], vec!["WORKSPACE_TOOLS_GATEWAY_URL", "WORKSPACE_TOOLS"]),
            (vec![SEVERAL, TOOLS_GATEWAY, gateway], vec!["WORKSPACE_TOOLS"]),
            // A target for everybody else.
            (vec![SEVERAL, ("GATEWAY_TARGET", "slack")], vec!["GATEWAY_TARGET"]),
            (vec![("GATEWAY_TARGETS", r#"{"T1": "slack", "E2": "slack"}"#)], vec!["GATEWAY_TARGETS"]),
            (vec![("GATEWAY_TARGETS", r#"{"A1": "slack", "E2": "sl_ack"}"#)], vec!["GATEWAY_TARGETS"; 2]),
            // What would have no effect.
            (vec![TOOLS_GATEWAY, gateway, targets], vec!["WORKSPACE_TOOLS_GATEWAY_URL"]),
            (vec![SEVERAL, gateway, targets], vec!["WORKSPACE_TOOLS_GATEWAY_URL"]),
            (vec![SEVERAL, TOOLS_GATEWAY, gateway, ("WORKSPACE_TOOLS", "sl_ack")], vec!["WORKSPACE_TOOLS"]),
        ] {
            let problems = config(&changes).unwrap_err();
            assert_eq!(problems.len(), names.len(), "{changes:?}: {problems:#?}");
            for (problem, name) in problems.iter().zip(names) {
                assert!(problem.starts_with(name), "{name}: {problem}");
            }
        }
    }
}
