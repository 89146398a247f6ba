//! A bot's token: fetched when first needed, renewed before it expires.

use std::sync::Arc;
use std::time::Duration;

use api_types::{Secret, TokenAnswer, TokenRequest};
use ledger_core::Handle;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::transport::{Call, Retry, Transport};
use crate::{ClientError, SetupError};

/// A token is renewed this long before it expires; a short-lived one at half of its time.
const MARGIN: Duration = Duration::from_secs(60);

/// The tokens of one bot. Callers at the same time share one fetch.
pub(crate) struct Tokens {
    handle: Handle,
    api_key: SecretString,
    current: Mutex<Option<Token>>,
}

struct Token {
    header: HeaderValue,
    renew_at: Instant,
}

impl Tokens {
    pub(crate) fn new(handle: Handle, api_key: SecretString) -> Tokens {
        Tokens { handle, api_key, current: Mutex::new(None) }
    }

    /// The value of the `Authorization` header.
    pub(crate) async fn header(
        &self,
        transport: &Arc<Transport>,
    ) -> Result<HeaderValue, ClientError> {
        let mut current = self.current.lock().await;
        if let Some(token) = &*current
            && Instant::now() < token.renew_at
        {
            return Ok(token.header.clone());
        }
        let token = self.fetch(transport).await?;
        let header = token.header.clone();
        *current = Some(token);
        Ok(header)
    }

    /// Removes the refused token, unless it was replaced meanwhile.
    pub(crate) async fn forget(&self, refused: &HeaderValue) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|token| token.header == refused) {
            *current = None;
        }
    }

    async fn fetch(&self, transport: &Arc<Transport>) -> Result<Token, ClientError> {
        let request = TokenRequest {
            bot_id: None,
            handle: Some(self.handle.clone()),
            api_key: Secret::new(self.api_key.expose_secret()),
        };
        // Asking twice gives two tokens and nothing else.
        let call = Call::send("POST /auth/token", &[], &request, Retry::Reads)?;
        let login = async {
            // Not the time of entering the queue, which may be long ago.
            let asked_at = Instant::now();
            let answer: TokenAnswer = transport.ask(&call, None).json().await?;
            Ok((asked_at, answer))
        };
        let (asked_at, answer) = transport.logins.wait_for(transport.patience, login).await?;
        let header = bearer(&answer.access_token)
            .map_err(|_| ClientError::Request("the token does not fit a header"))?;
        let lifetime = Duration::from_secs(answer.expires_in.try_into().unwrap_or(0));
        let renew_at = asked_at + lifetime.saturating_sub(MARGIN.min(lifetime / 2));
        Ok(Token { header, renew_at })
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, SetupError> {
    sensitive(&SecretString::from(format!("Bearer {}", token.expose())))
}

/// A header value that no `Debug` shows.
pub(crate) fn sensitive(text: &SecretString) -> Result<HeaderValue, SetupError> {
    http_client::sensitive(text.expose_secret()).map_err(|_| SetupError::Credential)
}
