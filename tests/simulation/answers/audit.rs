//! The audit trail as each process sees it, and the rule about it: what was posted, called or claimed stands in it before it is done.

use serde_json::Value;
use slack_ingress::dedup::StoreError;
use slack_ingress::work::audit::{AuditEntry, AuditRules, AuditStore, Field, Redact};

use super::rules::Rule;
use super::sim::{Node, Sim, at_once};

/// What is kept where there is a trail.
pub(crate) fn rules(sim: &Sim) -> Option<AuditRules> {
    sim.settings.audit.then(|| AuditRules { days: 365, redact: Redact::default(), texts: true })
}

impl AuditStore for Node {
    async fn put_audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let is_off = match entry.word() {
            "asked" => self.sim.is_off(Rule::TrailHasWhoAsks),
            "call" => self.sim.is_off(Rule::TrailHasCalls),
            "answer" => self.sim.is_off(Rule::TrailHasAnswers),
            _ => false,
        };
        if is_off {
            return Ok(());
        }
        let wrong = self.wrong(self.sim.settings.store);
        self.count_write(wrong);
        let entry = entry.clone();
        let done = self.call(wrong, move |sim| at_once(sim.store.put_audit(&entry)).unwrap());
        done.await.ok_or_else(|| StoreError::new("the trail", "has not answered"))
    }
}

fn says(entry: &AuditEntry, name: &str, said: &str) -> bool {
    entry.fields.get(name).is_some_and(|field| matches!(field, Field::Text(text) if text == said))
}

/// Whether the trail says that this text is about to be posted for the question.
pub(crate) fn has_text(sim: &Sim, question: &str, text: &str) -> bool {
    !sim.settings.audit
        || sim.store.has_audit(|entry| {
            entry.word() == "answer" && entry.question_id == question && says(entry, "text", text)
        })
}

/// Whether the trail says that a tool is about to be called with these arguments.
pub(crate) fn has_call(sim: &Sim, arguments: &Value) -> bool {
    !sim.settings.audit
        || sim
            .store
            .has_audit(|entry| entry.word() == "call" && says(entry, "arguments", &arguments.to_string()))
}

/// Whether the trail says that somebody is about to work on the question.
pub(crate) fn has_asked(sim: &Sim, question: &str) -> bool {
    !sim.settings.audit
        || sim.store.has_audit(|entry| entry.word() == "asked" && entry.question_id == question)
}
