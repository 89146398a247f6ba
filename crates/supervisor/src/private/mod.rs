//! A Postgres and a Redis of the arena's own. Both listen on 127.0.0.1 alone and want a password. Nothing here
//! touches a server that it did not start.

pub(crate) mod account;
mod postgres;
mod programs;
mod reach;
mod redis;

pub(crate) use postgres::upgraded;
pub use postgres::{Durability, Postgres, SUPERUSER};
pub use programs::{Programs, on_path, versions};
pub use reach::temporary_directory;
pub(crate) use reach::{leave, reachable};
pub use redis::Redis;
