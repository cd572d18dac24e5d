//! Connections to a Docker daemon: a Unix socket, TCP with or without TLS, or a program at the other end of ssh.
//!
//! Imports: os, the driver's settings. May not: know what is asked; run a shell.
//!
//! A connection by ssh is one `ssh HOST docker system dial-stdio`, as docker's own client has it: the user's configuration,
//! agent and known hosts hold, and it ends with us, however we end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

use super::settings::{DaemonSettings, TlsFiles};
use crate::os::program::INHERITED;
use crate::os::{own, text};

/// The port of a daemon with TLS, and of one without.
const PORTS: (u16, u16) = (2376, 2375);

/// Makes connections to one daemon.
#[derive(Clone)]
pub(super) struct Dial {
    way: Arc<Way>,
    /// What ssh said of the latest connection.
    said: Arc<Mutex<Option<File>>>,
}

enum Way {
    Unix(PathBuf),
    Tcp(String, u16),
    Tls(String, u16, TlsConnector),
    /// The arguments of ssh.
    Ssh(Vec<String>),
}

impl Dial {
    /// For the rendered `host`.
    ///
    /// # Errors
    /// Fails with a sentence if it is no address of a daemon, or may not be used.
    pub(super) fn new(host: &str, settings: &DaemonSettings) -> Result<Self, String> {
        Ok(Self { way: Arc::new(way(host, settings)?), said: Arc::default() })
    }

    /// The last line that ssh printed, if there is one.
    pub(super) fn said(&self) -> Option<String> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let file = said.as_mut()?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(16 * 1024).read_to_end(&mut bytes).ok()?;
        let lines = String::from_utf8_lossy(&bytes).into_owned();
        lines.lines().rfind(|line| !line.trim().is_empty()).map(text::sanitise)
    }

    /// Whether it goes over ssh, where a new connection takes its time.
    pub(super) fn is_ssh(&self) -> bool {
        matches!(*self.way, Way::Ssh(_))
    }

    async fn connect(self) -> io::Result<Link> {
        let plain = |stream: Box<dyn Stream>| Link { stream: TokioIo::new(stream), _program: None };
        match &*self.way {
            Way::Unix(path) => Ok(plain(Box::new(UnixStream::connect(path).await?))),
            Way::Tcp(host, port) => Ok(plain(Box::new(TcpStream::connect((host.as_str(), *port)).await?))),
            Way::Tls(host, port, connector) => {
                let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                Ok(plain(Box::new(connector.connect(name, stream).await?)))
            }
            Way::Ssh(arguments) => self.ssh(arguments),
        }
    }

    fn ssh(&self, arguments: &[String]) -> io::Result<Link> {
        let words = tempfile::tempfile()?;
        let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
        let mut child = Command::new("ssh")
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(words.try_clone()?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| io::Error::new(e.kind(), format!("cannot start ssh: {e}")))?;
        if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
            own::give_back_core_file(pid);
        }
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
        let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
            return Err(io::Error::other("ssh has no pipes"));
        };
        Ok(Link { stream: TokioIo::new(Box::new(tokio::io::join(stdout, stdin))), _program: Some(child) })
    }
}

