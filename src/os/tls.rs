//! TLS as a client: whom to trust, which certificate to show, and what went wrong in words.
//!
//! Imports: os text. May not: know what is asked; trust anybody because of an error.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::text;

/// Whom to trust and who to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `ca_file`: the only authorities that are trusted; those of the system if not given.
    pub ca_file: Option<PathBuf>,
    /// `cert_file`: what is shown to a server that asks who we are, with its chain.
    pub cert_file: Option<PathBuf>,
    /// `key_file`: its key.
    pub key_file: Option<PathBuf>,
    /// `server_name`: the name that is asked for and that the certificate must have; the host's own if not given.
    pub server_name: Option<String>,
    /// `insecure`: any certificate will do.
    pub insecure: bool,
}

/// Makes connections. Building one reads files: once per purpose, never per connection.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<String>,
    /// Shows a certificate to who asks for one.
    shows: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. `protocols` are offered to the server in this order.
    ///
    /// # Errors
    /// Fails with a sentence that begins with the key if a file cannot be used.
    pub fn new(settings: &Settings, protocols: &[&str]) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| format!("TLS cannot be set up: {e}"))?;
        let builder = if settings.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone { provider }))
        } else {
            builder.with_root_certificates(roots(settings.ca_file.as_deref())?)
        };
        let mut config = match (&settings.cert_file, &settings.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates("cert_file", cert)?;
                let key = private_key(key)?;
                let wrong = |e| format!("cert_file and key_file do not go together: {e}");
                builder.with_client_auth_cert(chain, key).map_err(wrong)?
            }
            (Some(_), None) => return Err("cert_file needs key_file".to_owned()),
            (None, Some(_)) => return Err("key_file needs cert_file".to_owned()),
            (None, None) => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        // Each look at a server is to prove the whole of it anew.
        config.resumption = rustls::client::Resumption::disabled();
        let server_name = settings.server_name.clone();
        let shows = settings.cert_file.is_some();
        Ok(Self { config: Arc::new(config), server_name, shows })
    }

    /// For a client that makes its connections itself, and believes a server that has the name it was asked by.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig::clone(&self.config)
    }

    /// The name that a server at `host` must have.
    pub fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }

    /// Shakes hands over `stream` with the server at `host`. The flag says, at any time, whether the server asked for a
    /// certificate that we do not have.
    ///
    /// # Errors
    /// Fails with what is wrong, in words.
    pub async fn connect<S>(&self, host: &str, stream: S) -> (Result<TlsStream<S>, String>, Arc<AtomicBool>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let asked = Arc::new(AtomicBool::new(false));
        let name = self.name_for(host);
        let Ok(server) = ServerName::try_from(name.to_owned()) else {
            return (Err(format!("{name:?} is no name that a certificate could have")), asked);
        };
        let config = if self.shows {
            Arc::clone(&self.config)
        } else {
            let mut config = ClientConfig::clone(&self.config);
            config.client_auth_cert_resolver = Arc::new(Nobody { asked: Arc::clone(&asked) });
            Arc::new(config)
        };
        let connected = TlsConnector::from(config).connect(server, stream).await;
        (connected.map_err(|e| words(&e).unwrap_or_else(|| super::http::error_words(&e))), asked)
    }
}

/// Has no certificate, and remembers that one was asked for.
#[derive(Debug)]
struct Nobody {
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        None
    }

    /// Else `resolve` would not be asked.
    fn has_certs(&self) -> bool {
        true
    }
}

/// `insecure = true`: whoever has the key of the certificate that it shows.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Those of the file, else those of the system, else Mozilla's, which are built in.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        }
        return Ok(roots);
    };
    for certificate in certificates("ca_file", file)? {
        roots.add(certificate).map_err(|e| format!("ca_file: {} has a certificate that cannot be used: {e}", file.display()))?;
    }
    Ok(roots)
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// Fails with a sentence that begins with `key`.
pub fn certificates(key: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|e| unreadable(key, file, &e))?;
    if found.is_empty() {
        return Err(format!("{key}: {} has no certificate in PEM form", file.display()));
    }
    Ok(found)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_file(file).map_err(|e| match e {
        rustls::pki_types::pem::Error::NoItemsFound => {
            format!("key_file: {} has no private key in PEM form without a password", file.display())
        }
        other => unreadable("key_file", file, &other),
    })
}

fn unreadable(key: &str, file: &Path, error: &rustls::pki_types::pem::Error) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(e) => format!("{key}: {} cannot be read: {e}", file.display()),
        other => format!("{key}: {} is no PEM file: {}", file.display(), text::sanitise(&other.to_string())),
    }
}

/// What TLS has to say about an error, if it is one of TLS; sanitised.
pub fn words(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref::<rustls::Error>().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if let Some(found) = found {
            return Some(text::sanitise(&of_tls(found)));
        }
        // An I/O error hides what is in it from its `source`.
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

fn of_tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => of_certificate(error),
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => NO_CERTIFICATE.to_owned(),
        rustls::Error::AlertReceived(alert) => format!("the server ended the TLS handshake: {alert:?}"),
        rustls::Error::InvalidMessage(_) => "does not speak TLS on this port".to_owned(),
        rustls::Error::PeerIncompatible(_) => format!("speaks no TLS that is safe: {error}"),
        rustls::Error::NoApplicationProtocol => "speaks none of the protocols that are asked for".to_owned(),
        other => format!("TLS: {other}"),
    }
}

/// What is said of a server that wants to know who asks.
pub const NO_CERTIFICATE: &str = "it wants a client certificate; write cert_file and key_file";

fn of_certificate(error: &CertificateError) -> String {
    const MEND: &str = "name its authority in ca_file";
    let at = |time: &UnixTime| {
        let time = i64::try_from(time.as_secs()).ok().and_then(|secs| jiff::Timestamp::from_second(secs).ok());
        time.map_or_else(String::new, |time| format!(" on {}", time.to_zoned(TimeZone::UTC).date()))
    };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => format!("its certificate expired{}", at(not_after)),
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before{}", at(not_before).replace(" on", ""))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().take(5).map(|name| plain_name(name)).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            format!("its certificate is for {names}, not for {}; write that as server_name", expected.to_str())
        }
        CertificateError::NotValidForName => "its certificate is for another name; write that as server_name".to_owned(),
        CertificateError::UnknownIssuer => {
            format!("its certificate is self-signed or from an authority that is not trusted; {MEND}")
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not one for servers".to_owned()
        }
        CertificateError::Revoked => "its certificate was revoked".to_owned(),
        CertificateError::BadSignature => {
            format!("its certificate is from an authority that is not trusted, though one of the same name is; {MEND}")
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is self-signed and that of an authority, which no server may use; give it one that is signed"
                .to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// `DnsName("shop.example")` as people write it.
fn plain_name(presented: &str) -> String {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(presented);
    inner.trim_matches('"').to_owned()
}
