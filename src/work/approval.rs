//! A person decides before a tool is called. All of it is pure.
//!
//! ```text
//! a call that needs it ─▶ entry n: asked ─▶ the message with the buttons, the record is suspended ─▶ the first click
//!                              │                                                                      ├─▶ approved ─▶ the call, once
//!                              │                                                                      └─▶ refused
//!                              └─▶ nobody was asked before the attempt died: closed                   (nobody in time: lapsed)
//! ```
//!
//! The decision stands in the question's [journal](super::journal), in the entry of the very call that was shown, so that nothing
//! else can be done by it. The approval's id is what a click must know. It stands in Slack's button and in the table, and the
//! agent never gets it: whoever has taken over the agent cannot decide for a person.

use std::time::Duration;

use super::token::Token;
use crate::slack::answer_text::safe;
use crate::slack::approval::Decided;
use crate::time::clock::UnixMillis;

pub use crate::slack::approval::Verdict;

/// The longest time that a person may take: a week.
pub const MAX_TIME: Duration = Duration::from_secs(604_800);

/// How often people are asked about calls of one question. Whoever has taken over the agent cannot ask until somebody is tired of
/// reading.
pub const MAX_ASKED: u32 = 10;

/// What a person is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Approval {
    /// What a click must know.
    pub id: Token,
    /// Who may decide.
    pub who: Who,
    /// When it was asked.
    pub asked_at: UnixMillis,
    /// Until when somebody may decide.
    pub until: UnixMillis,
    /// What was decided; `None` as long as nobody has.
    pub decision: Option<Decision>,
}

impl Approval {
    /// Who has decided; `None` if nobody has, or nobody has in time.
    pub fn decided_by(&self) -> Option<&str> {
        self.decision.as_ref()?.by.as_deref()
    }
}

/// Who may decide.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Whoever asked the question.
    Asker,
    /// These people, by Slack's ids.
    People(Vec<String>),
    /// The people of this user group, as it is when somebody clicks.
    Group(String),
}

impl Who {
    /// As it stands in the table: `asker`, ids with commas between, or `group:` and an id.
    pub fn to_text(&self) -> String {
        match self {
            Self::Asker => "asker".to_owned(),
            Self::People(ids) => ids.join(","),
            Self::Group(id) => format!("group:{id}"),
        }
    }

    /// The people as Slack mentions them: `asker` is who asked the question.
    pub fn mention(&self, asker: Option<&str>) -> String {
        let person = |id: &str| format!("<@{}>", safe(id));
        match self {
            Self::Asker => asker.map_or_else(|| "Whoever asked".to_owned(), person),
            Self::People(ids) => ids.iter().map(|id| person(id)).collect::<Vec<_>>().join(" or "),
            Self::Group(id) => format!("<!subteam^{}>", safe(id)),
        }
    }

    /// Reads what [`to_text`](Self::to_text) has written.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "asker" {
            return Some(Self::Asker);
        }
        if let Some(group) = text.strip_prefix("group:") {
            return (!group.is_empty()).then(|| Self::Group(group.to_owned()));
        }
        let people: Vec<String> = text.split(',').map(str::to_owned).collect();
        people.iter().all(|id| !id.is_empty()).then_some(Self::People(people))
    }
}

/// What was decided about a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// What.
    pub verdict: Verdict,
    /// By whom; absent if nobody has decided in time.
    pub by: Option<String>,
    /// The id under which the ingress recorded the click, or that of the message which says that the time is over. The same click
    /// that comes again decides nothing anew, and is no second one either.
    pub click: String,
    /// When.
    pub at: UnixMillis,
}

impl Decision {
    /// As Slack shows it.
    pub fn shown(&self) -> Decided<'_> {
        Decided { verdict: self.verdict, by: self.by.as_deref(), at: self.at }
    }
}

/// What a click comes to, if whoever clicked may decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clicked {
    /// It decides, and this is to be written down.
    Decides(Decision),
    /// This very click has decided before.
    HasDecided(Decision),
    /// Another one was earlier.
    TooLate(Decision),
    /// The time is over, although nothing has said so yet.
    Over,
}

/// What a click comes to on an approval that stands so.
pub fn click(
    approval: &Approval,
    verdict: Verdict,
    by: Option<&str>,
    click: &str,
    now: UnixMillis,
) -> Clicked {
    if let Some(decision) = &approval.decision {
        let decision = decision.clone();
        return if decision.click == click {
            Clicked::HasDecided(decision)
        } else {
            Clicked::TooLate(decision)
        };
    }
    if verdict != Verdict::Lapsed && now > approval.until {
        return Clicked::Over;
    }
    Clicked::Decides(Decision { verdict, by: by.map(str::to_owned), click: click.to_owned(), at: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_millis(1_000_000);

    fn approval(decision: Option<Decision>) -> Approval {
        let until = NOW.after(Duration::from_secs(60));
        Approval { id: Token::from_bits(1), who: Who::Asker, asked_at: NOW, until, decision }
    }

    fn decision(verdict: Verdict, id: &str) -> Decision {
        Decision { verdict, by: Some("U1".to_owned()), click: id.to_owned(), at: NOW }
    }

    #[test]
    fn the_first_click_counts_and_the_same_click_again_is_no_second_one() {
        let approved = decision(Verdict::Approved, "Ev1");
        let first = click(&approval(None), Verdict::Approved, Some("U1"), "Ev1", NOW);
        assert_eq!(first, Clicked::Decides(approved.clone()));
        let stands = approval(Some(approved.clone()));
        // Whatever it says: a click that is delivered twice says the same both times.
        let again = click(&stands, Verdict::Approved, Some("U1"), "Ev1", NOW);
        assert_eq!(again, Clicked::HasDecided(approved.clone()));
        for (verdict, id) in
            [(Verdict::Refused, "Ev2"), (Verdict::Approved, "Ev2"), (Verdict::Lapsed, "lapse:1")]
        {
            assert_eq!(click(&stands, verdict, Some("U2"), id, NOW), Clicked::TooLate(approved.clone()));
        }
    }

    #[test]
    fn after_its_time_only_the_lapse_decides() {
        let late = NOW.after(Duration::from_secs(61));
        assert_eq!(click(&approval(None), Verdict::Approved, Some("U1"), "Ev1", late), Clicked::Over);
        let lapsed = Decision { verdict: Verdict::Lapsed, by: None, click: "lapse:1".to_owned(), at: late };
        assert_eq!(click(&approval(None), Verdict::Lapsed, None, "lapse:1", late), Clicked::Decides(lapsed));
    }

    #[test]
    fn who_decides_is_read_as_it_was_written() {
        let people = Who::People(vec!["U1".to_owned(), "W2".to_owned()]);
        for who in [Who::Asker, people, Who::Group("S1".to_owned())] {
            assert_eq!(Who::parse(&who.to_text()), Some(who));
        }
        for wrong in ["", "group:", "U1,"] {
            assert_eq!(Who::parse(wrong), None);
        }
    }
}