fn way(host: &str, settings: &DaemonSettings) -> Result<Way, String> {
    let shown = || format!("{:?}", text::sanitise_within(host, 80));
    if let Some(path) = host.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(Way::Unix(PathBuf::from(path)))
        } else {
            Err(format!("{} has no absolute path; write \"unix:///var/run/docker.sock\"", shown()))
        };
    }
    if let Some(rest) = host.strip_prefix("ssh://") {
        let (user, rest) = rest.split_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (name, port) = name_and_port(rest).ok_or_else(|| format!("{} is no \"ssh://USER@HOST\"", shown()))?;
        let batch = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-T"].map(str::to_owned);
        let user = user.filter(|user| !user.is_empty()).map(|user| vec!["-l".to_owned(), user.to_owned()]);
        let port = port.map(|port| vec!["-p".to_owned(), port.to_string()]);
        let there = ["docker", "system", "dial-stdio"].map(str::to_owned);
        let given = settings.ssh_options.iter().cloned();
        let parts = batch.into_iter().chain(given).chain(user.into_iter().flatten()).chain(port.into_iter().flatten());
        return Ok(Way::Ssh(parts.chain(["--".to_owned(), name]).chain(there).collect()));
    }
    let Some(rest) = host.strip_prefix("tcp://") else {
        return Err(format!("{} is no daemon; write unix://PATH, ssh://USER@HOST or tcp://HOST:PORT", shown()));
    };
    let (name, port) = name_and_port(rest).ok_or_else(|| format!("{} is no \"tcp://HOST:PORT\"", shown()))?;
    if let Some(files) = &settings.tls {
        return Ok(Way::Tls(name, port.unwrap_or(PORTS.0), tls(files)?));
    }
    let loopback = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if loopback || settings.insecure {
        return Ok(Way::Tcp(name, port.unwrap_or(PORTS.1)));
    }
    let remedy = "write ca_file, cert_file and key_file, or use ssh://; insecure = true if the network is yours alone";
    Err(format!("{} has no TLS: whoever can connect is root there; {remedy}", shown()))
}

/// `NAME`, `NAME:PORT`, `[ADDRESS]:PORT`, without a path.
fn name_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let text = text.trim_end_matches('/');
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':') || !name.chars().all(fits) {
        return None;
    }
    let port = port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    if port == Some(None) { None } else { Some((name.to_owned(), port.flatten())) }
}

/// Trusts the CA of the file and nobody else.
fn tls(files: &TlsFiles) -> Result<TlsConnector, String> {
    // An error means that a provider is already installed, which is all we want.
    drop(rustls::crypto::ring::default_provider().install_default());
    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let read: Vec<_> = read.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        if read.is_empty() { Err(format!("{} has no certificate", path.display())) } else { Ok(read) }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        roots.add(certificate).map_err(|e| format!("{}: {e}", files.ca.display()))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let config = match &files.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let read = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("cannot read {}: {e}", key.display()))?;
            let chain = certificates(certificate)?;
            builder.with_client_auth_cert(chain, read).map_err(|e| format!("{}: {e}", certificate.display()))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Both directions of a connection.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, and the program that carries it, if one does.
pub(super) struct Link {
    stream: TokioIo<Box<dyn Stream>>,
    _program: Option<Child>,
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl tower_service::Service<hyper::Uri> for Dial {
    type Response = Link;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Link>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _uri: hyper::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(host: &str) -> String {
        way(host, &DaemonSettings::default()).err().unwrap_or_default()
    }

    #[test]
    fn a_daemon_of_another_machine_needs_tls_or_ssh() {
        assert!(refused("tcp://10.0.0.1:2375").contains("whoever can connect is root"));
        assert!(refused("http://10.0.0.1").contains("write unix://PATH"));
        assert!(refused("unix://docker.sock").contains("no absolute path"));
        for bad in ["ssh://-oProxyCommand=x", "ssh://", "ssh://a/b", "tcp://a:0", "tcp://a:b", "tcp://[::1"] {
            assert!(!refused(bad).is_empty(), "{bad}");
        }
        for good in ["tcp://127.0.0.1:2375", "tcp://localhost", "tcp://[::1]:1", "unix:///run/docker.sock", "ssh://web-01"] {
            assert_eq!(refused(good), "", "{good}");
        }
        let insecure = DaemonSettings { insecure: true, ..DaemonSettings::default() };
        assert!(way("tcp://10.0.0.1", &insecure).is_ok());
    }

    #[test]
    fn ssh_is_given_every_word_by_itself() {
        let settings = DaemonSettings { ssh_options: vec!["-F".to_owned(), "/a b".to_owned()], ..DaemonSettings::default() };
        let Ok(Way::Ssh(arguments)) = way("ssh://deploy@web-01:2222", &settings) else { panic!("it is ssh") };
        let there = ["-F", "/a b", "-l", "deploy", "-p", "2222", "--", "web-01", "docker", "system", "dial-stdio"];
        assert_eq!(arguments.get(5..).unwrap(), there);
    }
}
