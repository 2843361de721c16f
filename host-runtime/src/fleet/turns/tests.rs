use super::*;
use crate::contract::Outcome;

fn in_batches(hosts: usize, serial: Option<usize>, max_fail: Option<usize>) -> (Turns, Instant) {
    (Turns::new((0..hosts).map(|n| format!("h{n}")).collect(), serial, max_fail), Instant::now())
}

fn turns(hosts: usize) -> (Turns, Instant) {
    in_batches(hosts, None, None)
}

fn outcome() -> Outcome {
    Outcome { facts: Vec::new(), node: None, notes: Vec::new() }
}

fn holds() -> HostResult {
    HostResult::Holds(outcome())
}

fn changed() -> HostResult {
    HostResult::Changed { steps: Vec::new(), outcome: outcome() }
}

fn failed(kind: Kind) -> HostResult {
    HostResult::Failed(Failed::host(kind, "x", None))
}

fn kinds(turns: &Turns) -> Vec<Option<Kind>> {
    let kind = |result: &Option<HostResult>| match result {
        Some(HostResult::Failed(failed)) => Some(failed.kind),
        _ => None,
    };
    turns.results.iter().map(kind).collect()
}

/// Begins so many hosts, as so many workers would.
fn begin(turns: &mut Turns, hosts: usize, now: Instant) {
    for host in 0..hosts {
        assert_eq!(turns.next(now), Next::Host(host));
    }
}

#[test]
fn one_dead_key_is_one_failure_and_hosts_that_need_no_key_go_on() {
    let (mut turns, now) = turns(5);
    begin(&mut turns, 3, now);
    assert_eq!(turns.permission(0), Permission::Go);
    assert_eq!(turns.permission(1), Permission::Park);
    turns.park(1, now);
    turns.decided(2);
    turns.finish(2, holds());
    // The free workers take the hosts that nobody has seen, not the one that waits.
    assert_eq!(turns.next(now), Next::Host(3));
    assert_eq!(turns.next(now), Next::Host(4));
    assert_eq!(turns.next(now), Next::Wait(None));
    turns.changing(0);
    turns.finish(0, failed(Kind::SecretInvalid));
    assert_eq!(turns.untold(), [1]);
    assert!(
        matches!(turns.permission(3), Permission::Skip(failed) if failed.headline().contains("since h0 failed with secret-invalid"))
    );
    turns.finish(3, failed(Kind::Skipped));
    turns.finish(4, holds());
    assert_eq!(turns.next(now), Next::Over);
    assert_eq!(kinds(&turns), [Some(Kind::SecretInvalid), Some(Kind::Skipped), None, Some(Kind::Skipped), None]);
}

#[test]
fn the_first_in_host_order_tries_whoever_is_fastest() {
    let (mut turns, now) = turns(3);
    begin(&mut turns, 3, now);
    for late in [2, 1] {
        assert_eq!(turns.permission(late), Permission::Park);
        turns.park(late, now);
    }
    assert_eq!(turns.next(now), Next::Wait(Some(PATIENCE)));
    // The first host turns out to need nothing: the next in order leads, alone.
    turns.decided(0);
    turns.finish(0, holds());
    assert_eq!(turns.next(now), Next::Host(1));
    assert_eq!(turns.next(now), Next::Wait(None));
    assert_eq!(turns.permission(1), Permission::Go);
    turns.changing(1);
    turns.finish(1, changed());
    assert_eq!(turns.next(now), Next::Host(2));
    assert_eq!(turns.permission(2), Permission::Go);
}

#[test]
fn a_host_that_does_not_answer_keeps_the_others_only_so_long() {
    let (mut turns, now) = turns(3);
    begin(&mut turns, 3, now);
    turns.permission(2);
    turns.park(2, now);
    assert_eq!(turns.next(now + PATIENCE / 3), Next::Wait(Some(PATIENCE - PATIENCE / 3)));
    assert_eq!(turns.next(now + PATIENCE), Next::Host(2));
    assert_eq!(turns.permission(2), Permission::Go);
    // One that comes late waits for the answer all the same.
    assert_eq!(turns.permission(0), Permission::Park);
}

#[test]
fn tags_that_are_not_permitted_to_the_first_host_stop_the_others_too() {
    let (mut turns, now) = turns(2);
    begin(&mut turns, 2, now);
    turns.permission(0);
    turns.changing(0);
    turns.finish(0, failed(Kind::TagsNotPermitted));
    assert!(matches!(turns.permission(1), Permission::Skip(_)));
}

#[test]
fn a_host_that_asks_late_does_not_go_before_one_that_is_parked_already() {
    let (mut turns, now) = turns(3);
    begin(&mut turns, 3, now);
    assert_eq!(turns.permission(1), Permission::Park);
    turns.park(1, now);
    turns.finish(0, holds());
    assert_eq!(turns.permission(2), Permission::Park);
    turns.park(2, now);
    assert_eq!(turns.next(now), Next::Host(1));
}

#[test]
fn a_first_host_that_never_used_the_secret_proves_nothing_and_the_next_one_tries() {
    for lost in [Kind::Unreachable, Kind::DisruptionRefused] {
        let (mut turns, now) = turns(3);
        begin(&mut turns, 3, now);
        turns.permission(0);
        turns.permission(1);
        turns.park(1, now);
        turns.finish(0, failed(lost));
        assert_eq!(turns.next(now), Next::Host(1));
        assert_eq!(turns.permission(1), Permission::Go);
        assert_eq!(turns.permission(2), Permission::Park, "and it tries alone");
    }
}

