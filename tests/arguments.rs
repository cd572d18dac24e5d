//! What a template puts into an argument stays one argument, whatever it is; and what may be a version or an id is one word
//! even where a shell on the far side reads the command again, as with ssh.
//!
//! Imports: os' program, model. May not: sleep.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that cannot go on says why")]

use std::collections::BTreeMap;
use std::time::Duration;

use rollout::model::{InstanceId, Target, Version};
use rollout::os::program::{Environment, Limits, Program, Subject};

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % end
    }

    /// Of letters, digits and `extra`; a letter first.
    fn word(&mut self, extra: &str, longest: usize) -> String {
        let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        // As many of the odd ones as of the others.
        let odd: Vec<char> = extra.chars().cycle().take(letters.len()).collect();
        let all = [letters.as_slice(), &odd].concat();
        let rest = self.below(longest);
        std::iter::once(letters[self.below(letters.len())]).chain((0..rest).map(|_| all[self.below(all.len())])).collect()
    }
}

/// What the program was given, by its own account.
async fn given(argv: &[&str], subject: Subject<'_>) -> Vec<String> {
    let argv = argv.iter().map(|element| (*element).to_owned()).collect();
    let program = Program { service: "shop".to_owned(), argv, env: Environment::default() };
    let ended = program.succeed(subject, Limits::within(Duration::from_secs(30))).await.expect("it prints its arguments");
    let text = String::from_utf8(ended.stdout).expect("UTF-8");
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn target(id: &str, host: &str) -> Target {
    let id = InstanceId::new(id).expect("an id");
    Target { id, host: host.to_owned(), port: 1, zone: Some(host.to_owned()), labels: BTreeMap::default() }
}

const PRINTS: &str = "printf '%s\\0' \"$@\"";

#[tokio::test]
async fn an_argument_stays_one_whatever_is_put_into_it() {
    let version = Version::new("v2").expect("a version");
    for hostile in [
        "$(touch pwned)",
        "`id`",
        "a b  c",
        "'; rm -rf x; '",
        "\"",
        "\\",
        "-oProxyCommand=x",
        "{{ version }}",
        "*",
        "a\nb",
        "${HOME}",
        "",
        "ü\u{202e}",
    ] {
        let target = target("web-01", hostile);
        let subject = Subject { version: Some(&version), ..Subject::instance(&target) };
        let argv = [
            "sh",
            "-c",
            PRINTS,
            "sh",
            "{{ instance.host }}",
            "--zone={{ instance.zone }}",
            "x {{ version }} $(y)",
            "{{ instance.id }}",
        ];
        let zone = format!("--zone={hostile}");
        assert_eq!(given(&argv, subject).await, [hostile, zone.as_str(), "x v2 $(y)", "web-01"]);
    }
}

#[tokio::test]
async fn what_may_be_a_version_or_an_id_is_one_word_for_a_shell_too() {
    let mut numbers = Numbers(1);
    for _ in 0..60 {
        let (word, id) = (numbers.word("._+:@/-", 120), numbers.word("._-", 60));
        let Ok(version) = Version::new(&word) else { continue };
        let target = target(&id, "127.0.0.1");
        let subject = Subject { version: Some(&version), ..Subject::instance(&target) };
        let far_side = "exec sh -c 'printf \"%s\\0\" {{ version }} --id={{ instance.id }} \"{{ version }}\" x{{ version }}'";
        let wanted = [word.clone(), format!("--id={id}"), word.clone(), format!("x{word}")];
        assert_eq!(given(&["sh", "-c", far_side], subject).await, wanted);
    }
}

#[test]
fn what_a_shell_or_an_option_parser_would_read_otherwise_is_no_version_and_no_id() {
    for bad in [
        "",
        "-v2",
        "--help",
        "-oProxyCommand=x",
        "v 2",
        "v;2",
        "v|2",
        "v&2",
        "v$2",
        "v`2",
        "v'2",
        "v\"2",
        "v\\2",
        "v*",
        "v?",
        "v[2]",
        "v{2,3}",
        "~v",
        "v~",
        "#v",
        "!v",
        "v!",
        "v%2",
        "v=2",
        "v<2",
        "v>2",
        "v(2)",
        "v\n",
        "v\t2",
        "v\0",
        "vü",
        "v\u{200b}",
        "../v",
        "v/../w",
    ] {
        assert!(Version::new(bad).is_err(), "{bad:?}");
        assert!(InstanceId::new(bad).is_err(), "{bad:?}");
    }
}
