//! The document of the rules (`FAST_PATH`): from JSON to [`Rules`], with all that is wrong with it at once.
//!
//! `docs/fast-path.schema.json` describes the same for editors; a test holds both to the same examples.

use serde_json::{Map, Value, json};
use std::time::Duration;

use super::conditions::{Check, Condition};
use super::options::{Filter, Options, option};
use super::pattern::Pattern;
use super::rules::{Act, Ask, Queue, Rule, Rules, When, Whom};
use super::shape::{Question, problems_of_answer, problems_of_view};
use super::template;

/// The version of the document that this program reads.
const VERSION: u64 = 1;

/// How long somebody else is asked if the rule does not say it, and at the most, in milliseconds: Slack waits for 3 seconds.
const SOURCE_TIMEOUT: u64 = 1000;
const FUNCTION_TIMEOUT: u64 = 2000;
const MAX_TIMEOUT: u64 = 3000;

/// The path that a function is asked for if the rule does not say it: Bolt's own default, in Python and in JavaScript.
const FUNCTION_PATH: &str = "/slack/events";

impl Rules {
    /// Reads a document.
    ///
    /// # Errors
    /// All that is wrong with it, a line each.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let document: Value =
            serde_json::from_str(text).map_err(|error| vec![format!("no JSON: {error}")])?;
        let mut problems = Vec::new();
        let rules = read_document(&document, &mut Place { path: String::new(), problems: &mut problems });
        if problems.is_empty() { Ok(rules.unwrap_or_default()) } else { Err(problems) }
    }
}

/// Where something stands in the document, and what is wrong so far.
struct Place<'a> {
    path: String,
    problems: &'a mut Vec<String>,
}

impl Place<'_> {
    fn problem(&mut self, what: &str) {
        let Self { path, problems } = self;
        problems.push(if path.is_empty() { what.to_owned() } else { format!("{path}: {what}") });
    }

    fn at(&mut self, name: &str) -> Place<'_> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Place { path, problems: self.problems }
    }

    fn item(&mut self, index: usize) -> Place<'_> {
        Place { path: format!("{}[{index}]", self.path), problems: self.problems }
    }

    /// The object that this is, without fields that nobody reads.
    fn object<'v>(&mut self, value: &'v Value, known: &[&str]) -> Option<&'v Map<String, Value>> {
        let Some(object) = value.as_object() else {
            self.problem("is no JSON object");
            return None;
        };
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            self.problem(&format!("{name} is unknown; known are {}", known.join(", ")));
        }
        Some(object)
    }

    fn text(&mut self, object: &Map<String, Value>, name: &str) -> Option<String> {
        match object.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            _ => {
                self.at(name).problem("is no text, or an empty one");
                None
            }
        }
    }

    fn number(&mut self, object: &Map<String, Value>, name: &str, max: u64) -> Option<u64> {
        let number = object.get(name)?.as_u64().filter(|number| *number <= max);
        if number.is_none() {
            self.at(name).problem(&format!("is no whole number up to {max}"));
        }
        number
    }

    fn truth(&mut self, object: &Map<String, Value>, name: &str) -> bool {
        match object.get(name) {
            None => false,
            Some(Value::Bool(truth)) => *truth,
            Some(_) => {
                self.at(name).problem("is neither true nor false");
                false
            }
        }
    }

    /// The items of a list that has some.
    fn list<'v>(&mut self, object: &'v Map<String, Value>, name: &str) -> &'v [Value] {
        match object.get(name) {
            None => &[],
            Some(Value::Array(list)) if !list.is_empty() => list,
            Some(_) => {
                self.at(name).problem("is no list, or an empty one");
                &[]
            }
        }
    }

    fn all(&mut self, found: Vec<String>) {
        for problem in found {
            self.problem(&problem);
        }
    }
}

fn read_document(document: &Value, place: &mut Place<'_>) -> Option<Rules> {
    let object = place.object(document, &["$schema", "version", "rules"])?;
    if object.get("version").and_then(Value::as_u64) != Some(VERSION) {
        place.problem(&format!("version is not {VERSION}"));
    }
    if !object.contains_key("rules") {
        place.problem("rules is missing");
    }
    let mut rules: Vec<Rule> = Vec::new();
    for (index, value) in place.list(object, "rules").iter().enumerate() {
        let mut list = place.at("rules");
        let mut place = list.item(index);
        let Some(rule) = read_rule(value, index, &mut place) else { continue };
        if let Some(before) = rules.iter().find(|before| rule.when.is_within(&before.when)) {
            place.problem(&format!(
                "is never reached: the rule {} before it is for the same requests",
                before.name
            ));
        }
        if rules.iter().any(|before| before.name == rule.name) {
            place.problem(&format!("has the name {} of another rule", rule.name));
        }
        rules.push(rule);
    }
    Some(Rules(rules))
}

