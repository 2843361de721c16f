//! `init`: writes a commented project file to begin with. Never over one that is there, unless told to.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use boundary::inventory::{Listed, Weight};
use stagecraft_net::event::Fault;
use stagecraft_net::inventory;
use stagecraft_net::registry::{assumed, config_options, default_id, example};

use crate::args::{Global, Init};
use crate::choice::Setting;
use crate::exit::Exit;
use crate::project::{Stop, quoted, stopped};

pub(crate) fn run(global: &Global, args: &Init) -> Exit {
    match write(global, args) {
        Ok(said) => {
            // The file's text, when it was asked for, is the answer; what to do next is for the person.
            if let Some(text) = said.text {
                print!("{text}");
            }
            if !global.json {
                eprint!("{}", said.next);
            }
            Exit::Ok
        }
        Err(stop) => stopped(global.json, global.verbose, "init", None, &stop),
    }
}

struct Said {
    text: Option<String>,
    next: String,
}

fn write(global: &Global, args: &Init) -> Result<Said, Stop> {
    let file = &global.config;
    let shown = file.display();
    if file.exists() && !args.force && !global.dry_run {
        let again = options(global, args);
        let other = again.replacen(&named(global), "", 1);
        let hint = format!(
            "do: what to paste into it:  stagecraft-net init{again} --dry-run\na file of its own:    stagecraft-net \
             init{other} -c FILE\nin its place:         stagecraft-net init{again} --force\nnote: of what --dry-run \
             prints, it needs the sections that it lacks: network, environments, infra"
        );
        return Err(Stop::new(Fault::Usage, format!("{shown} is there already, and is as it was\n{hint}")));
    }
    let mut lists = Vec::new();
    for source in &global.choice.hosts_from {
        let bytes = inventory::read_list(source)
            .map_err(|why| Stop::new(Fault::Config, format!("--hosts-from: {why}\ndo: name the right file")))?;
        let list = boundary::inventory::read(&bytes, None);
        let faults: Vec<String> = list
            .remarks
            .iter()
            .filter(|one| one.weight == Weight::Fault)
            .map(|one| format!("{}\n{}", one.summary, one.detail.as_deref().unwrap_or_default()))
            .collect();
        if !faults.is_empty() {
            return Err(Stop::new(Fault::Config, format!("--hosts-from {}: {}", source.display(), faults.join("\n"))));
        }
        lists.push(List { source: source.clone(), terraform: is_terraforms(&bytes), hosts: list.hosts });
    }
    let text = text(&global.env, &lists, &global.choice.set, args, file);
    if global.dry_run {
        return Ok(Said { text: Some(text), next: String::new() });
    }
    let written = if args.force {
        std::fs::write(file, &text)
    } else {
        // Nobody may have written one meanwhile.
        std::fs::File::create_new(file).and_then(|mut new| new.write_all(text.as_bytes()))
    };
    written.map_err(|error| Stop::new(Fault::Outside, format!("{shown} could not be written: {error}")))?;
    Ok(Said { text: None, next: next(global, args, &lists) })
}

