//! Which tools ask a person first: `APPROVALS`, `APPROVAL_SECONDS`, and the schedules that say when nobody has decided in time
//! (`SCHEDULE_GROUP`, `SCHEDULE_ROLE`).

use serde_json::{Map, Value};
use std::time::Duration;

use super::parse::{number, value_or_problem};
use crate::settle::approvals::Approvals;
use crate::work::approval::{MAX_TIME, Who};
use crate::work::lapse::ScheduleConfig;

const APPROVALS: &str = "APPROVALS";

/// What `APPROVALS` may be, for the text of a problem.
const EXPECTED: &str = r#"{"create_card": "asker", "trello___delete_card": ["U0123ABC"], "pay": "S0456DEF"}"#;

/// The shortest time that a person may be given.
const MIN_SECONDS: u64 = 60;

/// Most people who are named for one tool: the message mentions each of them.
const MAX_PEOPLE: usize = 20;

/// Reads the variables. Without `APPROVALS` no tool asks anybody, and the others must not be set.
pub(super) fn approvals(
    problems: &mut Vec<String>,
    get: impl Fn(&str) -> Option<String>,
) -> (Approvals, Option<ScheduleConfig>) {
    let others = ["APPROVAL_SECONDS", "SCHEDULE_GROUP", "SCHEDULE_ROLE"];
    let Some(value) = get(APPROVALS) else {
        for name in others.into_iter().filter(|name| get(name).is_some()) {
            problems.push(format!("{name}: it has no effect without {APPROVALS}, which says what asks whom"));
        }
        return (Approvals::default(), None);
    };
    let tools = match serde_json::from_str::<Map<String, Value>>(&value) {
        Ok(tools) if !tools.is_empty() => tools,
        _ => {
            problems
                .push(format!("{APPROVALS}: that is no JSON object that names tools; expected {EXPECTED}"));
            Map::new()
        }
    };
    let mut named = Vec::new();
    for (index, (tool, who)) in tools.iter().enumerate() {
        let is_name = !tool.is_empty() && tool.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        match (is_name, self::who(who)) {
            (true, Some(who)) => named.push((tool.clone(), who)),
            (false, _) => {
                problems.push(format!("{APPROVALS}: entry {} is no name of a tool; expected {EXPECTED}", index + 1));
            }
            (true, None) => problems.push(format!(
                "{APPROVALS}: who decides about {tool} must be asker, a list of 1 to {MAX_PEOPLE} people's ids (U…), or the id of a \
                 user group (S…)"
            )),
        }
    }
    let longest = MAX_TIME.as_secs();
    let time = number("APPROVAL_SECONDS", get("APPROVAL_SECONDS"), longest, MIN_SECONDS, longest);
    let time = value_or_problem(problems, time).unwrap_or_default();
    let mut needed = |name: &str, what: &str| {
        let value = get(name);
        if value.is_none() {
            problems.push(format!("{name} is missing, which {APPROVALS} needs: set it to {what}"));
        }
        value.unwrap_or_default()
    };
    let group = needed("SCHEDULE_GROUP", "the name of a group of EventBridge Scheduler's schedules");
    let role = needed("SCHEDULE_ROLE", "the ARN of the role that may put messages on the queue");
    let is_arn = role.split(':').count() >= 6 && role.starts_with("arn:");
    if !role.is_empty() && !is_arn {
        problems.push("SCHEDULE_ROLE: that is no ARN of a role".to_owned());
    }
    let schedules = ScheduleConfig { group, role, endpoint: get("AWS_ENDPOINT_URL_SCHEDULER") };
    (Approvals { tools: named, time: Duration::from_secs(time) }, Some(schedules))
}

fn who(value: &Value) -> Option<Who> {
    let is_id = |id: &str, first: &[char]| {
        id.starts_with(first)
            && id.len() > 1
            && id.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
    };
    match value {
        Value::String(asker) if asker == "asker" => Some(Who::Asker),
        Value::String(group) if is_id(group, &['S']) => Some(Who::Group(group.clone())),
        Value::Array(ids) if (1..=MAX_PEOPLE).contains(&ids.len()) => {
            let people: Option<Vec<String>> = ids
                .iter()
                .map(|id| id.as_str().filter(|id| is_id(id, &['U', 'W'])).map(str::to_owned))
                .collect();
            people.map(Who::People)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const ROLE: &str = "arn:aws:iam::123456789012:role/lapses";

    fn read(variables: &[(&str, &str)]) -> Result<(Approvals, Option<ScheduleConfig>), Vec<String>> {
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let mut problems = Vec::new();
        let read = approvals(&mut problems, |name| variables.get(name).map(|value| (*value).to_owned()));
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    #[test]
    fn without_the_variable_nobody_is_asked() {
        assert_eq!(read(&[]), Ok((Approvals::default(), None)));
        assert_eq!(read(&[("SCHEDULE_ROLE", ROLE)]).unwrap_err().len(), 1);
    }

    #[test]
    fn who_decides_about_which_tool_is_read() {
        let value = r#"{"create_card": "asker", "trello___delete_card": ["U1", "W2"], "pay": "S1"}"#;
        let variables = [("APPROVALS", value), ("SCHEDULE_GROUP", "lapses"), ("SCHEDULE_ROLE", ROLE)];
        let (approvals, schedules) = read(&variables).unwrap();
        assert_eq!(approvals.time, MAX_TIME);
        assert_eq!(approvals.of("trello___create_card"), Some(&Who::Asker));
        let people = Who::People(vec!["U1".to_owned(), "W2".to_owned()]);
        assert_eq!(approvals.of("trello___delete_card"), Some(&people));
        assert_eq!(approvals.of("bank___pay"), Some(&Who::Group("S1".to_owned())));
        assert_eq!(schedules.map(|it| (it.group, it.role)), Some(("lapses".to_owned(), ROLE.to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let right = |value: &'static str| {
            [("APPROVALS", value), ("SCHEDULE_GROUP", "lapses"), ("SCHEDULE_ROLE", ROLE)]
        };
        for value in [
            "create_card",
            "{}",
            r#"{"": "asker"}"#,
            r#"{"a b": "asker"}"#,
            r#"{"pay": "everybody"}"#,
            r#"{"pay": []}"#,
            r#"{"pay": ["S1"]}"#,
            r#"{"pay": ["U1", 2]}"#,
            r#"{"pay": "U1"}"#,
        ] {
            let problems = read(&right(value)).unwrap_err();
            assert!(problems.len() == 1 && problems[0].starts_with(APPROVALS), "{value}: {problems:?}");
        }
        assert_eq!(read(&[("APPROVALS", r#"{"pay": "asker"}"#)]).unwrap_err().len(), 2);
        let mut wrong = right(r#"{"pay": "asker"}"#).to_vec();
        wrong.push(("APPROVAL_SECONDS", "604801"));
        wrong[2].1 = "lapses";
        assert_eq!(read(&wrong).unwrap_err().len(), 2);
    }
}
