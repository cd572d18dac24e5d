//! Servers that end with their value.
//!
//! Imports: nothing of the crate. May not: use a fixed port.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::wait_for;

/// A server.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it and waits until all `ports` are listened on.
    pub(crate) async fn start(command: &mut Command, ports: &[u16]) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut server = Self(child.expect("a server"));
        wait_for("a server that listens", async || {
            let ended = server.0.try_wait().expect("its state");
            assert!(ended.is_none(), "it ended: {ended:?}");
            ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()).then_some(())
        })
        .await;
        server
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped could not end.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        self.0.wait().ok();
    }
}
