//! The keys of a `stagecraft.yml` that are read here: the one table that the reader, `docs/config.md` and the schema for
//! editors share.
//!
//! A path is written with dots; `<env>`, `<name>` and `<id>` stand for any name, `[]` for each entry of a list.
//! Not for: what stands under `network.providers.<id>`, which its provider describes.

/// A key that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) path: &'static str,
    pub(super) shape: Shape,
    /// For people; a Markdown line.
    pub(super) about: &'static str,
    /// A value, as YAML; empty where the keys below say more.
    pub(super) example: &'static str,
}

/// What a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The keys of the table below it, and no other where it is strict.
    Section {
        strict: bool,
    },
    /// Any keys, each a name of this kind.
    Names(&'static str),
    /// A list of what stands below it.
    Entries,
    /// What the provider says.
    Provider,
    Text,
    /// A path of a file, relative to the project's file; `~/` is the home directory.
    Path,
    /// A whole number from 1 to 65535.
    Port,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of text.
    Texts,
    /// Text, or a list of it.
    TextOrTexts,
    /// A mapping of text.
    Labels,
    /// Seconds as a number with `s`, `m` or `h`.
    Time,
}

const OURS: Shape = Shape::Section { strict: true };
const THEIRS: Shape = Shape::Section { strict: false };

const fn key(path: &'static str, shape: Shape, example: &'static str, about: &'static str) -> Key {
    Key { path, shape, about, example }
}

/// Every key that is read, parents first.
pub(super) const KEYS: &[Key] = &[
    key("network", OURS, "", "The network that hosts are members of."),
    key("network.provider", Shape::Text, "demo", "The id of the provider that decides. Required."),
    key("network.providers", Shape::Names("provider"), "", "One entry for each provider."),
    key(
        "network.providers.<id>",
        Shape::Provider,
        "",
        "The provider's own config: it goes there as it stands, and the provider checks it.",
    ),
    key("environments", Shape::Names("environment"), "", "Stagecraft's environments; `-e` chooses one of them."),
    key("environments.<env>", THEIRS, "", "One environment."),
    key(
        "environments.<env>.network",
        Shape::Provider,
        "",
        "Merged over `network.providers.<id>` for this environment: mappings key by key, everything else replaces what \
         was there, and an empty value takes a key away.",
    ),
    key("cloud", THEIRS, "", "Stagecraft's cloud."),
    key("cloud.provider", Shape::Text, "somecloud", "Which of its providers has the hosts."),
    key("cloud.providers", Shape::Names("provider"), "", "One entry for each provider."),
    key("cloud.providers.<id>", THEIRS, "", "The cloud's own config."),
    key("cloud.providers.<id>.hosts", Shape::Names("environment"), "", "The hosts that the cloud makes."),
    key(
        "cloud.providers.<id>.hosts.<env>",
        Shape::Names("host"),
        "",
        "They are hosts here too, by name and role. Where nothing else says an address, the name is an alias of \
         `ssh_config`.",
    ),
    key("cloud.providers.<id>.hosts.<env>.<name>", THEIRS, "", "One host."),
    key("cloud.providers.<id>.hosts.<env>.<name>.role", Shape::Text, "app", "Its role."),
    key("infra", THEIRS, "", "Hosts, and the way to them."),
    key("infra.bootstrap", THEIRS, "", "Stagecraft's first steps on a host."),
    key("infra.bootstrap.ssh_user", Shape::Text, "deploy", "The same as `infra.bootstrap.ssh.user`."),
    key("infra.bootstrap.ssh", OURS, "", "SSH, for all hosts. Left out: what `ssh` itself would use."),
    key("infra.bootstrap.ssh.user", Shape::Text, "deploy", "Who logs in."),
    key("infra.bootstrap.ssh.port", Shape::Port, "22", "The port."),
    key("infra.bootstrap.ssh.privateKeyPath", Shape::Path, "~/.ssh/id_ed25519", "A private key, tried first."),
    key(
        "infra.bootstrap.ssh.knownHostsFile",
        Shape::Path,
        "known_hosts",
        "The file that knows the hosts' keys, instead of those of `ssh_config`; for jump hosts, in front of those.",
    ),
    key(
        "infra.bootstrap.ssh.config",
        Shape::Path,
        "ssh_config",
        "Read instead of the user's and the system's `ssh_config`, as by `ssh -F`. `-F` wins over it.",
    ),
    key(
        "infra.bootstrap.ssh.jump",
        Shape::Text,
        "deploy@bastion.example.com",
        "Jump hosts, as for `ssh -J`: `[user@]host[:port]`, several with commas. `none`: no jump host, whatever \
         `ssh_config` says. The private key above is tried there too.",
    ),
    key(
        "infra.bootstrap.ssh.sudo",
        Shape::Word(&SUDO),
        "no-password",
        "How root is had: `no-password` (as by default) never asks, `ask` asks for sudo's password once.",
    ),
    key(
        "infra.inventory",
        Shape::Entries,
        "",
        "Where hosts come from besides this file: a list, whose later entries win, field by field. `infra.hosts` wins \
         over all of them. `${env}` in a path or a word is the environment.",
    ),
    key("infra.inventory.[]", OURS, "", "One of `terraform`, `ansible` or `command`, and what goes with it."),
    key(
        "infra.inventory.[].terraform",
        Shape::Path,
        "hosts.${env}.json",
        "A file with what `terraform output -json` prints, where an output `stagecraft_hosts` lists the hosts; or with \
         that list alone.",
    ),
    key("infra.inventory.[].ansible", Shape::Path, "hosts.json", "A file with what `ansible-inventory --list` prints."),
    key(
        "infra.inventory.[].command",
        Shape::Texts,
        "[terraform, output, -json]",
        "A program and its words, run in the folder of this file, without a shell. It prints one of the two.",
    ),
    key(
        "infra.inventory.[].format",
        Shape::Word(&FORMAT),
        "terraform",
        "What the command prints; left out: told by what it looks like.",
    ),
    key("infra.inventory.[].timeout", Shape::Time, "30s", "How long the command may take; 60s unless told."),
    key(
        "infra.inventory.[].environments",
        Shape::TextOrTexts,
        "[dev, prod]",
        "Only for these environments; left out: for all.",
    ),
    key(
        "infra.inventory.[].tags_from_labels",
        Shape::TextOrTexts,
        "[\"t:{env}\"]",
        "Tags made of a host's labels: `{env}` is the value of its label `env`. A host without one of the labels does \
         not get that tag.",
    ),
    key("infra.hosts", Shape::Names("environment"), "", "Hosts, by environment and name."),
    key("infra.hosts.<env>", Shape::Names("host"), "", "The hosts of one environment."),
    key(
        "infra.hosts.<env>.<name>",
        OURS,
        "",
        "One host. Its name is its name in the network, so it is a DNS label. Without an address it is an alias of \
         `ssh_config`.",
    ),
    key("infra.hosts.<env>.<name>.address", Shape::Text, "203.0.113.7", "A host name or an IP address."),
    key(
        "infra.hosts.<env>.<name>.private_address",
        Shape::Text,
        "10.0.0.7",
        "The same from inside its own network: for `--via private`, and where there is no other.",
    ),
    key("infra.hosts.<env>.<name>.port", Shape::Port, "2222", "Its SSH port."),
    key("infra.hosts.<env>.<name>.user", Shape::Text, "root", "Who logs in there."),
    key(
        "infra.hosts.<env>.<name>.host_key",
        Shape::TextOrTexts,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMRLmVJuDpPt6vv1yC0a1aTmNuDRCHNNT9kbRIwGZA1q",
        "The key of its SSH server, or the key's fingerprint `SHA256:…`. Then no other key is taken.",
    ),
    key(
        "infra.hosts.<env>.<name>.roles",
        Shape::Texts,
        "[app]",
        "Its roles. Each has an entry in the provider's `role_tags`, where there are any.",
    ),
    key(
        "infra.hosts.<env>.<name>.tags",
        Shape::Texts,
        "[\"t:canary\"]",
        "Tags of its own, besides the provider's `default_tags` and those of its roles.",
    ),
    key("infra.hosts.<env>.<name>.labels", Shape::Labels, "{rack: r1}", "Labels, for `--limit label:KEY=VALUE`."),
];

