//! What a run of the product told, host by host.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lab::product::Ran;
use serde_json::Value;
use tailnet_lab::{Host, Project};

/// A run with `--json`.
pub(crate) struct Told {
    ran: Ran,
    lines: Vec<Value>,
    /// What the daemons wrote last, where the run failed: what a test that wanted another end shows.
    journals: String,
}

impl Told {
    /// Runs the product with the words of this line, `--json` and every command that it sends.
    pub(crate) fn run(project: &Project, line: &str) -> Result<Self> {
        let ran = project.run(&format!("{line} --json -vv"))?;
        let lines = ran.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        let lines = lines.with_context(|| format!("{line}: {ran:?}"))?;
        let journals = if ran.code == Some(0) { String::new() } else { project.hosts().map(journal).collect() };
        Ok(Self { ran, lines, journals })
    }

    /// How that host ended: its result, or its kind of failure.
    pub(crate) fn end(&self, host: &str) -> Result<&str> {
        let done = self.done(host)?;
        done["kind"].as_str().or_else(|| done["result"].as_str()).context("no result")
    }

    /// The run ended so on every host, and with the exit code that belongs to it.
    pub(crate) fn all(self, wanted: &str) -> Result<Self> {
        let code = if ["holds", "changed", "would-change"].contains(&wanted) { 0 } else { 10 };
        let hosts: Vec<&str> =
            self.lines[0]["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for host in hosts {
            let end = self.end(host)?;
            ensure!(end == wanted, "{host}: {end}, and not {wanted}: {}\n{}", self.words(), self.journals);
        }
        ensure!(self.ran.code == Some(code), "exit {:?}, and not {code}: {}", self.ran.code, self.words());
        Ok(self)
    }

    /// It says all of these somewhere in what went wrong, or in what is good to know.
    pub(crate) fn says(self, texts: &[&str]) -> Result<Self> {
        let words = self.words();
        match texts.iter().find(|text| !words.contains(**text)) {
            Some(missing) => bail!("not said: {missing}\nsaid: {words}"),
            None => Ok(self),
        }
    }

    /// What was changed, as a failure tells it.
    pub(crate) fn changed(self, wanted: &str) -> Result<Self> {
        let done = self.lines.iter().find(|line| line["event"] == "done").context("no host is done")?;
        ensure!(done["changed"] == wanted, "changed {}, and not {wanted}: {}", done["changed"], self.words());
        Ok(self)
    }

    /// Every command that root ran in a step, as a line.
    pub(crate) fn commands(&self) -> Vec<String> {
        let ran = self.lines.iter().filter(|line| line["event"] == "ran" && !line["step"].is_null());
        let argv = ran.filter_map(|line| line["argv"].as_array());
        argv.map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")).collect()
    }

    /// The value of a fact that was found at the first look.
    pub(crate) fn fact(&self, name: &str) -> Result<&str> {
        let planned = self.lines.iter().find(|line| line["event"] == "planned").context("nothing was planned")?;
        let fact = planned["facts"].as_array().into_iter().flatten().find(|fact| fact["name"] == name);
        fact.and_then(|fact| fact["value"].as_str()).with_context(|| format!("no fact {name}: {planned}"))
    }

    /// What was said of a host that failed, as it stands in the JSON.
    pub(crate) fn diagnostics(&self, host: &str) -> Result<String> {
        Ok(self.done(host)?["diagnostics"].to_string())
    }

    /// Everything that was written anywhere.
    pub(crate) fn written(&self) -> String {
        format!("{}{}", self.ran.stdout, self.ran.stderr)
    }

    fn done(&self, host: &str) -> Result<&Value> {
        let done = self.lines.iter().find(|line| line["event"] == "done" && line["host"] == host);
        done.with_context(|| format!("{host} is not done: {}", self.words()))
    }

    /// Results, and all that diagnostics and faults say.
    fn words(&self) -> String {
        let told = self.lines.iter().filter(|line| matches!(line["event"].as_str(), Some("done" | "fault")));
        told.map(Value::to_string).collect::<Vec<_>>().join("\n").replace("\\n", "\n").replace("\\\"", "\"")
    }
}

/// The last that the daemon of a host wrote. A host that does not answer has none.
pub(crate) fn journal(host: &Host) -> String {
    let lines = host.sh("journalctl --no-pager -u tailscaled -o short-iso-precise -n 150").unwrap_or_default();
    format!("---- tailscaled on {} ----\n{lines}", host.name())
}

/// `up`, which ends so on every host.
pub(crate) fn up(project: &Project, wanted: &str) -> Result<Told> {
    Told::run(project, "up")?.all(wanted)
}

/// Waits until that is so, for a minute and a half: a daemon that has lost its server tries again ever more rarely.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(90);
    while !so()? {
        ensure!(Instant::now() < end, "it is not so after 90 s: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The state that the daemon says it is in, and whether it is connected to its control server.
pub(crate) fn backend(host: &Host) -> Result<(String, bool)> {
    let status = host.tailscale_status()?;
    let state = status["BackendState"].as_str().unwrap_or_default().to_owned();
    Ok((state, status["Self"]["Online"] == true))
}

/// Waits until the daemon is connected to its control server.
pub(crate) fn until_online(host: &Host) -> Result<()> {
    until("the host is online", || Ok(backend(host)? == ("Running".to_owned(), true)))
}

/// The preferences of the daemon.
pub(crate) fn prefs(host: &Host) -> Result<Value> {
    Ok(serde_json::from_str(&host.sh("tailscale debug prefs")?)?)
}

/// What must stay on a host that nobody may touch: its state, its preferences, who it is, since when the daemon runs.
pub(crate) fn identity(host: &Host) -> Result<Value> {
    let status = host.tailscale_status()?;
    let own = |name: &str| status["Self"][name].clone();
    let daemon = host.sh("systemctl show tailscaled -p MainPID,ActiveEnterTimestampMonotonic,UnitFileState")?;
    Ok(serde_json::json!({
        "state": status["BackendState"], "tailnet": status["CurrentTailnet"]["MagicDNSSuffix"],
        "id": own("ID"), "name": own("DNSName"), "tags": own("Tags"), "key": own("PublicKey"),
        "prefs": prefs(host)?, "daemon": daemon,
    }))
}

/// No trace of a secret on a host: not on its disk, not in its `/run`, not in an argument or an environment.
pub(crate) fn no_trace(host: &Host, secret: &str) -> Result<()> {
    // In two parts, so that the line that looks does not find itself.
    let (one, two) = secret.split_at(secret.len() / 2);
    let look = format!(
        "set -- '{one}' '{two}'; for at in /etc /root /home /var /run /tmp /dev/shm; do grep -rlsaF -- \"$1$2\" $at; done; \
         for p in /proc/[0-9]*; do [ $p = /proc/$$ ] && continue; grep -lsaF -- \"$1$2\" $p/cmdline $p/environ; done; \
         journalctl --no-pager -o export 2>/dev/null | grep -aF -- \"$1$2\"; :"
    );
    let found = host.sh(&look)?;
    ensure!(found.trim().is_empty(), "{}: the key stands in {found}", host.name());
    Ok(())
}
