//! One HTTP request to one instance, judged by its status; the version from a header or the body.
//!
//! Imports: model, os, the settings. May not: compare versions, keep a deadline (that is `judge`).

use futures::future::BoxFuture;
use reqwest::header::HeaderName;
use reqwest::{Client, Response, Url};

use super::judge::{Look, Reported, Seen};
use super::{HttpSettings, HttpVersion};
use crate::model::{SampleResult, Target};
use crate::os::extract::Extractor;
use crate::os::{http, text};

/// As much of a body as is read; the connection is dropped after that.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The prober.
pub(super) struct HttpProber {
    settings: HttpSettings,
    /// Finds the version in the body, if it is there.
    extractor: Option<Extractor>,
    client: Client,
}

impl HttpProber {
    /// Checks path, status ranges and version source.
    pub(super) fn new(settings: HttpSettings) -> Result<Self, String> {
        if !settings.path.starts_with('/') || Url::parse(&format!("http://localhost:1{}", settings.path)).is_err() {
            return Err(format!("[health] path: {:?} must begin with a slash, like \"/health\"", settings.path));
        }
        if let Some((from, to)) = settings.status.iter().find(|(from, to)| from > to || *from < 100 || *to > 599) {
            return Err(format!("[health] status: {from} to {to} is no range within 100 to 599"));
        }
        let extractor = match &settings.version {
            Some(HttpVersion::Header(name)) if HeaderName::try_from(name.as_str()).is_err() => {
                return Err(format!("[health] version: {name:?} is no header name"));
            }
            Some(HttpVersion::Body(extract)) => Some(Extractor::new(extract).map_err(|why| format!("[health] version: {why}"))?),
            Some(HttpVersion::Header(_)) | None => None,
        };
        // A probe that reuses a connection would not notice that nobody accepts new ones.
        let client = http::client(|builder| builder.pool_max_idle_per_host(0))?;
        Ok(Self { settings, extractor, client })
    }

    async fn request(&self, target: &Target) -> Seen {
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let url = format!("http://{host}:{}{}", target.port, self.settings.path);
        let response = match self.client.get(&url).send().await {
            Ok(response) => response,
            Err(e) if http::is_refused(&e) => return Seen::nothing(SampleResult::NotListening),
            Err(e) => return Seen::nothing(miss(http::words(&e))),
        };
        let status = response.status();
        let location = response.headers().get("location").map(|to| text::sanitise(&String::from_utf8_lossy(to.as_bytes())));
        let reported = match self.read(response).await {
            Ok(reported) => reported,
            Err(e) => return Seen::nothing(miss(format!("status {}, then {}", status.as_u16(), http::words(&e)))),
        };
        let accepted = self.settings.status.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()));
        let result = match (accepted, location) {
            (false, Some(to)) if status.is_redirection() => miss(format!("redirects to {to}")),
            (false, _) => miss(format!("status {}", status.as_u16())),
            (true, _) => SampleResult::Pass { status: Some(status.as_u16()) },
        };
        Seen { result, reported }
    }

    /// Reads the body to its end or its cap, and the version from where it is reported.
    async fn read(&self, mut response: Response) -> Result<Reported, reqwest::Error> {
        let header = match &self.settings.version {
            Some(HttpVersion::Header(name)) => response.headers().get(name).map(|value| value.as_bytes().to_vec()),
            Some(HttpVersion::Body(_)) | None => None,
        };
        let (mut body, mut whole) = (Vec::new(), true);
        while let Some(chunk) = response.chunk().await? {
            let room = BODY_BYTES_MAX - body.len();
            body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                whole = false;
                break;
            }
        }
        Ok(match (&self.settings.version, &self.extractor) {
            (None, _) => Reported::Nothing("health.version is not set"),
            (Some(_), Some(extractor)) => {
                extractor.read(&body, whole).map_or_else(Reported::Nothing, |value| Reported::of(&value))
            }
            (Some(_), None) => {
                header.map_or(Reported::Nothing("no such header"), |value| Reported::of(&String::from_utf8_lossy(&value)))
            }
        })
    }
}

impl Look for HttpProber {
    /// Dropped half-way, it closes its connection and leaves nothing behind.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(self.request(target))
    }
}

fn miss(reason: String) -> SampleResult {
    SampleResult::Miss { reason }
}
