//! The control socket over real Unix sockets: what clients see, what hostile or broken peers cannot do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise, and names what it skips"
)]

#[path = "control/commands.rs"]
mod commands;
#[path = "control/fake.rs"]
mod fake;
#[path = "control/flood.rs"]
mod flood;
#[path = "control/fuzzed.rs"]
mod fuzzed;
#[path = "fuzz/harness.rs"]
mod harness;
#[path = "control/hostile.rs"]
mod hostile;
#[path = "control/life.rs"]
mod life;
#[path = "control/links.rs"]
mod links;
#[path = "control/proxy.rs"]
mod proxy;
#[path = "control/served.rs"]
mod served;

use std::collections::VecDeque;
use std::future::Future;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rollout::command::{Command, Receipt, Refusal, Request};
use rollout::control::{Client, ControlError, Limits, Patience, Server, engine_pid};
use rollout::event::{Actor, Cause, Ending, Event, EventKind, FORMAT};
use rollout::journal::decode;
use rollout::model::{DeploymentId, Seq, Timestamp};
use rollout::ports::{Engine, Feed, LogLine, Progress, Session, SessionError, Snapshot, Update};
use rollout::state::State;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use fake::{Fake, log_line};
use proxy::Proxy;
use served::{BOUND, Running, ask, hasty, next, next_event, post, private_dir, raw, reason_of, serve, within};

#[tokio::test]
async fn a_client_sees_a_snapshot_and_then_everything_in_order() {
    let running = Running::start();
    running.engine.pause("one");
    let mut client = running.client().await;
    running.engine.pause("two");
    let snapshot = within(client.snapshot()).await.unwrap();
    assert_eq!((snapshot.seq, snapshot.format), (Seq(3), FORMAT));
    assert_eq!(snapshot.state, running.engine.snapshot_now().state);
    assert_eq!(snapshot.progress.troubles, ["from the snapshot"]);

    running.engine.pause("three");
    let event = next_event(&mut client).await;
    assert_eq!((event.seq, reason_of(&event)), (Seq(4), "three"), "what the snapshot holds does not come again");
    let progress = Progress { at: Timestamp::from_millis(7), troubles: vec!["live".to_owned()], ..Progress::default() };
    running.engine.live.send(Update::Progress(progress.clone())).unwrap();
    running.engine.live.send(Update::Log(log_line(9))).unwrap();
    assert!(matches!(next(&mut client).await, Update::Progress(p) if p == progress));
    assert!(matches!(next(&mut client).await, Update::Log(line) if line == log_line(9)));
    assert_eq!(within(client.logs(1)).await.unwrap(), [log_line(2), log_line(3)]);

    let end = running.engine.end();
    assert_eq!(next_event(&mut client).await.seq, end);
    assert!(matches!(next(&mut client).await, Update::Closed));
    assert!(matches!(next(&mut client).await, Update::Closed), "and it stays closed");
}

#[tokio::test]
async fn a_cancelled_next_loses_nothing() {
    let running = Running::start();
    let mut client = running.client().await;
    let mut expected = 2;
    for n in 0..50 {
        running.engine.pause(&n.to_string());
        // Polled once and dropped, wherever that is.
        while let Some(update) = client.next().now_or_never() {
            assert!(matches!(update, Update::Event(e) if e.seq == Seq(expected)));
            expected += 1;
        }
        tokio::task::yield_now().await;
    }
    while expected <= 51 {
        assert_eq!(next_event(&mut client).await.seq, Seq(expected));
        expected += 1;
    }
}

#[tokio::test]
async fn the_stream_is_resumable_and_in_the_form_that_is_documented() {
    let running = Running::start();
    for n in 1..=4 {
        running.engine.pause(&n.to_string());
    }
    running.engine.live.send(Update::Log(log_line(1))).unwrap_or_default();
    running.engine.end();
    let get = |after: u64| format!("GET /v1/events?after={after} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let answer = raw(&running.path(), get(3).as_bytes()).await;
    assert!(answer.contains("content-type: text/event-stream"), "{answer}");
    let ids: Vec<&str> = answer.lines().filter_map(|l| l.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["4", "5", "6"]);
    assert!(answer.contains("event: event\nid: 4\ndata: {\"seq\":4,\"at\":"), "{answer}");
    assert!(answer.contains("event: closed\ndata: {}\n\n"), "{answer}");
}

#[tokio::test]
async fn one_that_does_not_read_is_resynced_and_stops_nobody_else() {
    let running = Running::start();
    let (mut slow, mut quick) = (running.client().await, running.client().await);
    let filler = "x".repeat(4000);
    running.engine.pause("first");
    assert_eq!(next_event(&mut slow).await.seq, Seq(2), "its stream is open");
    for n in 0..2000 {
        let seq = running.engine.pause(&filler);
        let event = loop {
            match next(&mut quick).await {
                Update::Event(event) if event.seq == Seq(2) => {}
                Update::Event(event) => break event,
                other => panic!("the quick one, at {n}: {other:?}"),
            }
        };
        assert_eq!(event.seq, seq);
    }
    let (mut last, mut resyncs) = (Seq(2), 0);
    while last < running.engine.seq() {
        match next(&mut slow).await {
            Update::Event(event) => {
                assert_eq!(event.seq, last.next(), "no gap but by a resync");
                last = event.seq;
            }
            Update::Resync(snapshot) => {
                assert!(snapshot.seq > last);
                (last, resyncs) = (snapshot.seq, resyncs + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(resyncs > 0, "8 MB do not fit into a socket");
}

#[tokio::test]
async fn a_quiet_stream_is_told_from_a_dead_one() {
    let running = Running::start_within(Limits { silence: Duration::from_millis(50), ..Limits::default() });
    let patience = Patience { silence: Duration::from_millis(700), ..hasty() };
    let mut client = within(Client::connect_with(&running.path(), patience)).await.unwrap();
    let quiet = tokio::time::timeout(Duration::from_secs(2), client.next()).await;
    assert!(quiet.is_err(), "the engine is alive but has nothing to say: {quiet:?}");

    // The same through a link that stops carrying bytes.
    let proxy = Proxy::start(&running.path());
    let mut client = within(Client::connect_with(&proxy.path(), patience)).await.unwrap();
    assert!(client.next().now_or_never().is_none());
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    proxy.frozen.store(true, Ordering::SeqCst);
    match next(&mut client).await {
        Update::Disconnected { reason } => assert!(reason.contains("no sign of life for 0.7s"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
