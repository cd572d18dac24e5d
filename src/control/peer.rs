//! Who is at the other end of the socket, by the kernel's word, and whether they may come.
//!
//! Imports: event, os. May not: trust what the peer says of itself.

use std::net::IpAddr;

use tokio::net::UnixStream;

use crate::event::Actor;
use crate::os::sharing::Sharing;
use crate::os::users;

/// The other end of a connection, as of the moment it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its user.
    pub(super) uid: u32,
    /// Its process, where the kernel tells.
    pub(super) pid: Option<i32>,
    /// Whether it may come.
    pub(super) is_allowed: bool,
}

impl Peer {
    /// Asks the kernel. The engine's own user and root may come, and where the directory is shared every member of its group.
    pub(super) fn of(stream: &UnixStream, sharing: Sharing) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let (uid, pid) = (credentials.uid(), credentials.pid());
        let is_member = |gid| {
            credentials.gid() == gid
                || pid.is_some_and(|pid| users::process_has(pid, uid, gid))
                // It may have left already, with its command still to be read.
                || users::is_listed(uid, gid)
        };
        let is_allowed = uid == 0
            || uid == rustix::process::geteuid().as_raw()
            || match sharing {
                Sharing::Private => false,
                Sharing::Group(gid) => is_member(gid),
            };
        Ok(Self { uid, pid, is_allowed })
    }

    /// For the journal. Where the peer is logged in from is its own word.
    pub(super) async fn actor(self, from: Option<IpAddr>) -> Actor {
        operator(self.uid, self.pid, from).await
    }
}

/// Who may come, for a message.
pub(super) fn who_may(sharing: Sharing) -> String {
    match sharing {
        Sharing::Private => "only the engine's own user and root may connect".to_owned(),
        Sharing::Group(gid) => format!("only members of group {} and root may connect", users::group(gid)),
    }
}

/// Whoever runs this process, for the journal.
pub async fn own_actor() -> Actor {
    operator(rustix::process::getuid().as_raw(), i32::try_from(std::process::id()).ok(), own_address()).await
}

async fn operator(uid: u32, pid: Option<i32>, from: Option<IpAddr>) -> Actor {
    let names = tokio::task::spawn_blocking(move || {
        let began_as = pid.and_then(users::session_uid).filter(|began| *began != uid);
        (users::login(uid), began_as.map(|began| users::login(began).unwrap_or_else(|| began.to_string())))
    });
    let (login, logged_in_as) = names.await.unwrap_or_default();
    Actor::Operator { login: login.unwrap_or_else(|| uid.to_string()), uid, logged_in_as, from }
}

/// The address of the SSH client from which this process's user is logged in, by what `sshd` left in the environment.
pub(super) fn own_address() -> Option<IpAddr> {
    let said = ["SSH_CONNECTION", "SSH_CLIENT"].iter().find_map(|name| std::env::var(name).ok())?;
    address(said.split_ascii_whitespace().next()?)
}

/// An address without the zone of a link-local one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    text.split('%').next()?.parse().ok()
}

/// The login name of this process's own user, or the number.
pub async fn own_login() -> String {
    login(rustix::process::getuid().as_raw()).await
}

/// The login name, or the number if this machine's user list has none.
async fn login(uid: u32) -> String {
    let known = tokio::task::spawn_blocking(move || users::login(uid)).await;
    known.ok().flatten().unwrap_or_else(|| uid.to_string())
}
