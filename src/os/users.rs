//! Users and groups of this machine: names, and who is a member of what.
//!
//! Imports: model's text. May not: decide who may do something. All calls block.

use std::fs;
use std::process::Command;

use crate::model::text::is_harmless;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";
/// Knows users that are not in the files (LDAP, sssd). An absolute path: `PATH` is the caller's.
const ID: &str = "/usr/bin/id";

/// The login name of a user, if the machine's own list has it.
pub fn login(uid: u32) -> Option<String> {
    login_in(&read(USERS), uid)
}

/// A user for a message: the login and the number.
pub fn user(uid: u32) -> String {
    login(uid).map_or_else(|| format!("uid {uid}"), |login| format!("{login} (uid {uid})"))
}

/// A group for a message or a command: its name, else the number.
pub fn group(gid: u32) -> String {
    group_in(&read(GROUPS), gid).unwrap_or_else(|| gid.to_string())
}

/// Whether a user is a member of a group, by its primary group or by the group's list. What the files do not say, `id`
/// may know.
pub fn is_member(uid: u32, gid: u32) -> bool {
    is_listed(uid, gid) || asked(uid).contains(&gid)
}

/// As [`is_member`], by the files alone.
pub fn is_listed(uid: u32, gid: u32) -> bool {
    is_member_in(&read(USERS), &read(GROUPS), uid, gid)
}

/// Whether this process has a group, by the kernel's word. One that was added to a group since it logged in has not.
pub fn we_have(gid: u32) -> bool {
    rustix::process::getegid().as_raw() == gid
        || rustix::process::getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
}

/// Whether process `pid` has a group now. It must be of user `uid`: then it does no harm if the number has meanwhile gone
/// to another process, for that one shows the same of the same user.
pub fn process_has(pid: i32, uid: u32, gid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status_has(&status, uid, gid))
}

/// The user as whom the session of process `pid` began, whatever it became by `sudo` or `su`: the kernel's audit id. `None` if
/// it has none, as in most containers.
pub fn session_uid(pid: i32) -> Option<u32> {
    let said = fs::read_to_string(format!("/proc/{pid}/loginuid")).ok()?;
    said.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

/// Broken bytes in one row must not hide the others.
fn read(path: &str) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn asked(uid: u32) -> Vec<u32> {
    let said = Command::new(ID).args(["-G", &uid.to_string()]).env_clear().output();
    let said = said.ok().filter(|said| said.status.success()).map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    said.unwrap_or_default().split_ascii_whitespace().filter_map(|gid| gid.parse().ok()).collect()
}

/// `name:password:number:…`, the form of both lists.
fn rows(list: &str) -> impl Iterator<Item = (&str, u32, Vec<&str>)> {
    list.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?.parse().ok()?);
        (!name.is_empty()).then(|| (name, number, fields.collect()))
    })
}

fn name_in(list: &str, wanted: u32) -> Option<String> {
    rows(list).find(|(name, number, _)| *number == wanted && is_harmless(name)).map(|(name, ..)| name.to_owned())
}

fn login_in(users: &str, uid: u32) -> Option<String> {
    name_in(users, uid)
}

fn group_in(groups: &str, gid: u32) -> Option<String> {
    name_in(groups, gid)
}

fn is_member_in(users: &str, groups: &str, uid: u32, gid: u32) -> bool {
    let of_user: Vec<_> = rows(users).filter(|(_, number, _)| *number == uid).collect();
    let is_primary = of_user.iter().any(|(_, _, rest)| rest.first().is_some_and(|primary| primary.parse() == Ok(gid)));
    let lists_one = |members: &str| members.split(',').any(|member| of_user.iter().any(|(name, ..)| member.trim() == *name));
    is_primary
        || rows(groups)
            .filter(|(_, number, _)| *number == gid)
            .any(|(_, _, rest)| rest.first().is_some_and(|members| lists_one(members)))
}

/// `Uid:` real, effective, saved, filesystem; `Gid:` the same; `Groups:` the supplementary ones.
fn status_has(status: &str, uid: u32, gid: u32) -> bool {
    let numbers = |label: &str| -> Vec<u32> {
        let row = status.lines().find_map(|line| line.strip_prefix(label)).unwrap_or_default();
        row.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
    };
    numbers("Uid:").get(1) == Some(&uid) && (numbers("Gid:").get(1) == Some(&gid) || numbers("Groups:").contains(&gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\n:x:7:7::/:\nann:x:1000:1000:,,,:/home/ann:/bin/sh\n\
        bob:x:1001:500::/:/bin/sh\nanna:x:1002:1002::/:/bin/sh\n";
    const GROUPED: &str = "root:x:0:\nbroken:x\ndeployers:x:500:ann,zoe\nempty:x:501:\nann:x:1000:\n";

    #[test]
    fn names_are_found_by_number() {
        assert_eq!(login_in(LISTED, 0).as_deref(), Some("root"));
        assert_eq!(login_in(LISTED, 1000).as_deref(), Some("ann"));
        assert_eq!(login_in(LISTED, 7), None);
        assert_eq!(login_in(LISTED, 100), None);
        assert_eq!(group_in(GROUPED, 500).as_deref(), Some("deployers"));
        assert_eq!(group_in(GROUPED, 9), None);
        assert_eq!(user(0), "root (uid 0)");
        assert_eq!(user(4_000_000_000), "uid 4000000000");
    }

    #[test]
    fn members_are_those_of_the_list_and_those_whose_primary_group_it_is() {
        let is = |uid, gid| is_member_in(LISTED, GROUPED, uid, gid);
        assert!(is(1000, 500), "in the list");
        assert!(is(1001, 500), "by the primary group");
        assert!(!is(1002, 500), "a name that another one begins with");
        assert!(!is(0, 500), "root is in no list");
        assert!(!is(1000, 501), "an empty list");
        assert!(!is(7, 501), "an empty name is not in an empty list");
        assert!(!is(4711, 500), "nobody knows this one");
    }

    #[test]
    fn a_process_has_its_effective_and_its_supplementary_groups() {
        let status = "Name:\tx\nUid:\t7\t1000\t7\t7\nGid:\t1\t500\t2\t2\nGroups:\t27 501 \n";
        for (uid, gid, has) in [(1000, 500, true), (1000, 501, true), (1000, 1, false), (7, 500, false), (1000, 50, false)] {
            assert_eq!(status_has(status, uid, gid), has, "{uid} {gid}");
        }
        assert!(!status_has("", 0, 0));
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert!(process_has(i32::try_from(std::process::id()).unwrap(), uid, gid) && we_have(gid));
    }

    #[test]
    fn who_is_in_no_file_is_asked_for() {
        assert!(is_member(0, 0));
        assert!(asked(0).contains(&0), "id says it too");
        assert!(asked(4_000_000_000).is_empty());
    }
}
