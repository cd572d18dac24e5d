//! Discovery by DNS, against a real server.
//!
//! Imports: fleet, model, traffic. May not: sleep without a condition.
#![expect(clippy::expect_used, reason = "a test that cannot go on says why")]

mod common;
#[path = "secured/servers.rs"]
mod servers;

use std::net::SocketAddr;
use std::process::Command;

use common::{free_port, server};
use rollout::fleet::discover::{DnsSource, Records, Source, find};
use rollout::model::{Found, Span};
use rollout::traffic::{self, Settings};
use servers::Server;
use tokio::time::Instant;

async fn asked(records: Records, server: SocketAddr) -> Result<Vec<Found>, String> {
    let source = Source::Dns(DnsSource { records, server: Some(server), timeout: Span::from_secs(3) });
    find(&source, traffic::build(&Settings::None).expect("no balancer").as_ref()).await
}

#[tokio::test]
async fn addresses_and_services_become_instances() {
    let Some(dnsmasq) = server("dnsmasq") else { return };
    let port = free_port();
    let mut command = Command::new(dnsmasq);
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-resolv", "--no-hosts"]);
    command.args(["--bind-interfaces", "--listen-address=127.0.0.1", "--local=/test/"]).arg(format!("--port={port}"));
    for record in [
        "--host-record=web.test,10.0.0.1,fd00::1",
        "--host-record=web.test,10.0.0.10,fd00::2",
        "--host-record=web.test,10.0.0.2",
        "--host-record=six.test,fd00::1",
        "--txt-record=text.test,hello",
        "--srv-host=_http._tcp.web.test,web-1.test,8001",
        "--srv-host=_http._tcp.web.test,web-2.test,8001",
        "--srv-host=_http._tcp.web.test,web-2.test,8002",
    ] {
        command.arg(record);
    }
    // More than one datagram takes.
    for number in 1..=120 {
        command.arg(format!("--host-record=many.test,10.1.0.{number}"));
    }
    let _dnsmasq = Server::start(&mut command, &[port]).await;
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let addresses = |name: &str| Records::Addresses(name.to_owned());
    let ids = |found: Result<Vec<Found>, String>| -> Vec<String> {
        let found = found.unwrap_or_else(|why| panic!("{why}"));
        let mut ids: Vec<String> = found.iter().map(|f| format!("{} {}", f.id, f.host.as_deref().unwrap_or("-"))).collect();
        ids.sort();
        ids
    };
    let four = ["10.0.0.1 10.0.0.1", "10.0.0.10 10.0.0.10", "10.0.0.2 10.0.0.2"];
    assert_eq!(ids(asked(addresses("web.test"), at).await), four, "a machine with two addresses is one instance");
    assert_eq!(ids(asked(addresses("six.test"), at).await), ["ip6-fd00--1 fd00::1"]);
    assert_eq!(asked(addresses("many.test"), at).await.expect("an answer").len(), 120);
    let services = asked(Records::Services("_http._tcp.web.test".to_owned()), at).await.expect("an answer");
    let services: Vec<_> = services.iter().map(|f| (f.id.as_str(), f.host.as_deref(), f.port)).collect();
    assert_eq!(
        services,
        [
            ("web-1.test", Some("web-1.test"), Some(8001)),
            ("web-2.test-8001", Some("web-2.test"), Some(8001)),
            ("web-2.test-8002", Some("web-2.test"), Some(8002)),
        ]
    );
    for (records, why) in [
        (addresses("nobody.test"), "nobody.test: there is no such name"),
        (addresses("text.test"), "text.test: it has no address"),
        (Records::Services("web.test".to_owned()), "web.test: it has no service"),
    ] {
        assert_eq!(asked(records, at).await, Err(why.to_owned()));
    }
}

/// Nobody answers: an error in words, in its time.
#[tokio::test]
async fn a_server_that_is_silent_is_not_waited_for_longer_than_allowed() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let began = Instant::now();
    let why = asked(Records::Addresses("web.test".to_owned()), silent.local_addr().expect("its address")).await;
    let why = why.expect_err("no answer");
    assert!(why.starts_with("web.test: "), "{why}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}
