//! Imports of every file with endpoints.

pub(super) use actix_web::web::{Data, Path};
pub(super) use actix_web::{HttpRequest, HttpResponse};

pub(super) use crate::app::App;
pub(super) use crate::auth::{AuthenticatedBot, AuthenticatedOperator, Who};
pub(super) use crate::call::Call;
pub(super) use crate::cursor::{List, Parameters};
pub(super) use crate::endpoint::{Endpoint, get, post};
pub(super) use crate::error::{ApiError, ApiResult};
pub(super) use crate::limits::Class;