#[test]
fn a_first_host_that_fails_in_another_way_frees_the_rest_and_a_key_that_dies_later_stops_them() {
    let (mut turns, now) = turns(4);
    begin(&mut turns, 4, now);
    turns.permission(0);
    turns.changing(0);
    turns.finish(0, failed(Kind::InstallFailed));
    assert_eq!(turns.permission(1), Permission::Go);
    assert_eq!(turns.permission(2), Permission::Go);
    turns.changing(1);
    // Other tags may be permitted to others.
    turns.finish(1, failed(Kind::TagsNotPermitted));
    turns.finish(2, failed(Kind::SecretInvalid));
    assert!(matches!(turns.permission(3), Permission::Skip(_)));
}

#[test]
fn a_secret_that_is_missing_is_missing_for_all() {
    let (mut turns, now) = turns(2);
    begin(&mut turns, 2, now);
    turns.permission(0);
    // The answer comes between the question of the second host and its parking.
    assert_eq!(turns.permission(1), Permission::Park);
    turns.finish(0, failed(Kind::SecretMissing));
    turns.park(1, now);
    assert_eq!(kinds(&turns), [Some(Kind::SecretMissing), Some(Kind::Skipped)]);
    assert_eq!(turns.untold(), [1]);
    assert_eq!(turns.next(now), Next::Over);
}

#[test]
fn a_cancelled_run_says_nothing_of_what_was_not_begun_and_unknown_of_what_was_left_behind() {
    let (mut turns, now) = turns(5);
    begin(&mut turns, 4, now);
    turns.permission(0);
    turns.changing(0);
    turns.permission(1);
    turns.park(1, now);
    turns.cancel();
    assert_eq!(turns.untold(), [1, 4]);
    turns.finish(3, failed(Kind::Cancelled));
    turns.abandon();
    assert_eq!(turns.untold(), [0, 2]);
    assert_eq!(kinds(&turns), [Some(Kind::Cancelled); 5]);
    let changed = |host: usize| match turns.result(host) {
        Some(HostResult::Failed(failed)) => failed.changed,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [0, 1, 2, 3, 4].map(changed),
        [Changed::Unknown, Changed::Nothing, Changed::Nothing, Changed::Nothing, Changed::Nothing]
    );
    assert_eq!(turns.next(now), Next::Over);
    // A worker that comes back after all changes nothing.
    turns.finish(0, holds());
    assert_eq!(kinds(&turns)[0], Some(Kind::Cancelled));
}

#[test]
fn a_batch_begins_when_the_one_before_has_ended() {
    let (mut turns, now) = in_batches(5, Some(2), None);
    assert_eq!((turns.next(now), turns.next(now)), (Next::Host(0), Next::Host(1)));
    assert_eq!(turns.next(now), Next::Wait(None), "the batch is full");
    turns.finish(1, holds());
    assert_eq!(turns.next(now), Next::Wait(None), "and not over");
    turns.finish(0, failed(Kind::Lost));
    assert_eq!((turns.next(now), turns.next(now)), (Next::Host(2), Next::Host(3)));
    turns.finish(2, holds());
    turns.finish(3, holds());
    assert_eq!(turns.next(now), Next::Host(4));
    assert_eq!(turns.next(now), Next::Wait(None));
    turns.finish(4, holds());
    assert_eq!(turns.next(now), Next::Over);
}

#[test]
fn a_parked_host_of_a_batch_tries_the_secret_before_the_next_batch_begins() {
    let (mut turns, now) = in_batches(4, Some(2), None);
    begin(&mut turns, 2, now);
    assert_eq!(turns.permission(1), Permission::Park);
    turns.park(1, now);
    turns.finish(0, failed(Kind::Unreachable));
    assert_eq!(turns.next(now), Next::Host(1), "not the third host");
    assert_eq!(turns.permission(1), Permission::Go);
    turns.changing(1);
    turns.finish(1, changed());
    assert_eq!(turns.next(now), Next::Host(2));
}

#[test]
fn too_many_failures_end_what_was_not_begun_and_leave_what_was() {
    let (mut turns, now) = in_batches(5, None, Some(1));
    begin(&mut turns, 3, now);
    turns.finish(0, failed(Kind::Skipped));
    turns.finish(1, failed(Kind::Unreachable));
    assert_eq!(kinds(&turns)[3..], [None, None], "one may fail, and one that was not tried is none");
    turns.finish(2, failed(Kind::InstallFailed));
    assert_eq!(turns.untold(), [3, 4]);
    assert_eq!(kinds(&turns)[3..], [Some(Kind::Skipped); 2]);
    assert_eq!(turns.next(now), Next::Over);

    let (mut turns, now) = in_batches(3, None, Some(0));
    begin(&mut turns, 2, now);
    turns.finish(0, failed(Kind::Lost));
    assert_eq!((turns.untold(), kinds(&turns)[1]), (vec![2], None), "a host in flight goes on");
    turns.finish(1, changed());
    assert_eq!(turns.next(now), Next::Over);
}
