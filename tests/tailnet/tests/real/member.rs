//! What a host is already is not touched: another tailnet, another server, what somebody set by hand.

use anyhow::{Result, ensure};
use serde_json::Value;
use tailnet_lab::Release;

use crate::case::EVERY_CLIENT;
use crate::told::{Told, backend, identity, no_trace, prefs, until, until_online, up};
use crate::{Case, Test, test};

pub(crate) const TESTS: &[Test] = &[
    test!(a_host_in_another_tailnet_is_never_moved_also_when_it_is_stopped_there, "C6 C7 J1 J2", EVERY_CLIENT),
    test!(hand_set_preferences_survive_join_resume_and_re_join, "J5 J9 J10 J11 K1", EVERY_CLIENT),
    test!(a_taken_name_is_a_conflict_with_both_names, "C5 J7", EVERY_CLIENT),
    test!(a_node_that_its_server_forgets_expires_or_does_not_answer_is_told_as_that, "J5 J8 J10", EVERY_CLIENT),
];

fn a_host_in_another_tailnet_is_never_moved_also_when_it_is_stopped_there(case: &Case) -> Result<()> {
    let ours = case.control("alpha-test.ts.net")?;
    let theirs = case.control("beta-test.ts.net")?;
    let mut project = case.project(&ours)?;
    let host = project.add(case.installed("app-1", &ours)?)?;
    let key = theirs.good_key(&["tag:server"])?;
    host.sh(&format!("tailscale up --login-server={} --auth-key={key} --hostname=app-1", theirs.url()))?;

    // C7, J2: running there. Asking and trying change nothing, and both names are said.
    let before = identity(host)?;
    let names = ["host is in tailnet beta-test.ts.net, expected alpha-test.ts.net"];
    for line in ["plan", "up", "up --allow disruptive", "leave app-1"] {
        Told::run(&project, line)?.all("network-mismatch")?.says(&names)?.changed("nothing")?;
    }
    ensure!(identity(&project["app-1"])? == before, "it was touched: {:#}", identity(&project["app-1"])?);

    // Stopped there: `tailscale up` with the other server would move it without a word.
    project["app-1"].sh("tailscale down")?;
    let before = identity(&project["app-1"])?;
    for line in ["plan", "up", "leave app-1"] {
        Told::run(&project, line)?.all("network-mismatch")?.says(&names)?.changed("nothing")?;
    }
    ensure!(identity(&project["app-1"])? == before, "it was touched: {:#}", identity(&project["app-1"])?);
    ensure!(ours.registers()?.is_empty(), "it was registered with us: {:?}", ours.registers()?);
    ensure!(theirs.node("app-1")?.tags == ["tag:server"]);

    // C6: only by its name it is let go; then it joins like any other.
    Told::run(&project, "leave app-1 --from other-test.ts.net")?.all("network-mismatch")?;
    Told::run(&project, "leave app-1 --from beta-test.ts.net")?.all("changed")?;
    Told::run(&project, "leave app-1 --from beta-test.ts.net")?.all("holds")?;
    up(&project, "changed")?;
    ensure!(ours.node("app-1")?.tags == ["tag:server"]);

    // J1: the same server under another tailnet's name is another tailnet.
    let (lines, names) = (
        project.provider_lines().replace("alpha-test", "gamma-test"),
        ["alpha-test.ts.net, expected gamma-test.ts.net"],
    );
    project.provider(&lines)?;
    let before = identity(&project["app-1"])?;
    Told::run(&project, "up --allow disruptive")?.all("network-mismatch")?.says(&names)?.changed("nothing")?;
    ensure!(identity(&project["app-1"])? == before, "it was touched: {:#}", identity(&project["app-1"])?);
    Ok(())
}

/// The preferences that the test sets, as `debug prefs` names them.
fn set_by_hand(prefs: &Value) -> Vec<String> {
    let names = [
        "RouteAll",
        "RunSSH",
        "CorpDNS",
        "AdvertiseRoutes",
        "ShieldsUp",
        "OperatorUser",
        "NoSNAT",
        "NetfilterMode",
        "ExitNodeAllowLANAccess",
        "ExitNodeIP",
        "AppConnector",
    ];
    names.iter().map(|name| format!("{name}={}", prefs[*name])).collect()
}

