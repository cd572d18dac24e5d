//! Instances that answer any bytes, and the probe that asks them.
//!
//! Imports: probe, model, ports. May not: sleep without a condition.
#![allow(clippy::allow_attributes, reason = "every test file uses another part of this one, so `expect` cannot hold")]
#![allow(dead_code, reason = "every test file uses another part of this one")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rollout::clock::SystemClock;
use rollout::model::{InstanceId, Sample, SampleResult, Span, Target, Version};
use rollout::os::extract::Extract;
use rollout::ports::Prober;
use rollout::probe::{self, HttpSettings, HttpVersion, Kind, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A server on a port of its own. It is gone when this is dropped.
pub(crate) struct Answers {
    port: u16,
    _tasks: JoinSet<()>,
}

impl Answers {
    async fn serve<S: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(stream));
            }
        });
        Self { port, _tasks: tasks }
    }

    /// Answers every request with these bytes, and closes.
    pub(crate) async fn bytes(bytes: Vec<u8>) -> Self {
        let bytes: Arc<[u8]> = bytes.into();
        Self::serve(move |mut stream| {
            let bytes = Arc::clone(&bytes);
            async move {
                if request(&mut stream).await {
                    stream.write_all(&bytes).await.ok();
                    stream.shutdown().await.ok();
                    // Not closed with anything unread: that would be a reset.
                    while stream.read_u8().await.is_ok() {}
                }
            }
        })
        .await
    }

    /// Reads half of a request and closes: what is unread makes it a reset.
    pub(crate) async fn reset() -> Self {
        Self::serve(|mut stream| async move { drop(stream.read_u8().await) }).await
    }

    pub(crate) fn target(&self) -> Target {
        target(self.port)
    }
}

/// Reads one request without a body; false if the other side closed.
async fn request(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_closed) => return false,
        }
    }
    true
}

pub(crate) fn target(port: u16) -> Target {
    let id = InstanceId::new("web-01").expect("an id");
    Target { id, host: "127.0.0.1".to_owned(), port, zone: None, labels: BTreeMap::default() }
}

/// Asks `/health`, at most 500 ms, and finds the version in the body's `version`.
pub(crate) fn prober() -> Arc<dyn Prober> {
    built(|_| ())
}

/// As [`prober`], with `change`d settings.
pub(crate) fn built(change: impl FnOnce(&mut Settings)) -> Arc<dyn Prober> {
    let version = Some(HttpVersion::Body(Extract::Json("/version".to_owned())));
    let http = HttpSettings { path: "/health".to_owned(), status: vec![(200, 299)], version };
    let mut settings = Settings::new(Kind::Http(http), Span::from_millis(500));
    change(&mut settings);
    probe::build(&settings, SystemClock::new().port()).expect("settings that work")
}

pub(crate) fn version(text: &str) -> Version {
    Version::new(text).expect("a version")
}

pub(crate) fn reason(sample: &Sample) -> &str {
    match &sample.result {
        SampleResult::Miss { reason } => reason,
        other => panic!("no miss: {other:?}"),
    }
}

/// So many spaces, compressed by gzip.
pub(crate) fn compressed(spaces: usize) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-9").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut input = gzip.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || input.write_all(&vec![b' '; spaces]));
    let output = gzip.wait_with_output().expect("gzip");
    writer.join().expect("a thread").expect("written");
    output.stdout
}
