//! TLS on the way to Postgres, by two parameters of the URL that mean what they mean to libpq.
//!
//! | `sslmode` | encrypted | the server's certificate |
//! | --- | --- | --- |
//! | `disable` | never | – |
//! | `prefer`, the default | where the server can | anything is taken |
//! | `require` | always | anything is taken, unless there is an `sslrootcert` |
//! | `verify-ca` | always | signed by a CA of `sslrootcert` |
//! | `verify-full` | always | the same, and made for the host of the URL |
//!
//! `sslrootcert` is the absolute path of a file with CA certificates in PEM, or `system` for those that
//! the machine trusts, which `verify-full` alone takes. With it, `require` is `verify-ca`. The file is read
//! for each connection: a new one is taken up without a restart.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_postgres::config::{Host, SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Client, Config, Connection, NoTls, Socket};
use tokio_rustls::TlsConnector;

use crate::error::{DbError, DbResult};
use crate::sqlstate::{Overheard, Plain};

const POSTGRES_PORT: u16 = 5432;

/// How the way to Postgres is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tls {
    mode: Mode,
    roots: Option<Roots>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// The trusted CAs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Roots {
    System,
    File(String),
}

/// A URL's parameters of encryption, and the URL without them: the driver does not support them
/// like libpq.
pub(crate) fn split(url: &str) -> DbResult<(String, Tls)> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut mode, mut roots) = (Mode::Prefer, None);
    let mut rest = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("sslmode", value)) => mode = mode_of(value)?,
            Some(("sslrootcert", value)) => roots = Some(roots_of(value)?),
            _ => rest.push(part),
        }
    }
    if roots.is_some() && mode == Mode::Require {
        mode = Mode::VerifyCa;
    }
    let complaint = match (mode, &roots) {
        (Mode::VerifyCa | Mode::VerifyFull, None) => Some(
            "sslmode=verify-ca and verify-full need sslrootcert, the absolute path of the CA's certificate",
        ),
        (Mode::Disable | Mode::Prefer, Some(_)) => {
            Some("sslrootcert needs sslmode=verify-full, verify-ca or require")
        }
        (Mode::VerifyCa, Some(Roots::System)) => Some(
            "sslrootcert=system needs sslmode=verify-full: anyone can get a certificate of those CAs",
        ),
        _ => None,
    };
    if let Some(complaint) = complaint {
        return Err(DbError::Unavailable(complaint.to_owned()));
    }
    let url = match rest.join("&") {
        rest if rest.is_empty() => base.to_owned(),
        rest => format!("{base}?{rest}"),
    };
    Ok((url, Tls { mode, roots }))
}

fn mode_of(value: &str) -> DbResult<Mode> {
    Ok(match value {
        "disable" => Mode::Disable,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            let known = "disable, prefer, require, verify-ca or verify-full";
            return Err(DbError::Unavailable(format!("sslmode must be {known}")));
        }
    })
}

fn roots_of(value: &str) -> DbResult<Roots> {
    if value == "system" {
        return Ok(Roots::System);
    }
    // A plus sign is itself in a URL's path names; only forms mean a space by it.
    let pair = format!("path={}", value.replace('+', "%2B"));
    let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
    let path = decoded.map(|(_, path)| path.into_owned()).unwrap_or_default();
    if Path::new(&path).is_absolute() {
        Ok(Roots::File(path))
    } else {
        let rule = "sslrootcert must be an absolute path, or system";
        Err(DbError::Unavailable(rule.to_owned()))
    }
}

