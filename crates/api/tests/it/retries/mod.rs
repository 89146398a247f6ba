//! Requests that are sent again: by one client, by hundreds at once, by some who hang up.

mod each_post;
mod storms;
