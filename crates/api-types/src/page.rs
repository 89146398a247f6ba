//! Lists: newest first, a page at a time.

use serde::{Deserialize, Serialize};

/// The most items of a page.
pub const PAGE_LIMIT_MAX: u32 = 200;
/// The default number of items.
pub const PAGE_LIMIT_DEFAULT: u32 = 50;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Asks for the page behind this one; opaque. `None` on the last page.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}
