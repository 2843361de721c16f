//! All hosts as a text file for node_exporter's textfile collector: the exposition format of Prometheus, version 0.0.4.
//!
//! A host that nobody could look at has no sample but `…_reachable 0`, so that an alert on a missing one is not an alert on
//! a wrong value. Times are Unix times in seconds, as is the custom: `… - time()` is how far off one is.

use std::fmt::Write as _;

use stagecraft_net::event::HostResult;

use super::Roll;
use super::roll::Entry;

const PREFIX: &str = "stagecraft_net";

type Sample<'a> = (Vec<(&'static str, &'a str)>, i64);

pub(super) fn render(roll: &Roll<'_>) -> Vec<String> {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, of: &dyn Fn(&Entry<'_>) -> Option<i64>| {
        let samples = roll.entries.iter().filter_map(|entry| Some((vec![("host", entry.name())], of(entry)?)));
        family(&mut text, roll.environment, name, help, samples.collect());
    };
    metric("host_reachable", "1 where the host could be looked at.", &|entry| {
        Some(i64::from(entry.drifts().is_some()))
    });
    metric("host_drift", "1 where the host is not what the project wants it to be.", &|entry| {
        entry.drifts().map(i64::from)
    });
    metric("host_blocked", "1 where no run can make the host right: a person must look.", &|entry| {
        entry.drifts().map(|_| i64::from(matches!(entry.result, Some(HostResult::Failed(_)))))
    });
    metric("host_member", "1 where the host is a member of a network.", &|entry| {
        entry.drifts().map(|_| i64::from(entry.found.node.is_some()))
    });
    metric("host_online", "1 where the member's connection to the control server is open.", &|entry| {
        entry.found.node.map(|node| i64::from(node.online))
    });
    metric("host_missing_tags", "Wanted tags that the member does not have.", &|entry| {
        entry.found.node.map(|_| i64::try_from(entry.tags().missing.len()).unwrap_or(i64::MAX))
    });
    metric("key_expiry_timestamp_seconds", "When the member's key ends. Absent where it never does.", &|entry| {
        entry.expiry().map(|when| when.as_second())
    });
    let clients = roll
        .entries
        .iter()
        .filter_map(|entry| Some((vec![("host", entry.name()), ("version", entry.version()?)], 1)))
        .collect();
    family(&mut text, roll.environment, "client_info", "The version of the client that is installed.", clients);
    let look = vec![(Vec::new(), roll.now.as_second())];
    family(&mut text, roll.environment, "last_look_timestamp_seconds", "When the hosts were looked at.", look);
    text.lines().map(str::to_owned).collect()
}

/// One metric with all its samples; nothing where it has none.
fn family(text: &mut String, environment: &str, name: &str, help: &str, samples: Vec<Sample<'_>>) {
    if samples.is_empty() {
        return;
    }
    let _ = writeln!(text, "# HELP {PREFIX}_{name} {}", help.replace('\\', r"\\").replace('\n', r"\n"));
    let _ = writeln!(text, "# TYPE {PREFIX}_{name} gauge");
    for (labels, value) in samples {
        let labels: Vec<String> = [("environment", environment)]
            .into_iter()
            .chain(labels)
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        let _ = writeln!(text, "{PREFIX}_{name}{{{}}} {value}", labels.join(","));
    }
}

/// A label's value.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a reader of the exposition format makes of a label's value.
    fn read(escaped: &str) -> Option<String> {
        let mut value = String::new();
        let mut chars = escaped.chars();
        while let Some(c) = chars.next() {
            value.push(match c {
                '\\' => match chars.next()? {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    _ => return None,
                },
                '"' | '\n' => return None,
                c => c,
            });
        }
        Some(value)
    }

    proptest! {
        #[test]
        fn every_value_of_a_label_is_read_as_it_was(value in r#"[\\"\na-z{}, =é]{0,12}|.*"#) {
            prop_assert_eq!(read(&escaped(&value)), Some(value));
        }

        #[test]
        fn every_sample_is_one_line(environment in r#"[\\"\n\ra-z]{0,9}"#, host in r#"[\\"\na-z]{0,9}"#) {
            let mut text = String::new();
            family(&mut text, &environment, "x", "Help.", vec![(vec![("host", &host)], 1)]);
            prop_assert_eq!(text.split('\n').count(), 4, "{}", text);
            prop_assert_eq!(text.ends_with("} 1\n"), true);
        }
    }
}