/// What is written, what is still to be said, and the command to run next.
fn next(global: &Global, args: &Init, lists: &[List]) -> String {
    let hosts: Vec<&Listed> = lists.iter().flat_map(|list| &list.hosts).collect();
    let count = match hosts.len() {
        0 => String::new(),
        1 => ", with one host".to_owned(),
        many => format!(", with {many} hosts"),
    };
    let mut said = format!("{} is written{count}\n", global.config.display());
    let (mut missing, mut words) = (Vec::new(), String::new());
    if hosts.is_empty() {
        missing.push("no host stands in it yet".to_owned());
        words += " --hosts-from FILE";
    }
    let assumed = assumed(default_id());
    for line in example(default_id()).lines() {
        let option = config_options().find(|one| line.starts_with(&format!("{}:", one.key)));
        let Some(option) = option.filter(|one| assumed.iter().all(|(key, _)| *key != one.key)) else { continue };
        if global.choice.set.iter().all(|set| set.key != option.key) {
            missing.push(format!("`{line}` is an example"));
            let _ = write!(words, " --{} {}", option.name, option.value);
        }
    }
    let (inside, outside): (Vec<&Listed>, Vec<&Listed>) =
        hosts.iter().partition(|host| host.address.is_none() && host.private_address.is_some());
    if args.jump.is_none() && !inside.is_empty() {
        let names: Vec<&str> = inside.iter().map(|host| host.name.as_str()).collect();
        let some = match names[..] {
            [only] => format!("{only} has a private address only"),
            [first, .., last] if names.len() > 3 => {
                format!("{} hosts have private addresses only: {first} … {last}", names.len())
            }
            _ => format!("{} have private addresses only", names.join(" · ")),
        };
        missing.push(format!("{some}; where they are not reached from here, name what stands in front of them"));
        // One that is reached from everywhere, where the others are not, is what they are behind.
        let bastion = match outside[..] {
            [one] => bastion(one),
            _ => "USER@BASTION".to_owned(),
        };
        let _ = write!(words, " --jump {bastion}");
    }
    let options = options(global, args);
    if missing.is_empty() {
        let _ = writeln!(said, "next: stagecraft-net plan{}", named(global));
        return said;
    }
    for one in &missing {
        let _ = writeln!(said, "  {one}");
    }
    let _ = writeln!(said, "next: stagecraft-net init --force{options}{words}");
    let _ = writeln!(said, "  or, where the file says all of it: stagecraft-net plan{}", named(global));
    said
}

/// A host as a jump host.
fn bastion(host: &Listed) -> String {
    let user = host.user.as_ref().map_or_else(|| "USER@".to_owned(), |user| format!("{user}@"));
    let address = host.address.as_deref().unwrap_or("BASTION");
    let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let port = host.port.filter(|port| *port != 22).map_or_else(String::new, |port| format!(":{port}"));
    format!("{user}{address}{port}")
}

/// What names the file and the environment to another command. The file names all else.
fn named(global: &Global) -> String {
    let mut named = String::new();
    if global.config.as_os_str() != crate::project::DEFAULT_FILE {
        let _ = write!(named, " -c {}", quoted(&global.config.to_string_lossy()));
    }
    if global.env != "dev" {
        let _ = write!(named, " -e {}", quoted(&global.env));
    }
    named
}

/// All that was said, for another `init`.
fn options(global: &Global, args: &Init) -> String {
    let mut options = named(global);
    global.choice.again(&mut options);
    for (option, value) in [("user", &args.user), ("jump", &args.jump)] {
        if let Some(value) = value {
            let _ = write!(options, " --{option} {}", quoted(value));
        }
    }
    options
}

struct List {
    source: std::path::PathBuf,
    terraform: bool,
    hosts: Vec<Listed>,
}

fn is_terraforms(bytes: &[u8]) -> bool {
    !boundary::inventory::read(bytes, Some(boundary::inventory::Format::Terraform)).is_faulty()
}

