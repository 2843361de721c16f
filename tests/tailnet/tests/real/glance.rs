//! What `explain`, `status` and `export` tell of a real host is what its own client says of it, and telling changes nothing.

use anyhow::{Context, Result, ensure};

use crate::case::EVERY_CLIENT;
use crate::told::{identity, until, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] =
    &[test!(what_is_told_of_a_member_is_what_its_own_client_says, "C5 C7 J5 J11", EVERY_CLIENT)];

const DAY: i64 = 24 * 3600;

fn what_is_told_of_a_member_is_what_its_own_client_says(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    for name in ["app-1", "app-2"] {
        project.add(case.installed(name, &control)?)?;
    }
    up(&project, "changed")?;
    project.key(None);
    let host = &project["app-1"];
    host.sh("tailscale set --accept-routes --advertise-routes=10.9.0.0/24")?;
    control.expire("app-1", 10 * DAY + DAY / 2)?;
    until("the daemon knows when its key ends", || Ok(host.tailscale_status()?["Self"]["KeyExpiry"].is_string()))?;
    until_online(host)?;
    let (status, before) = (host.tailscale_status()?, identity(host)?);
    let own = |name: &str| status["Self"][name].as_str().with_context(|| format!("{name}: {status:#}"));

    // The whole story of one.
    let ran = project.run("explain app-1")?;
    ensure!(ran.code == Some(0) && ran.stdout.starts_with("app-1  is right\n"), "{}{}", ran.stdout, ran.stderr);
    let addresses = status["Self"]["TailscaleIPs"].as_array().into_iter().flatten().filter_map(|ip| ip.as_str());
    for told in [
        case.release.version(),
        own("DNSName")?.trim_end_matches('.'),
        own("ID")?,
        &addresses.collect::<Vec<_>>().join(" "),
        &control.url(),
        &own("KeyExpiry")?[..10],
        "--accept-routes",
        "--advertise-routes",
        "do nothing, and read no secret",
    ] {
        ensure!(ran.stdout.contains(told), "not told: {told}\n{}", ran.stdout);
    }

    // At a glance: right, with a warning of what comes, for whom that is soon.
    let ran = project.run("status")?;
    ensure!(ran.code == Some(0) && ran.stdout.starts_with("app-1 · app-2  right\n"), "{}{}", ran.stdout, ran.stderr);
    ensure!(ran.stdout.contains(", 10 d (app-1)"), "{}", ran.stdout);
    ensure!(ran.stderr.contains("warning[key-expiry]  app-1\n"), "{}", ran.stderr);
    let ran = project.run("status --expiry-days 5")?;
    ensure!(!ran.stderr.contains("key-expiry"), "{}", ran.stderr);

    // For other programs: the names resolve on the other host to what was exported.
    let ran = project.run("export --format env")?;
    ensure!(ran.code == Some(0), "{}{}", ran.stdout, ran.stderr);
    let line = format!(
        "{}\necho \"$STAGECRAFT_NET_APP_1_IPV4\"; getent ahostsv4 \"$STAGECRAFT_NET_APP_1_FQDN\" | head -1 | cut -d' ' -f1",
        ran.stdout
    );
    let found = project["app-2"].sh(&line)?;
    let found: Vec<&str> = found.lines().collect();
    let address = status["Self"]["TailscaleIPs"][0].as_str().context("an address")?;
    ensure!(found == [address, address], "{found:?}, and not {address}");

    ensure!(identity(&project["app-1"])? == before, "it was touched: {:#}", identity(&project["app-1"])?);
    Ok(())
}