impl Tls {
    /// Connects, encrypted as requested, and drives the connection in its own task. Errors of
    /// certificates have a readable text.
    pub(crate) async fn connect(&self, mut config: Config) -> DbResult<Client> {
        // Like libpq: a socket in the file system needs no encryption.
        if let Some(path) = socket_of(&config) {
            let socket = UnixStream::connect(&path)
                .await
                .map_err(|error| DbError::Unavailable(format!("{}: {error}", path.display())))?;
            return driven(config.connect_raw(Overheard::new(socket), NoTls).await);
        }
        if self.mode == Mode::Disable {
            return plain(config).await;
        }
        config.ssl_mode(SslMode::Require);
        match config.connect(self.connector()?).await {
            // With `prefer` it continues without TLS if the server has none. The server's own
            // refusals, for example of a password, would be repeated.
            Err(error) if self.mode == Mode::Prefer && error.as_db_error().is_none() => {
                plain(config).await
            }
            connected => driven(connected),
        }
    }

    fn connector(&self) -> DbResult<Connector> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let signed = match (self.mode, &self.roots) {
            (Mode::VerifyCa | Mode::VerifyFull, Some(roots)) => {
                let roots = Arc::new(roots.read()?);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                        .build()
                        .map_err(|error| DbError::Unavailable(format!("sslrootcert: {error}")))?;
                Some(verifier)
            }
            _ => None,
        };
        let verifier: Arc<dyn ServerCertVerifier> = match signed {
            Some(whole) if self.mode == Mode::VerifyFull => whole,
            signed => Arc::new(Lenient { provider: Arc::clone(&provider), signed }),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DbError::Unavailable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Connector(Arc::new(config)))
    }
}

/// Connects without TLS. The driver allows a custom stream only for encryption.
async fn plain(mut config: Config) -> DbResult<Client> {
    config.ssl_mode(SslMode::Require);
    config.ssl_negotiation(SslNegotiation::Direct);
    driven(config.connect(Plain).await)
}

/// The client of a connection, which a task drives until the client is dropped.
fn driven<S, T>(
    connected: Result<(Client, Connection<S, T>), tokio_postgres::Error>,
) -> DbResult<Client>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match connected {
        Ok((client, connection)) => {
            tokio::spawn(connection);
            Ok(client)
        }
        Err(error) => Err(match (handshake_of(&error), error.as_db_error()) {
            (Some(failed), _) => DbError::Unavailable(failed.to_string()),
            (None, Some(_)) => error.into(),
            // Any error means that there is no connection.
            (None, None) => DbError::Unavailable(chain(&error)),
        }),
    }
}

/// The Unix socket that the URL names, if it names one.
fn socket_of(config: &Config) -> Option<PathBuf> {
    let port = config.get_ports().first().copied().unwrap_or(POSTGRES_PORT);
    match config.get_hosts() {
        [Host::Unix(directory)] => Some(directory.join(format!(".s.PGSQL.{port}"))),
        _ => None,
    }
}

fn chain(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Roots {
    fn read(&self) -> DbResult<RootCertStore> {
        let mut store = RootCertStore::empty();
        match self {
            Roots::System => {
                let found = rustls_native_certs::load_native_certs();
                store.add_parsable_certificates(found.certs);
            }
            Roots::File(path) => {
                let unreadable = |error: &dyn std::fmt::Display| {
                    DbError::Unavailable(format!("sslrootcert ({path}) cannot be read: {error}"))
                };
                let found =
                    CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))?;
                for certificate in found {
                    let certificate = certificate.map_err(|error| unreadable(&error))?;
                    store.add(certificate).map_err(|error| unreadable(&error))?;
                }
            }
        }
        if store.is_empty() {
            let none = "sslrootcert has no certificate of a CA in PEM";
            return Err(DbError::Unavailable(none.to_owned()));
        }
        Ok(store)
    }
}

/// Checks less of a certificate than `verify-full`: only the CA and not the host, or nothing.
/// Without checks, TLS protects against eavesdropping, but not against a false server.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// By the trusted CAs; `None` trusts every certificate.
    signed: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(signed) = &self.signed else {
            return Ok(ServerCertVerified::assertion());
        };
        match signed.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // The name is looked at last: all else was in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// Why no encrypted connection came about.
