//! Requests to who knows: TLS, headers, a bounded answer, errors in words.
//!
//! Imports: os, the settings. May not: follow a redirect; show a header; know what an answer means.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

use super::WebSettings;
use super::reading::{Silence, shown};
use crate::model::Span;
use crate::os::tls::Tls;
use crate::os::{http, text};

/// As much of an answer as is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The client.
pub(super) struct Web {
    client: Client,
    headers: HeaderMap,
    timeout: Span,
}

/// An answer, whatever its status.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// `body` is all of it.
    pub(super) whole: bool,
}

impl Web {
    /// Checks headers and reads certificates.
    pub(super) fn new(settings: &WebSettings, timeout: Span) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (header, mut value) = parsed.ok_or_else(|| format!("headers: {name} is no header, or its value none"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let tls = settings.tls.as_ref().map(|tls| Tls::new(tls, &["http/1.1"])).transpose();
        let tls = tls.map_err(|why| format!("tls: {why}"))?;
        // A connection for each measurement: one that was kept would be found broken long after its server began anew.
        let client = http::client(|builder| {
            let builder = builder.timeout(timeout.to_std()).pool_max_idle_per_host(0);
            match &tls {
                Some(tls) => builder.tls_backend_preconfigured(tls.client_config()),
                None => builder,
            }
        })?;
        Ok(Self { client, headers, timeout })
    }

    /// GET.
    pub(super) async fn get(&self, url: Url) -> Result<Answered, Silence> {
        self.send(self.client.get(url.clone()), &url).await
    }

    /// POST of a form.
    pub(super) async fn post(&self, url: Url, fields: &[(&str, &str)]) -> Result<Answered, Silence> {
        let request = self.client.post(url.clone()).header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(form(fields)), &url).await
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Answered, Silence> {
        let lost = |e: &reqwest::Error| {
            let words = if e.is_timeout() { format!("no answer in {}", self.timeout) } else { http::words(e) };
            Silence::Error(format!("{}: {words}", place(url)))
        };
        let mut response = request.headers(self.headers.clone()).send().await.map_err(|e| lost(&e))?;
        let (status, mut body, mut whole) = (response.status().as_u16(), Vec::new(), true);
        while let Some(chunk) = response.chunk().await.map_err(|e| lost(&e))? {
            let room = BODY_BYTES_MAX - body.len();
            body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                whole = false;
                break;
            }
        }
        Ok(Answered { status, body, whole })
    }
}

impl Answered {
    /// A status of success.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// That it is none.
    pub(super) fn refusal(&self, url: &Url) -> Silence {
        Silence::Error(format!("{}: status {}{}", place(url), self.status, shown(&self.body)))
    }
}

/// Whom an address leads to, without what it may hold besides.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    text::sanitise(&format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default()))
}

/// The fields as a form sends them.
fn form(fields: &[(&str, &str)]) -> String {
    // The only encoder at hand is that of an address.
    let Ok(mut url) = Url::parse("http://form/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_every_character() {
        let query = "sum(rate(a{b=~\"x[.]y|z\"}[1m])) / 2 + 1 & é";
        let sent = form(&[("query", query), ("step", "1")]);
        let url = Url::parse(&format!("http://a/?{sent}")).unwrap();
        let read: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(read, [("query".to_owned(), query.to_owned()), ("step".to_owned(), "1".to_owned())]);
        assert!(!sent.contains(['"', ' ', '{']), "{sent}");
    }

    #[test]
    fn a_place_tells_neither_password_nor_query() {
        let url = Url::parse("https://me:s3cret@prom.example:9090/x?token=s3cret").unwrap();
        assert_eq!(place(&url), "https://prom.example:9090");
    }
}
