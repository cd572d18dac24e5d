//! One call of `grpc.health.v1.Health/Check` to one instance. The protocol is small enough to be read by hand, with bounds.
//!
//! Imports: model, os, the settings. May not: compare versions, keep a deadline (that is `judge`).

use std::sync::Arc;

use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, TE, USER_AGENT};
use hyper::{Method, Request, StatusCode};

use super::judge::{Look, Reported, Seen};
use super::wire::{self, Exchange, Protocol, miss};
use super::{GrpcSettings, Places};
use crate::model::{SampleResult, Target};
use crate::os::tls::Tls;
use crate::os::{http, text};

/// What is called.
const METHOD: &str = "/grpc.health.v1.Health/Check";
/// The longest answer that is read; the true one has seven bytes.
const ANSWER_MAX: usize = 4096;
/// What stands before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The prober.
pub(super) struct GrpcProber {
    settings: GrpcSettings,
    places: Arc<Places>,
    tls: Option<Tls>,
}

impl GrpcProber {
    /// Checks the version's header.
    pub(super) fn new(settings: GrpcSettings, places: Arc<Places>, tls: Option<Tls>) -> Result<Self, String> {
        if let Some(name) = settings.version.as_ref().filter(|name| HeaderName::try_from(name.as_str()).is_err()) {
            return Err(format!("[health] version: {name:?} is no header name"));
        }
        Ok(Self { settings, places, tls })
    }

    async fn request(&self, target: &Target) -> Seen {
        let place = self.places.of(target);
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{scheme}://{}{METHOD}", wire::authority(target, &place)))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, wire::USER_AGENT)
            .body(Full::new(Bytes::from(question(&self.settings.service))));
        let request = match request {
            Ok(request) => request,
            Err(e) => return Seen::nothing(miss(http::error_words(&e))),
        };
        match wire::exchange((target, &place), self.tls.as_ref(), Protocol::Two, request).await {
            Ok(exchange) => self.answered(exchange).await,
            Err(SampleResult::Miss { reason }) => Seen::nothing(miss(in_words(reason))),
            Err(result) => Seen::nothing(result),
        }
    }

    async fn answered(&self, mut exchange: Exchange) -> Seen {
        let remark = exchange.remark();
        let status = exchange.response.status();
        if status != StatusCode::OK {
            return Seen::nothing(miss(format!("status {}: no gRPC server{remark}", status.as_u16())));
        }
        let headers = exchange.response.headers();
        let kind = headers.get(CONTENT_TYPE).map_or(b"".as_slice(), hyper::header::HeaderValue::as_bytes);
        if !kind.starts_with(b"application/grpc") {
            return Seen::nothing(miss("answers, but not by gRPC".to_owned()));
        }
        let reported = match &self.settings.version {
            None => Reported::Nothing("health.version is not set"),
            Some(name) => headers
                .get(name)
                .map_or(Reported::Nothing("no such header"), |value| Reported::of(&String::from_utf8_lossy(value.as_bytes()))),
        };
        // With nothing to say, a server sends its status where the headers are.
        let mut code = code(headers);
        let mut answer = Vec::new();
        while let Some(frame) = exchange.response.body_mut().frame().await {
            match frame.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) if answer.len() + data.len() > ANSWER_MAX => {
                    return Seen::nothing(miss(format!("its answer is longer than {ANSWER_MAX} bytes")));
                }
                Ok(Ok(data)) => answer.extend_from_slice(&data),
                Ok(Err(frame)) => code = frame.trailers_ref().and_then(self::code).or(code),
                Err(e) => return Seen::nothing(miss(in_words(http::error_words(&e)))),
            }
        }
        let result = match code {
            None => miss("its answer ended without a status".to_owned()),
            Some((0, _)) => serving(&answer),
            Some((code, said)) => miss(self.refused(code, &said)),
        };
        Seen { result, reported }
    }

    /// A status that is not `OK`, in words.
    fn refused(&self, code: u32, said: &str) -> String {
        const NAMES: [&str; 17] = [
            "OK",
            "CANCELLED",
            "UNKNOWN",
            "INVALID_ARGUMENT",
            "DEADLINE_EXCEEDED",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED",
            "FAILED_PRECONDITION",
            "ABORTED",
            "OUT_OF_RANGE",
            "UNIMPLEMENTED",
            "INTERNAL",
            "UNAVAILABLE",
            "DATA_LOSS",
            "UNAUTHENTICATED",
        ];
        let name =
            usize::try_from(code).ok().and_then(|code| NAMES.get(code)).map_or_else(|| code.to_string(), |n| (*n).to_owned());
        let service = &self.settings.service;
        match code {
            5 => format!("{name}: it knows no service {service:?}; correct health.service"),
            12 => format!("{name}: it has no grpc.health.v1.Health"),
            _ if said.is_empty() => name,
            _ => format!("{name}: {said}"),
        }
    }
}

