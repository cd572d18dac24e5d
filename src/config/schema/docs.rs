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
    ("update.start", "The command that runs an instance: program and arguments, no shell, each may be a template."),
    ("traffic", "Who sends the traffic."),
    ("traffic.driver", "Which kind of balancer."),
    ("traffic.sockets", "Where each balancer's runtime API listens: \"unix:/path\" or \"host:port\"; every one must confirm."),
    ("traffic.backend", "The backend's name."),
    ("traffic.server", "Template of a server's name in the backend; default: \"{{ instance.id }}\"."),
    ("traffic.timeout", "The longest that one command to a balancer may take."),
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
    ("strategy.approval_timeout", "The longest wait for a person."),
    ("rollback", "What failures do."),
    ("rollback.auto", "false is short for on_failure = \"pause\"."),
    ("rollback.on_failure", "What happens when failures are too many."),
    ("rollback.threshold", "Strictly more than this share of those finished so far is too many."),
    ("rollback.max_failures", "More failures than these are too many."),
    ("rollback.max_unavailable", "Healthy instances out at once while going back; default: that of [strategy]."),
    ("journal", "Where the history is kept."),
    ("journal.dir", "The directory; default: $XDG_STATE_HOME/rollout."),
    ("env", "How environments are told from each other on the screen; service.env chooses one."),
    ("env.NAME", "One environment."),
    ("env.NAME.stripe", "A colour by name, 0 to 255 or \"#rrggbb\"."),
    ("env.NAME.protected", "Dangerous verbs ask for the service's name."),
    ("console", "The screen."),
    ("console.theme", "Its theme."),
    ("console.color", "How many colours it uses."),
    ("console.ascii", "No character beyond ASCII."),
    ("console.read_only", "Watch only: every command is refused."),
    ("console.on_hangup", "What a lost terminal does to the deployment."),
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
        "health.status" => {
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
