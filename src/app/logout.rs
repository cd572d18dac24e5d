//! Whether an engine that is started now outlives the login that it is started from, and how to make it.
//!
//! Imports: os. May not: move a process that runs already.

use crate::os::logout::{self, Login, Manager, Place};
use crate::os::users;

/// How an engine is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// Under this manager; else where we are.
    pub(super) manager: Option<Manager>,
    /// What whoever starts it must know before.
    pub(super) doubt: Option<String>,
}

/// What would have to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// It stays where it is.
    Nothing,
    /// It is held by this manager, which must be there.
    Manager(Manager),
    /// A manager that stays.
    Lingering,
}

/// How an engine is started from here.
pub(super) async fn way() -> Way {
    let uid = rustix::process::geteuid().as_raw();
    let need = need(logout::look().await.as_ref(), uid == 0, logout::lingers(uid));
    match need {
        Need::Nothing => Way { manager: None, doubt: None },
        Need::Manager(manager) if manager.takes_programs().await => Way { manager: Some(manager), doubt: None },
        Need::Manager(_) | Need::Lingering => Way { manager: None, doubt: Some(said(uid)) },
    }
}

/// What an engine that runs here must tell of itself.
pub(super) async fn doubt() -> Option<String> {
    let ends = logout::look().await.is_some_and(|login| ends(&login));
    ends.then(|| said(rustix::process::geteuid().as_raw()))
}

/// Whether what runs there ends with the login.
fn ends(login: &Login) -> bool {
    match login.place {
        Place::Session => login.kills,
        Place::Manager => !login.lingers,
    }
}

/// `lingers`: the manager of our own user, who need not be the one that logged in.
fn need(login: Option<&Login>, is_root: bool, lingers: bool) -> Need {
    match login {
        Some(login) if ends(login) && is_root => Need::Manager(Manager::System),
        Some(login) if ends(login) && lingers => Need::Manager(Manager::User),
        Some(login) if ends(login) => Need::Lingering,
        Some(_) | None => Need::Nothing,
    }
}

fn said(uid: u32) -> String {
    let login = users::login(uid).unwrap_or_else(|| uid.to_string());
    format!("this deployment will not survive a logout: loginctl enable-linger {login}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_moved_only_where_a_logout_would_end_it() {
        let user = Need::Manager(Manager::User);
        let system = Need::Manager(Manager::System);
        // Place, whether logind kills, whether the user lingers, whether we are root; what is needed.
        let table = [
            (Place::Session, false, false, false, Need::Nothing),
            (Place::Session, false, true, false, Need::Nothing),
            (Place::Session, true, false, false, Need::Lingering),
            (Place::Session, true, true, false, user),
            (Place::Session, true, false, true, system),
            (Place::Session, true, true, true, system),
            (Place::Session, false, false, true, Need::Nothing),
            (Place::Manager, true, false, false, Need::Lingering),
            (Place::Manager, false, false, false, Need::Lingering),
            (Place::Manager, true, true, false, Need::Nothing),
            (Place::Manager, false, false, true, system),
        ];
        for (place, kills, lingers, is_root, wanted) in table {
            let login = Login { place, kills, lingers };
            assert_eq!(need(Some(&login), is_root, lingers), wanted, "{login:?} {is_root}");
        }
        for (is_root, lingers) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(need(None, is_root, lingers), Need::Nothing, "without systemd, or from a service");
        }
        // `sudo -u deploy` in the session of one who does not linger: deploy's own manager takes it.
        let login = Login { place: Place::Session, kills: true, lingers: false };
        assert_eq!(need(Some(&login), false, true), user);
    }
}