/// The file. What it holds loads.
fn text(environment: &str, lists: &[List], settings: &[Setting], args: &Init, file: &Path) -> String {
    let id = default_id();
    let mut text = String::from(
        "# What stagecraft-net reads; every key: docs/config.md. Other sections of a stagecraft.yml may stand here too.\n\n",
    );
    let _ = writeln!(text, "network:\n  provider: {id}\n  providers:\n    {id}:");
    let mut roles: Vec<&str> =
        lists.iter().flat_map(|list| &list.hosts).flat_map(|host| host.roles.iter().map(String::as_str)).collect();
    roles.sort_unstable();
    roles.dedup();
    for line in example(id).lines() {
        let set = settings.iter().find(|one| line.starts_with(&format!("{}:", one.key)));
        match set {
            Some(Setting { key, value, .. }) => {
                let _ = writeln!(text, "      {key}: {}", scalar(value));
            }
            None => {
                let _ = writeln!(text, "      {line}");
            }
        }
    }
    if !roles.is_empty() {
        let _ = writeln!(text, "      # The tags that a role brings.\n      role_tags:");
        for role in roles {
            let _ = writeln!(text, "        {}: []", scalar(role));
        }
    }
    let _ = writeln!(
        text,
        "\nenvironments:\n  {}:\n    # A network of its own, over what stands above:\n    # network:\n    #   …\n",
        scalar(environment)
    );
    text.push_str("infra:\n  bootstrap:\n    ssh:\n      # Left out: what `ssh` itself would use.\n");
    let ssh = [
        ("user", args.user.as_deref(), "deploy", ""),
        ("port", None, "22", ""),
        ("privateKeyPath", None, "~/.ssh/id_ed25519", ""),
        (
            "knownHostsFile",
            Some("known_hosts"),
            "",
            "The keys of these hosts and of their bastion; `stagecraft-net trust` writes it.",
        ),
        (
            "jump",
            args.jump.as_deref(),
            "deploy@bastion.example.com",
            "What stands in front of the hosts, as for `ssh -J`.",
        ),
    ];
    for (key, given, instead, remark) in ssh {
        if !remark.is_empty() {
            let _ = writeln!(text, "      # {remark}");
        }
        let _ = match given {
            Some(given) => writeln!(text, "      {key}: {}", scalar(given)),
            None => writeln!(text, "      # {key}: {instead}"),
        };
    }
    let (files, piped): (Vec<&List>, Vec<&List>) = lists.iter().partition(|list| list.source.as_os_str() != "-");
    if !files.is_empty() {
        text.push_str("  # Lists of hosts that other programs write; later ones win.\n  inventory:\n");
        for list in files {
            let key = if list.terraform { "terraform" } else { "ansible" };
            let command = if list.terraform { "terraform output -json" } else { "ansible-inventory --list" };
            let path = relative(&list.source, file);
            let _ = writeln!(text, "    # {command} > {}\n    - {key}: {}", quoted(&path), scalar(&path));
            let labels = list.hosts.iter().find_map(|host| host.labels.keys().next());
            if let Some(label) = labels {
                let _ = writeln!(text, "      # tags_from_labels: [\"tag:{{{label}}}\"]");
            }
        }
    }
    text.push_str("  hosts:\n");
    let _ = writeln!(text, "    {}:", scalar(environment));
    let mut some = false;
    for host in piped.iter().flat_map(|list| &list.hosts) {
        some = true;
        let _ = writeln!(text, "      {}:", scalar(&host.name));
        let mut field = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = writeln!(text, "        {key}: {value}");
            }
        };
        field("address", host.address.as_deref().map(scalar));
        field("private_address", host.private_address.as_deref().map(scalar));
        field("port", host.port.map(|port| port.to_string()));
        field("user", host.user.as_deref().map(scalar));
        let words =
            |words: &[String]| format!("[{}]", words.iter().map(|word| scalar(word)).collect::<Vec<_>>().join(", "));
        field("roles", (!host.roles.is_empty()).then(|| words(&host.roles)));
        let labels: Vec<String> =
            host.labels.iter().map(|(key, value)| format!("{}: {}", scalar(key), scalar(value))).collect();
        field("labels", (!labels.is_empty()).then(|| format!("{{{}}}", labels.join(", "))));
    }
    if !some {
        text.push_str(
            "      # What stands here wins over the lists. A name without an address is an alias of your ssh_config.\n      \
             # app-1:\n      #   address: 203.0.113.7\n      #   roles: [app]\n",
        );
    }
    text
}

