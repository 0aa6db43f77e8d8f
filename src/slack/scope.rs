//! Whose use of the agent is counted together.

/// Whose use is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Who asked.
    Person,
    /// Where it was asked.
    Channel,
    /// The installation of the app: a workspace, or an organisation.
    Workspace,
}

impl Scope {
    /// All of them, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Person, Self::Channel, Self::Workspace];

    /// The word for it, in the configuration, in the table and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Channel => "channel",
            Self::Workspace => "workspace",
        }
    }

    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}
