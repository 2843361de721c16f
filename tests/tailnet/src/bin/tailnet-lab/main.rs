//! The lab by hand, and the demo in it: what `cargo xtask lab` and `cargo xtask demo --real` run.

mod demo;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use tailnet_lab::{Lab, Project, Spec, need, traces};

const HELP: &str = "\
Real Debian hosts, a control server and the web around them, in network namespaces of their own.

Usage: cargo xtask lab <COMMAND>

  up [N]                boots N hosts (2), bare, with a control server and a project file
  ls                    what is up
  ssh HOST [WORD…]      onto a host, as the project file says (deploy, or USER@HOST)
  exec WORD…            a command in the lab's network, in the project's folder
  down                  ends all of it, also what was left by a run that was killed
";

/// The lab of a person. Tests of this program have another, so that they do not end the one of whoever runs them.
fn name() -> String {
    std::env::var("STAGECRAFT_NET_LAB_NAME").unwrap_or_else(|_| "lab".to_owned())
}

const DOMAIN: &str = "lab-test.ts.net";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["up"] => up(2),
        ["up", n] if n.parse::<u32>().is_ok_and(|n| (1..=200).contains(&n)) => up(n.parse().unwrap_or(1)),
        ["ls"] => list(),
        ["ssh", host, rest @ ..] => ssh(host, rest),
        ["exec", program, rest @ ..] => exec(program, rest),
        ["down"] => down(),
        ["missing"] => {
            need::missing().iter().for_each(|what| println!("{what}"));
            Ok(())
        }
        ["demo"] => demo::run(false),
        ["demo", "--keep"] => demo::run(true),
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn up(n: u32) -> Result<()> {
    can_be_made()?;
    let begin = Instant::now();
    let lab = Lab::keep(&name())?;
    let started = lay(&lab, n);
    if started.is_err() {
        traces::down(&name())?;
    }
    println!("{}\nup in {:.1} s", started?, begin.elapsed().as_secs_f64());
    Ok(())
}

fn lay(lab: &Lab, n: u32) -> Result<String> {
    let control = lab.control(DOMAIN)?;
    let key = control.good_key(&["tag:server"])?;
    let mut project = Project::of_lab(lab, &control)?;
    let names: Vec<String> = (1..=n).map(|i| format!("app-{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut text = String::new();
    for host in lab.hosts(&names, &Spec::default())? {
        text.push_str(&format!("  {:<8} {}\n", host.name(), host.address()));
        project.add(host)?;
    }
    Ok(format!(
        "{text}\n  cargo xtask lab ssh app-1\n  TS_AUTHKEY={key} cargo xtask lab exec {} up\n  cargo xtask lab down\n",
        ::lab::product::binary().display()
    ))
}

fn list() -> Result<()> {
    for name in traces::names() {
        println!("{name}");
    }
    let config = Lab::find(&name())?.project_dir().join("ssh_config");
    let config = std::fs::read_to_string(config)?;
    let mut words = config.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "Host" => print!("  {:<8} ", words.next().unwrap_or_default()),
            "HostName" => println!("{}", words.next().unwrap_or_default()),
            _ => {}
        }
    }
    println!();
    Ok(())
}

fn ssh(host: &str, words: &[&str]) -> Result<()> {
    let lab = Lab::find(&name())?;
    let error = lab.command().current_dir(lab.project_dir()).args(["ssh", "-F", "ssh_config", host]).args(words).exec();
    Err(error).context("ssh")
}

fn exec(program: &str, words: &[&str]) -> Result<()> {
    let lab = Lab::find(&name())?;
    let error = lab.command().current_dir(lab.project_dir()).arg(program).args(words).exec();
    Err(error).with_context(|| program.to_owned())
}

fn down() -> Result<()> {
    traces::sweep()?;
    let own = name();
    let was_up = traces::names().contains(&own);
    traces::down(&own)?;
    println!("{}", if was_up { "the lab is down" } else { "no lab was up" });
    Ok(())
}

fn can_be_made() -> Result<()> {
    let missing = need::missing();
    ensure!(missing.is_empty(), "this machine has no {}", missing.join(", no "));
    if !::lab::product::binary().is_file() {
        bail!("the product is not built");
    }
    Ok(())
}
