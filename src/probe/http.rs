//! One HTTP request to one instance, judged by status and by the version that it reports.
//!
//! Imports: ports, model, os. May not: know another kind of adapter, count passes and misses.

use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::header::HeaderName;
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

use super::{HttpSettings, VersionSource};
use crate::model::{Sample, SampleResult, Span, Target, Version};
use crate::os::{http, text};
use crate::ports::{Clock, Prober};

/// As much of a body as is read; the connection is dropped after that.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The prober.
pub(super) struct HttpProber {
    settings: HttpSettings,
    client: Client,
    clock: Clock,
}

/// What an instance says its version is.
#[derive(Debug, PartialEq, Eq)]
enum Reported {
    /// A version.
    Version(Version),
    /// Something that is no version; sanitised.
    Other(String),
    /// Nothing, and why: to follow "reports no version".
    Nothing(&'static str),
}

impl HttpProber {
    /// Checks path, status ranges and version source.
    pub(super) fn new(settings: HttpSettings, clock: Clock) -> Result<Self, String> {
        if !settings.path.starts_with('/') || Url::parse(&format!("http://localhost:1{}", settings.path)).is_err() {
            return Err(format!("[health] path: {:?} must begin with a slash, like \"/health\"", settings.path));
        }
        if let Some((from, to)) = settings.status.iter().find(|(from, to)| from > to || *from < 100 || *to > 599) {
            return Err(format!("[health] status: {from} to {to} is no range within 100 to 599"));
        }
        match &settings.version {
            Some(VersionSource::Header(name)) if HeaderName::try_from(name.as_str()).is_err() => {
                return Err(format!("[health] version: {name:?} is no header name"));
            }
            Some(VersionSource::Json(pointer)) if !pointer.is_empty() && !pointer.starts_with('/') => {
                return Err(format!(
                    "[health] version: {pointer:?} is no JSON pointer: it must begin with a slash, like \"/version\""
                ));
            }
            Some(VersionSource::Header(_) | VersionSource::Json(_)) | None => {}
        }
        // A probe that reuses a connection would not notice that nobody accepts new ones.
        let client = http::client(|builder| builder.pool_max_idle_per_host(0))?;
        Ok(Self { settings, client, clock })
    }

    /// The sample's result, and the version if one was reported. No deadline of its own.
    async fn look(&self, target: &Target, expect: Option<&Version>) -> (SampleResult, Option<Version>) {
        let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
        let url = format!("http://{host}:{}{}", target.port, self.settings.path);
        let response = match self.client.get(&url).send().await {
            Ok(response) => response,
            Err(e) if http::is_refused(&e) => return (SampleResult::NotListening, None),
            Err(e) => return (miss(http::words(&e)), None),
        };
        let status = response.status();
        let location = response.headers().get("location").map(|to| text::sanitise(&String::from_utf8_lossy(to.as_bytes())));
        let reported = match self.read(response).await {
            Ok(reported) => reported,
            Err(e) => return (miss(format!("status {}, then {}", status.as_u16(), http::words(&e))), None),
        };
        let accepted = self.settings.status.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()));
        let result = match (accepted, location) {
            (false, Some(to)) if status.is_redirection() => miss(format!("redirects to {to}")),
            (false, _) => miss(format!("status {}", status.as_u16())),
            (true, _) => match mismatch(&reported, expect) {
                Some(reason) => miss(reason),
                None => SampleResult::Pass { status: Some(status.as_u16()) },
            },
        };
        match reported {
            Reported::Version(version) => (result, Some(version)),
            Reported::Other(_) | Reported::Nothing(_) => (result, None),
        }
    }

    /// Reads the body to its end or its cap, and the version from where it is reported.
    async fn read(&self, mut response: Response) -> Result<Reported, reqwest::Error> {
        let header = match &self.settings.version {
            Some(VersionSource::Header(name)) => response.headers().get(name).map(|value| value.as_bytes().to_vec()),
            Some(VersionSource::Json(_)) | None => None,
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
        Ok(match &self.settings.version {
            None => Reported::Nothing(" (health.version is not set)"),
            Some(VersionSource::Header(_)) => {
                header.map_or(Reported::Nothing(" (no such header)"), |value| reported(&String::from_utf8_lossy(&value)))
            }
            Some(VersionSource::Json(_)) if !whole => Reported::Nothing(" (the body is over 64 KiB)"),
            Some(VersionSource::Json(pointer)) => from_json(&body, pointer),
        })
    }
}

impl Prober for HttpProber {
    /// Dropped half-way, it closes its connection and leaves nothing behind.
    fn probe<'a>(&'a self, target: &'a Target, expect: Option<&'a Version>) -> BoxFuture<'a, Sample> {
        Box::pin(async move {
            let (at, began) = ((self.clock)(), Instant::now());
            let deadline: Duration = self.settings.timeout.to_std();
            let looked = tokio::time::timeout(deadline, self.look(target, expect)).await;
            let (result, version) =
                looked.unwrap_or_else(|_elapsed| (miss(format!("no answer in {}", self.settings.timeout)), None));
            Sample { at, latency: Span::from(began.elapsed()), result, version }
        })
    }
}

fn miss(reason: String) -> SampleResult {
    SampleResult::Miss { reason }
}

/// A string, or a number as it is written.
fn from_json(body: &[u8], pointer: &str) -> Reported {
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Reported::Nothing(" (the body is no JSON)");
    };
    match json.pointer(pointer) {
        Some(serde_json::Value::String(value)) => reported(value),
        Some(serde_json::Value::Number(value)) => reported(&value.to_string()),
        Some(_) | None => Reported::Nothing(" (not in the body)"),
    }
}

fn reported(value: &str) -> Reported {
    Version::new(value.trim()).map_or_else(|_not_one| Reported::Other(text::sanitise(value)), Reported::Version)
}

/// Why the report does not do, if it does not.
fn mismatch(reported: &Reported, expect: Option<&Version>) -> Option<String> {
    let expect = expect?;
    match reported {
        Reported::Version(version) if version == expect => None,
        Reported::Version(version) => Some(format!("reports {version}, not {expect}")),
        Reported::Other(other) => Some(format!("reports {other:?}, not {expect}")),
        Reported::Nothing(why) => Some(format!("reports no version{why}")),
    }
}