/// How root is had.
pub(super) const SUDO: [&str; 2] = ["no-password", "ask"];
/// Who wrote a list of hosts.
pub(super) const FORMAT: [&str; 2] = ["terraform", "ansible"];

/// The names of the keys right below a path; `""` is the whole file.
pub(super) fn below(path: &str) -> Vec<&'static str> {
    let inside = |key: &&Key| match path {
        "" => !key.path.contains('.'),
        _ => key.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')).is_some_and(|one| !one.contains('.')),
    };
    KEYS.iter().filter(inside).map(|key| key.path.rsplit('.').next().unwrap_or(key.path)).collect()
}

/// The keys of Stagecraft's own sections that may be a slip of one of ours: without those that are Stagecraft's.
pub(super) fn ours_below(path: &str) -> Vec<&'static str> {
    below(path).into_iter().filter(|name| !["environments", "cloud"].contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_below_one_that_is_there_and_after_it() {
        for (index, key) in KEYS.iter().enumerate() {
            if let Some((above, _)) = key.path.rsplit_once('.') {
                assert!(KEYS[..index].iter().any(|before| before.path == above), "{}", key.path);
            }
            assert!(KEYS[..index].iter().all(|before| before.path != key.path), "{} stands twice", key.path);
            assert!(key.about.ends_with('.') && !key.about.contains('\n'), "{}", key.path);
        }
        assert_eq!(below("network"), ["provider", "providers"]);
        assert_eq!(below("infra.inventory.[]")[..2], ["terraform", "ansible"]);
    }
}
