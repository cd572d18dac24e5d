//! Who is at the other end of the socket, by the kernel's word, and whether they may come.
//!
//! Imports: event, os. May not: trust what the peer says of itself.

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

    /// For the journal.
    pub(super) async fn actor(self) -> Actor {
        Actor::Operator { login: login(self.uid).await, uid: self.uid }
    }
}

/// Who may come, for a message.
pub(super) fn who_may(sharing: Sharing) -> String {
    match sharing {
        Sharing::Private => "only the engine's own user and root may connect".to_owned(),
        Sharing::Group(gid) => format!("only members of group {} and root may connect", users::group(gid)),
    }
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
