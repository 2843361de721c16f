//! What a text says to do, as command lines of this program that can be pasted.
//!
//! A provider, and the library, know neither the program's name nor which hosts share a failure. They write
//! `{run leave @hosts --from other.example}` (see `diagnostic` in `wit/provider.wit`); here it becomes a line for a shell,
//! with the options that this run was given. Words are quoted: some of them may have come from a machine.

use crate::project::quoted;

/// As a person types it.
const PROGRAM: &str = "stagecraft-net";
/// Of more hosts than this a command names the selection.
const MOST: usize = 8;
const OPEN: &str = "{run ";
/// Stands for a blank within a command until lines are broken: a command is never broken.
pub(super) const SOLID: char = '\u{a0}';

/// The text with its command lines, for these hosts, with these options (` -e prod`).
pub(super) fn render(text: &str, hosts: &[&str], options: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let Some((command, behind)) = after.split_once('}') else { break };
        shown.push_str(before);
        shown.push_str(&line(command, hosts, options).replace(' ', &SOLID.to_string()));
        rest = behind;
    }
    shown + rest
}

/// As [`render`], for readers that break no lines.
pub(super) fn plain(text: &str, hosts: &[&str], options: &str) -> String {
    render(text, hosts, options).replace(SOLID, " ")
}

fn line(command: &str, hosts: &[&str], options: &str) -> String {
    let mut words: Vec<String> = vec![PROGRAM.to_owned()];
    // Leaving is never done to a selection that is not spelled out.
    let named = hosts.len() <= MOST || command.starts_with("leave ");
    for word in command.split_whitespace() {
        match word {
            "@hosts" if named => words.extend(hosts.iter().map(|host| quoted(host))),
            "@hosts" => words.push("--limit @failed".to_owned()),
            word => words.push(quoted(word)),
        }
    }
    words.join(" ") + options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_names_its_hosts_and_goes_on_with_the_options_of_the_run() {
        let text = "the host belongs here:  {run leave @hosts --from other.net}\n  {run up @hosts}";
        assert_eq!(
            plain(text, &["app-1", "app-2"], " -e prod"),
            "the host belongs here:  stagecraft-net leave app-1 app-2 --from other.net -e prod\n  \
             stagecraft-net up app-1 app-2 -e prod"
        );
        assert!(render("{run up @hosts}", &["a"], "").contains("stagecraft-net\u{a0}up\u{a0}a"));
    }

    #[test]
    fn many_hosts_are_the_selection_of_those_that_failed_but_for_leaving() {
        let hosts = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert_eq!(plain("{run up @hosts}", &hosts, ""), "stagecraft-net up --limit @failed");
        assert_eq!(plain("{run leave @hosts}", &hosts, ""), "stagecraft-net leave a b c d e f g h i");
        assert_eq!(plain("{run up --limit @failed}", &["a"], ""), "stagecraft-net up --limit @failed");
    }

    #[test]
    fn a_word_that_came_from_a_machine_cannot_become_a_second_command() {
        let evil = "{run leave @hosts --from x;$(reboot)`id`}";
        assert_eq!(plain(evil, &["a"], ""), "stagecraft-net leave a --from 'x;$(reboot)`id`'");
        assert_eq!(plain("no end {run up", &["a"], ""), "no end {run up");
        assert_eq!(plain("{user} {running}", &[], ""), "{user} {running}");
    }
}
