//! Prints the results of the checks, as lines or as JSON.

use serde::Serialize;
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// It works, but somebody should look at it.
    Warn,
    Fail,
    /// It was not checked.
    Skip,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) check: &'static str,
    pub(super) status: Status,
    /// What the check found, or why it was skipped.
    pub(super) found: String,
    /// What the user should do about a warning or a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) todo: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), todo: None }
    }

    pub(super) fn skip(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, status: Status::Skip, found: why.into(), todo: None }
    }

    pub(super) fn warn(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, found: found.into(), todo: Some(todo.into()) }
    }

    pub(super) fn fail(check: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { check, status: Status::Fail, found: found.into(), todo: Some(todo.into()) }
    }
}

/// The results of all checks.
#[derive(Debug, Serialize)]
pub(super) struct DoctorReport {
    ok: bool,
    checks: Vec<Check>,
}

impl DoctorReport {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Fail), checks }
    }

    /// Whether no check failed.
    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    fn count(&self, status: Status) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }
}

impl fmt::Display for DoctorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
        for Check { check, status, found, todo } in &self.checks {
            write!(f, "{:<4}  {check:<width$}  {}", status.as_str(), one_line(found))?;
            if let Some(todo) = todo {
                write!(f, ". {}", one_line(todo))?;
            }
            writeln!(f)?;
        }
        let [ok, warn, fail, skip] =
            [Status::Ok, Status::Warn, Status::Fail, Status::Skip].map(|status| self.count(status));
        writeln!(f, "{ok} ok, {warn} to look at, {fail} failed, {skip} skipped")
    }
}

/// Replaces control characters by spaces. A result may quote a server's answer, and must not break the line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_a_line_with_what_to_do_and_only_a_failure_makes_the_report_fail() {
        let report = DoctorReport::of(vec![
            Check::ok("table", "is there"),
            Check::warn("queue", "a\nb", "Do c"),
            Check::skip("secret", "none"),
        ]);
        assert_eq!(
            report.to_string(),
            "ok    table   is there\nwarn  queue   a b. Do c\nskip  secret  none\n1 ok, 1 to look at, 0 failed, 1 skipped\n"
        );
        assert!(report.is_ok());
        assert!(!DoctorReport::of(vec![Check::fail("table", "is not there", "Create it")]).is_ok());
    }

    #[test]
    fn the_json_has_the_same_results_as_the_lines() {
        let json =
            DoctorReport::of(vec![Check::fail("table", "no", "Do"), Check::ok("queue", "yes")]).to_json();
        let expected = concat!(
            r#"{"ok":false,"checks":[{"check":"table","status":"fail","found":"no","todo":"Do"},"#,
            r#"{"check":"queue","status":"ok","found":"yes"}]}"#
        );
        assert_eq!(json, expected);
    }
}
