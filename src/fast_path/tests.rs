use serde_json::{Value, json};
use std::time::Duration;

use super::conditions::{Check, Condition};
use super::rules::{Act, Queue, When};
use super::*;
use crate::slack::signature::{self, SignatureHeaders, SigningSecret, Verified};
use crate::time::clock::UnixMillis;

const SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const NOW: u64 = 1_531_420_618;

/// A form that Slack signed.
fn signed(body: &str) -> Verified {
    let (secret, now) = (SigningSecret::new(SECRET), NOW.to_string());
    let signature = secret.sign(&now, body.as_bytes());
    let headers = SignatureHeaders { signature: Some(&signature), timestamp: Some(&now) };
    signature::verify(headers, body.as_bytes().to_vec(), &[secret], UnixMillis::from_secs(NOW)).unwrap()
}

fn form_of(body: &str) -> SignedForm {
    let headers = SignatureHeaders { signature: Some("v0=1"), timestamp: Some("1531420618") };
    SignedForm::read(&signed(body), headers, Some("application/x-www-form-urlencoded")).unwrap()
}

fn interaction(payload: &Value) -> SignedForm {
    let payload =
        percent_encoding::utf8_percent_encode(&payload.to_string(), percent_encoding::NON_ALPHANUMERIC)
            .to_string();
    form_of(&format!("payload={payload}"))
}

fn rules(rules: Value) -> Rules {
    let document = json!({"version": 1, "rules": rules}).to_string();
    Rules::parse(&document).unwrap()
}

