//! Which hosts are meant, where they come from, how they are reached and how many at a time: the options of all commands
//! that work on hosts, and what they come to.
//!
//! Not for: reading any list ([`stagecraft_net::inventory`] does), and the run itself.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use boundary::inventory::{host_label, is_address, is_user};
use clap::{Args, ValueEnum};
use stagecraft_net::contract::Severity;
use stagecraft_net::event::{Event, Fault, HostResult};
use stagecraft_net::fleet::{Act, Limits};
use stagecraft_net::inventory::select::Limit;
use stagecraft_net::inventory::{Finding, HostSpec, Named, Via};
use stagecraft_net::record::Records;

use crate::args::Global;
use crate::project::{Stop, quoted};

const HOSTS: &str = "Which hosts";
/// The heading of the options that stand for a file.
pub(crate) const NETWORK: &str = "Which network, over what the file says";

/// Which hosts, from where, how, and how many at a time.
#[derive(Debug, Clone, Args)]
pub(crate) struct Choice {
    /// Only these: names and patterns, role=R, tag=T, label:K=V, @failed, @drift, @FILE; commas add, ! takes away, and
    /// what is given again must hold too
    #[arg(long, global = true, value_name = "WHICH", value_parser = Limit::parse, help_heading = HOSTS)]
    pub(crate) limit: Vec<Limit>,
    /// A list of hosts that wins over the file's: what `terraform output -json` or `ansible-inventory --list` prints;
    /// - is standard input
    #[arg(long, global = true, value_name = "FILE", help_heading = HOSTS)]
    pub(crate) hosts_from: Vec<PathBuf>,
    /// The name of the one host that is given as [USER@]ADDRESS
    #[arg(long, global = true, value_name = "NAME", help_heading = HOSTS)]
    pub(crate) name: Option<String>,
    /// Tags of the hosts that are given as [USER@]ADDRESS
    #[arg(long, global = true, value_name = "TAGS", value_delimiter = ',', help_heading = HOSTS)]
    pub(crate) tags: Vec<String>,
    /// Over which of their addresses hosts are reached
    #[arg(long, global = true, value_name = "WAY", default_value = "auto", help_heading = HOSTS)]
    pub(crate) via: Way,
    /// Read instead of your ssh_config and the system's
    #[arg(short = 'F', long, global = true, value_name = "FILE", help_heading = HOSTS)]
    pub(crate) ssh_config: Option<PathBuf>,
    /// So many hosts at a time; the next ones when all of them have ended
    #[arg(long, global = true, value_name = "N|P%", help_heading = HOSTS)]
    serial: Option<Share>,
    /// Begin nothing more once more hosts than this have failed
    #[arg(long, global = true, value_name = "N|P%", help_heading = HOSTS)]
    max_fail: Option<Share>,
    /// A key of the provider's config, with dots, such as install.method=skip
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = Setting::parse, help_heading = NETWORK)]
    pub(crate) set: Vec<Setting>,
}

/// Over which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// The public one, or else the private one; where nothing is reached there, the name in the network
    Auto,
    /// The public one
    Public,
    /// The private one
    Private,
    /// The name in the network; the host's key is the one of its other address
    Tailnet,
}

impl From<Way> for Via {
    fn from(way: Way) -> Self {
        match way {
            Way::Auto => Self::Auto,
            Way::Public => Self::Public,
            Way::Private => Self::Private,
            Way::Tailnet => Self::Network,
        }
    }
}

/// A key of the provider's config and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: String,
    /// What the person wrote.
    pub(crate) option: String,
}

impl Setting {
    pub(crate) fn new(key: &str, value: &str, option: &str) -> Self {
        Self { key: key.to_owned(), value: value.to_owned(), option: option.to_owned() }
    }

    // A value may be a secret that stands there by mistake: it is not repeated.
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && key.split('.').all(|part| !part.is_empty()) => {
                Ok(Self::new(key, value, &format!("--set {key}")))
            }
            _ => Err("wanted: a key, =, and its value, such as install.method=skip".to_owned()),
        }
    }
}

/// A part of the hosts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Hosts(usize),
    Percent(usize),
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Hosts),
        };
        share.ok_or_else(|| "wanted: a number of hosts, or a part of them such as 20%".to_owned())
    }
}

