//! One HTTP request to one instance, judged by its status; the version from a header or the body.
//!
//! Imports: model, os, the settings. May not: compare versions, keep a deadline (that is `judge`).

use std::sync::Arc;

use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST, HeaderName, USER_AGENT};
use hyper::{Request, Uri};

use super::judge::{Look, Reported, Seen};
use super::wire::{self, Exchange, Protocol, miss};
use super::{HttpSettings, HttpVersion, Places};
use crate::model::{SampleResult, Target};
use crate::os::extract::Extractor;
use crate::os::tls::Tls;
use crate::os::{http, text};

/// As much of a body as is read; the connection is dropped after that.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The prober.
pub(super) struct HttpProber {
    settings: HttpSettings,
    places: Arc<Places>,
    /// Finds the version in the body, if it is there.
    extractor: Option<Extractor>,
    tls: Option<Tls>,
}

impl HttpProber {
    /// Checks path, status ranges and version source.
    pub(super) fn new(settings: HttpSettings, places: Arc<Places>, tls: Option<Tls>) -> Result<Self, String> {
        let own = places.instances.values().filter_map(|aside| aside.path.as_ref());
        for path in own.chain([&settings.path]) {
            if !path.starts_with('/') || encoded(path).is_none() {
                return Err(format!("[health] path: {path:?} must begin with a slash, like \"/health\""));
            }
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
        Ok(Self { settings, places, extractor, tls })
    }

    async fn request(&self, target: &Target) -> Seen {
        let place = self.places.of(target);
        let Some(path) = encoded(place.path.unwrap_or(&self.settings.path)) else {
            return Seen::nothing(miss("its path cannot be asked for".to_owned()));
        };
        let request = Request::get(path)
            .header(HOST, wire::authority(target, &place))
            .header(USER_AGENT, wire::USER_AGENT)
            .header(ACCEPT, "*/*")
            .body(Full::<Bytes>::default());
        let request = match request {
            Ok(request) => request,
            Err(e) => return Seen::nothing(miss(http::error_words(&e))),
        };
        match wire::exchange((target, &place), self.tls.as_ref(), Protocol::One, request).await {
            Ok(exchange) => self.answered(exchange).await,
            Err(result) => Seen::nothing(result),
        }
    }

    async fn answered(&self, mut exchange: Exchange) -> Seen {
        let status = exchange.response.status();
        let headers = exchange.response.headers();
        let location = headers.get("location").map(|to| text::sanitise(&String::from_utf8_lossy(to.as_bytes())));
        let reported = match self.read(&mut exchange).await {
            Ok(reported) => reported,
            Err(e) => return Seen::nothing(miss(format!("status {}, then {}", status.as_u16(), http::error_words(&e)))),
        };
        let accepted = self.settings.status.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()));
        let result = match (accepted, location) {
            (false, Some(to)) if status.is_redirection() => miss(format!("redirects to {to}")),
            // nginx and HAProxy tell who lacks a certificate by these.
            (false, _) if matches!(status.as_u16(), 400 | 401 | 403 | 495 | 496) => {
                miss(format!("status {}{}", status.as_u16(), exchange.remark()))
            }
            (false, _) => miss(format!("status {}", status.as_u16())),
            (true, _) => SampleResult::Pass { status: Some(status.as_u16()) },
        };
        Seen { result, reported }
    }

    /// Reads the body to its end or its cap, and the version from where it is reported.
    async fn read(&self, exchange: &mut Exchange) -> Result<Reported, hyper::Error> {
        let header = match &self.settings.version {
            Some(HttpVersion::Header(name)) => exchange.response.headers().get(name).map(|value| value.as_bytes().to_vec()),
            Some(HttpVersion::Body(_)) | None => None,
        };
        let (mut body, mut whole) = (Vec::new(), true);
        while let Some(frame) = exchange.response.body_mut().frame().await {
            let frame = frame?;
            let Some(chunk) = frame.data_ref() else { continue };
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

/// The path and query as they are sent: what no request may have is encoded, as browsers do it.
fn encoded(path: &str) -> Option<Uri> {
    let url = reqwest::Url::parse(&format!("http://localhost{path}")).ok()?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", url.path()).parse().ok()
}

impl Look for HttpProber {
    /// Dropped half-way, it closes its connection and leaves nothing behind.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(self.request(target))
    }
}