const ACTS: [&str; 5] = ["answer", "open", "options", "source", "function"];

fn read_rule(value: &Value, index: usize, place: &mut Place<'_>) -> Option<Rule> {
    let known = [
        "name", "when", "queue", "checks", "answer", "open", "fallback", "options", "filter", "source",
        "function",
    ];
    let object = place.object(value, &known)?;
    let name = place.text(object, "name").unwrap_or_else(|| format!("rule_{}", index + 1));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.len() > 64 || !name.bytes().all(is_name) {
        place.at("name").problem("is not of up to 64 letters, digits, _, - and .");
    }
    let Some(when) = object.get("when") else {
        place.problem("when is missing: it says which requests the rule is for");
        return None;
    };
    let (when, question) = read_when(when, &mut place.at("when"))?;
    let checks = read_checks(object, question, place);
    let act = read_act(object, question, !checks.is_empty(), place)?;
    let queue = read_queue(object, question, !checks.is_empty(), place);
    Some(Rule { name, when, queue, checks, act })
}

fn read_when(value: &Value, place: &mut Place<'_>) -> Option<(When, Question)> {
    let known = ["command", "type", "callback_id", "action_id", "block_id", "api_app_id", "values"];
    let object = place.object(value, &known)?;
    let (name, question) = match (place.text(object, "command"), place.text(object, "type")) {
        (Some(command), None) if command.starts_with('/') && !command.contains(' ') => {
            (command, Question::Command)
        }
        (Some(_), None) => {
            place.at("command").problem("is no name of a command, such as /weather");
            return None;
        }
        (None, Some(name)) => match Question::of(&name) {
            Some(question) => (name, question),
            None => {
                let why =
                    if name == "view_closed" { "cannot be answered" } else { "is no type of an interaction" };
                place.at("type").problem(&format!("{name} {why}"));
                return None;
            }
        },
        _ => {
            place.problem("has to have either a command or a type");
            return None;
        }
    };
    let mut only = |field: &str, is_there: bool| {
        let text = place.text(object, field);
        if text.is_some() && !is_there {
            place.at(field).problem(&format!("{name} has none, so the rule is for nothing"));
        }
        text
    };
    let has_actions = matches!(question, Question::Suggestion | Question::Any) || name == "block_actions";
    let has_callback = question != Question::Command;
    let [callback_id, action_id, block_id, api_app_id] = [
        only("callback_id", has_callback),
        only("action_id", has_actions),
        only("block_id", has_actions),
        only("api_app_id", true),
    ];
    let values: Vec<Condition> = place
        .list(object, "values")
        .iter()
        .enumerate()
        .filter_map(|(index, value)| {
            let mut list = place.at("values");
            let mut place = list.item(index);
            let object = place.object(value, &CONDITION)?;
            read_condition(object, &mut place)
        })
        .collect();
    if !values.is_empty() && question != Question::Submission {
        place.at("values").problem("only a view_submission has values");
    }
    Some((When { name, callback_id, action_id, block_id, api_app_id, values }, question))
}

const CONDITION: [&str; 7] =
    ["block_id", "action_id", "required", "min_length", "max_length", "pattern", "one_of"];

fn read_condition(object: &Map<String, Value>, place: &mut Place<'_>) -> Option<Condition> {
    const LONGEST: u64 = 3000;
    let pattern = place.text(object, "pattern").and_then(|text| match Pattern::parse(&text) {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            place.at("pattern").problem(&why);
            None
        }
    });
    let one_of: Vec<String> =
        place.list(object, "one_of").iter().filter_map(|it| it.as_str().map(str::to_owned)).collect();
    if object.get("one_of").and_then(Value::as_array).is_some_and(|list| list.len() != one_of.len()) {
        place.at("one_of").problem("is no list of texts");
    }
    let length = |place: &mut Place<'_>, name| {
        place.number(object, name, LONGEST).and_then(|number| usize::try_from(number).ok())
    };
    let (min_length, max_length) = (length(place, "min_length"), length(place, "max_length"));
    if min_length.zip(max_length).is_some_and(|(min, max)| min > max) {
        place.problem("min_length is more than max_length");
    }
    if !CONDITION.iter().skip(2).any(|name| object.contains_key(*name)) {
        place.problem(&format!("asks for nothing: it has none of {}", CONDITION[2..].join(", ")));
    }
    let Some(block_id) = place.text(object, "block_id") else {
        place.problem("block_id is missing");
        return None;
    };
    Some(Condition {
        block_id,
        action_id: place.text(object, "action_id"),
        is_required: place.truth(object, "required"),
        min_length,
        max_length,
        pattern,
        one_of: object.contains_key("one_of").then_some(one_of),
    })
}