/// A host that the command line names.
pub(crate) struct Word {
    pub(crate) named: Named,
    /// What stands for it on a command line, where it is no name of a host of the file.
    pub(crate) typed: Option<String>,
}

impl Choice {
    /// Whether anything on the command line says which network is meant.
    pub(crate) fn names_a_network(&self) -> bool {
        !self.set.is_empty()
    }

    /// The hosts that the words stand for: names of hosts of the file, or `[NAME=][USER@]ADDRESS[:PORT]`. `file`: there is
    /// one.
    pub(crate) fn hosts(&self, words: &[String], file: bool) -> Result<Vec<Word>, Stop> {
        let is_place = |word: &String| word.contains(['@', '=']) || self.name.is_some() || !file;
        let places = words.iter().filter(|word| is_place(word)).count();
        let wrong = |why: String| Stop::new(Fault::Usage, why);
        if let Some(word) = words.iter().find(|word| is_a_limit(word)) {
            let shown = boundary::text::one_line(word);
            return Err(wrong(format!(
                "`{shown}` names no host, it chooses some\ndo: write it with its option:  --limit '{shown}'"
            )));
        }
        if self.name.is_some() && words.len() != 1 {
            return Err(wrong(
                "--name names one host that is given as [USER@]ADDRESS\ndo: give exactly one".to_owned(),
            ));
        }
        if !self.tags.is_empty() && places == 0 {
            return Err(wrong(
                "--tags are for hosts that are given as [USER@]ADDRESS\ndo: write the tags of others in the file"
                    .to_owned(),
            ));
        }
        words
            .iter()
            .map(|word| {
                if !is_place(word) || (!file && !self.names_a_network() && host_label(word).is_ok()) {
                    return Ok(Word { named: Named { name: word.clone(), ..Named::default() }, typed: None });
                }
                let mut named = place(word, self.name.as_deref()).map_err(wrong)?;
                named.tags.clone_from(&self.tags);
                let bare = word.split_once('=').map_or(word.as_str(), |(_, bare)| bare);
                Ok(Word { typed: Some(format!("{}={bare}", named.name)), named })
            })
            .collect()
    }

    /// How many hosts at a time, of so many.
    pub(crate) fn limit(&self, limits: &mut Limits, hosts: usize) {
        limits.serial = self.serial.map(|share| match share {
            Share::Hosts(number) => number.max(1),
            Share::Percent(percent) => (hosts * percent).div_ceil(100).max(1),
        });
        limits.max_fail = self.max_fail.map(|share| match share {
            Share::Hosts(number) => number,
            Share::Percent(percent) => hosts * percent / 100,
        });
    }

    /// Whether the limit is about what the last run left to do: after this run it means other hosts.
    pub(crate) fn rests_on_the_last_run(&self) -> bool {
        let of_a_run = |word: &str| matches!(word.trim_start_matches('!'), "@failed" | "@drift");
        self.limit.iter().any(|limit| limit.to_string().split(',').map(str::trim).any(of_a_run))
    }

    /// The options by which the command to run next is about the same hosts, so many at a time.
    pub(crate) fn selection(&self, again: &mut String) {
        if let Some(name) = &self.name {
            let _ = write!(again, " --name {}", quoted(name));
        }
        for limit in self.limit.iter().filter(|_| !self.rests_on_the_last_run()) {
            let _ = write!(again, " --limit {}", quoted(&limit.to_string()));
        }
        for (option, share) in [("--serial", self.serial), ("--max-fail", self.max_fail)] {
            match share {
                Some(Share::Hosts(number)) => _ = write!(again, " {option} {number}"),
                Some(Share::Percent(percent)) => _ = write!(again, " {option} {percent}%"),
                None => {}
            }
        }
    }