#[derive(Debug, thiserror::Error)]
#[error("TLS failed: {0}")]
struct HandshakeFailed(String);

impl From<io::Error> for HandshakeFailed {
    fn from(error: io::Error) -> HandshakeFailed {
        use CertificateError::*;
        let known = error.get_ref().and_then(|inner| inner.downcast_ref());
        let said = match known {
            Some(rustls::Error::InvalidCertificate(problem)) => match problem {
                UnknownIssuer | BadSignature => {
                    "the server's certificate is not signed by a CA in sslrootcert"
                }
                NotValidForName | NotValidForNameContext { .. } => {
                    "the server's certificate is for another host than the URL's, and \
                     sslmode=verify-full wants them to agree"
                }
                Expired | ExpiredContext { .. } => "the server's certificate has expired",
                NotValidYet | NotValidYetContext { .. } => {
                    "the server's certificate is not valid yet; is the clock right?"
                }
                _ => return HandshakeFailed(error.to_string()),
            },
            _ => return HandshakeFailed(error.to_string()),
        };
        HandshakeFailed(said.to_owned())
    }
}

fn handshake_of(error: &tokio_postgres::Error) -> Option<&HandshakeFailed> {
    error.source()?.downcast_ref()
}

/// An encrypted stream, read along.
type Encrypted = Overheard<Box<tokio_rustls::client::TlsStream<Socket>>>;

/// Makes encrypted streams of plain ones.
#[derive(Clone)]
pub(crate) struct Connector(Arc<ClientConfig>);

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { config: Arc::clone(&self.0), host: ServerName::try_from(host.to_owned())? })
    }
}

/// One handshake, with one host.
pub(crate) struct Handshake {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Encrypted, Self::Error>>;

    fn connect(self, socket: Socket) -> Self::Future {
        let connecting = TlsConnector::from(self.config).connect(self.host, socket);
        async move {
            let encrypted = connecting.await.map_err(HandshakeFailed::from)?;
            Ok(Overheard::new(Box::new(encrypted)))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_libpq_knows_is_read_and_the_rest_is_left_to_the_driver() {
        let url = "postgres://u:p%40w@h/d?application_name=x&sslmode=verify-full&sslrootcert=/etc/my%20ca+1.pem";
        let (rest, tls) = split(url).unwrap();
        assert_eq!(rest, "postgres://u:p%40w@h/d?application_name=x");
        assert_eq!(tls.mode, Mode::VerifyFull);
        assert_eq!(tls.roots, Some(Roots::File("/etc/my ca+1.pem".to_owned())));
        let (rest, tls) = split("postgres://u@h/d").unwrap();
        assert_eq!((rest.as_str(), tls.mode), ("postgres://u@h/d", Mode::Prefer));
        let (rest, tls) = split("postgres://u@h/d?sslmode=require").unwrap();
        assert_eq!((rest.as_str(), tls.mode), ("postgres://u@h/d", Mode::Require));
        // As libpq has it.
        let (_, tls) = split("postgres://u@h/d?sslrootcert=/ca.pem&sslmode=require").unwrap();
        assert_eq!(tls.mode, Mode::VerifyCa);
    }

    #[test]
    fn what_would_protect_less_than_it_says_is_refused() {
        for query in [
            "sslmode=verify-ca",
            "sslmode=verify-full",
            "sslmode=allow",
            "sslmode=VERIFY-FULL",
            "sslmode=",
            "sslrootcert=/ca.pem",
            "sslmode=disable&sslrootcert=/ca.pem",
            "sslmode=verify-full&sslrootcert=ca.pem",
            "sslmode=verify-ca&sslrootcert=system",
            "sslmode=verify-full&sslrootcert=",
        ] {
            let refused = split(&format!("postgres://u:hunter2@h/d?{query}"));
            let said = refused.unwrap_err().to_string();
            assert!(said.contains("ssl") && !said.contains("hunter2"), "{query}: {said}");
        }
    }
}
