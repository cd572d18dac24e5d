//! Broken links, dead engines, engines of another kind.

use super::*;

#[tokio::test]
async fn a_client_goes_on_where_it_was_when_its_link_broke() {
    let running = Running::start();
    let proxy = Proxy::start(&running.path());
    let mut client = within(Client::connect_with(&proxy.path(), hasty())).await.unwrap();
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    for round in 0..3 {
        proxy.cut();
        running.engine.pause("while it was away");
        running.engine.pause("and again");
        assert!(matches!(next(&mut client).await, Update::Disconnected { .. }), "round {round}");
        match next(&mut client).await {
            Update::Progress(progress) => assert_eq!(progress.troubles, ["from the snapshot"], "says that the link is back"),
            other => panic!("{other:?}"),
        }
        let expected = Seq(3 + 2 * round);
        assert_eq!(next_event(&mut client).await.seq, expected);
        assert_eq!(next_event(&mut client).await.seq, expected.next());
    }
}

#[tokio::test]
async fn a_client_finds_the_engine_again_after_a_restart() {
    let running = Running::start();
    let mut client = within(Client::connect_with(&running.path(), Patience { gone: BOUND, ..hasty() })).await.unwrap();
    running.engine.pause("one");
    assert_eq!(next_event(&mut client).await.seq, Seq(2));
    let engine = Arc::clone(&running.engine);
    // Killed, not stopped: no farewell reaches the client.
    running.task.abort();
    assert!(within(running.task).await.unwrap_err().is_cancelled());
    assert!(matches!(next(&mut client).await, Update::Disconnected { .. }));
    engine.pause("two");
    let (stop, task) = serve(running.dir.path(), &engine, Limits::default());
    let found = loop {
        match next(&mut client).await {
            Update::Disconnected { reason } => assert!(reason.contains("no engine answers"), "{reason}"),
            Update::Progress(_) => {}
            Update::Event(event) => break event,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((found.seq, reason_of(&found)), (Seq(3), "two"));
    stop.cancel();
    within(task).await.unwrap();
}

#[tokio::test]
async fn an_engine_that_is_gone_is_said_to_be_and_the_one_that_takes_over_is_found() {
    let running = Running::start();
    let mut client = running.client().await;
    running.engine.pause("one");
    next_event(&mut client).await;
    running.task.abort();
    let mut told = 0;
    loop {
        match next(&mut client).await {
            Update::Disconnected { .. } => told += 1,
            Update::Gone => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=2).contains(&told), "an outage is told once for each reason, not at each attempt: {told}");
    match within(client.send(Command::Resume, None)).await {
        Err(SessionError::Link(reason)) => assert!(reason.contains("no engine answers"), "{reason}"),
        other => panic!("{other:?}"),
    }
    // It has been said; from now on another engine is looked for, quietly and as long as it takes.
    let quiet = hasty().gone * 3;
    assert!(tokio::time::timeout(quiet, client.next()).await.is_err(), "nothing more is said");
    running.engine.pause("by the one that took over");
    let (stop, task) = serve(running.dir.path(), &running.engine, Limits::default());
    assert!(matches!(next(&mut client).await, Update::Progress(_)), "the link is back");
    assert_eq!(reason_of(&next_event(&mut client).await), "by the one that took over");
    // The whole story again: nothing of the first outage is left.
    stop.cancel();
    within(task).await.unwrap();
    assert!(matches!(next(&mut client).await, Update::Gone), "it said itself that it leaves");
}

#[tokio::test]
async fn the_next_deployments_engine_is_not_taken_for_the_old_one() {
    let running = Running::start();
    let mut client = running.client().await;
    running.engine.pause("one");
    next_event(&mut client).await;
    running.task.abort();
    assert!(within(running.task).await.unwrap_err().is_cancelled());
    let (stop, task) = serve(running.dir.path(), &Fake::new(2), Limits::default());
    assert!(matches!(next(&mut client).await, Update::Disconnected { .. }));
    assert!(matches!(next(&mut client).await, Update::Closed));
    let error = within(client.snapshot()).await.unwrap_err().to_string();
    assert!(error.contains("shop-1 is over") && error.contains("runs shop-2"), "{error}");
    stop.cancel();
    within(task).await.unwrap();
}

#[tokio::test]
async fn an_engine_of_another_protocol_is_named() {
    let dir = private_dir();
    let path = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let answers = [
        "HTTP/1.1 200 OK\r\nrollout-protocol: 2\r\nrollout-version: 7.1.0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ];
    let server = tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let error = within(Client::connect(&path)).await.unwrap_err().to_string();
    assert!(
        error.contains("rollout 7.1.0) speaks protocol 2") && error.contains("goes on as the engine's own program"),
        "{error}"
    );
    let error = within(Client::connect(&path)).await.unwrap_err().to_string();
    assert!(error.contains("is no engine of rollout"), "{error}");
    within(server).await.unwrap();
}
