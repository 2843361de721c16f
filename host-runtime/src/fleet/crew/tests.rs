use super::*;
use crate::contract::Outcome;
use crate::failure::Changed;
use std::sync::atomic::{AtomicUsize, Ordering};

fn limits(jobs: usize) -> Limits {
    Limits { jobs, grace: Duration::from_millis(200), timeout: Duration::from_secs(60), ..Limits::default() }
}

fn names(hosts: usize) -> Vec<String> {
    (0..hosts).map(|n| format!("h{n}")).collect()
}

fn holds() -> Turn {
    Turn::Done(HostResult::Holds(Outcome { facts: Vec::new(), node: None, notes: Vec::new() }))
}

fn changed() -> Turn {
    Turn::Done(HostResult::Changed {
        steps: Vec::new(),
        outcome: Outcome { facts: Vec::new(), node: None, notes: Vec::new() },
    })
}

fn failed(kind: Kind) -> Turn {
    Turn::Done(HostResult::Failed(Failed::host(kind, "x", None)))
}

impl<F: Fn(&Seat<'_>) -> Turn + Send + Sync + 'static> Work for F {
    fn on(&self, seat: &Seat<'_>) -> Turn {
        self(seat)
    }
}

/// What was told, and the results.
struct Run {
    results: Vec<HostResult>,
    done: Vec<(String, HostResult)>,
}

fn go(hosts: usize, limits: &Limits, cancel: &Cancel, work: impl Fn(&Seat<'_>) -> Turn + Send + Sync + 'static) -> Run {
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&told);
    let tell: Arc<dyn Tell + Send + Sync> = Arc::new(move |event: Event| {
        if let Event::Done { host, result, .. } = event {
            ear.lock().expect("no panic").push((host, result));
        }
    });
    let results = run(names(hosts), Box::new(work), limits, cancel, tell).expect("threads and descriptors");
    let done = std::mem::take(&mut *told.lock().expect("no panic"));
    Run { results, done }
}

fn kind(result: &HostResult) -> Option<(Kind, Changed)> {
    match result {
        HostResult::Failed(failed) => Some((failed.kind, failed.changed)),
        _ => None,
    }
}

fn wait_for(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never happened");
        std::thread::yield_now();
    }
}

#[test]
fn results_come_in_host_order_whatever_order_the_hosts_finish_in() {
    let cancel = Cancel::new().expect("an eventfd");
    let finished = Arc::new(AtomicUsize::new(0));
    // The last host finishes first.
    let run = go(8, &limits(8), &cancel, move |seat| {
        wait_for(|| finished.load(Ordering::SeqCst) == 7 - seat.host());
        finished.fetch_add(1, Ordering::SeqCst);
        if seat.host() % 2 == 0 { holds() } else { failed(Kind::Other) }
    });
    let wanted: Vec<_> = (0..8).map(|n| (n % 2 == 1).then_some((Kind::Other, Changed::Nothing))).collect();
    assert_eq!(run.results.iter().map(kind).collect::<Vec<_>>(), wanted);
    assert_eq!(run.done.len(), 8);
    for (host, result) in &run.done {
        let place: usize = host[1..].parse().expect("a number");
        assert_eq!(*result, run.results[place], "what was told of a host is its result");
    }
}

#[test]
fn no_more_hosts_are_in_flight_than_jobs_allow_and_none_is_forgotten() {
    let cancel = Cancel::new().expect("an eventfd");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let run = go(40, &limits(4), &cancel, move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        wait_for(|| seen.load(Ordering::SeqCst) == 4);
        now.fetch_sub(1, Ordering::SeqCst);
        holds()
    });
    assert_eq!((run.results.len(), run.done.len(), most.load(Ordering::SeqCst)), (40, 40, 4));
    assert!(go(0, &limits(4), &cancel, |_| holds()).results.is_empty());
    assert_eq!(go(2, &limits(0), &cancel, |_| holds()).results.len(), 2, "no jobs is one job");
}

/// As a real host's work does: plan, ask, change. The secret is dead.
fn dead_key(seat: &Seat<'_>, needs: bool, tries: &AtomicUsize) -> Turn {
    if !needs {
        seat.needs_no_secret();
        return holds();
    }
    match seat.permission() {
        Permission::Park => Turn::Park,
        Permission::Skip(failed) => Turn::Done(HostResult::Failed(failed)),
        Permission::Go => {
            seat.changing();
            tries.fetch_add(1, Ordering::SeqCst);
            failed(Kind::SecretInvalid)
        }
    }
}

#[test]
fn of_two_hundred_hosts_with_one_dead_key_one_tries_it_and_those_that_need_none_are_right() {
    let cancel = Cancel::new().expect("an eventfd");
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let run = go(200, &limits(32), &cancel, move |seat| dead_key(seat, seat.host() % 3 == 0, &counted));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
    for (host, result) in run.results.iter().enumerate() {
        let wanted = match host {
            0 => Some((Kind::SecretInvalid, Changed::Nothing)),
            _ if host % 3 == 0 => Some((Kind::Skipped, Changed::Nothing)),
            _ => None,
        };
        assert_eq!(kind(result), wanted, "host {host}");
    }
    assert_eq!(run.done.len(), 200);
}

