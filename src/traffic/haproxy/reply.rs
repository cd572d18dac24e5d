//! Replies of HAProxy's runtime API, read as values. Pure: any bytes give a value or an error.
//!
//! Imports: model, os text. May not: speak to a socket.

use std::collections::BTreeMap;

use crate::model::{LbStats, Rotation, Served};
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
    /// `srv_id`.
    pub(super) number: u32,
    /// `srv_op_state`.
    op: u32,
    /// `srv_admin_state`.
    admin: u32,
    /// `srv_uweight`: with 0 it gets no new traffic, whatever its status says.
    pub(super) weight: u32,
    /// `srv_iweight`: its weight by the configuration.
    pub(super) own: u32,
    /// `status` of `show stat`; `None` until [`add_stat`] found it.
    status: Option<String>,
    /// [`Row::sessions`].
    pub(super) sessions: Option<u32>,
    /// `throttle`, while it starts slowly: the part of its share that it gets, in per cent.
    pub(super) throttle: Option<u64>,
    /// `srv_addr` and `srv_port`, if it has an address; without a port it is asked at that of whoever asks.
    pub(super) address: Option<(String, Option<u16>)>,
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
        } else if self.drains()
            || self.weight == 0
            || self.op == OP_STOPPING
            || status.starts_with("DRAIN")
            || status.starts_with("NOLB")
        {
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

/// Why a reply says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It ended early.
    Cut,
    /// It is something else, in words.
    Other(String),
}

/// The process that answers and what follows `show info` in a reply to both; `None` if that process is stopping.
pub(super) fn after_info(reply: &str) -> Result<Option<(u32, &str)>, Broken> {
    let (info, answer) = reply.split_once("\n\n").ok_or(Broken::Cut)?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid: ")).and_then(|pid| pid.parse().ok());
    let pid = pid.ok_or_else(|| Broken::Other(quoted(info)))?;
    if info.lines().any(|line| line == "Stopping: 1") {
        return Ok(None);
    }
    // Every answer ends with an empty line.
    if answer == "\n" || answer.ends_with("\n\n") { Ok(Some((pid, answer))) } else { Err(Broken::Cut) }
}

/// The reply to an order: an empty line, or an error as text.
pub(super) fn ordered(reply: &str) -> Result<(), String> {
    if reply.trim().is_empty() { Ok(()) } else { Err(quoted(reply)) }
}

/// Addresses of a server that has none: a free place of a template, or one whose name does not resolve.
const NOWHERE: [&str; 4] = ["-", "0.0.0.0", "::", "unix"];

/// Reads `show servers state BACKEND`: the backend's number, unless it is empty, and its servers.
pub(super) fn servers_state(reply: &str, backend: &str) -> Result<(Option<u32>, Servers), String> {
    let mut lines = reply.lines();
    if lines.next() != Some("1") {
        return Err(quoted(reply));
    }
    let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or_else(|| quoted(reply))?;
    let header: Vec<&str> = header.split(' ').collect();
    let place = |name: &str| column(&header, name);
    let (in_backend, named) = (place("be_name")?, place("srv_name")?);
    let of_server = ["srv_id", "srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight"].map(place);
    let [Ok(id), Ok(op), Ok(admin), Ok(weight), Ok(own)] = of_server else {
        return Err(of_server.into_iter().find_map(Result::err).unwrap_or_default());
    };
    let of_server = [id, op, admin, weight, own];
    let of_backend = place("be_id")?;
    let (at_address, at_port) = (place("srv_addr").ok(), place("srv_port").ok());
    let (mut backend_id, mut servers) = (None, Servers::new());
    for line in lines.filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
        let ([Some(id), Some(op), Some(admin), Some(weight), Some(own)], Some(name)) = (of_server.map(number), fields.get(named))
        else {
            return Err(quoted(line));
        };
        if fields.get(in_backend) == Some(&backend) {
            backend_id = Some(number(of_backend).ok_or_else(|| quoted(line))?);
            let address = at_address.and_then(|at| fields.get(at)).filter(|address| !NOWHERE.contains(address));
            let port = at_port.and_then(|at| fields.get(at)?.parse().ok()).filter(|port| *port > 0);
            let address = address.map(|address| ((*address).to_owned(), port));
            let (status, sessions, throttle) = (None, None, None);
            let server = Server { number: id, op, admin, weight, own, status, sessions, throttle, address };
            servers.insert((*name).to_owned(), server);
        }
    }
    Ok((backend_id, servers))
}

