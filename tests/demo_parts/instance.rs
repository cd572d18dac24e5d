//! Instances as processes: how they serve, how they stop, and how each fault shows.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{BOUND, Instance, get, receive, send, temp, until};

/// An answer that does not come within this time is not coming (each of these answers takes longer by a multiple, or forever).
const SOON: Duration = Duration::from_millis(700);

#[tokio::test]
async fn a_good_version_tells_who_it_is() {
    let dir = temp();
    let instance = Instance::listening(dir.path(), "web-07", "v2").await;
    let health = get(instance.port, "/health").await.unwrap();
    assert_eq!((health.status, health.headers["x-version"].as_str()), (200, "v2"));
    assert_eq!(health.body.trim(), r#"{"status":"ok","version":"v2","id":"web-07"}"#);
    assert_eq!(get(instance.port, "/").await.unwrap().body, "web-07 v2\n");
    assert_eq!(get(instance.port, "/version").await.unwrap().body, "v2\n");
    assert_eq!(get(instance.port, "/nowhere").await.unwrap().status, 404);
}

#[tokio::test]
async fn a_stopped_instance_finishes_what_it_has_and_exits_with_0() {
    let dir = temp();
    let mut instance = Instance::listening(dir.path(), "web-01", "v1").await;
    let slow = send(instance.port, "/slow?ms=500", "test").await.unwrap();
    // Connections are accepted in order: once this one is answered the slow request has been taken up.
    assert_eq!(get(instance.port, "/").await.unwrap().status, 200);
    instance.terminate();
    until("closed door", || async { send(instance.port, "/", "test").await.is_err().then_some(()) }).await;
    let answer = receive(slow).await.expect("the request in flight is answered");
    assert_eq!((answer.status, answer.body.as_str()), (200, "web-01 v1 after 500 ms\n"));
    let status = timeout(BOUND, instance.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{}", instance.log());
}

#[tokio::test]
async fn an_instance_stopped_before_it_listens_exits_with_0() {
    let dir = temp();
    let mut instance = Instance::start(dir.path(), "web-01", "v1", crate::support::free_port());
    until("start", || async { instance.log().contains("starting").then_some(()) }).await;
    instance.terminate();
    let status = timeout(BOUND, instance.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0), "{}", instance.log());
}

#[tokio::test]
async fn an_instance_that_finds_its_port_taken_exits_with_1() {
    let dir = temp();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut instance = Instance::start(dir.path(), "web-01", "v1", taken.local_addr().unwrap().port());
    let status = timeout(BOUND, instance.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(instance.log().contains("cannot listen on 127.0.0.1:"), "{}", instance.log());
}

#[tokio::test]
async fn a_bad_version_fails_its_health_and_everything_else() {
    let dir = temp();
    let instance = Instance::listening(dir.path(), "web-01", "v3-bad").await;
    let health = get(instance.port, "/health").await.unwrap();
    assert_eq!((health.status, health.headers["x-version"].as_str()), (503, "v3-bad"));
    assert_eq!(get(instance.port, "/").await.unwrap().status, 500);
    assert_eq!(get(instance.port, "/slow?ms=1").await.unwrap().status, 500);
}

#[tokio::test]
async fn a_wrong_version_is_healthy_and_reports_another_one() {
    let dir = temp();
    let instance = Instance::listening(dir.path(), "web-01", "v3-wrong").await;
    let health = get(instance.port, "/health").await.unwrap();
    assert_eq!((health.status, health.headers["x-version"].as_str()), (200, "v3-other"));
}

#[tokio::test]
async fn a_flapping_version_alternates() {
    let dir = temp();
    let instance = Instance::listening(dir.path(), "web-01", "v3-flap").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(get(instance.port, "/health").await.unwrap().status);
        // Another caller in between changes nothing.
        receive(send(instance.port, "/health", "another").await.unwrap()).await.unwrap();
    }
    assert_eq!(seen, [200, 503, 200, 503]);
}

#[tokio::test]
async fn a_slow_version_answers_later_than_anybody_waits() {
    let dir = temp();
    let instance = Instance::listening(dir.path(), "web-01", "v3-slow").await;
    for path in ["/health", "/"] {
        assert!(timeout(SOON, get(instance.port, path)).await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_crashing_version_exits_with_1_as_soon_as_its_health_is_asked_for() {
    let dir = temp();
    let mut instance = Instance::listening(dir.path(), "web-01", "v3-crash").await;
    assert_eq!(get(instance.port, "/").await.unwrap().status, 200);
    assert_eq!(instance.child.try_wait().unwrap(), None);
    // Whether the answer still gets out is luck.
    drop(get(instance.port, "/health").await);
    let status = timeout(BOUND, instance.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(1), "{}", instance.log());
}

#[tokio::test]
async fn a_hanging_version_never_answers_and_cannot_be_asked_to_stop() {
    let dir = temp();
    let mut instance = Instance::listening(dir.path(), "web-01", "v3-hang").await;
    assert!(timeout(SOON, get(instance.port, "/health")).await.is_err());
    instance.terminate();
    until("ignored signal", || async { instance.log().contains("ignores SIGTERM").then_some(()) }).await;
    assert!(send(instance.port, "/", "test").await.is_ok(), "it still accepts");
    assert_eq!(instance.child.try_wait().unwrap(), None);
    instance.child.kill().await.unwrap();
}
