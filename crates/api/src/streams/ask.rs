//! A listener's request: its position, and the kinds of events.

use actix_web::HttpRequest;
use api_types::LAST_EVENT_ID;
use db::events::Position;

use super::batch::Kinds;
use crate::cursor::Parameters;
use crate::error::ApiError;

/// A listener's request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    /// The position after which to begin, with the name of its field; `None` begins with the next
    /// event.
    pub(super) since: Option<(Position, &'static str)>,
    pub(super) kinds: Kinds,
}

impl Ask {
    /// `Last-Event-ID` takes precedence over `since`: a reconnecting client repeats the first URL,
    /// but sends the present header.
    pub(super) fn of(req: &HttpRequest) -> Result<Ask, ApiError> {
        let parameters = Parameters::of(req)?;
        let header = req.headers().get(LAST_EVENT_ID);
        let since = match header {
            Some(value) => Some((value.to_str().unwrap_or_default(), LAST_EVENT_ID)),
            None => parameters.get("since").map(|text| (text, "since")),
        };
        let since = since.map(|(text, field)| match text.parse::<Position>() {
            Ok(position) => Ok((position, field)),
            Err(problem) => Err(ApiError::invalid(field, problem.to_string())),
        });
        Ok(Ask { since: since.transpose()?, kinds: kinds(parameters.get("kinds"))? })
    }
}

/// A list with commas; without one, every kind.
fn kinds(list: Option<&str>) -> Result<Kinds, ApiError> {
    let Some(list) = list else {
        return Ok(Kinds::ALL);
    };
    list.split(',').try_fold(Kinds::NONE, |kinds, name| {
        let kind = name.parse().map_err(|_| {
            ApiError::invalid(
                "kinds",
                "must be some of entry, post, prediction, market, tick, price, bot, with commas \
                 between",
            )
        })?;
        Ok(kinds.and(kind))
    })
}
