//! Templates in argv elements and names: `{{ version }}`, `{{ instance.port }}`.
//!
//! Imports: model. May not: run anything, split a rendered text, quote for a shell (there is none).

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};

use crate::model::{Target, Version};

/// What a template may name: `version`, `previous`, `service`, `instance.id`, `.host`, `.port`, `.zone`.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// `{{ service }}`.
    pub service: &'a str,
    /// `{{ instance.… }}`.
    pub target: &'a Target,
    /// `{{ version }}`; `None` where no version is at stake.
    pub version: Option<&'a Version>,
    /// `{{ previous }}`; `None` if nobody knows it.
    pub previous: Option<&'a Version>,
}

/// Renders one text.
///
/// # Errors
/// Fails with a sentence if the text is no template or names what is not there: a name that is empty by mistake must
/// not become an empty argument.
pub fn render(text: &str, context: Context<'_>) -> Result<String, String> {
    if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
        return Ok(text.to_owned());
    }
    strict().render_str(text, values(context)).map_err(|e| {
        let why = e.detail().map_or_else(|| e.kind().to_string(), ToOwned::to_owned);
        format!("template {text:?}: {why}; it may name version, previous, service, instance.id, .host, .port, .zone")
    })
}

/// Renders a text that may name these and nothing else; naming one whose value is not known is an error.
///
/// # Errors
/// As [`render`].
pub fn render_names(text: &str, names: &[(&str, Option<String>)]) -> Result<String, String> {
    let env = strict();
    let known = names.iter().filter_map(|(name, value)| Some(((*name).to_owned(), value.clone()?)));
    let known: BTreeMap<String, String> = known.collect();
    env.render_str(text, known).map_err(|e| {
        let why = e.detail().map_or_else(|| e.kind().to_string(), ToOwned::to_owned);
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        format!("template {text:?}: {why}; it may name {}", names.join(", "))
    })
}

/// What a text names, if it is a template.
pub fn names_in(text: &str) -> BTreeSet<String> {
    let env = strict();
    let template = env.template_from_str(text);
    template.map(|template| template.undeclared_variables(false).into_iter().collect()).unwrap_or_default()
}

/// Naming what is not there is an error, and nothing is escaped.
fn strict<'t>() -> Environment<'t> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_name| minijinja::AutoEscape::None);
    env
}

/// Renders every element of an argv by itself: what is rendered stays one argument, whatever it contains.
///
/// # Errors
/// As [`render`], and if there is no first element.
pub fn render_argv(argv: &[String], context: Context<'_>) -> Result<Vec<String>, String> {
    let rendered = argv.iter().map(|element| render(element, context)).collect::<Result<Vec<_>, _>>()?;
    match rendered.first() {
        Some(program) if !program.is_empty() => Ok(rendered),
        Some(_) | None => Err("the command is empty: its first element must name a program".to_owned()),
    }
}

/// What is not there is left undefined, so that naming it is an error.
fn values(context: Context<'_>) -> Value {
    let or_undefined = |text: Option<&str>| text.map_or(Value::UNDEFINED, Value::from);
    context! {
        service => context.service,
        version => or_undefined(context.version.map(Version::as_str)),
        previous => or_undefined(context.previous.map(Version::as_str)),
        instance => context! {
            id => context.target.id.as_str(),
            host => context.target.host.as_str(),
            port => context.target.port,
            zone => or_undefined(context.target.zone.as_deref()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    fn target() -> Target {
        let id = InstanceId::new("web-07").unwrap();
        Target { id, host: "10.0.0.7".to_owned(), port: 8080, zone: None, labels: BTreeMap::new() }
    }

    fn argv(elements: &[&str]) -> Result<Vec<String>, String> {
        let version = Version::new("v2").unwrap();
        let elements: Vec<String> = elements.iter().map(|e| (*e).to_owned()).collect();
        let target = target();
        render_argv(&elements, Context { service: "my shop", target: &target, version: Some(&version), previous: None })
    }

    #[test]
    fn elements_are_rendered_one_by_one_and_never_split() {
        let rendered = argv(&["/bin/app", "--name={{ service }}", "{{ instance.host }}:{{ instance.port }}", "$(x) {{version}}"]);
        assert_eq!(rendered.unwrap(), ["/bin/app", "--name=my shop", "10.0.0.7:8080", "$(x) v2"]);
        assert_eq!(argv(&["a", "line\n"]).unwrap(), ["a", "line\n"], "plain text is left as it is");
    }

    #[test]
    fn a_text_may_name_what_it_is_given() {
        let names = [("touched", Some("a|b".to_owned())), ("previous", None)];
        assert_eq!(render_names("x=~\"{{ touched }}\"}", &names).unwrap(), "x=~\"a|b\"}");
        for bad in ["{{ previous }}", "{{ other }}", "{{ touched"] {
            let error = render_names(bad, &names).unwrap_err();
            assert!(error.contains(bad) && error.contains("touched, previous"), "{error}");
        }
        assert_eq!(names_in("{{ a }} {{ b.c }} d").into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(names_in("{{ a").is_empty());
    }

    #[test]
    fn what_is_unknown_is_an_error_that_names_the_template() {
        for bad in ["{{ verion }}", "{{ previous }}", "{{ instance.zone }}", "{{ instance.pid }}", "{{ version", "{% for %}"] {
            let error = argv(&["app", bad]).unwrap_err();
            assert!(error.contains(bad) && error.contains("instance.host") | error.contains(".host"), "{error}");
        }
        assert!(argv(&[]).unwrap_err().contains("empty"));
        assert!(argv(&["{{ \"\" }}"]).unwrap_err().contains("empty"));
    }
}