/// A path as the file names it: relative paths are relative to its folder.
fn relative(path: &Path, file: &Path) -> String {
    let here = file.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    if here || path.is_absolute() {
        return path.display().to_string();
    }
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Text as YAML: plain where nothing else could be read into it.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && text.chars().all(plain) && !reserved.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    // JSON's text is YAML's too.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagecraft_net::inventory::Refusal;

    fn list(source: &str, text: &str) -> List {
        let hosts = boundary::inventory::read(text.as_bytes(), None).hosts;
        List { source: source.into(), terraform: is_terraforms(text.as_bytes()), hosts }
    }

    const HOSTS: &str = r#"[{"host_id": "web-1", "public_ip": "203.0.113.7", "private_ip": "10.0.0.7", "ssh_port": 2222,
        "roles": ["web", "no"], "labels": {"env": "prod: x", "1": "\u0007"}}, {"host_id": "n", "public_ip": "2001:db8::1"}]"#;

    /// Loads what was written, with the built-in provider, and gives the hosts.
    fn loaded(text: &str, environment: &str, file: &Path) -> inventory::Inventory {
        let registry = crate::project::registry().expect("the providers");
        let configure = |id: &str, config: &serde_json::Value| {
            let provider = registry.get(id).map_err(|unknown| Refusal::UnknownProvider(unknown.known))?;
            provider.configure(config).map_err(|invalid| Refusal::Findings(invalid.findings))
        };
        inventory::parse(text, file, environment, configure).unwrap_or_else(|error| panic!("{error}\n{text}")).0
    }

    #[test]
    fn what_init_writes_loads_without_a_finding_whatever_it_was_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("stagecraft.yml");
        let written = text("dev", &[], &[], &Init::default(), &file);
        assert!(loaded(&written, "dev", &file).hosts().is_empty());

        let given = Init { jump: Some("ada@[2001:db8::1]:22,b".to_owned()), user: Some("no".to_owned()), force: false };
        let set = [Setting::new("tailnet_domain", "corp.ts.net", "--tailnet")];
        let piped = text("prod", &[list("-", HOSTS)], &set, &given, &file);
        assert!(piped.contains("tailnet_domain: corp.ts.net"), "{piped}");
        let inventory = loaded(&piped, "prod", &file);
        assert_eq!(inventory.notes(), []);
        let host = inventory.host("web-1").expect("it is there");
        assert_eq!(
            (host.address.as_deref(), host.port, host.roles.join("+")),
            (Some("203.0.113.7"), Some(2222), "no+web".to_owned())
        );
        assert_eq!((host.jump.as_deref(), host.user.as_deref()), (given.jump.as_deref(), Some("no")));
        assert_eq!(host.labels["env"], "prod: x");

        let ansible = r#"{"_meta": {"hostvars": {"db-1": {"ansible_host": "10.0.0.9"}}}, "db": {"hosts": ["db-1"]}}"#;
        for (name, text) in [("tf.json", HOSTS), ("it's ansible.json", ansible)] {
            std::fs::write(folder.path().join(name), text).expect("written");
        }
        let lists = [list("tf.json", HOSTS), list("it's ansible.json", ansible)];
        let lists: Vec<List> =
            lists.into_iter().map(|one| List { source: folder.path().join(&one.source), ..one }).collect();
        let named = text("dev", &lists, &[], &Init::default(), &file);
        let inventory = loaded(&named, "dev", &file);
        assert_eq!(inventory.hosts().len(), 3, "{named}");
        let wrong: Vec<_> = inventory.notes().iter().filter(|one| one.code != "no-port").collect();
        assert_eq!(wrong, Vec::<&inventory::Finding>::new(), "{named}");
    }

    #[test]
    fn text_is_quoted_where_yaml_would_read_something_else() {
        for (text, wanted) in [
            ("app-1", "app-1"),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("no", "\"no\""),
            ("1.80", "\"1.80\""),
            ("a: b", "\"a: b\""),
            ("tag:x", "\"tag:x\""),
            ("", "\"\""),
            ("-x", "\"-x\""),
            ("a\nb", "\"a\\nb\""),
            ("/etc/x", "/etc/x"),
        ] {
            assert_eq!(scalar(text), wanted);
        }
    }
}
