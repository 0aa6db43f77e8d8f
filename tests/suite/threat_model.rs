//! Checks docs/threat-model.md: every line of its tables names a test that exists, or says why there is none.

use std::fs;
use std::path::Path;

/// The first line of each table of threats. Each further line is one threat.
const HEADER: &str = "| threat | what stands against it | what remains | test |";

/// The page has at least this many threats. Fewer mean that this test no longer finds the tables.
const THREATS: usize = 65;

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The cells of each line of the tables.
fn threats(document: &str) -> Vec<Vec<&str>> {
    let mut threats = Vec::new();
    let mut lines = document.lines();
    while lines.by_ref().any(|line| line == HEADER) {
        let table = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
        threats.extend(table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()));
    }
    threats
}

/// Whether the test that `path::name` names exists. `name` is that of a Rust or Python function, of a TypeScript test, of a rule of
/// the Makefile, or of a job. A fuzz target that `make test` runs is named by its path alone.
fn is_there(reference: &str) -> bool {
    let (path, name) = reference.split_once("::").unwrap_or((reference, ""));
    let Some(text) = read(path) else { return false };
    if let Some(target) = path.strip_prefix("fuzz/fuzz_targets/") {
        let makefile = read("Makefile").expect("the Makefile");
        let mut targets = makefile.lines().filter_map(|line| line.strip_prefix("FUZZ_TARGETS := "));
        return targets.any(|targets| targets.split(' ').any(|known| target == format!("{known}.rs")));
    }
    match path.rsplit('.').next() {
        _ if name.is_empty() => false,
        Some("rs") => is_rust_test(&text, &format!("fn {name}(")),
        Some("ts") => {
            ['\'', '"', '`'].iter().any(|quote| text.contains(&format!("test({quote}{name}{quote}")))
        }
        Some("py") => text.contains(&format!("def {name}(")),
        Some("yml") => text.lines().any(|line| line == format!("  {name}:")),
        _ => text.lines().any(|line| line.starts_with(&format!("{name}:"))),
    }
}

/// Whether the text has this function, with the attribute of a test.
fn is_rust_test(text: &str, function: &str) -> bool {
    let mut is_test = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            is_test |= line.contains("test]") || line.contains("test(");
        } else if line.contains(function) {
            return is_test;
        } else {
            is_test = false;
        }
    }
    false
}

#[test]
fn every_threat_names_a_test_that_is_there_or_says_why_there_is_none() {
    let document = read("docs/threat-model.md").expect("the document");
    let threats = threats(&document);
    assert!(threats.len() >= THREATS, "only {} threats were found", threats.len());
    let mut problems = Vec::new();
    for threat in threats {
        let [name, .., tests] = &threat[..] else { panic!("{threat:?}") };
        if threat.len() != 4 || threat.contains(&"") {
            problems.push(format!("{name}: not four columns, or an empty one"));
        }
        let references: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        if references.is_empty() && !tests.starts_with("not tested: ") {
            problems.push(format!("{name}: by which test?"));
        }
        let missing = references.into_iter().filter(|reference| !is_there(reference));
        problems.extend(missing.map(|reference| format!("{name}: there is no test {reference}")));
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn a_reference_to_a_test_that_does_not_exist_is_noticed() {
    for missing in [
        "src/slack/signature.rs",
        "src/slack/signature.rs::no_such_test",
        "src/slack/signature.rs::verify",
        "src/no_such_file.rs::slacks_published_example_verifies",
        "cdk/test/ingress/grants.test.ts::no such title",
        "cdk/test/deploy/ingress.py::no_such_check",
        ".github/workflows/ci.yml::no-such-job",
        "Makefile::no-such-rule",
        "fuzz/fuzz_targets/no_such_target.rs",
    ] {
        assert!(!is_there(missing), "{missing}");
    }
    for there in [
        "src/slack/signature.rs::slacks_published_example_verifies",
        "cdk/test/ingress/grants.test.ts::only Lambda may assume their roles",
        "cdk/test/deploy/ingress.py::check_signatures",
        ".github/workflows/ci.yml::deny",
        "Makefile::workflows",
        "fuzz/fuzz_targets/signature.rs",
    ] {
        assert!(is_there(there), "{there}");
    }
}