fn read_checks(object: &Map<String, Value>, question: Question, place: &mut Place<'_>) -> Vec<Check> {
    let known = [&CONDITION[..], &["message"]].concat();
    let checks: Vec<Check> = place
        .list(object, "checks")
        .iter()
        .enumerate()
        .filter_map(|(index, value)| {
            let mut list = place.at("checks");
            let mut place = list.item(index);
            let object = place.object(value, &known)?;
            let message = place.text(object, "message");
            match &message {
                Some(message) => place.all(template::problems(&json!(message))),
                None => place.problem("message is missing: it is what the person is told"),
            }
            let condition = read_condition(object, &mut place)?;
            Some(Check { condition, message: message? })
        })
        .collect();
    if object.contains_key("checks") && question != Question::Submission {
        place.at("checks").problem("only a view_submission has values to check");
    }
    checks
}

fn read_queue(
    object: &Map<String, Value>,
    question: Question,
    has_checks: bool,
    place: &mut Place<'_>,
) -> Queue {
    let queue = match object.get("queue") {
        None => Queue::Always,
        Some(Value::Bool(true)) => Queue::Always,
        Some(Value::Bool(false)) => Queue::Never,
        Some(Value::String(text)) if text == "if_valid" => {
            if !has_checks {
                place.at("queue").problem("if_valid needs checks");
            }
            Queue::IfValid
        }
        Some(_) => {
            place.at("queue").problem("is none of true, false and \"if_valid\"");
            Queue::Always
        }
    };
    if question.is_suggestion() && object.get("queue") == Some(&Value::Bool(true)) {
        place.at("queue").problem("a menu that asks for its options is never on the queue");
    }
    queue
}

fn read_act(
    object: &Map<String, Value>,
    question: Question,
    has_checks: bool,
    place: &mut Place<'_>,
) -> Option<Act> {
    let given: Vec<&str> = ACTS.into_iter().filter(|name| object.contains_key(*name)).collect();
    for (name, of) in [("filter", "options"), ("fallback", "open")] {
        if object.contains_key(name) && !object.contains_key(of) {
            place.at(name).problem(&format!("is for {of} here"));
        }
    }
    match given.as_slice() {
        [] if has_checks => Some(Act::Answer(None)),
        [] => {
            place.problem(&format!("says nothing to do: it has none of {}", ACTS.join(", ")));
            None
        }
        ["answer"] => read_answer(object.get("answer")?, question, &mut place.at("answer"))
            .map(|it| Act::Answer(Some(it))),
        ["open"] | ["answer", "open"] => read_open(object, question, place),
        ["options"] => read_options(object, question, place).map(Act::Options),
        ["source"] => read_source(object.get("source")?, question, &mut place.at("source")).map(Act::Ask),
        ["function"] => {
            read_function(object.get("function")?, question, &mut place.at("function")).map(Act::Ask)
        }
        several => {
            place.problem(&format!("has {}, and can do only one of them", several.join(" and ")));
            None
        }
    }
}

/// An answer as Slack takes it. To a command it may be a text alone.
fn read_answer(value: &Value, question: Question, place: &mut Place<'_>) -> Option<Value> {
    let answer = match (value, question) {
        (Value::String(text), Question::Command) if !text.is_empty() => {
            json!({"response_type": "ephemeral", "text": text})
        }
        (other, _) => other.clone(),
    };
    let problems = problems_of_answer(question, &answer);
    place.all(problems);
    place.all(template::problems(&answer));
    Some(answer)
}

