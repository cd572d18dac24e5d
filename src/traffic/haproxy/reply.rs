//! Replies of HAProxy's runtime API, read as values. Pure: any bytes give a value or an error.
//!
//! Imports: model, os text. May not: speak to a socket.

use std::collections::BTreeMap;

use crate::model::Rotation;
use crate::os::text;

/// `srv_admin_state`: in maintenance, whether forced, inherited, configured, by name resolution, or for its hostname.
const MAINTENANCE_BITS: u32 = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;
/// `srv_admin_state`: draining, forced or inherited.
const DRAIN_BITS: u32 = 0x08 | 0x10;
/// `srv_admin_state`: draining by an order over the runtime API.
const FORCED_DRAIN: u32 = 0x08;
/// `srv_op_state`: down.
const OP_STOPPED: u32 = 0;
/// `srv_op_state`: up, but it asked for no new traffic (`http-check disable-on-404`, agent).
const OP_STOPPING: u32 = 3;

/// What one HAProxy says of the servers of one backend, by their names.
pub(super) type Servers = BTreeMap<String, Server>;

/// What one HAProxy says of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    /// `srv_op_state`.
    op: u32,
    /// `srv_admin_state`.
    admin: u32,
    /// `status` of `show stat`; `None` until [`add_stat`] found it.
    status: Option<String>,
    /// `scur + qcur` of `show stat`: requests at the server and in its queue.
    pub(super) sessions: Option<u32>,
}

impl Server {
    /// True if somebody put it in maintenance; we never do.
    pub(super) fn in_maintenance(&self) -> bool {
        self.admin & MAINTENANCE_BITS != 0
    }

    /// True if it drains by an order, which an order can take back.
    pub(super) fn ordered_to_drain(&self) -> bool {
        self.admin & FORCED_DRAIN != 0
    }

    /// True if it drains by an order, its own or inherited from the server it tracks.
    pub(super) fn drains(&self) -> bool {
        self.admin & DRAIN_BITS != 0
    }

    /// What its bits and its status mean together. A drained server that is down is still drained.
    pub(super) fn rotation(&self) -> Rotation {
        let status = self.status.as_deref().unwrap_or_default();
        if self.in_maintenance() || status.starts_with("MAINT") {
            Rotation::Maintenance
        } else if self.drains() || self.op == OP_STOPPING || status.starts_with("DRAIN") || status.starts_with("NOLB") {
            Rotation::Draining
        } else if self.op != OP_STOPPED && (status.starts_with("UP") || status == "no check") {
            Rotation::Serving
        } else {
            Rotation::Down
        }
    }

    /// The balancer's own word for it.
    pub(super) fn status(&self) -> &str {
        self.status.as_deref().unwrap_or("unknown")
    }
}

/// The reply to an order: an empty line, or an error as text.
pub(super) fn ordered(reply: &str) -> Result<(), String> {
    if reply.trim().is_empty() { Ok(()) } else { Err(quoted(reply)) }
}

/// Reads `show servers state BACKEND`.
pub(super) fn servers_state(reply: &str, backend: &str) -> Result<Servers, String> {
    let mut lines = reply.lines();
    if lines.next() != Some("1") {
        return Err(quoted(reply));
    }
    let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or_else(|| quoted(reply))?;
    let header: Vec<&str> = header.split(' ').collect();
    let place = |name: &str| column(&header, name);
    let (in_backend, named, op, admin) =
        (place("be_name")?, place("srv_name")?, place("srv_op_state")?, place("srv_admin_state")?);
    let mut servers = Servers::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        let (Some(name), Some(op), Some(admin)) = (fields.get(named), number(op), number(admin)) else {
            return Err(quoted(line));
        };
        if fields.get(in_backend) == Some(&backend) {
            servers.insert((*name).to_owned(), Server { op, admin, status: None, sessions: None });
        }
    }
    Ok(servers)
}

/// Adds what `show stat` says of the servers of `backend`.
pub(super) fn add_stat(servers: &mut Servers, reply: &str, backend: &str) -> Result<(), String> {
    let mut lines = reply.lines();
    let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or_else(|| quoted(reply))?;
    let header: Vec<&str> = header.split(',').collect();
    let place = |name: &str| column(&header, name);
    let (in_backend, named, status) = (place("pxname")?, place("svname")?, place("status")?);
    let (queued, current) = (place("qcur")?, place("scur")?);
    for line in lines.filter(|line| !line.is_empty()) {
        let fields = csv(line);
        let field = |at: usize| fields.get(at).map(String::as_str);
        if field(in_backend) != Some(backend) {
            continue;
        }
        let Some(server) = field(named).and_then(|name| servers.get_mut(name)) else { continue };
        let count = |at: usize| field(at).and_then(|count| count.parse::<u32>().ok());
        let (Some(queued), Some(current)) = (count(queued), count(current)) else { return Err(quoted(line)) };
        server.sessions = Some(current.saturating_add(queued));
        server.status = field(status).map(ToOwned::to_owned);
    }
    match servers.iter().find(|(_, server)| server.status.is_none()) {
        Some((name, _)) => Err(format!("`show stat` does not list {backend}/{}", text::sanitise(name))),
        None => Ok(()),
    }
}

