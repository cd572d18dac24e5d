//! One command to one HAProxy: connect, one line, the whole reply, within one deadline.
//!
//! Imports: model, ports. May not: know what a command means.

use std::fmt;
use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::model::Span;
use crate::ports::TrafficError;

/// The longest reply that is read: `show stat` of 10,000 servers has about 5 MiB.
const REPLY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where a runtime API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// `unix:/path` or `/path`.
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

impl Address {
    /// Reads an address.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && host != "unix" && port.parse::<u16>().is_ok_and(|port| port > 0) => {
                Ok(Self::Tcp(text.to_owned()))
            }
            Some(_) | None => Err(format!("{text:?} is neither unix:/path nor host:port")),
        }
    }

    /// Sends one command line and reads the reply to its end. Dropping the future closes the connection; whether the
    /// command was carried out then is for the next reading to tell.
    pub(super) async fn ask(&self, command: &str, timeout: Span) -> Result<String, TrafficError> {
        match tokio::time::timeout(timeout.to_std(), self.exchange(command)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(e)) => Err(TrafficError::Unreachable(unreachable(self, &e.to_string(), command))),
            Err(_elapsed) => Err(TrafficError::Unreachable(unreachable(self, &format!("no answer in {timeout}"), command))),
        }
    }

    async fn exchange(&self, command: &str) -> io::Result<String> {
        match self {
            Self::Unix(path) => converse(UnixStream::connect(path).await?, command).await,
            Self::Tcp(address) => converse(TcpStream::connect(address).await?, command).await,
        }
    }
}

fn unreachable(address: &Address, why: &str, command: &str) -> String {
    format!("the balancer at {address} cannot be reached: {why} (command `{command}`)")
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => f.write_str(address),
        }
    }
}

/// The other side closes after one line.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut reply = Vec::new();
    (&mut stream).take(REPLY_BYTES_MAX + 1).read_to_end(&mut reply).await?;
    if reply.len() as u64 > REPLY_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer is longer than {REPLY_BYTES_MAX} bytes")));
    }
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_refused() {
        assert_eq!(Address::new("unix:/run/haproxy.sock"), Ok(Address::Unix(PathBuf::from("/run/haproxy.sock"))));
        assert_eq!(Address::new("/run/haproxy.sock"), Ok(Address::Unix(PathBuf::from("/run/haproxy.sock"))));
        for tcp in ["10.0.0.1:9999", "lb.example:1", "[::1]:9999"] {
            assert_eq!(Address::new(tcp), Ok(Address::Tcp(tcp.to_owned())));
        }
        for bad in ["", "lb", "lb:", ":1", "lb:0", "lb:65536", "unix:relative", "unix:9"] {
            assert!(Address::new(bad).is_err(), "{bad}");
        }
    }
}