impl Look for GrpcProber {
    /// Dropped half-way, it closes its connection and leaves nothing behind.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(self.request(target))
    }
}

/// What the library says of a server that speaks something else is no help.
fn in_words(reason: String) -> String {
    let other = reason.contains("frame with invalid size")
        || reason.contains("invalid preface")
        || reason.contains("unspecific protocol");
    if other { format!("does not speak HTTP/2 on this port ({reason})") } else { reason }
}

/// `HealthCheckRequest { service }` with its prefix.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            message.push(u8::try_from(length & 0x7f).unwrap_or(0) | 0x80);
            length >>= 7;
        }
        message.push(u8::try_from(length).unwrap_or(0));
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [[0].as_slice(), &length, &message].concat()
}

/// `grpc-status` and `grpc-message`.
fn code(headers: &HeaderMap) -> Option<(u32, String)> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let said = headers.get("grpc-message").map(|said| text::sanitise(&unescaped(said.as_bytes()))).unwrap_or_default();
    Some((code, said))
}

/// Takes `%20` and the like out.
fn unescaped(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            plain.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            plain.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

/// What the answer says of the service.
fn serving(answer: &[u8]) -> SampleResult {
    match status(answer) {
        Ok(1) => SampleResult::Pass { status: None },
        Ok(0) => miss("UNKNOWN".to_owned()),
        Ok(2) => miss("NOT_SERVING".to_owned()),
        Ok(3) => miss("SERVICE_UNKNOWN; correct health.service".to_owned()),
        Ok(other) => miss(format!("an unknown status {other}")),
        Err(why) => miss(format!("its answer is no HealthCheckResponse: {why}")),
    }
}

/// The status in a `HealthCheckResponse` with its prefix; fields of later versions are passed over.
fn status(answer: &[u8]) -> Result<u64, &'static str> {
    let (prefix, message) = answer.split_at_checked(PREFIX).ok_or("it is too short")?;
    let [compressed, length @ ..] = prefix else { return Err("it is too short") };
    if *compressed != 0 {
        return Err("it is compressed");
    }
    let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    if length != message.len() {
        return Err("its length is not what it says");
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        let (key, after) = number(rest)?;
        let skip = match key & 7 {
            0 => {
                let (value, after) = number(after)?;
                if key >> 3 == 1 {
                    status = value;
                }
                rest = after;
                continue;
            }
            1 => (8, after),
            2 => {
                let (length, after) = number(after)?;
                (usize::try_from(length).unwrap_or(usize::MAX), after)
            }
            5 => (4, after),
            _ => return Err("it has a field of no kind"),
        };
        rest = skip.1.get(skip.0..).ok_or("it ends within a field")?;
    }
    Ok(status)
}

/// A number of variable length, and what follows it.
fn number(bytes: &[u8]) -> Result<(u64, &[u8]), &'static str> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, bytes.get(index + 1..).unwrap_or_default()));
        }
    }
    Err("it has a number without an end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_answers_are_those_of_the_protocol() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("shop"), [0, 0, 0, 0, 6, 0x0a, 4, b's', b'h', b'o', b'p']);
        let long = question(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Ok(1));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Ok(0), "what is not there is the first");
        // A text, eight and four bytes, and a number, all of later versions.
        let later = [8, 2, 0x12, 1, b'x', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 0xff, 1];
        let prefix = [0, 0, 0, 0, u8::try_from(later.len()).unwrap()];
        assert_eq!(status(&[prefix.as_slice(), &later].concat()), Ok(2));
        assert_eq!(unescaped(b"no%20way%"), "no way%");
    }

    #[test]
    fn whatever_else_comes_is_refused_and_never_a_pass() {
        for bad in [
            [].as_slice(),
            &[0, 0, 0],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 9, 8, 1],
            &[0, 255, 255, 255, 255, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x0b, 1],
            &[0, 0, 0, 0, 3, 0x12, 0xff, 1],
            &[0, 0, 0, 0, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0, 0, 0, 0, 11, 0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
        ] {
            assert!(status(bad).is_err(), "{bad:?}");
        }
        assert!(!matches!(serving(&[0, 0, 0, 0, 2, 8, 7]), SampleResult::Pass { .. }));
    }
}
