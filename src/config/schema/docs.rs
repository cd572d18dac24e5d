//! What editors say of each key, and the form of the few values that only their own reader understands.
//!
//! Imports: nothing of this crate. May not: leave out a key, or describe one that no reader takes.

use serde_json::{Value, json};

/// A sentence for each key.
pub(super) const DOCS: &[(&str, &str)] = &[
    ("service", "What is deployed."),
    ("service.name", "Its name; deployments are numbered by it (shop-1, shop-2)."),
    ("service.env", "Its environment; history and lock are kept by name and environment. Default: \"default\"."),
    ("fleet", "Where it runs."),
    ("fleet.driver", "What brings an instance to a version."),
    ("fleet.instances", "Patterns that name many instances, like \"web-[01:20]\"."),
    ("fleet.host", "The host of every instance without one of its own; default: the instance's id."),
    ("fleet.port", "One port for all, or \"[8001:8020]\" for one each in turn."),
    ("fleet.dir", "Where the process driver keeps its records and logs; default: in the journal's directory."),
    ("fleet.instance", "Instances one by one, with what makes them different."),
    ("fleet.instance.id", "The instance's id, unique in the fleet."),
    ("fleet.instance.host", "Host name or address; default: that of [fleet], else the id."),
    ("fleet.instance.port", "The port of the service; default: that of [fleet]."),
    ("fleet.instance.zone", "Its failure domain."),
    ("fleet.instance.labels", "Free labels."),
    ("update", "How one instance is brought to a version."),
    ("update.timeout", "The longest that an update may take."),
    ("update.stop_timeout", "From SIGTERM to SIGKILL."),
    ("update.start", "The command that starts an instance: program and arguments, no shell, each may be a template."),
    ("update.stop", "The command that stops an instance, before `command`; default: none."),
    ("update.command", "The command that brings an instance to the version."),
    ("update.observe", "The command that prints the version which runs; or a table, to say where in its answer it is."),
    ("update.observe.command", "The program and its arguments."),
    ("update.observe.json", "Its answer is JSON, and the version at this pointer."),
    ("update.observe.regex", "The version is what the first group of this matches; default: the first line."),
    ("update.observe.not_running", "Exit codes that say that nothing runs."),
    ("update.observe_timeout", "The longest that `observe` may take."),
    (
        "update.env",
        "Variables for the commands, besides PATH, HOME and a few more; for a process, besides those of rollout, of which it does not have those that this file reads by ${VAR}.",
    ),
    ("update.idempotent", "The commands may be run again when it is not known whether they have run."),
    ("traffic", "Who sends the traffic."),
    ("traffic.driver", "Which kind of balancer."),
    ("traffic.sockets", "Where each balancer's runtime API listens: \"unix:/path\" or \"host:port\"; every one must confirm."),
    ("traffic.backend", "The backend's name."),
    ("traffic.server", "Template of a server's name in the backend; default: \"{{ instance.id }}\"."),
    ("traffic.timeout", "The longest that one command to a balancer may take."),
    ("traffic.out", "What takes an instance out of rotation: a command, or a request."),
    ("traffic.in", "What puts it back."),
    ("traffic.state", "What tells whether it is in rotation; nothing counts that is not read back."),
    ("traffic.sessions", "What tells how many connections it still has."),
    ("traffic.list", "The command that names the instances which the balancer knows."),
    ("traffic.states", "What the balancer's words for an instance's state mean."),
    ("traffic.env", "Variables for the commands, besides PATH, HOME and a few more."),
    ("traffic.headers", "Headers of every request."),
    ("traffic.*.command", "The program and its arguments."),
    ("traffic.*.url", "Where the request goes; may be a template."),
    ("traffic.*.method", "GET, PUT, POST, PATCH or DELETE."),
    ("traffic.*.body", "What is sent; may be a template."),
    ("traffic.*.status", "Which answers are a success."),
    ("traffic.*.json", "The answer is JSON, and what is looked for at this pointer."),
    ("traffic.*.regex", "What is looked for is what the first group of this matches."),
    ("drain", "After an instance is out of rotation."),
    ("drain.timeout", "How long its connections may take to end."),
    ("drain.on_timeout", "What happens then: \"force\" cuts them, \"extend\" waits on while they fall, \"fail\" puts it back."),
    ("health", "When an instance is healthy."),
    ("health.timeout", "The longest that one probe may take."),
    ("health.interval", "Between two probes of an instance at work."),
    ("health.rise", "Passes in a row that prove an instance."),
    ("health.retries", "Misses in a row that fail it."),
    ("health.start_timeout", "How long it may be not listening after its update."),
    ("health.deadline", "From the end of its update to serving, at the latest."),
    ("health.watch_interval", "Between two probes of an instance that is not at work."),
    ("health.before", "What happens to one that fails before it is touched: left alone, updated first, or no deployment."),
    ("health.probe", "How an instance is asked: by HTTP, by a connection, or by a command."),
    ("health.command", "The command that checks an instance: exit code 0 is a pass."),
    ("health.env", "Variables for the commands, besides PATH, HOME and a few more."),
    ("health.version.command", "By this command."),
    ("health.version.regex", "What the first group of this matches in the answer."),
    ("health.path", "The path that is asked; default: \"/health\"."),
    ("health.status", "Which answers pass, like 200 or \"200-299\"."),
    ("health.version", "Where an instance reports its version; default: it is not asked."),
    ("health.version.header", "In this header."),
    ("health.version.json", "In the JSON of the answer, at this pointer."),
    ("vip", "The proof: requests through the balancer for the length of a deployment."),
    ("vip.url", "Where they go, each address in turn."),
    ("vip.rate", "Requests per second."),
    ("strategy", "How it goes through the fleet."),
    ("strategy.kind", "Which strategy."),
    ("strategy.pacing", "When the next instance begins."),
    ("strategy.zones", "In which order of failure domains."),
    ("strategy.confirm", "Whether a person confirms each batch."),
    ("strategy.batch_size", "Instances in a batch: a count, a share of the fleet, or a list whose last entry repeats."),
    ("strategy.batch_pause", "How long a batch is watched before the next begins."),
    ("strategy.max_unavailable", "Instances out of service at once, whoever is the cause."),
    ("strategy.max_surge", "Instances above the fleet's size."),
    ("strategy.min_serving", "Never fewer than these serve."),
    ("strategy.min_healthy_time", "How long an instance must stay healthy in rotation before its verdict."),
    ("strategy.progress_timeout", "The longest time without any instance finishing; \"0s\" for none."),
    (
        "strategy.approval_timeout",
        "The longest wait for a person. A plan that nobody looks at any more ends after a sixth of it.",
    ),
    ("rollback", "What failures do."),
    ("rollback.auto", "false is short for on_failure = \"pause\"."),
    ("rollback.on_failure", "What happens when failures are too many."),
    ("rollback.threshold", "Strictly more than this share of those finished so far is too many."),
    ("rollback.max_failures", "More failures than these are too many."),
    ("rollback.max_unavailable", "Healthy instances out at once while going back; default: that of [strategy]."),
    ("journal", "Where the history is kept."),
    ("journal.dir", "The directory; default: $XDG_STATE_HOME/rollout."),
    ("journal.keep", "How many ended deployments stay in it; older ones are removed when a new one is planned."),
    ("env", "How environments are told from each other on the screen; service.env chooses one."),
    ("env.NAME", "One environment."),
    ("env.NAME.stripe", "A colour by name, 0 to 255 or \"#rrggbb\"."),
    ("env.NAME.protected", "Dangerous verbs ask for the service's name."),
    ("console", "The screen."),
    ("console.theme", "Its theme."),
    ("console.color", "How many colours it uses."),
    ("console.ascii", "No character beyond ASCII."),
    ("console.read_only", "Watch only: every command is refused."),
    ("console.on_hangup", "What a lost terminal of a console does to the deployment; leaving with q never does anything."),
];

/// The form of a value that its reader looks at in a way of its own.
pub(super) fn form(path: &str) -> Option<Value> {
    let texts = || json!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]});
    match path {
        "fleet.instances" => Some(texts()),
        "fleet.port" => Some(json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "pattern": r"^\[[0-9]+:[0-9]+\]$"},
        ]})),
        "update.observe.not_running" => {
            let code = json!({"type": "integer", "minimum": 1, "maximum": 254});
            Some(json!({"anyOf": [code, {"type": "array", "items": code}]}))
        }
        status if status.ends_with(".status") => {
            let status = json!({"anyOf": [
                {"type": "integer", "minimum": 100, "maximum": 599},
                {"type": "string", "pattern": "^[0-9]{3}(-[0-9]{3})?$"},
            ]});
            let list = json!({"type": "array", "minItems": 1, "items": status});
            Some(json!({"anyOf": [status, list]}))
        }
        "rollback.threshold" => Some(json!({"type": "string", "pattern": r"^(\$\{.+\}|(100|[0-9]{1,2})%)$", "default": "10%"})),
        _ => None,
    }
}
