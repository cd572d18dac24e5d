//! Servers in the test's own process that answer any bytes: instances, a balancer, the address that users come to.
//!
//! Imports: nothing of the crate. May not: sleep.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as far as answers depend on it.
pub(crate) struct Asked {
    /// `GET /health?key=x HTTP/1.1` and the headers.
    pub(crate) head: String,
}

impl Asked {
    /// The path with its query.
    pub(crate) fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// A server on a port of its own. It is gone when this is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Answers each request with the bytes of a whole response, and closes.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (answer, mut tasks) = (Arc::new(answer), JoinSet::new());
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                served.spawn(async move { serve(stream, &*answer).await });
            }
        });
        Self { port, _tasks: tasks }
    }
}

async fn serve(mut stream: TcpStream, answer: &(dyn Fn(&Asked) -> Vec<u8> + Send + Sync)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_closed) => return,
        }
    }
    let asked = Asked { head: String::from_utf8_lossy(&head).into_owned() };
    let length: usize = asked.header("content-length").trim().parse().unwrap_or(0);
    let mut body = vec![0; length];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    stream.write_all(&answer(&asked)).await.ok();
    stream.shutdown().await.ok();
    // Not closed with anything unread: that would be a reset.
    while stream.read_u8().await.is_ok() {}
}

/// A whole response. `more` are header lines, each with its end.
pub(crate) fn response(status: &str, more: &[u8], body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    [head.as_bytes(), more, b"\r\n", body].concat()
}