fn hand_set_preferences_survive_join_resume_and_re_join(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    control.ssh(true)?;
    let mut project = case.project(&control)?;
    let host = project.add(case.installed("app-1", &control)?)?;
    // On a fresh node, whose first `up` sets back in silence what its flags do not name.
    host.sh("tailscale set --ssh --accept-routes --accept-dns=false --advertise-routes=10.201.0.0/16 --shields-up \
         --operator=deploy --snat-subnet-routes=false --netfilter-mode=nodivert --exit-node=100.99.0.9 \
         --exit-node-allow-lan-access --advertise-connector --hostname=another-name")?;
    let wanted = set_by_hand(&prefs(host)?);
    ensure!(wanted[0] == "RouteAll=true" && wanted[1] == "RunSSH=true", "they were not taken: {wanted:?}");
    // Up to 1.82 a fresh node accepts routes by default, so that nobody can tell whether it was set by hand.
    let told_apart = case.release != Release::V1_80_3;

    let key = control.good_key(&["tag:server"])?;
    project.key(Some(&key));
    let joined = up(&project, "changed")?;
    let kept = set_by_hand(&prefs(&project["app-1"])?);
    ensure!(kept[1..] == wanted[1..] && (kept[0] == wanted[0]) == told_apart, "join: {kept:?}");
    project["app-1"].sh("tailscale set --accept-routes")?;
    ensure!(control.node("app-1")?.host == "app-1", "J7: the logical name is the one that is asked for");
    // J9: bounded, and K1: the key is on no command line, in no file, no log.
    let ups: Vec<String> = joined.commands().into_iter().filter(|line| line.starts_with("tailscale up")).collect();
    ensure!(ups.len() == 1 && ups[0].contains("--timeout=60s") && ups[0].contains("file:/dev/stdin"), "{ups:?}");
    ensure!(!joined.written().contains(&key), "the key was written: {}", joined.written());
    no_trace(&project["app-1"], &key)?;

    // J10: stopped, it is brought up without a key and without a flag.
    project.key(None);
    project["app-1"].sh("tailscale down")?;
    let resumed = up(&project, "changed")?;
    ensure!(resumed.commands().first().map(String::as_str) == Some("tailscale up"), "{:?}", resumed.commands());
    ensure!(set_by_hand(&prefs(&project["app-1"])?) == wanted, "resume: {:?}", set_by_hand(&prefs(&project["app-1"])?));
    // J5: right again, and no key in sight.
    up(&project, "holds")?;

    // J10: expired, it is joined again with the key; it stays the same machine.
    let id = project["app-1"].tailscale_status()?["Self"]["ID"].clone();
    control.expire("app-1", -60)?;
    until("the daemon knows that its key has expired", || Ok(backend(&project["app-1"])?.0 == "NeedsLogin"))?;
    up(&project, "secret-missing")?;
    project.key(Some(&key));
    up(&project, "changed")?;
    ensure!(
        set_by_hand(&prefs(&project["app-1"])?) == wanted,
        "re-join: {:?}",
        set_by_hand(&prefs(&project["app-1"])?)
    );
    ensure!(project["app-1"].tailscale_status()?["Self"]["ID"] == id, "it is another machine now");
    no_trace(&project["app-1"], &key)
}

fn a_taken_name_is_a_conflict_with_both_names(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    let key = control.good_key(&["tag:server"])?;
    let old = case.installed("old", &control)?;
    let server = if project.provider_lines().contains("login_server") { control.url() } else { String::new() };
    old.sh(&format!("tailscale up --login-server={server} --auth-key={key} --hostname=app-1"))?;
    project.add(case.installed("app-1", &control)?)?;

    let names = ["host is named app-1-1.alpha-test.ts.net, expected app-1.alpha-test.ts.net"];
    up(&project, "name-conflict")?.says(&names)?.changed("some")?;
    // It does not change by trying, and what is told is the name that resolves.
    up(&project, "name-conflict")?.says(&names)?.changed("nothing")?;
    let found = old.sh("getent ahostsv4 app-1-1.alpha-test.ts.net")?;
    ensure!(found.starts_with(&control.node("app-1-1")?.address.to_string()), "{found}");

    // As the text says: the old machine is removed, and this one is renamed.
    control.delete("app-1")?;
    control.rename_node("app-1-1", "app-1")?;
    until("the daemon knows its new name", || {
        Ok(project["app-1"].tailscale_status()?["Self"]["DNSName"] == "app-1.alpha-test.ts.net.")
    })?;
    up(&project, "holds").map(drop)
}

fn a_node_that_its_server_forgets_expires_or_does_not_answer_is_told_as_that(case: &Case) -> Result<()> {
    let control = case.control("alpha-test.ts.net")?;
    let mut project = case.project(&control)?;
    project.add(case.installed("app-1", &control)?)?;
    let key = control.good_key(&["tag:server"])?;
    up(&project, "changed")?;
    project.key(None);

    // J8: connected no more, right in every other way: success, a warning, and nothing is done.
    let before = identity(&project["app-1"])?;
    control.blackhole(&project["app-1"], true)?;
    // What is open would only be missed after two minutes.
    project["app-1"].sh(&format!("ss --kill --tcp dst {}", control.address()))?;
    until("the daemon has lost its control server", || Ok(!backend(&project["app-1"])?.1))?;
    up(&project, "holds")?.says(&["it has no connection to the control server now"])?;
    let status = project.run("status")?;
    ensure!(status.code == Some(0) && status.stderr.contains("warning[offline]  app-1"), "{status:?}");
    ensure!(identity(&project["app-1"])? == before, "it was touched");
    control.blackhole(&project["app-1"], false)?;
    until_online(&project["app-1"])?;

    // Expired on the server, while it runs.
    control.expire("app-1", -60)?;
    until("the daemon knows that its key has expired", || Ok(backend(&project["app-1"])?.0 == "NeedsLogin"))?;
    let told = Told::run(&project, "plan")?.all("would-change")?;
    ensure!(told.fact("state")? == "member, expired", "{}", told.fact("state")?);
    project.key(Some(&key));
    up(&project, "changed")?;
    until_online(&project["app-1"])?;

    // Deleted on the server, while it runs: the daemon says no more than that it is offline, and no key is sent.
    control.delete("app-1")?;
    until("the daemon notices", || Ok(!backend(&project["app-1"])?.1))?;
    let tried = control.registers()?.len();
    up(&project, "holds")?
        .says(&["it has no connection to the control server now", "was deleted in the admin console"])?;
    ensure!(control.registers()?[tried..].iter().all(|one| !one.keyed), "{:?}", control.registers()?);
    Ok(())
}
