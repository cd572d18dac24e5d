//! One request: to the server that was chosen for it, on a connection of its own, and never to another one.
//!
//! Imports: pool, shared. May not: try a request twice; hide that a server failed.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::net::Ipv4Addr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version, client, server};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::pool::Trouble;
use super::shared::{Client, Shared, Turn};

/// Longest time to connect to a server.
const CONNECT: Duration = Duration::from_secs(1);
/// Longest time until a server's answer begins.
const ANSWER: Duration = Duration::from_secs(30);

/// Headers that belong to one connection and are not passed on.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

type Answer = Response<Either<Full<Bytes>, Relay>>;

/// Serves one client's connection until it ends.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    let _counted = Client::came(&shared);
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(forward(&shared, request).await) }
    });
    // How a client's connection ends is its own affair; what became of its requests is counted.
    server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn forward(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (mut turn, port) = Turn::take(shared);
    let Some(port) = port else {
        return refuse(&mut turn, StatusCode::SERVICE_UNAVAILABLE, "no server is available to handle this request");
    };
    let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await else {
        turn.trouble(Trouble::Connect);
        return refuse(&mut turn, StatusCode::SERVICE_UNAVAILABLE, "the server cannot be connected to");
    };
    stream.set_nodelay(true).ok();
    let sent = Instant::now();
    match timeout(ANSWER, exchange(stream, outgoing(request))).await {
        Ok(Ok((response, link))) => {
            turn.answered(response.status().as_u16(), sent.elapsed());
            relay(turn, response, link)
        }
        Ok(Err(_broken)) => {
            turn.trouble(Trouble::Answer);
            refuse(&mut turn, StatusCode::BAD_GATEWAY, "the server did not answer properly")
        }
        Err(_late) => {
            turn.trouble(Trouble::Answer);
            refuse(&mut turn, StatusCode::GATEWAY_TIMEOUT, "the server did not answer in time")
        }
    }
}

/// Sends the request and waits for the answer's head. The connection is driven here, not by a task of its own, so that
/// it ends with the request.
async fn exchange(stream: TcpStream, request: Request<Incoming>) -> hyper::Result<(Response<Incoming>, Link)> {
    let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut link = Link(Some(Box::pin(connection)));
    let mut answer = pin!(sender.send_request(request));
    let response = poll_fn(|context| {
        link.drive(context);
        answer.as_mut().poll(context)
    })
    .await?;
    Ok((response, link))
}

fn relay(turn: Turn, response: Response<Incoming>, link: Link) -> Answer {
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_11;
    drop_hop_by_hop(&mut head.headers);
    let mut relay = Relay { body, link, turn };
    relay.finish_at_end();
    Response::from_parts(head, Either::Right(relay))
}

/// The request as the server gets it: origin form, one request a connection.
fn outgoing(mut request: Request<Incoming>) -> Request<Incoming> {
    let uri = request.uri().path_and_query().map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()));
    let authority = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    drop_hop_by_hop(headers);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.entry(HOST).or_insert_with(|| authority.unwrap_or_else(|| HeaderValue::from_static("localhost")));
    request
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// An answer of our own.
fn refuse(turn: &mut Turn, status: StatusCode, words: &'static str) -> Answer {
    turn.answered_by_us(status.as_u16());
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(format!("{status}: {words}\n")))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The connection to a server, as long as it lasts.
struct Link(Option<Pin<Box<Connection>>>);

type Connection = client::conn::http1::Connection<TokioIo<TcpStream>, Incoming>;

impl Link {
    /// Lets it read and write what it can.
    fn drive(&mut self, context: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|connection| connection.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }
}

/// An answer's body on its way to the client: holds the server's connection and the request's place in the count.
struct Relay {
    body: Incoming,
    link: Link,
    turn: Turn,
}

impl Relay {
    fn finish_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.turn.finish();
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let relay = self.get_mut();
        relay.link.drive(context);
        let frame = Pin::new(&mut relay.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => relay.turn.finish(),
            Poll::Ready(Some(Err(_))) => relay.turn.trouble(Trouble::ServerAbort),
            Poll::Ready(Some(Ok(_))) => relay.finish_at_end(),
            Poll::Pending => (),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_connection_is_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("connection", "keep-alive, X-Once"), ("x-once", "1"), ("keep-alive", "5"), ("x-kept", "1")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        drop_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