/// Adds what `show stat` says of the servers of `backend`.
pub(super) fn add_stat(servers: &mut Servers, table: &Table, backend: &str) -> Result<(), String> {
    for (name, server) in servers {
        let row = table.row(backend, name);
        let row = row.ok_or_else(|| format!("no line of {backend}/{}", text::sanitise(name)))?;
        server.sessions = Some(row.sessions()?);
        // One that is not being slowed down has nothing there, or all of its share.
        server.throttle = row.count_if_known("throttle")?.filter(|throttle| *throttle < 100);
        server.status = Some(row.text("status")?.to_owned());
    }
    Ok(())
}

/// A reply to `show stat`.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<String>,
    rows: BTreeMap<(String, String), Vec<String>>,
}

/// One line of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    columns: &'a [String],
    fields: &'a [String],
}

impl Table {
    pub(super) fn read(reply: &str) -> Result<Self, String> {
        let mut lines = reply.lines();
        let header = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or_else(|| quoted(reply))?;
        let columns: Vec<String> = header.split(',').map(ToOwned::to_owned).collect();
        let mut rows = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let fields = csv(line);
            let row = Row { columns: &columns, fields: &fields };
            let key = (row.text("pxname")?.to_owned(), row.text("svname")?.to_owned());
            rows.insert(key, fields);
        }
        Ok(Self { columns, rows })
    }

    /// The line of a server, or of `BACKEND`.
    pub(super) fn row(&self, backend: &str, service: &str) -> Option<Row<'_>> {
        let fields = self.rows.get(&(backend.to_owned(), service.to_owned()))?;
        Some(Row { columns: &self.columns, fields })
    }
}

impl<'a> Row<'a> {
    fn text(self, name: &str) -> Result<&'a str, String> {
        let place = column(self.columns, name)?;
        self.fields.get(place).map(String::as_str).ok_or_else(|| format!("a line without {name}"))
    }

    /// An empty field is one that HAProxy does not count here.
    fn count(self, name: &str) -> Result<Option<u64>, String> {
        match self.text(name)? {
            "" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_no_number| format!("{name} {}", quoted(digits))),
        }
    }

    /// As [`Self::count`]; nothing where this HAProxy has no such column.
    fn count_if_known(self, name: &str) -> Result<Option<u64>, String> {
        if self.columns.iter().any(|column| column == name) { self.count(name) } else { Ok(None) }
    }

    /// `scur + qcur`: what the server is at work on, and what waits for it. In HTTP mode these are requests: a kept
    /// connection without one does not count, a WebSocket does until it is closed. In TCP mode they are connections. A
    /// connection that is in use without a request of ours to see (`used_conn_cur`, since 2.2) counts as one; an idle one
    /// (`srv_icur`) carries nothing that could be cut.
    pub(super) fn sessions(self) -> Result<u32, String> {
        let (Some(current), Some(queued)) = (self.count("scur")?, self.count("qcur")?) else {
            return Err("no scur and qcur".to_owned());
        };
        let used = self.count_if_known("used_conn_cur")?.unwrap_or(0);
        Ok(u32::try_from(current.max(used).saturating_add(queued)).unwrap_or(u32::MAX))
    }

    /// The counters of a `BACKEND` line. `hrsp_5xx` holds every answer that began with 5xx, HAProxy's own included (503
    /// for no server or no connection, 502, 504, `deny`), so `econ` and the rest of `eresp` are in it already; measured
    /// with 2.6, see `counters_are_haproxys_own` in the tests. Not in it are answers that broke off after a good
    /// beginning: `srv_abrt` (management.txt 9.1, field 50). Only a 5xx answer that also breaks off counts twice. In TCP
    /// mode there are no answers: connections (`stot`), those that failed (`econ`) or were broken off.
    pub(super) fn counted(self) -> Result<LbStats, String> {
        let count = |name| Ok::<u64, String>(self.count(name)?.unwrap_or(0));
        let requests = self.count("req_tot")?.map_or_else(|| count("stot"), Ok)?;
        let failed = self.count("hrsp_5xx")?.map_or_else(|| count("econ"), Ok)?;
        Ok(LbStats { requests, errors: failed.saturating_add(count("srv_abrt")?) })
    }

    /// The counters of a server's line; measured with 2.6, see `served_is_what_was_really_sent` in the tests. `req_tot` and
    /// `hrsp_5xx` are the server's own answers alone. A request that got none is in `econ` (no connection) or `eresp`
    /// (closed, not HTTP, too late), an answer that broke off is in `eresp` and `srv_abrt`. A connection that the server
    /// resets before it answers is in `eresp` twice. What a client gave up is nowhere. `rtime` is the mean of the latest
    /// 1,024 answers, in whole milliseconds. In TCP mode, as [`Self::counted`].
    pub(super) fn served(self) -> Result<Served, String> {
        let count = |name| Ok::<u64, String>(self.count(name)?.unwrap_or(0));
        let (refused, broken, cut) = (count("econ")?, count("eresp")?, count("srv_abrt")?);
        let Some(failed) = self.count("hrsp_5xx")? else {
            return Ok(Served { requests: count("stot")?, errors: refused.saturating_add(cut), response_ms: None });
        };
        let answers = self.count("req_tot")?.unwrap_or(0);
        let unanswered = refused.saturating_add(broken.saturating_sub(cut));
        let response_ms = self.count_if_known("rtime")?.filter(|_| answers > 0);
        let errors = failed.saturating_add(refused).saturating_add(broken);
        Ok(Served { requests: answers.saturating_add(unanswered), errors, response_ms })
    }

    /// `algo` of a `BACKEND` line: how it balances; nothing where this HAProxy does not tell.
    pub(super) fn algorithm(self) -> Option<&'a str> {
        self.text("algo").ok().filter(|algorithm| !algorithm.is_empty())
    }
}

