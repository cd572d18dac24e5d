//! A connection to the instance's port: it passes if there is one.
//!
//! Imports: model, where to ask. May not: send anything, keep a deadline (that is `judge`).

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::net::TcpStream;

use super::Places;
use super::judge::{Look, Seen};
use crate::model::{SampleResult, Target};

/// The prober.
pub(super) struct TcpProber(pub(super) Arc<Places>);

impl Look for TcpProber {
    /// Every look is a connection of its own.
    fn look<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Seen> {
        Box::pin(async move {
            Seen::nothing(match TcpStream::connect((target.host.as_str(), self.0.of(target).port)).await {
                Ok(_connected) => SampleResult::Pass { status: None },
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => SampleResult::NotListening,
                Err(e) => SampleResult::Miss { reason: format!("no connection: {}", e.kind()) },
            })
        })
    }
}
