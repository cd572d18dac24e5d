//! What measures, against the real things: a Prometheus that scrapes instances, a balancer, probes, programs, endpoints.
//!
//! Imports: analysis, probe, traffic, model, ports. May not: sleep without a condition; leave a server behind.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why")]

#[path = "../secured/certificates.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod certificates;
#[path = "../common/mod.rs"]
mod common;
mod instances;
mod others;
mod prometheus;
#[path = "../secured/servers.rs"]
mod servers;
mod world;