fn column(header: &[&str], name: &str) -> Result<usize, String> {
    header.iter().position(|column| *column == name).ok_or_else(|| format!("the table has no column {name}"))
}

/// The fields of a line; a field in quotes may contain commas, and doubled quotes for one.
fn csv(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// The first line of an unexpected answer.
fn quoted(reply: &str) -> String {
    match reply.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("\"{}\"", text::sanitise(line)),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HAProxy 2.6 wrote it.
    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n\
        2 fe 1 web-01 127.0.0.1 2 0 1\n2 fe 2 web-02 127.0.0.1 0 8 1\n3 other 1 web-03 127.0.0.1 2 0 1\n\n";
    const STAT: &str = "# pxname,svname,qcur,qmax,scur,smax,status,last_chk,\n\
        fe,FRONTEND,,,0,0,OPEN,,\nfe,web-01,1,0,4,9,UP,\"OK, \"\"fine\"\"\",\nfe,web-02,0,0,0,0,DOWN,,\n\
        other,web-01,9,9,9,9,MAINT,,\nfe,BACKEND,0,0,0,0,UP,,\n\n";

    fn server(admin: u32, op: u32, status: &str) -> Server {
        Server { op, admin, status: Some(status.to_owned()), sessions: Some(0) }
    }

    #[test]
    fn the_two_tables_add_up() {
        let mut servers = servers_state(STATE, "fe").unwrap();
        add_stat(&mut servers, STAT, "fe").unwrap();
        assert_eq!(servers.keys().collect::<Vec<_>>(), ["web-01", "web-02"], "other backends are other worlds");
        assert_eq!((servers["web-01"].rotation(), servers["web-01"].sessions), (Rotation::Serving, Some(5)));
        assert_eq!(servers["web-02"].rotation(), Rotation::Draining, "drained and down is drained");
    }

    #[test]
    fn bits_and_status_decide_the_rotation() {
        for (admin, op, status, rotation) in [
            (0, 2, "UP", Rotation::Serving),
            (0, 2, "UP 1/3", Rotation::Serving),
            (0, 1, "UP", Rotation::Serving),
            (0, 2, "no check", Rotation::Serving),
            (0, 0, "DOWN", Rotation::Down),
            (0, 0, "DOWN 1/2", Rotation::Down),
            (0, 0, "UP", Rotation::Down),
            (0, 2, "some new word", Rotation::Down),
            (0, 2, "DRAIN", Rotation::Draining),
            (0, 2, "DRAIN (agent)", Rotation::Draining),
            (0, 3, "NOLB", Rotation::Draining),
            (8, 2, "DRAIN", Rotation::Draining),
            (16, 2, "DRAIN", Rotation::Draining),
            (8, 0, "DOWN", Rotation::Draining),
            (1, 0, "MAINT", Rotation::Maintenance),
            (1 | 8, 0, "MAINT", Rotation::Maintenance),
            (2, 0, "MAINT (via a/b)", Rotation::Maintenance),
            (4, 0, "MAINT", Rotation::Maintenance),
            (32, 0, "MAINT (resolution)", Rotation::Maintenance),
            (64, 0, "MAINT", Rotation::Maintenance),
        ] {
            assert_eq!(server(admin, op, status).rotation(), rotation, "{admin} {op} {status}");
        }
    }

    #[test]
    fn errors_are_text_on_a_successful_connection() {
        assert_eq!(ordered("\n"), Ok(()));
        assert_eq!(ordered("No such server.\n\n"), Err("\"No such server.\"".to_owned()));
        assert_eq!(servers_state("Can't find backend.\n\n", "fe"), Err("\"Can't find backend.\"".to_owned()));
        assert_eq!(add_stat(&mut Servers::new(), "Permission denied\n\n", "fe"), Err("\"Permission denied\"".to_owned()));
        assert_eq!(servers_state("", "fe"), Err("nothing".to_owned()));
        let missing = add_stat(&mut servers_state(STATE, "fe").unwrap(), STAT.split("fe,web-02").next().unwrap(), "fe");
        assert!(missing.unwrap_err().contains("fe/web-02"), "a server without status is no server that serves");
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Every prefix of real replies, and real replies with each byte replaced in turn.
        for reply in [STATE, STAT] {
            for cut in 0..reply.len() {
                let mut servers = servers_state(&reply[..cut], "fe").unwrap_or_default();
                add_stat(&mut servers, &reply[..cut], "fe").ok();
                for byte in [0x00, b'\n', b',', b'"', b' ', 0xff] {
                    let mut bytes = reply.as_bytes().to_vec();
                    bytes[cut] = byte;
                    let text = String::from_utf8_lossy(&bytes);
                    let mut servers = servers_state(&text, "fe").unwrap_or_default();
                    add_stat(&mut servers, &text, "fe").ok();
                    ordered(&text).ok();
                }
            }
        }
    }
}