fn answer_of(rules: &Rules, form: &SignedForm) -> Option<Value> {
    match rules.plan(form, "recorded")?.step {
        Step::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn modal(title: &str) -> Value {
    json!({"type": "modal", "title": {"type": "plain_text", "text": title}, "blocks": []})
}

#[test]
fn a_command_gets_its_text_and_goes_on_the_queue() {
    let rules = rules(
        json!([{"name": "deploy", "when": {"command": "/deploy"}, "answer": "On it, {{user_name}}: {{text}}"}]),
    );
    let form = form_of("token=secret&command=%2Fdeploy&text=%3C%21channel%3E&user_name=ann&api_app_id=A1");
    let plan = rules.plan(&form, "recorded").unwrap();
    assert!(plan.is_on_queue && plan.rule == "deploy");
    let text = json!({"response_type": "ephemeral", "text": "On it, ann: &lt;!channel&gt;"});
    assert_eq!(answer_of(&rules, &form), Some(text));
    assert_eq!(rules.plan(&form_of("command=%2Fother"), "recorded"), None);
    assert!(!format!("{form:?}").contains("channel"));
}

#[test]
fn the_first_rule_counts_that_is_for_a_request() {
    let select = |action: &str, answer: &str| {
        json!({
        "when": {"type": "block_suggestion", "action_id": action}, "answer": {"options": [], "from": answer}})
    };
    let rules = rules(json!([
        select("city", "first"),
        {"when": {"type": "block_suggestion", "action_id": "land", "block_id": "b"}, "answer": {"options": [], "from": "second"}},
        {"when": {"type": "block_suggestion", "api_app_id": "A1"}, "answer": {"options": [], "from": "third"}},
        {"when": {"type": "*"}, "function": {"name": "bolt-app"}},
    ]));
    let from = |payload: Value| {
        rules.plan(&interaction(&payload), "").map(|plan| match plan.step {
            Step::Answer(Some(answer)) => answer["from"].as_str().unwrap().to_owned(),
            Step::Ask(Ask { whom: Whom::Function { name, .. }, .. }) => name.clone(),
            other => panic!("{other:?}"),
        })
    };
    let suggestion = |action: &str, block: &str, app: &str| {
        json!({
        "type": "block_suggestion", "action_id": action, "block_id": block, "api_app_id": app, "value": ""})
    };
    for (payload, expected) in [
        (suggestion("city", "b", "A1"), "first"),
        (suggestion("land", "b", "A1"), "second"),
        (suggestion("land", "c", "A1"), "third"),
        (suggestion("land", "c", "A2"), "bolt-app"),
        (json!({"type": "message_action", "callback_id": "x"}), "bolt-app"),
    ] {
        assert_eq!(from(payload.clone()).as_deref(), Some(expected), "{payload}");
    }
    let button = json!({"type": "block_actions", "actions": [{"action_id": "go", "block_id": "b"}]});
    let opens = self::rules(
        json!([{"when": {"type": "block_actions", "action_id": "go", "block_id": "b"}, "open": modal("It")}]),
    );
    assert!(
        opens.plan(&interaction(&button), "").is_some() && opens.need_bot_token() && !opens.ask_functions()
    );
}

#[test]
fn a_modal_is_known_by_the_recorded_id() {
    let rules = rules(json!([
        {"when": {"type": "shortcut", "callback_id": "new"}, "open": modal("Hi {{user.username}}")},
        {"when": {"type": "view_submission", "callback_id": "one"}, "answer": {"response_action": "push", "view": modal("Two")}},
        {"when": {"type": "view_submission", "callback_id": "two"}, "answer": {"response_action": "update", "view": modal("Two")}},
    ]));
    let shortcut = interaction(
        &json!({"type": "shortcut", "callback_id": "new", "user": {"username": "ann"}, "trigger_id": "1.2"}),
    );
    let Step::Open { view, answer: None, fallback: None } = rules.plan(&shortcut, "recorded").unwrap().step
    else {
        panic!()
    };
    assert_eq!((&view["external_id"], &view["title"]["text"]), (&json!("recorded"), &json!("Hi ann")));
    let submission = |id: &str| {
        interaction(&json!({"type": "view_submission", "view": {"callback_id": id, "state": {"values": {}}}}))
    };
    let pushed = answer_of(&rules, &submission("one")).unwrap();
    assert_eq!(pushed["view"]["external_id"], "recorded");
    let updated = answer_of(&rules, &submission("two")).unwrap();
    assert_eq!(updated["view"].get("external_id"), None, "the consumer knows the view's id");
}

#[test]
fn what_a_check_refuses_goes_on_the_queue_unless_the_rule_says_otherwise() {
    let submission = |value: &str| {
        interaction(&json!({"type": "view_submission", "view": {"callback_id": "order", "state": {
        "values": {"amount": {"input": {"type": "plain_text_input", "value": value}}}}}}))
    };
    let errors = json!({"response_action": "errors", "errors": {"amount": "A number, please"}});
    for (queue, on_queue) in
        [(json!(true), [true, true]), (json!(false), [false, false]), (json!("if_valid"), [true, false])]
    {
        let rules = rules(json!([{
            "when": {"type": "view_submission", "callback_id": "order"}, "queue": queue,
            "checks": [{"block_id": "amount", "pattern": r"\d+", "message": "A number, please"}],
            "answer": {"response_action": "clear"},
        }]));
        let plans = ["12", "x"].map(|value| rules.plan(&submission(value), "").unwrap().is_on_queue);
        assert_eq!(plans, on_queue, "{queue}");
        assert_eq!(answer_of(&rules, &submission("12")), Some(json!({"response_action": "clear"})));
        assert_eq!(answer_of(&rules, &submission("x")), Some(errors.clone()));
    }
}

#[test]
fn a_view_can_be_chosen_by_what_was_put_in() {
    let rules = rules(json!([
        {"when": {"type": "view_submission", "values": [{"block_id": "size", "one_of": ["xl"]}]},
         "answer": {"response_action": "update", "view": modal("Large")}},
        {"when": {"type": "view_submission"}, "answer": {"response_action": "clear"}},
    ]));
    let action = |values: Value| {
        let payload = json!({"type": "view_submission", "view": {"state": {"values": values}}});
        answer_of(&rules, &interaction(&payload)).unwrap()["response_action"].clone()
    };
    let selected =
        |option: Value| json!({"size": {"s": {"type": "static_select", "selected_option": option}}});
    assert_eq!(action(selected(json!({"value": "xl"}))), "update");
    // Nor does whoever leaves the menu empty get the large view, or a modal without this menu.
    for values in [selected(json!({"value": "s"})), selected(json!(null)), json!({})] {
        assert_eq!(action(values.clone()), "clear", "{values}");
    }
}

/// A document with one rule, and a part of what is wrong with it.
fn wrong_rules() -> Vec<(Value, &'static str)> {
    let command = json!({"command": "/x"});
    let suggestion = json!({"type": "block_suggestion"});
    let submission = json!({"type": "view_submission"});
    vec![
        (json!({"answer": "x"}), "when is missing"),
        (json!({"when": command}), "says nothing to do"),
        (json!({"when": {}, "answer": "x"}), "either a command or a type"),
        (json!({"when": {"command": "x"}, "answer": "x"}), "no name of a command"),
        (json!({"when": {"type": "view_closed"}, "function": {"name": "f"}}), "cannot be answered"),
        (json!({"when": {"type": "app_mention"}, "function": {"name": "f"}}), "no type of an interaction"),
        (json!({"when": {"command": "/x", "action_id": "a"}, "answer": "x"}), "has none"),
        (json!({"when": command, "answer": "x", "source": {"url": "https://x"}}), "only one of them"),
        (json!({"when": command, "answr": "x"}), "answr is unknown"),
        (json!({"when": command, "answer": {"text": 1}}), "neither a text nor blocks"),
        (json!({"when": command, "answer": "{{token}}"}), "is a secret"),
        (
            json!({"when": command, "open": {"type": "modal", "title": {"type": "plain_text", "text": "t"}, "blocks": [],
                "private_metadata": "{{response_url}}"}}),
            "is a secret",
        ),
        (json!({"when": command, "answer": "{{user"}), "has no }}"),
        (
            json!({"when": command, "answer": {"blocks": [{"type": "markdown", "text": "{{text}}"}]}}),
            "of type markdown",
        ),
        (json!({"when": command, "answer": "x", "queue": "if_valid"}), "if_valid needs checks"),
        (json!({"when": command, "answer": "x", "queue": "no"}), "none of true, false"),
        (json!({"when": suggestion, "options": ["x"], "queue": true}), "never on the queue"),
        (json!({"when": suggestion, "options": []}), "an empty one"),
        (json!({"when": suggestion, "options": [{"value": "x"}]}), "is no option"),
        (json!({"when": suggestion, "options": ["{{x}}"]}), "no templates"),
        (json!({"when": suggestion, "options": ["x"], "filter": "fuzzy"}), "none of contains"),
        (json!({"when": suggestion, "open": modal("It")}), "no modal can be opened here"),
        (json!({"when": suggestion, "source": {"url": "http://example.com"}}), "no URL of https"),
        (json!({"when": suggestion, "source": {"url": "https://a@b/"}}), "no URL of https"),
        (json!({"when": suggestion, "source": {}}), "url is missing"),
        (
            json!({"when": suggestion, "source": {"url": "https://x", "timeout_ms": 9000}}),
            "no whole number up to 3000",
        ),
        (json!({"when": suggestion, "source": {"url": "https://x", "timeout_ms": 5}}), "less than 50"),
        (
            json!({"when": suggestion, "source": {"url": "https://x", "fallback": {}}}),
            "neither a list of options",
        ),
        (json!({"when": command, "source": {"url": "https://x"}}), "only a menu"),
        (json!({"when": command, "function": {"name": "a/b"}}), "neither the name nor the ARN"),
        (json!({"when": command, "function": {"name": "f", "path": "slack"}}), "is no path"),
        (json!({"when": command, "function": {"name": "f", "path": "/slack?a=b"}}), "is no path"),
        (json!({"when": {"type": "shortcut"}, "answer": {"text": "x"}}), "takes no answer"),
        (json!({"when": command, "open": {"type": "home"}}), "is not of the type modal"),
        (
            json!({"when": command, "open": {"type": "modal", "external_id": "x", "title": {"text": "t"}, "blocks": []}}),
            "leave it out",
        ),
        (
            json!({"when": command, "answer": "x", "checks": [{"block_id": "b", "required": true, "message": "m"}]}),
            "has values to check",
        ),
        (json!({"when": submission, "checks": [{"block_id": "b", "message": "m"}]}), "asks for nothing"),
        (json!({"when": submission, "checks": [{"block_id": "b", "required": true}]}), "message is missing"),
        (json!({"when": submission, "checks": [{"required": true, "message": "m"}]}), "block_id is missing"),
        (
            json!({"when": submission, "checks": [{"block_id": "b", "pattern": "(a|b", "message": "m"}]}),
            "group",
        ),
        (
            json!({"when": submission, "checks": [{"block_id": "b", "min_length": 3, "max_length": 2, "message": "m"}]}),
            "more than",
        ),
        (
            json!({"when": submission, "checks": [{"block_id": "b", "one_of": [1], "message": "m"}]}),
            "no list of texts",
        ),
        (
            json!({"when": submission, "checks": [{"block_id": "b", "required": "yes", "message": "m"}]}),
            "neither true nor false",
        ),
        (json!({"name": "two words", "when": command, "answer": "x"}), "is not of up to 64"),
        (json!("rule"), "no JSON object"),
    ]
}

#[test]
fn what_is_wrong_with_a_document_is_told_all_at_once_and_where_it_stands() {
    for (rule, expected) in wrong_rules() {
        let document = json!({"version": 1, "rules": [rule]}).to_string();
        let problems = Rules::parse(&document).unwrap_err();
        assert!(
            problems.iter().any(|it| it.starts_with("rules[0]") && it.contains(expected)),
            "{rule}: {problems:?}"
        );
    }
    let all: Vec<Value> = wrong_rules().into_iter().map(|(rule, _)| rule).collect();
    let several = json!({"version": 2, "rules": all, "more": 1}).to_string();
    let problems = Rules::parse(&several).unwrap_err();
    assert!(
        problems.len() > wrong_rules().len() && problems.iter().any(|it| it.contains("version is not 1")),
        "{problems:?}"
    );
    for document in ["", "[]", "{}", r#"{"version": 1}"#, r#"{"version": 1, "rules": []}"#] {
        assert!(Rules::parse(document).is_err(), "{document}");
    }
}

#[test]
fn a_rule_behind_one_that_takes_all_of_its_requests_is_told_of() {
    let general =
        json!({"name": "all", "when": {"type": "view_submission"}, "answer": {"response_action": "clear"}});
    let special = json!({"when": {"type": "view_submission", "callback_id": "x"}, "answer": {"response_action": "clear"}});
    let parse = |rules: Value| Rules::parse(&json!({"version": 1, "rules": rules}).to_string());
    assert!(parse(json!([special, general])).is_ok());
    let problems = parse(json!([general, special])).unwrap_err();
    assert!(matches!(&*problems, [one] if one.contains("is never reached: the rule all")), "{problems:?}");
    let same_name = json!([{"name": "a", "when": {"command": "/a"}, "answer": "x"}, {"name": "a", "when": {"command": "/b"}, "answer": "x"}]);
    assert!(parse(same_name).unwrap_err().iter().any(|it| it.contains("of another rule")));
}

#[test]
fn the_rules_of_the_documentation_are_read_as_they_are_meant() {
    let text = include_str!("../../examples/fast-path.json");
    let Rules(rules) = Rules::parse(text).unwrap();
    let acts = rules.iter().map(|rule| match &rule.act {
        Act::Answer(_) => "answer",
        Act::Open { .. } => "open",
        Act::Options(_) => "options",
        Act::Ask(Ask { whom: Whom::Source(_), .. }) => "source",
        Act::Ask(Ask { whom: Whom::Function { .. }, .. }) => "function",
    });
    let acts: std::collections::BTreeSet<_> = acts.collect();
    assert_eq!(acts.len(), 5, "an example of each: {acts:?}");
    let order = rules.iter().find(|rule| rule.name == "order").unwrap();
    assert_eq!(order.queue, Queue::IfValid);
    let first = &order.checks[0];
    let required = Condition { block_id: "amount".to_owned(), is_required: true, ..Condition::default() };
    assert_eq!(first, &Check { condition: required, message: "How many?".to_owned() });
    let when =
        When { name: "view_submission".to_owned(), callback_id: Some("order".to_owned()), ..When::default() };
    assert_eq!(order.when, when);
}

#[test]
fn only_what_is_a_url_of_https_or_of_ones_own_machine_is_called() {
    let source = |url: &str| {
        let rule = json!({"when": {"type": "block_suggestion"}, "source": {"url": url}});
        Rules::parse(&json!({"version": 1, "rules": [rule]}).to_string()).is_ok()
    };
    for good in ["https://a.example/x?y", "https://a:8443", "http://localhost:1/", "http://127.0.0.1:9"] {
        assert!(source(good), "{good}");
    }
    for bad in [
        "http://a.example:1/",
        "http://localhost:x@b.example:1/",
        "https://a@b/",
        "https://a:99999/",
        "https://ü.example/",
        "https:///x",
    ] {
        assert!(!source(bad), "{bad}");
    }
    let function = |name: &str| {
        let rule = json!({"when": {"command": "/x"}, "function": {"name": name}});
        Rules::parse(&json!({"version": 1, "rules": [rule]}).to_string()).is_ok()
    };
    for (name, is_right) in [("app", true), ("app:live", true), ("123456789012:function:app", false)] {
        assert_eq!(function(name), is_right, "{name}");
    }
}

#[test]
fn a_menu_takes_no_answer_to_a_button_and_opens_no_modal() {
    let rules = rules(json!([
        {"when": {"type": "interactive_message", "callback_id": "a"}, "answer": {"text": "thanks"}},
        {"when": {"type": "interactive_message", "callback_id": "b"}, "open": modal("It")},
        {"when": {"type": "interactive_message"}, "function": {"name": "app"}},
        {"when": {"type": "dialog_suggestion"}, "answer": {"options": []}},
    ]));
    let calls =
        Calls::new(crate::aws::signed_call::SignedCalls::unsigned(calls::TIME_LIMITS), None, "", None);
    let fast_path = FastPath::new(rules, calls);
    for (payload, is_for_a_menu) in [
        (json!({"type": "interactive_message", "callback_id": "a", "name": "menu"}), false),
        (json!({"type": "interactive_message", "callback_id": "b", "name": "menu"}), false),
        (json!({"type": "interactive_message", "callback_id": "c", "name": "menu"}), true),
        (json!({"type": "dialog_suggestion"}), true),
    ] {
        assert_eq!(
            fast_path.plan(interaction(&payload), "").unwrap().is_for_a_menu(),
            is_for_a_menu,
            "{payload}"
        );
    }
}

/// Outside of Tokio's runtime its timer panics, as a fault of ours would.
#[test]
fn a_panic_in_a_rule_costs_its_answer_and_nothing_else() {
    let rules = rules(json!([{"name": "app", "when": {"command": "/x"}, "function": {"name": "app"}}]));
    let calls =
        Calls::new(crate::aws::signed_call::SignedCalls::unsigned(calls::TIME_LIMITS), None, "", None);
    let fast_path = FastPath::new(rules, calls);
    let planned = fast_path.plan(form_of("command=%2Fx"), "").unwrap();
    let until = SystemClock.moment().after(Duration::from_secs(2));
    let done =
        fast_path.carry_out(planned, Installation::of_tenant(None, true), until).now_or_never().unwrap();
    assert_eq!(
        (done.rule.as_str(), done.outcome, done.error.as_deref()),
        ("app", FastPathOutcome::Failed, Some("panicked"))
    );
}

#[tokio::test]
async fn an_answer_that_a_template_has_made_too_long_is_none() {
    let text = "{{text}}".repeat(100);
    let rules = rules(json!([{"when": {"command": "/x"}, "answer": text}]));
    let calls =
        Calls::new(crate::aws::signed_call::SignedCalls::unsigned(calls::TIME_LIMITS), None, "", None);
    let fast_path = FastPath::new(rules, calls);
    let form = form_of(&format!("command=%2Fx&text={}", "x".repeat(10_000)));
    let done = fast_path.plan(form, "").unwrap().without_calls().unwrap();
    assert_eq!(
        (done.outcome, done.error.as_deref(), done.answer),
        (FastPathOutcome::Failed, Some("answer_too_long"), None)
    );
}

#[tokio::test]
async fn a_call_that_cannot_be_made_changes_nothing_but_the_report() {
    let calls = || {
        let limits = calls::TIME_LIMITS;
        let unsigned = crate::aws::signed_call::SignedCalls::unsigned(limits);
        Calls::new(unsigned, None, "http://127.0.0.1:9", None)
    };
    let until = || SystemClock.moment().after(Duration::from_secs(2));
    let fast_path = FastPath::new(
        rules(json!([
            {"name": "modal", "when": {"type": "shortcut"}, "open": modal("It")},
            {"name": "menu", "when": {"type": "block_suggestion"},
             "source": {"url": "http://127.0.0.1:9/", "fallback": {"options": [], "typed": "{{value}}"}}},
            {"name": "app", "when": {"type": "*"}, "function": {"name": "bolt"}},
        ])),
        calls(),
    );
    let carry_out = async |payload: Value| {
        let planned = fast_path.plan(interaction(&payload), "recorded").unwrap();
        assert!(planned.is_on_queue() && planned.without_calls().is_none());
        fast_path.carry_out(planned, Installation::of_tenant(Some("T1"), true), until()).await
    };
    let opened = carry_out(json!({"type": "shortcut", "trigger_id": "1.2"})).await;
    assert_eq!(
        (opened.outcome, opened.error.as_deref(), opened.answer),
        (FastPathOutcome::Failed, Some("no_bot_token"), None)
    );
    let options = carry_out(json!({"type": "block_suggestion", "value": "zü"})).await;
    assert_eq!((options.rule.as_str(), options.outcome), ("menu", FastPathOutcome::Fallback));
    assert_eq!(options.answer, Some(ImmediateAnswer::json(&json!({"options": [], "typed": "zü"}))));
    let app = carry_out(json!({"type": "message_action"})).await;
    assert_eq!((app.outcome, app.error.as_deref()), (FastPathOutcome::Failed, Some("no_region")));
    assert!(app.took.is_some());
}
