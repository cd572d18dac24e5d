//! Who is at the other end of the socket, by the kernel's word.
//!
//! Imports: event. May not: trust what the peer says of itself.

use tokio::net::UnixStream;

use crate::event::Actor;

/// The other end of a connection, as of the moment it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its user.
    pub(super) uid: u32,
    /// Its process, where the kernel tells.
    pub(super) pid: Option<i32>,
}

impl Peer {
    /// Asks the kernel.
    pub(super) fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self { uid: credentials.uid(), pid: credentials.pid() })
    }

    /// Only the engine's own user and root may connect.
    pub(super) fn is_allowed(self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }

    /// For the journal: the login name, or the number if this machine's user list has none.
    pub(super) async fn actor(self) -> Actor {
        let users = tokio::fs::read("/etc/passwd").await.unwrap_or_default();
        let login = login_of(self.uid, &String::from_utf8_lossy(&users)).unwrap_or_else(|| self.uid.to_string());
        Actor::Operator { login, uid: self.uid }
    }
}

/// The login name of this process's own user, or the number.
pub async fn own_login() -> String {
    let uid = rustix::process::getuid().as_raw();
    match (Peer { uid, pid: None }).actor().await {
        Actor::Operator { login, .. } => login,
        Actor::Engine | Actor::Signal { .. } => uid.to_string(),
    }
}

/// The login name of `uid` in a user list of the form of `/etc/passwd`.
fn login_of(uid: u32, users: &str) -> Option<String> {
    let mut rows = users.lines().map(|line| line.split(':'));
    rows.find_map(|mut fields| {
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\n:x:7:7::/:\nann:x:1000:1000:,,,:/home/ann:/bin/sh\n";
        assert_eq!(login_of(0, users).as_deref(), Some("root"));
        assert_eq!(login_of(1000, users).as_deref(), Some("ann"));
        assert_eq!(login_of(7, users), None);
        assert_eq!(login_of(100, users), None);
    }
}
