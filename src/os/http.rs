//! HTTP clients: the crypto provider once, roots that are always there, errors in words.
//!
//! Imports: os text and TLS. May not: know what is requested.

use std::error::Error;
use std::io;

use reqwest::{Certificate, Client, ClientBuilder};

use super::{text, tls};

/// Builds a client with the settings that all of ours share (HTTP/1.1, no redirects, no proxy from the environment,
/// no retries) and those of `configure`.
///
/// `reqwest` refuses to build any client on a host without CA certificates, even for plain HTTP (seanmonstar/reqwest#2988);
/// such a host gets Mozilla's, built in. Building takes tens of milliseconds: once per purpose, never per request.
///
/// # Errors
/// Fails with a sentence if the client cannot be built.
pub fn client(configure: impl Fn(ClientBuilder) -> ClientBuilder) -> Result<Client, String> {
    // An error means that a provider is already installed, which is all we want.
    drop(rustls::crypto::ring::default_provider().install_default());
    let base = || {
        configure(
            Client::builder()
                .http1_only()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .tcp_nodelay(true)
                .user_agent(concat!("rollout/", env!("CARGO_PKG_VERSION"))),
        )
    };
    base().build().or_else(|without_roots| {
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots = roots.map(|root| Certificate::from_der(root)).collect::<Result<Vec<_>, _>>();
        let rebuilt = roots.and_then(|roots| base().tls_certs_only(roots).build());
        rebuilt.map_err(|_same| format!("cannot build an HTTP client: {}", words(&without_roots)))
    })
}

/// The cause of an error in a few words, sanitised: `connection refused`, `connection closed before message completed`.
/// The error's own text only repeats the URL; what happened is at the end of its chain of sources.
pub fn words(error: &reqwest::Error) -> String {
    error_words(error)
}

/// As [`words`], of any error that has to do with a connection.
pub fn error_words(error: &(dyn Error + 'static)) -> String {
    if let Some(kind) = io_kind(error) {
        return kind.to_string();
    }
    if let Some(words) = tls::words(error) {
        return words;
    }
    let mut last: &dyn Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    text::sanitise(&last.to_string())
}

/// True if nobody listens at the address.
pub fn is_refused(error: &reqwest::Error) -> bool {
    io_kind(error) == Some(io::ErrorKind::ConnectionRefused)
}

/// The kind of the I/O error that caused it, if one did and it has a name.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && !matches!(io.kind(), io::ErrorKind::Other)
            && io.raw_os_error().is_some()
        {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}