#[test]
fn a_key_that_works_is_tried_alone_and_then_used_by_all_at_once() {
    let cancel = Cancel::new().expect("an eventfd");
    let (using, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let first = Arc::new(AtomicUsize::new(usize::MAX));
    let seen = Arc::clone(&peak);
    let run = go(9, &limits(9), &cancel, move |seat| {
        match seat.permission() {
            Permission::Park => return Turn::Park,
            Permission::Skip(failed) => panic!("{failed}"),
            Permission::Go => seat.changing(),
        }
        let others = using.fetch_add(1, Ordering::SeqCst);
        if first.compare_exchange(usize::MAX, seat.host(), Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            assert_eq!((others, seat.host()), (0, 0), "the first in host order is alone");
            // Everybody has had time to crowd in, had they been let.
            seat.until().sleep(Duration::from_millis(50)).expect("poll");
            assert_eq!(using.load(Ordering::SeqCst), 1);
        } else {
            seen.fetch_max(others + 1, Ordering::SeqCst);
            wait_for(|| seen.load(Ordering::SeqCst) == 8);
        }
        using.fetch_sub(1, Ordering::SeqCst);
        changed()
    });
    assert!(run.results.iter().all(|result| matches!(result, HostResult::Changed { .. })), "{:?}", run.results);
    assert_eq!(peak.load(Ordering::SeqCst), 8);
}

#[test]
fn the_first_in_host_order_tries_even_when_it_is_the_last_to_be_planned() {
    for _ in 0..200 {
        let cancel = Cancel::new().expect("an eventfd");
        let (tries, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&tries);
        let run = go(4, &limits(4), &cancel, move |seat| {
            if seat.host() == 0 {
                wait_for(|| asked.load(Ordering::SeqCst) == 3);
            }
            let turn = dead_key(seat, true, &counted);
            asked.fetch_add(1, Ordering::SeqCst);
            turn
        });
        assert_eq!(kind(&run.results[0]), Some((Kind::SecretInvalid, Changed::Nothing)));
        assert_eq!(tries.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn a_panic_is_the_failure_of_one_host_and_says_whether_something_may_have_changed() {
    let cancel = Cancel::new().expect("an eventfd");
    let run = go(4, &limits(2), &cancel, |seat| match seat.host() {
        1 => panic!("on purpose, before"),
        2 => {
            seat.changing();
            panic!("on purpose, {}", "amid")
        }
        _ => holds(),
    });
    let wanted = [None, Some((Kind::Internal, Changed::Nothing)), Some((Kind::Internal, Changed::Unknown)), None];
    assert_eq!(run.results.iter().map(kind).collect::<Vec<_>>(), wanted);
    let HostResult::Failed(failed) = &run.results[2] else { panic!("it failed") };
    assert!(failed.diagnostics[0].detail.as_deref().is_some_and(|detail| detail.contains("on purpose, amid")));
}

#[test]
fn a_panic_of_the_host_that_tries_the_secret_does_not_hold_the_others_for_ever() {
    let cancel = Cancel::new().expect("an eventfd");
    let run = go(3, &limits(3), &cancel, |seat| match seat.permission() {
        Permission::Park => Turn::Park,
        Permission::Skip(failed) => Turn::Done(HostResult::Failed(failed)),
        Permission::Go if seat.host() == 0 => panic!("on purpose"),
        Permission::Go => {
            seat.changing();
            changed()
        }
    });
    assert_eq!(
        run.results.iter().map(kind).collect::<Vec<_>>(),
        [Some((Kind::Internal, Changed::Nothing)), None, None]
    );
}

#[test]
fn a_cancellation_ends_hosts_that_wait_begins_no_other_and_leaves_behind_what_does_not_stop() {
    let cancel = Cancel::new().expect("an eventfd");
    let stop = cancel.clone();
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let started = Instant::now();
    let stuck = Arc::new((Mutex::new(false), Condvar::new()));
    let held = Arc::clone(&stuck);
    let run = go(6, &limits(3), &cancel, move |seat| {
        counted.fetch_add(1, Ordering::SeqCst);
        match seat.host() {
            // A worker in a system call that nothing interrupts.
            0 => {
                seat.changing();
                let (gone, news) = &*held;
                let _gone = news.wait_while(gone.lock().expect("no panic"), |gone| !*gone).expect("no panic");
                holds()
            }
            // One that waits as it should.
            1 => {
                wait_for(|| counted.load(Ordering::SeqCst) == 3);
                stop.cancel();
                assert_eq!(seat.until().sleep(Duration::from_secs(60)).expect("poll"), Wake::Cancelled);
                failed(Kind::Cancelled)
            }
            _ => {
                assert_eq!(seat.until().sleep(Duration::from_secs(60)).expect("poll"), Wake::Cancelled);
                holds()
            }
        }
    });
    assert!(started.elapsed() < Duration::from_secs(30), "it did not wait for the worker that is stuck");
    let nothing = Some((Kind::Cancelled, Changed::Nothing));
    let wanted = [Some((Kind::Cancelled, Changed::Unknown)), nothing, None, nothing, nothing, nothing];
    assert_eq!(run.results.iter().map(kind).collect::<Vec<_>>(), wanted);
    assert_eq!(begun.load(Ordering::SeqCst), 3, "hosts that were not begun stay so");
    assert_eq!(run.done.len(), 6, "each host is told once");
    let (gone, news) = &*stuck;
    *gone.lock().expect("no panic") = true;
    news.notify_all();
}

#[test]
fn the_timeout_is_each_hosts_own() {
    let cancel = Cancel::new().expect("an eventfd");
    let limits = Limits { timeout: Duration::from_millis(20), ..limits(1) };
    let run = go(2, &limits, &cancel, |seat| {
        assert!(seat.until().remaining() > Duration::ZERO, "time that another host took is not counted");
        assert_eq!(seat.until().sleep(Duration::from_secs(60)).expect("poll"), Wake::Deadline);
        failed(Kind::TimedOut)
    });
    assert_eq!(run.results.iter().map(kind).collect::<Vec<_>>(), [Some((Kind::TimedOut, Changed::Nothing)); 2]);
}