fn read_open(object: &Map<String, Value>, question: Question, place: &mut Place<'_>) -> Option<Act> {
    let view = object.get("open")?;
    {
        let mut place = place.at("open");
        if !question.has_trigger() {
            place.problem(
                "no modal can be opened here; a view_submission takes response_action push or update",
            );
        }
        place.all(problems_of_view(view));
        place.all(template::problems(view));
        if view.get("external_id").is_some() {
            place.problem("external_id is made from the id that the request is recorded under: leave it out");
        }
    }
    let mut answer =
        |name: &str| object.get(name).and_then(|it| read_answer(it, question, &mut place.at(name)));
    let (answer, fallback) = (answer("answer"), answer("fallback"));
    Some(Act::Open { view: view.clone(), answer, fallback })
}

fn read_options(object: &Map<String, Value>, question: Question, place: &mut Place<'_>) -> Option<Options> {
    if question != Question::Suggestion {
        place.at("options").problem("only a block_suggestion asks for options");
    }
    let mut list = Vec::new();
    for (index, value) in place.list(object, "options").iter().enumerate() {
        match option(value) {
            Some(option) => list.push(option),
            None => place
                .at("options")
                .item(index)
                .problem("is no option: a text, or an object of text and value, of up to 75 characters each"),
        }
    }
    if list.iter().any(|option: &Value| option.to_string().contains("{{")) {
        place.at("options").problem("has a template, and options are no templates");
    }
    let filter = match object.get("filter").map(Value::as_str) {
        None | Some(Some("contains")) => Filter::Contains,
        Some(Some("prefix")) => Filter::Prefix,
        Some(Some("none")) => Filter::None,
        Some(_) => {
            place.at("filter").problem("is none of contains, prefix and none");
            return None;
        }
    };
    Some(Options { list, filter })
}

fn read_source(value: &Value, question: Question, place: &mut Place<'_>) -> Option<Ask> {
    if !question.is_suggestion() {
        place.problem("only a menu that asks for its options has a source; a function takes everything");
    }
    let object = place.object(value, &["url", "timeout_ms", "fallback"])?;
    let (timeout, fallback) = read_limits(object, question, SOURCE_TIMEOUT, place);
    let Some(url) = place.text(object, "url") else {
        place.problem("url is missing");
        return None;
    };
    if !is_callable(&url) {
        place.at("url").problem("is no URL of https");
    }
    Some(Ask { whom: Whom::Source(url), timeout, fallback })
}

/// Whether a URL is of https, or of one's own machine. Its host has no user in front, and its port is one.
fn is_callable(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_own = scheme == "http" && port.is_some() && ["127.0.0.1", "localhost"].contains(&host);
    is_host && is_port && (scheme == "https" || is_own) && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_function(value: &Value, question: Question, place: &mut Place<'_>) -> Option<Ask> {
    let object = place.object(value, &["name", "path", "timeout_ms", "fallback"])?;
    let (timeout, fallback) = read_limits(object, question, FUNCTION_TIMEOUT, place);
    let Some(name) = place.text(object, "name") else {
        place.problem("name is missing: the name or the ARN of a Lambda function");
        return None;
    };
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'-' | b'_' | b'$');
    // A name, with a version or an alias if it has one; or a whole ARN. Lambda takes a part of an ARN, too, and IAM does not.
    let colons = name.matches(':').count();
    let is_whole = if name.starts_with("arn:") { (6..=7).contains(&colons) } else { colons <= 1 };
    if name.len() > 170 || !is_whole || !name.bytes().all(is_known) {
        place.at("name").problem("is neither the name nor the ARN of a Lambda function");
    }
    let path = place.text(object, "path").unwrap_or_else(|| FUNCTION_PATH.to_owned());
    let is_in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    if !path.starts_with('/') || !path.bytes().all(is_in_path) {
        place.at("path").problem("is no path, such as /slack/commands");
    }
    Some(Ask { whom: Whom::Function { name, path }, timeout, fallback })
}

fn read_limits(
    object: &Map<String, Value>,
    question: Question,
    default: u64,
    place: &mut Place<'_>,
) -> (Duration, Option<Value>) {
    let timeout = place.number(object, "timeout_ms", MAX_TIMEOUT).unwrap_or(default);
    if timeout < 50 {
        place.at("timeout_ms").problem("is less than 50: nothing answers so fast");
    }
    let fallback = object.get("fallback").and_then(|it| read_answer(it, question, &mut place.at("fallback")));
    (Duration::from_millis(timeout), fallback)
}