    /// The options that any other command needs again. Not the limits: where a text names hosts, it names them itself.
    pub(crate) fn again(&self, again: &mut String) {
        if let Some(file) = &self.ssh_config {
            let _ = write!(again, " -F {}", quoted(&file.to_string_lossy()));
        }
        if self.via != Way::Auto {
            let way = self.via.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            let _ = write!(again, " --via {way}");
        }
        for file in &self.hosts_from {
            let _ = write!(again, " --hosts-from {}", quoted(&file.to_string_lossy()));
        }
        for Setting { value, option, .. } in &self.set {
            let joint = if option.starts_with("--set ") { "=" } else { " " };
            let _ = write!(again, " {option}{joint}{}", quoted(value));
        }
        if !self.tags.is_empty() {
            let _ = write!(again, " --tags {}", quoted(&self.tags.join(",")));
        }
    }
}

/// `[NAME=][USER@]ADDRESS[:PORT]`, an IPv6 address with a port in brackets.
fn place(word: &str, name: Option<&str>) -> Result<Named, String> {
    let (given, rest) = match word.split_once('=') {
        Some((given, rest)) => (Some(given), rest),
        None => (None, word),
    };
    let rest = rest.strip_prefix("ssh://").unwrap_or(rest);
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let (address, port) = match rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((address, after)) => (address, after.strip_prefix(':')),
        None => match rest.split_once(':') {
            Some((address, port)) if !port.contains(':') => (address, Some(port)),
            _ => (rest, None),
        },
    };
    let shown = boundary::text::one_line(word);
    if !is_address(address) || user.is_some_and(|user| !is_user(user)) {
        return Err(format!("`{shown}` is no host\nwanted: [NAME=][USER@]ADDRESS[:PORT]"));
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err(format!("`{shown}` has no port: 1 to 65535")),
    };
    let first = address.split('.').next().filter(|_| address.parse::<IpAddr>().is_err());
    let Some(name) = name.or(given).or(first) else {
        return Err(format!(
            "`{shown}` needs a name: it is the host's name in the network\ndo: give it with --name, or write NAME={shown}"
        ));
    };
    if let Err(why) = host_label(name) {
        return Err(format!(
            "`{}` cannot name a host: {why}\nwanted: a DNS label: 1 to 63 of a-z, 0-9 and -, with no - at either end\n\
             do: give another with --name",
            boundary::text::one_line(name)
        ));
    }
    let (name, address) = (name.to_owned(), address.to_owned());
    Ok(Named { name, address, port, user: user.map(str::to_owned), ..Named::default() })
}

/// Whether a word can only be meant for `--limit`. One that begins with `@` is nobody's host either.
fn is_a_limit(word: &str) -> bool {
    ["role=", "tag=", "label:", "@", "!"].iter().any(|begin| word.starts_with(begin)) || word.contains('*')
}

