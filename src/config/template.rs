//! Templates in the values of drivers: checked before anything is touched.
//!
//! Imports: config's values, os' text. May not: see a value that came from the environment (it is given the text as written).

use minijinja::{Environment, UndefinedBehavior, context};

use super::value::shown;
use crate::os::text::{self, nearest};

/// What the template of a command may use.
pub(super) const OF_A_COMMAND: [&str; 7] =
    ["version", "previous", "service", "instance.id", "instance.host", "instance.port", "instance.zone"];

/// What the template of a hook may use: it is about no instance.
pub(super) const OF_A_HOOK: [&str; 2] = ["version", "service"];

/// What the template of a name at the balancer may use: nothing that changes with a deployment.
pub(super) const OF_A_SERVER: [&str; 5] = ["service", "instance.id", "instance.host", "instance.port", "instance.zone"];

/// What the template of a check of the analysis may use.
pub(super) const OF_A_CHECK: [&str; 9] = [
    "version",
    "previous",
    "service",
    "touched",
    "touched_ids",
    "touched_hosts",
    "untouched",
    "untouched_ids",
    "untouched_hosts",
];

/// Checks a template as written. The error says what is wrong and what to write instead.
pub(super) fn check(raw: &str, variables: &[&str]) -> Result<(), String> {
    let mut templates = Environment::new();
    templates.set_undefined_behavior(UndefinedBehavior::Strict);
    let no_template = |error: minijinja::Error| format!("{} is no template: {}", shown(raw), reason(&error));
    let template = templates.template_from_str(raw).map_err(no_template)?;
    let mut used: Vec<String> = template.undeclared_variables(true).into_iter().collect();
    used.sort();
    for name in used {
        if variables.contains(&name.as_str()) {
            continue;
        }
        let near = nearest(&name, variables.iter().copied());
        let near = near.map_or_else(String::new, |near| format!("; the nearest is {{{{ {near} }}}}"));
        return Err(format!("{} uses {}, which is unknown{near}; known: {}", shown(raw), shown(&name), variables.join(", ")));
    }
    let instance = context! { id => "web-01", host => "127.0.0.1", port => 8080, zone => "a" };
    let sample = context! {
        version => "v2", previous => "v1", service => "shop", instance,
        touched => "web-01:80", touched_ids => "web-01", touched_hosts => "web-01",
        untouched => "web-02:80", untouched_ids => "web-02", untouched_hosts => "web-02",
    };
    template.render(sample).map_err(|error| format!("{} does not render: {}", shown(raw), reason(&error)))?;
    Ok(())
}

fn reason(error: &minijinja::Error) -> String {
    let text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    text::sanitise_within(&text, 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_use_what_is_known() {
        for good in
            ["", "--port={{ instance.port }}", "{{ previous or 'none' }}", "${TOKEN}", "{{ version|upper }}", "{# why #}x"]
        {
            assert_eq!(check(good, &OF_A_COMMAND), Ok(()), "{good}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        for (bad, part) in [
            ("{{ verison }}", "the nearest is {{ version }}"),
            ("{{ instance.hots }}", "the nearest is {{ instance.host }}"),
            ("{{ instance }}", "is unknown"),
            ("{{ version", "is no template"),
            ("{{ version|nope }}", "does not render"),
            ("{% if version %}", "is no template"),
        ] {
            let error = check(bad, &OF_A_COMMAND).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        assert!(check("{{ version }}", &OF_A_SERVER).is_err());
    }
}
