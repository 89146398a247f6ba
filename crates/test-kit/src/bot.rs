//! Bots for tests, described in a line.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use db::bots::{Credentials, NewBot};
use ledger_core::economy::{EconomyRules, Enforcement};
use ledger_core::{BotId, Handle};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Arena;

/// A bot that was made, with its secrets.
#[derive(Debug, Clone)]
pub struct TestBot {
    pub id: BotId,
    pub handle: String,
    pub api_key: String,
    pub api_secret: String,
}

/// A bot that is being described: `arena.bot().balance("3.50").create().await`.
pub struct BotBuilder<'a> {
    arena: &'a Arena,
    handle: String,
    balance: String,
    hosted: bool,
    dead: bool,
}

impl<'a> BotBuilder<'a> {
    pub(crate) fn new(arena: &'a Arena) -> BotBuilder<'a> {
        let handle = format!("bot-{}", &Uuid::new_v4().simple().to_string()[..12]);
        BotBuilder { arena, handle, balance: "1000.00".to_owned(), hosted: false, dead: false }
    }

    pub fn handle(mut self, handle: &str) -> BotBuilder<'a> {
        self.handle = handle.to_owned();
        self
    }

    /// What it is granted.
    pub fn balance(mut self, balance: &str) -> BotBuilder<'a> {
        self.balance = balance.to_owned();
        self
    }

    pub fn hosted(mut self) -> BotBuilder<'a> {
        self.hosted = true;
        self
    }

    /// Liquidated by a tick in enforce mode, which charges all other living bots too.
    pub fn dead(mut self) -> BotBuilder<'a> {
        self.dead = true;
        self.balance = "0.01".to_owned();
        self
    }

    pub async fn create(self) -> TestBot {
        let api_key = format!("ldk_{}", Uuid::new_v4().simple());
        let api_secret = format!("lds_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let credentials = Credentials {
            api_key_hash: cheap_hash(&api_key),
            api_secret_sha256: Sha256::digest(&api_secret).into(),
        };
        let handle: Handle = self.handle.parse().unwrap();
        let new = NewBot {
            handle: &handle,
            persona: "",
            hosted: self.hosted,
            credentials: &credentials,
            actor: "test",
            while_paused: db::pauses::WhilePaused::Proceed,
        };
        let rules = EconomyRules {
            genesis_grant: self.balance.parse().unwrap(),
            ..self.arena.rules().clone()
        };
        let mut conn = self.arena.conn().await;
        let registered = db::bots::register(&mut conn, &new, &rules, None).await.unwrap();
        if self.dead {
            self.arena.tick(Enforcement::Enforce).await;
        }
        TestBot { id: registered.profile.id, handle: self.handle, api_key, api_secret }
    }
}

/// argon2id with the least work there is; the cost is in the hash, so logins verify it fast too.
fn cheap_hash(key: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(key.as_bytes()).unwrap().to_string()
}
