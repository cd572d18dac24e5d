//! `init` at a terminal: one question after the other, each answer checked by the reader of the file itself.

use std::io::{self, BufRead, Write};

use super::draft::{Draft, Driver};
use super::read;

/// A port for each of any number of instances, while it is not known which they will have.
const ANY_PORTS: &str = "[20000:60000]";

/// Where questions go and answers come from.
pub(super) struct Asker<'a> {
    pub(super) answers: &'a mut dyn BufRead,
    pub(super) questions: &'a mut dyn Write,
}

impl Asker<'_> {
    /// Asks until the answer fits. An empty answer is the default.
    ///
    /// # Errors
    /// Fails at the end of the answers.
    pub(super) fn ask(&mut self, question: &str, default: &str, fits: impl Fn(&str) -> Result<(), String>) -> io::Result<String> {
        loop {
            let shown = if default.is_empty() { String::new() } else { format!(" [{default}]") };
            write!(self.questions, "{question}{shown}: ")?;
            self.questions.flush()?;
            let mut line = String::new();
            if self.answers.read_line(&mut line)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answers ended; nothing was written"));
            }
            let answer = if line.trim().is_empty() { default } else { line.trim() };
            match fits(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => writeln!(self.questions, "  {why}")?,
            }
        }
    }

    /// Everything that a file needs.
    ///
    /// # Errors
    /// Fails at the end of the answers.
    pub(super) fn draft(&mut self, service: &str) -> io::Result<Draft> {
        let mut draft = Draft::new(service);
        writeln!(self.questions, "Enter takes what is in brackets; Ctrl-C ends it, and nothing is written.")?;
        self.fill(&mut draft, "Name of the service", |draft| &mut draft.service)?;
        draft.backend.clone_from(&draft.service);
        let word = self.ask("Driver: process (here) or command (over ssh, or what you have)", draft.driver.word(), |answer| {
            Driver::of(answer).map(drop).ok_or_else(|| "write process or command".to_owned())
        })?;
        draft.driver = Driver::of(&word).unwrap_or(draft.driver);
        self.fill(&mut draft, "Instances", |draft| &mut draft.pattern)?;
        ANY_PORTS.clone_into(&mut draft.port);
        self.fill(&mut draft, "Host of all of them (Enter: each name is its own host)", |draft| &mut draft.host)?;
        draft.port = match read(&draft.text()) {
            Ok(config) if !draft.host.is_empty() && config.targets.len() > 1 => format!("[8001:{}]", 8000 + config.targets.len()),
            Ok(_) | Err(_) => "8080".to_owned(),
        };
        self.fill(&mut draft, "Port, one for all or a range like [8001:8020]", |draft| &mut draft.port)?;
        self.fill(&mut draft, "Path of the health check", |draft| &mut draft.path)?;
        self.fill(&mut draft, "HAProxy's stats socket", |draft| &mut draft.socket)?;
        self.fill(&mut draft, "HAProxy's backend", |draft| &mut draft.backend)?;
        Ok(draft)
    }

    /// Asks for one text of the draft; whatever the file's reader has to say about it is said at once.
    fn fill(&mut self, draft: &mut Draft, question: &str, field: impl Fn(&mut Draft) -> &mut String) -> io::Result<()> {
        let default = field(draft).clone();
        let trial = draft.clone();
        let answer = self.ask(question, &default, |answer| {
            let mut trial = trial.clone();
            answer.clone_into(field(&mut trial));
            read(&trial.text()).map(drop).map_err(|errors| {
                let first = errors.short_lines().into_iter().next().unwrap_or_default();
                // The place in a file that is not written yet says nothing.
                first.split_once(' ').map_or_else(|| first.clone(), |(_, said)| said.to_owned())
            })
        })?;
        *field(draft) = answer;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(answers: &str) -> (io::Result<Draft>, String) {
        let mut questions = Vec::new();
        let draft = Asker { answers: &mut answers.as_bytes(), questions: &mut questions }.draft("shop");
        (draft, String::from_utf8(questions).unwrap())
    }

    #[test]
    fn enter_takes_the_usual() {
        let (draft, _) = answered(&"\n".repeat(8));
        let draft = draft.unwrap();
        assert_eq!(draft, Draft::new("shop"));
        assert_eq!(read(&draft.text()).unwrap().targets.len(), 4);
    }

    #[test]
    fn a_wrong_answer_is_asked_again_with_the_reason() {
        let (draft, said) = answered("a b\nshop\nswarm\n\nweb-[2:1]\nweb-[1:3]\n127.0.0.1\n8080\n\nhealth\n/up\n\n\n");
        let draft = draft.unwrap();
        assert_eq!((draft.port.as_str(), draft.path.as_str()), ("[8001:8003]", "/up"));
        for reason in ["is no name", "write process or command", "counts down", "is already", "is no path"] {
            assert!(said.contains(reason), "{reason}: {said}");
        }
        assert_eq!(read(&draft.text()).unwrap().targets.len(), 3);
    }

    #[test]
    fn the_end_of_the_answers_ends_it() {
        assert_eq!(answered("shop\n").0.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
