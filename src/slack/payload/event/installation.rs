//! Whose an event is: the installation of the app, which is not always the workspace of the person who wrote.

use serde::Deserialize;

use super::super::json::Slice;
use super::super::{first, is_organisation};
use super::Envelope;

/// One installation of the app that may see the event.
#[derive(Default, Deserialize)]
pub(super) struct Authorization<'a> {
    #[serde(borrow, default)]
    pub(super) user_id: Slice<'a>,
    #[serde(borrow, default)]
    pub(super) is_bot: Slice<'a>,
    #[serde(borrow, default)]
    team_id: Slice<'a>,
    #[serde(borrow, default)]
    enterprise_id: Slice<'a>,
    #[serde(borrow, default)]
    is_enterprise_install: Slice<'a>,
}

/// Whose an event is.
pub(super) struct Installation {
    /// The id of the organisation, if the app is installed in all of it, or else of the workspace. Where the payload names
    /// neither, the app.
    pub(super) tenant: Option<String>,
    /// [`Delivery::team_id`](super::Delivery::team_id).
    pub(super) team_id: Option<String>,
}

impl Installation {
    /// In a channel that two companies share, the envelope's own `team_id` may be the other company's. What the first
    /// authorization and `context_team_id` name is on this installation's side.
    pub(super) fn of(envelope: &Envelope<'_>, authorizations: &[Authorization<'_>]) -> Self {
        let none = Authorization::default();
        let authorization = authorizations.first().unwrap_or(&none);
        let organisation =
            first(&[authorization.enterprise_id, envelope.context_enterprise_id, envelope.enterprise_id]);
        let is_enterprise =
            authorization.is_enterprise_install.is_true() || envelope.is_enterprise_install.is_true();
        let of_workspace = [authorization.team_id, envelope.context_team_id, envelope.team_id];
        // The authorization of an organisation names no workspace in particular, so it is asked last.
        let of_organisation = [envelope.context_team_id, envelope.team_id, authorization.team_id];
        let teams = if is_enterprise { of_organisation } else { of_workspace };
        let team_id = teams.into_iter().filter_map(Slice::to_text).find(|team| !is_organisation(team));
        let tenant = if is_enterprise {
            organisation.or_else(|| first(&teams))
        } else {
            first(&teams).or(organisation)
        };
        Self { tenant: tenant.or_else(|| envelope.api_app_id.to_text()), team_id }
    }
}