fn column(header: &[impl AsRef<str>], name: &str) -> Result<usize, String> {
    header.iter().position(|column| column.as_ref() == name).ok_or_else(|| format!("the table has no column {name}"))
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
pub(super) fn quoted(reply: &str) -> String {
    match reply.lines().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("\"{}\"", text::sanitise(line)),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HAProxy 2.6 wrote it.
    const INFO: &str = "Name: HAProxy\nPid: 7\nStopping: 0\nTainted: 0\n\n";
    const STATE: &str = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n\
        2 fe 1 web-01 127.0.0.1 2 0 5 1\n2 fe 2 web-02 127.0.0.1 0 8 1 3\n3 other 1 web-03 127.0.0.1 2 0 1 1\n\n";
    const STAT: &str = "# pxname,svname,qcur,qmax,scur,smax,status,last_chk,\n\
        fe,FRONTEND,,,0,0,OPEN,,\nfe,web-01,1,0,4,9,UP,\"OK, \"\"fine\"\"\",\nfe,web-02,0,0,0,0,DOWN,,\n\
        other,web-01,9,9,9,9,MAINT,,\nfe,BACKEND,0,0,0,0,UP,,\n\n";

    fn server(admin: u32, op: u32, status: &str) -> Server {
        let (status, sessions) = (Some(status.to_owned()), Some(0));
        Server { number: 1, op, admin, weight: 1, own: 1, status, sessions, throttle: None, address: None }
    }

    #[test]
    fn the_two_tables_add_up() {
        let (number, mut servers) = servers_state(STATE, "fe").unwrap();
        assert_eq!(number, Some(2));
        add_stat(&mut servers, &Table::read(STAT).unwrap(), "fe").unwrap();
        assert_eq!(servers.keys().collect::<Vec<_>>(), ["web-01", "web-02"], "other backends are other worlds");
        assert_eq!((servers["web-01"].rotation(), servers["web-01"].sessions), (Rotation::Serving, Some(5)));
        assert_eq!(servers["web-02"].rotation(), Rotation::Draining, "drained and down is drained");
        let weights = |name: &str| (servers[name].weight, servers[name].own);
        assert_eq!((weights("web-01"), weights("web-02")), ((5, 1), (1, 3)), "the weight and the configured one");
    }

    #[test]
    fn a_connection_in_use_counts_and_a_slow_start_is_told() {
        let (_, mut servers) = servers_state(STATE, "fe").unwrap();
        let columns = "# pxname,svname,qcur,scur,status,throttle,used_conn_cur,";
        let stat = format!("{columns}\nfe,web-01,1,0,UP,37,2,\nfe,web-02,0,3,UP,100,2,\n\n");
        add_stat(&mut servers, &Table::read(&stat).unwrap(), "fe").unwrap();
        let of = |name: &str| (servers[name].sessions, servers[name].throttle);
        assert_eq!((of("web-01"), of("web-02")), ((Some(3), Some(37)), (Some(3), None)));
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
        let weightless = Server { weight: 0, ..server(0, 2, "no check") };
        assert_eq!(weightless.rotation(), Rotation::Draining, "no new traffic, whatever its status says");
    }

    #[test]
    fn errors_are_text_on_a_successful_connection() {
        assert_eq!(ordered("\n"), Ok(()));
        assert_eq!(ordered("No such server.\n\n"), Err("\"No such server.\"".to_owned()));
        assert_eq!(servers_state("Can't find backend.\n\n", "fe"), Err("\"Can't find backend.\"".to_owned()));
        assert_eq!(Table::read("Permission denied\n\n").unwrap_err(), "\"Permission denied\"");
        assert_eq!(servers_state("", "fe"), Err("nothing".to_owned()));
        let (_, mut servers) = servers_state(STATE, "fe").unwrap();
        let missing = add_stat(&mut servers, &Table::read(STAT.split("fe,web-02").next().unwrap()).unwrap(), "fe");
        assert!(missing.unwrap_err().contains("fe/web-02"), "a server without status is no server that serves");
    }

    #[test]
    fn an_answer_counts_if_it_is_whole_and_its_process_goes_on() {
        let both = |answer: &str| {
            after_info(&format!("{INFO}{answer}")).map(|answer| answer.map(|(pid, answer)| (pid, answer.to_owned())))
        };
        assert_eq!(both("\n"), Ok(Some((7, "\n".to_owned()))));
        assert_eq!(both(STATE), Ok(Some((7, STATE.to_owned()))));
        for cut in ["", &STATE[..STATE.len() - 1], "No such server.\n"] {
            assert_eq!(both(cut), Err(Broken::Cut), "{cut:?}");
        }
        assert_eq!(after_info(""), Err(Broken::Cut));
        assert_eq!(after_info(&format!("{}\n", INFO.replace("Stopping: 0", "Stopping: 1"))), Ok(None));
        assert_eq!(after_info("Unknown command\n\n\n"), Err(Broken::Other("\"Unknown command\"".to_owned())));
    }

    #[test]
    fn what_a_backend_counted_depends_on_its_mode() {
        let counted = |columns: &str, line: &str| {
            let table = Table::read(&format!("# pxname,svname,{columns},\nfe,BACKEND,{line},\n\n")).unwrap();
            table.row("fe", "BACKEND").unwrap().counted()
        };
        let columns = "stot,econ,eresp,hrsp_5xx,req_tot,srv_abrt";
        assert_eq!(counted(columns, "9,2,3,5,8,1"), Ok(LbStats { requests: 8, errors: 6 }), "HTTP");
        assert_eq!(counted(columns, "9,2,3,,,1"), Ok(LbStats { requests: 9, errors: 3 }), "TCP");
        assert!(counted(columns, "9,2,3,x,8,1").unwrap_err().contains("hrsp_5xx"));
        assert!(counted("stot,econ", "9,2").unwrap_err().contains("req_tot"));
    }

    #[test]
    fn what_a_server_served_depends_on_its_mode() {
        let served = |columns: &str, line: &str| {
            let table = Table::read(&format!("# pxname,svname,{columns},\nfe,web-01,{line},\n\n")).unwrap();
            table.row("fe", "web-01").unwrap().served()
        };
        let columns = "stot,econ,eresp,hrsp_5xx,req_tot,srv_abrt,rtime";
        let some = Served { requests: 13, errors: 10, response_ms: Some(4) };
        assert_eq!(served(columns, "20,2,3,5,9,1,4"), Ok(some), "HTTP: an answer that broke off is one request");
        let none = Served { requests: 2, errors: 2, response_ms: None };
        assert_eq!(served(columns, "9,2,0,0,0,0,0"), Ok(none), "no answer took no time");
        assert_eq!(served(columns, "9,2,3,,,1,0"), Ok(Served { requests: 9, errors: 3, response_ms: None }), "TCP");
        assert!(served(columns, "9,2,3,x,8,1,0").unwrap_err().contains("hrsp_5xx"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // Every prefix of real replies, and real replies with each byte replaced in turn.
        let read = |text: &str| {
            after_info(text).ok();
            ordered(text).ok();
            let servers = servers_state(text, "fe").map(|(_, servers)| servers);
            let Ok(table) = Table::read(text) else { return };
            let whole = servers_state(STATE, "fe").map(|(_, servers)| servers);
            for mut servers in [servers, whole].into_iter().flatten() {
                add_stat(&mut servers, &table, "fe").ok();
            }
            table.row("fe", "BACKEND").map(|row| (row.counted().ok(), row.algorithm().map(str::len)));
            table.row("fe", "web-01").map(|row| row.served().ok());
        };
        for reply in [INFO, STATE, STAT] {
            for cut in 0..reply.len() {
                read(&reply[..cut]);
                for byte in [0x00, b'\n', b',', b'"', b' ', 0xff] {
                    let mut bytes = reply.as_bytes().to_vec();
                    bytes[cut] = byte;
                    read(&String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}
