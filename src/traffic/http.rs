//! Balancers with an HTTP API: requests for out, in, state and sessions.
//!
//! Imports: ports, model, os. May not: know another kind of adapter, follow a redirect, believe a status (that is `word`).

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url};

use super::word::{Balancer, Order, meaning};
use super::{HttpSettings, Request};
use crate::model::{InstanceId, Rotation, Target};
use crate::os::extract::Extractor;
use crate::os::template::{self, Context};
use crate::os::{http, text};
use crate::ports::TrafficError;

/// As much of an answer as is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// As much of a refusal as is shown.
const REFUSAL_CHARS_MAX: usize = 120;

/// The driver.
pub(super) struct Requests {
    settings: HttpSettings,
    client: Client,
    headers: HeaderMap,
    state: Extractor,
    sessions: Option<Extractor>,
}

/// An answer of the balancer.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    whole: bool,
}

impl Requests {
    /// Checks methods, templates, headers and pointers.
    pub(super) fn new(settings: HttpSettings) -> Result<Self, String> {
        let all = [("out", Some(&settings.out)), ("in", Some(&settings.into)), ("state", Some(&settings.state))];
        for (key, request) in all.into_iter().chain([("sessions", settings.sessions.as_ref())]) {
            if let Some(request) = request {
                check(request, &settings.service).map_err(|why| format!("[traffic] {key}: {why}"))?;
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
            let (header, mut value) =
                parsed.ok_or_else(|| format!("[traffic] headers: {name} is no header, or its value none"))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let state = Extractor::new(&settings.state.answer).map_err(|why| format!("[traffic] state: {why}"))?;
        let sessions = settings.sessions.as_ref().map(|request| Extractor::new(&request.answer)).transpose();
        let sessions = sessions.map_err(|why| format!("[traffic] sessions: {why}"))?;
        let timeout: Duration = settings.timeout.to_std();
        let client = http::client(|builder| builder.timeout(timeout))?;
        Ok(Self { settings, client, headers, state, sessions })
    }

    async fn send(&self, key: &str, request: &Request, target: &Target) -> Result<Answer, TrafficError> {
        let refused = |why: String| TrafficError::Refused(format!("[traffic] {key} of {}: {why}", target.id));
        let (url, body) = rendered(request, &self.settings.service, target).map_err(refused)?;
        let method = Method::try_from(request.method.as_str()).map_err(|e| refused(e.to_string()))?;
        let shown = format!("{method} {}", url.path());
        let mut sent = self.client.request(method, url).headers(self.headers.clone());
        if let Some(body) = body {
            if body.trim_start().starts_with(['{', '[', '"']) && !self.headers.contains_key(CONTENT_TYPE) {
                sent = sent.header(CONTENT_TYPE, "application/json");
            }
            sent = sent.body(body);
        }
        let unreachable = |e: &reqwest::Error| {
            TrafficError::Unreachable(format!("[traffic] {key} of {}: {shown}: {}", target.id, http::words(e)))
        };
        let mut response = sent.send().await.map_err(|e| unreachable(&e))?;
        let (status, mut body, mut whole) = (response.status(), Vec::new(), true);
        while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(&e))? {
            let room = BODY_BYTES_MAX - body.len();
            body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                whole = false;
                break;
            }
        }
        Ok(Answer { status, body, whole })
    }

    /// The answer, if its status is one of those accepted.
    async fn accepted(&self, key: &str, request: &Request, target: &Target) -> Result<Answer, TrafficError> {
        let answer = self.send(key, request, target).await?;
        if accepts(request, answer.status) { Ok(answer) } else { Err(refusal(key, target, &answer)) }
    }
}

fn accepts(request: &Request, status: StatusCode) -> bool {
    request.status.iter().any(|(from, to)| (*from..=*to).contains(&status.as_u16()))
}

fn refusal(key: &str, target: &Target, answer: &Answer) -> TrafficError {
    let said = text::sanitise_within(String::from_utf8_lossy(&answer.body).trim(), REFUSAL_CHARS_MAX);
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    let words = format!("[traffic] {key} of {}: status {}{said}", target.id, answer.status.as_u16());
    if answer.status.is_server_error() { TrafficError::Unreachable(words) } else { TrafficError::Refused(words) }
}

/// Renders the request once for an instance that has everything a template may name.
fn check(request: &Request, service: &str) -> Result<(), String> {
    let id = InstanceId::new("instance").map_err(|e| e.to_string())?;
    let (host, zone, labels) = ("localhost".to_owned(), Some("zone".to_owned()), BTreeMap::default());
    Method::try_from(request.method.as_str()).map_err(|e| e.to_string())?;
    rendered(request, service, &Target { id, host, port: 1, zone, labels }).map(drop)
}

fn rendered(request: &Request, service: &str, target: &Target) -> Result<(Url, Option<String>), String> {
    let context = Context { service, target, version: None, previous: None };
    let url = template::render(&request.url, context)?;
    let url = Url::parse(&url).map_err(|e| format!("{:?} is no address: {e}", text::sanitise(&url)))?;
    let body = request.body.as_ref().map(|body| template::render(body, context)).transpose()?;
    Ok((url, body))
}

impl Balancer for Requests {
    fn state<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Rotation, TrafficError>> {
        Box::pin(async move {
            let request = &self.settings.state;
            let answer = self.send("state", request, target).await?;
            if !accepts(request, answer.status) {
                let unknown = answer.status == StatusCode::NOT_FOUND;
                return if unknown { Ok(Rotation::Missing) } else { Err(refusal("state", target, &answer)) };
            }
            let refused = |why: String| TrafficError::Refused(format!("[traffic] state of {}: {why}", target.id));
            let word = self.state.read(&answer.body, answer.whole);
            let word = word.map_err(|why| refused(format!("no state in the answer: {why}")))?;
            meaning(&word, &self.settings.states).map_err(refused)
        })
    }

    fn list<'a>(&'a self, _targets: &'a [Target]) -> BoxFuture<'a, Result<Option<BTreeMap<InstanceId, Rotation>>, TrafficError>> {
        Box::pin(async { Ok(None) })
    }

    fn order<'a>(&'a self, target: &'a Target, order: Order) -> BoxFuture<'a, Result<(), TrafficError>> {
        Box::pin(async move {
            let (key, request) = match order {
                Order::Out => ("out", &self.settings.out),
                Order::In => ("in", &self.settings.into),
            };
            self.accepted(key, request, target).await.map(drop)
        })
    }

    fn connections<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Option<u32>, TrafficError>> {
        Box::pin(async move {
            let (Some(request), Some(extractor)) = (&self.settings.sessions, &self.sessions) else { return Ok(None) };
            let answer = self.accepted("sessions", request, target).await?;
            let refused = |why: &str| TrafficError::Refused(format!("[traffic] sessions of {}: {why}", target.id));
            let number = extractor.read(&answer.body, answer.whole).map_err(refused)?;
            number.parse().map(Some).map_err(|_not_one| refused("the answer is no number"))
        })
    }
}
