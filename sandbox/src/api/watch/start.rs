//! Where a watch starts, by the options of its request.

use crate::api::list::ANY_VERSION;
use crate::api::request::Params;
use crate::api::state::Api;
use crate::status::{ApiError, FieldError};

/// Where a watch starts.
pub(super) enum Start {
    /// With the current state as `ADDED` events, followed by a bookmark if `announce_end` is set.
    State { announce_end: bool },
    /// With the events after this resourceVersion.
    After(u64),
}

impl Start {
    pub fn choose(api: &Api, params: &Params) -> Result<Self, ApiError> {
        let matching = params.resource_version_match.as_str();
        let initial = params.send_initial_events();
        let forbidden = if initial.is_some() && matching != "NotOlderThan" {
            Some(("resourceVersionMatch", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        } else if initial.is_some() && !api.streaming_lists {
            let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            Some(("sendInitialEvents", why))
        } else if initial.is_none() && !matching.is_empty() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            Some(("resourceVersionMatch", why))
        } else if !matching.is_empty() && !params.continue_token.is_empty() {
            Some(("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"))
        } else {
            None
        };
        if let Some((field, why)) = forbidden {
            return Err(ApiError::invalid_list_options(&FieldError::forbidden(field, why)));
        }
        let revision = Params::number::<u64>("resourceVersion", &params.resource_version)?;
        let from_any = matches!(params.resource_version.as_str(), "" | ANY_VERSION);
        Ok(match initial {
            Some(true) => Self::State { announce_end: params.allow_watch_bookmarks() },
            None if from_any => Self::State { announce_end: false },
            Some(false) if from_any => Self::After(api.store.revision()),
            _ => Self::After(revision.unwrap_or_default()),
        })
    }
}
