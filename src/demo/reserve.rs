//! Ports that stay ours while nobody listens on them.
//!
//! Imports: nothing. May not: listen; a reserved port is for a child process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of the loopback address, bound but not listened on.
///
/// An instance gives its port up each time it is updated. Without the reservation the system could hand the port to any
/// outgoing connection in that moment, and the new version could not listen. A process that binds the same port explicitly
/// with `SO_REUSEADDR` (as tokio and HAProxy do) gets it all the same.
#[derive(Debug)]
pub(super) struct Reserved {
    /// Kept open for the reservation's sake only.
    _socket: TcpSocket,
    port: u16,
}

impl Reserved {
    /// Reserves any free port.
    pub(super) fn any() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = socket.local_addr()?.port();
        Ok(Self { _socket: socket, port })
    }

    /// Its number.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_reserved_port_can_be_listened_on_again_and_again() {
        let reserved = Reserved::any().unwrap();
        for _ in 0..3 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, reserved.port())).await.unwrap();
            drop(listener);
        }
    }

    #[tokio::test]
    async fn a_reserved_port_is_not_given_to_anybody_who_asks_for_any() {
        let held: Vec<_> = (0..50).map(|_| Reserved::any().unwrap()).collect();
        let mut ports: Vec<_> = held.iter().map(Reserved::port).collect();
        let listeners: Vec<_> = (0..500).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for listener in &listeners {
            assert!(!ports.contains(&listener.local_addr().unwrap().port()));
        }
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50, "each reservation is of another port");
    }
}
