//! Commands: who gave them, once, and what is refused.

use super::*;

#[tokio::test]
async fn commands_carry_the_user_that_the_kernel_names() {
    let running = Running::start();
    let client = running.client().await;
    let receipt = within(client.send(Command::Pause { reason: "look".to_owned() }, Some(Seq(1)))).await.unwrap();
    assert_eq!(receipt, Receipt { seq: Seq(2), message: "takes no new instance".to_owned() });
    let forged = r#"{"command":"resume","actor":{"who":"operator","login":"mallory","uid":7}}"#;
    assert_eq!(post(&running.path(), forged).await.0, 409, "resume is refused here");

    let uid = std::fs::metadata(running.path()).unwrap().uid();
    let requests = running.engine.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].revision, Some(Seq(1)));
    for request in requests {
        match request.actor {
            Actor::Operator { uid: seen, login, .. } => {
                assert_eq!(seen, uid);
                assert!(uid != 0 || login == "root", "{login}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_refusal_and_a_stall_are_told_apart() {
    let running = Running::start();
    let client = running.client().await;
    match within(client.send(Command::Rollback { reason: String::new(), only: None }, None)).await {
        Err(SessionError::Refused(refusal)) => assert_eq!(refusal.message, "rollback is refused here"),
        other => panic!("{other:?}"),
    }
    match within(client.send(Command::Start, None)).await {
        Err(SessionError::Link(reason)) => assert_eq!(reason, "the engine stalls"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_same_key_is_one_command() {
    let (running, pause) = (Running::start(), r#"{"command":"pause","reason":"a","key":"k1"}"#);
    let first = post(&running.path(), pause).await;
    assert_eq!(first.0, 200);
    assert_eq!(post(&running.path(), pause).await, first);
    assert_eq!(running.engine.requests().len(), 1);
    let (status, other) = post(&running.path(), r#"{"command":"pause","reason":"b","key":"k1"}"#).await;
    assert_eq!(status, 400);
    assert!(other["message"].as_str().unwrap().contains("used for another command"), "{other}");
    for keyless in 0..2 {
        assert_eq!(post(&running.path(), r#"{"command":"pause"}"#).await.0, 200, "{keyless}");
    }
    assert_eq!(running.engine.requests().len(), 3);
}

#[tokio::test]
async fn a_command_whose_answer_was_lost_is_given_once() {
    let running = Running::start();
    let proxy = Proxy::start(&running.path());
    let client = within(Client::connect_with(&proxy.path(), hasty())).await.unwrap();
    proxy.swallow_an_answer.store(true, Ordering::SeqCst);
    let receipt = within(client.send(Command::Pause { reason: String::new() }, None)).await.unwrap();
    assert!(!proxy.swallow_an_answer.load(Ordering::SeqCst), "the first answer did not arrive");
    assert_eq!(receipt.seq, Seq(2));
    assert_eq!(running.engine.requests().len(), 1);
}

#[tokio::test]
async fn bad_requests_are_answered_in_words() {
    let running = Running::start();
    let path = running.path();
    let long_key = format!(r#"{{"command":"pause","key":"{}"}}"#, "k".repeat(129));
    let long = format!(r#"{{"command":"pause","reason":"{}"}}"#, "x".repeat(70_000));
    let version = "rollout-protocol: 9\r\n";
    let cases = [
        ("POST /v1/commands", "", "nonsense", 400, "not a command"),
        ("POST /v1/commands", "", "", 400, "not a command"),
        ("POST /v1/commands", "", r#"{"command":"explode"}"#, 400, "explode"),
        ("POST /v1/commands", "", r#"{"command":"pause","reson":"typo"}"#, 400, "reson"),
        ("POST /v1/commands", "", r#"{"command":"pause","key":"with space"}"#, 400, "visible ASCII"),
        ("POST /v1/commands", "", long_key.as_str(), 400, "1 to 128"),
        ("POST /v1/commands", "", long.as_str(), 413, "65536 bytes"),
        ("GET /v1/commands", "", "", 405, "takes POST"),
        ("GET /v1/nothing", "", "", 404, "/v1/deployment"),
        ("GET /v1/events?after=x", "", "", 400, "?after=NUMBER"),
        ("GET /v1/logs?befor=1", "", "", 400, "?after=NUMBER"),
        ("GET /v1/deployment", version, "", 400, "speaks protocol 1, not 9"),
    ];
    for (line, headers, body, status, words) in cases {
        let (found, answer) = ask(&path, line, headers, body).await;
        let message = answer["message"].as_str().unwrap();
        assert_eq!(found, status, "{line} {message}");
        assert!(message.contains(words), "{line}: {message}");
    }
    assert_eq!(running.engine.requests(), []);
    let (status, logs) = ask(&path, "GET /v1/logs?after=2", "", "").await;
    assert_eq!((status, logs[0]["message"].as_str()), (200, Some("line 3")));
}