/// Keeps what a run left to do, for `--limit @failed` and `@drift`; a note, where that could not be done.
pub(crate) fn remember(
    file: Option<String>,
    global: &Global,
    leaving: bool,
    act: Act,
    hosts: &[HostSpec],
    results: &[HostResult],
) -> Option<Event> {
    // To look whether hosts would leave says nothing of how they are.
    if leaving && act == Act::Look {
        return None;
    }
    let records = Records::of_user()?;
    let results = hosts.iter().map(|host| host.name.as_str()).zip(results);
    let error = records.add(&global.config, &global.env, results).err()?;
    let finding = Finding {
        severity: Severity::Note,
        code: "not-kept".to_owned(),
        summary: format!("what this run left to do could not be kept: {error}"),
        detail: Some("means: @failed and @drift stand for what an earlier run left".to_owned()),
        pointer: String::new(),
        place: None,
        option: None,
    };
    Some(Event::Notice { file, finding })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(line: &str) -> Choice {
        crate::args::parse(format!("x plan {line}").split_whitespace().map(Into::into)).expect(line).global.choice
    }

    fn hosts(line: &str, words: &[&str], file: bool) -> Result<Vec<String>, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let word = |word: Word| {
            let Named { name, address, port, user, tags } = word.named;
            let port = port.map_or(String::new(), |port| format!(" {port}"));
            format!(
                "{name} {} {address}{port} [{}] {}",
                user.unwrap_or_default(),
                tags.join("+"),
                word.typed.unwrap_or_default()
            )
        };
        choice(line)
            .hosts(&words, file)
            .map(|all| all.into_iter().map(word).collect())
            .map_err(|stop| format!("{stop:?}"))
    }

    #[test]
    fn a_word_is_a_name_of_the_file_or_says_where_a_host_is() {
        let one = |line, word, file| hosts(line, &[word], file).expect(word).remove(0);
        assert_eq!(one("", "app-1", true), "app-1   [] ");
        let named = one("--name app-1 --tags t:web,t:b", "root@203.0.113.7", true);
        assert_eq!(named, "app-1 root 203.0.113.7 [t:web+t:b] app-1=root@203.0.113.7");
        assert_eq!(
            one("", "app-1=root@203.0.113.7:22", true),
            "app-1 root 203.0.113.7 22 [] app-1=root@203.0.113.7:22"
        );
        assert_eq!(one("", "db-1=[2001:db8::1]:2222", true), "db-1  2001:db8::1 2222 [] db-1=[2001:db8::1]:2222");
        assert_eq!(one("", "db-1=2001:db8::1", true), "db-1  2001:db8::1 [] db-1=2001:db8::1");
        assert_eq!(one("", "me@web-1.example.net", true), "web-1 me web-1.example.net [] web-1=me@web-1.example.net");
        assert_eq!(
            one("--tailnet x.net", "web-1.example.net", false),
            "web-1  web-1.example.net [] web-1=web-1.example.net"
        );
        assert_eq!(one("--name a", "ssh://root@b.c:23", true), "a root b.c 23 [] a=ssh://root@b.c:23");
        assert_eq!(one("", "app-1", false), "app-1   [] ", "a name in a folder without a file is still a name");
    }

    #[test]
    fn a_word_that_is_no_host_is_told_and_never_reaches_a_shell() {
        for (line, words, wanted) in [
            ("", &["root@203.0.113.7"][..], "needs a name"),
            ("", &["root@a;b"], "is no host"),
            ("", &["-oProxyCommand=x@a"], "cannot name a host"),
            ("", &["x=-oProxyCommand"], "is no host"),
            ("", &["a=root@"], "is no host"),
            ("", &["a=root@b:0"], "has no port"),
            ("", &["a=root@b:x"], "has no port"),
            ("", &["A_1=root@b"], "cannot name a host"),
            ("", &["role=app"], "--limit 'role=app'"),
            ("", &["@failed"], "--limit '@failed'"),
            ("", &["tag=t:web"], "--limit 'tag=t:web'"),
            ("", &["label:env=prod"], "--limit 'label:env=prod'"),
            ("", &["!app-1"], "--limit '!app-1'"),
            ("", &["app-*"], "--limit 'app-*'"),
            ("--name x", &["root@a", "root@b"], "exactly one"),
            ("--tags t:a", &["app-1"], "--tags are for"),
        ] {
            let told = hosts(line, words, true).expect_err(words[0]);
            assert!(told.contains(wanted), "{words:?}: {told}");
        }
    }

    #[test]
    fn a_share_is_a_number_or_a_part_and_at_least_one_host_is_a_batch() {
        let limits = |line: &str, hosts| {
            let mut limits = Limits::default();
            choice(line).limit(&mut limits, hosts);
            (limits.serial, limits.max_fail)
        };
        assert_eq!(limits("", 10), (None, None));
        assert_eq!(limits("--serial 3 --max-fail 0", 10), (Some(3), Some(0)));
        assert_eq!(limits("--serial 25% --max-fail 25%", 10), (Some(3), Some(2)));
        assert_eq!(limits("--serial 1% --max-fail 100%", 10), (Some(1), Some(10)));
        for bad in ["--serial x", "--serial 101%", "--max-fail -1", "--set x", "--set =x", "--set a..b=c", "--limit ,"]
        {
            let words = format!("x plan {bad}");
            assert!(crate::args::parse(words.split(' ').map(Into::into)).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_option_in_a_providers_own_words_sets_a_key_of_its_config() {
        let set = choice("--tailnet x.net --set install.method=skip").set;
        let set: Vec<_> = set.iter().map(|one| format!("{}={} {}", one.key, one.value, one.option)).collect();
        assert_eq!(set, ["install.method=skip --set install.method", "tailnet_domain=x.net --tailnet"]);
    }
}
