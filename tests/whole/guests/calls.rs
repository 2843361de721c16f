//! What a provider can get wrong in a call, and what it can reach in one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use boundary::command::{Chunk, Command, Condition};
use stagecraft_net::contract::{BatchError, Denial, Level, Step};
use stagecraft_net::engine::{Fault, HOST_STACK, Limits, Options, Phase};
use stagecraft_net::failure::Kind;
use stagecraft_net::until::Until;

use super::{Recording, broken, cancel, descriptor, limits, load_with, minute, misfit, options, over, request};

#[test]
fn a_panic_is_told_with_the_last_words_of_the_guest() {
    let error = broken(misfit(), "panic");
    assert!(matches!(error.fault, Fault::Trap { .. }), "{error:?}");
    assert!(error.to_string().contains("it was asked to panic"), "{error}");
    assert_eq!(error.running[..1], ["bad_guests::misbehave"], "the provider's own functions, readable");
    let failed = error.failed();
    assert_eq!(failed.kind, Kind::Provider);
    assert!(failed.diagnostics[0].detail.as_deref().is_some_and(|detail| detail.contains("it was asked to panic")));
    assert_eq!(broken(misfit(), "panic"), error, "the same failure has the same text (D1)");
}

#[test]
fn an_endless_loop_ends_with_its_processor_time() {
    let began = Instant::now();
    let error = broken(misfit(), "loop");
    assert!(over("cpu_ms", &error.fault), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_endless_loop_ends_soon_after_the_deadline_and_after_a_cancellation() {
    let loaded = load_with(options(limits(|limits| {
        limits.cpu_ms = 60_000;
        limits.wind_down_ms = 50;
    })));
    let began = Instant::now();
    let soon = Until::after(Duration::from_millis(50), &cancel());
    let error = loaded.plan(&request("loop"), &mut Recording::default(), &soon).expect_err("no answer");
    assert_eq!(error.fault, Fault::Deadline);
    assert_eq!(error.failed().kind, Kind::TimedOut);

    let cancel = cancel();
    let until = Until::after(Duration::from_secs(60), &cancel);
    let canceller = std::thread::spawn(move || cancel.cancel());
    let error = loaded.plan(&request("loop"), &mut Recording::default(), &until).expect_err("no answer");
    assert_eq!(error.fault, Fault::Cancelled);
    assert_eq!(error.failed().kind, Kind::Cancelled);
    canceller.join().expect("no panic");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_guest_that_is_told_to_stop_may_still_say_what_it_has_seen() {
    let mut hands = Recording { answer: Some(BatchError::Stopped("cancelled".to_owned())), ..Recording::default() };
    let cancel = cancel();
    cancel.cancel();
    let until = Until::after(Duration::from_secs(60), &cancel);
    let failure = misfit().plan(&request("wait"), &mut hands, &until).expect("an answer").expect_err("a failure");
    assert_eq!(failure.kind, "timed-out");
}

#[test]
fn memory_is_limited_in_total() {
    let error = broken(misfit(), "memory");
    assert!(over("memory", &error.fault), "{error:?}");
    assert!(error.to_string().contains(&(64 << 20).to_string()), "{error}");
}

#[test]
fn recursion_without_an_end_is_a_used_up_stack() {
    let error = broken(misfit(), "stack");
    assert!(over("stack", &error.fault), "{error:?}");
    assert_eq!(error.running, ["bad_guests::deeper"], "once, however deep");
}

#[test]
fn a_flood_on_standard_error_is_cut_and_does_not_trap() {
    let error = broken(misfit(), "stderr");
    assert!(error.wrote.len() < 20 << 10, "{}", error.wrote.len());
    assert!(error.wrote.starts_with('('), "what is missing is told: {}", &error.wrote[..80]);
    assert!(error.wrote.contains("after the flood") && !error.wrote.contains('\u{1b}'));
    assert!(broken(misfit(), "stdout").wrote.contains("said on stdout"));
}

#[test]
fn exit_is_an_error_and_ends_nothing_else() {
    assert_eq!(broken(misfit(), "exit").fault, Fault::Exited);
}

#[test]
fn answers_are_bounded() {
    for config in ["facts", "text", "remark", "private"] {
        let error = broken(misfit(), config);
        assert!(matches!(error.fault, Fault::Contract { .. }), "{error:?}");
    }
    let error = broken(misfit(), "flood");
    assert!(over("copied", &error.fault), "{error:?}");
    let error = broken(misfit(), "copy");
    assert!(over("copied", &error.fault), "{error:?}");
}

#[test]
fn a_handle_that_is_kept_is_told() {
    assert_eq!(broken(misfit(), "borrow").fault, Fault::KeptBorrow);
}

#[test]
fn calling_the_host_on_and_on_ends() {
    let loaded = load_with(options(limits(|limits| limits.cpu_ms = 60_000)));
    let mut hands = Recording::default();
    let error = loaded.plan(&request("probes"), &mut hands, &minute()).expect_err("no answer");
    assert!(over("host_calls", &error.fault), "{error:?}");
    assert_eq!(hands.probes, Limits::default().host_calls as usize - 1, "one call was its log line");

    let mut hands = Recording::default();
    let error = loaded.plan(&request("log"), &mut hands, &minute()).expect_err("no answer");
    assert!(over("host_calls", &error.fault), "{error:?}");
    assert_eq!(hands.logged.len(), Limits::default().log_lines as usize);
    assert!(hands.logged.last().is_some_and(|(level, last)| *level == Level::Warn && last.contains("too much")));
}

#[test]
fn a_long_log_line_is_cut() {
    let mut hands = Recording::default();
    misfit().plan(&request("long"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    assert_eq!(hands.logged[0].1.len(), Limits::default().log_line);
}

#[test]
fn taking_more_and_more_handles_ends() {
    let mut hands = Recording::default();
    let error = misfit().apply(&request("vaults"), &[], b"", &mut hands, &minute()).expect_err("no answer");
    assert_eq!(error.phase, Phase::Apply);
    assert!(over("resources", &error.fault), "{error:?}");
    let loaded = load_with(options(limits(|limits| limits.handles = 20)));
    let error = loaded.apply(&request("vaults"), &[], b"", &mut hands, &minute()).expect_err("no answer");
    assert!(over("handles", &error.fault), "{error:?}");
}

#[test]
fn what_a_good_call_writes_is_in_the_log_for_its_author() {
    let mut hands = Recording::default();
    misfit().plan(&request("words"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    let words: Vec<_> =
        hands.logged.iter().map(|(_, line)| line.as_str()).filter(|line| line.contains("words")).collect();
    assert_eq!(words, ["words on stdout", "words on stderr"]);
}

#[test]
fn a_thread_needs_no_more_stack_than_it_is_told() {
    let loaded = misfit();
    let stack = Limits::default().stack + HOST_STACK;
    let small = std::thread::Builder::new().stack_size(stack).spawn(move || {
        broken(loaded, "stack");
        broken(loaded, "panic");
        loaded.plan(&request("look"), &mut Recording::default(), &minute()).expect("an answer").expect("an assessment");
    });
    small.expect("a thread").join().expect("no panic");
}

#[test]
fn a_guest_finds_an_empty_world() {
    for config in ["stdin", "world"] {
        misfit()
            .plan(&request(config), &mut Recording::default(), &minute())
            .expect("an answer")
            .expect("an assessment");
    }
}

#[test]
fn hash_tables_have_one_order_in_every_call() {
    let order = || {
        let mut hands = Recording::default();
        misfit().plan(&request("good"), &mut hands, &minute()).expect("an answer").expect("an assessment");
        hands.logged
    };
    let first = order();
    assert!(first[0].1.starts_with("order ["));
    assert!((0..5).all(|_| order() == first));
}

#[test]
fn a_plan_reaches_its_hands_and_nothing_else() {
    let mut hands = Recording::default();
    let said = misfit().plan(&request("look"), &mut hands, &minute()).expect("an answer").expect("an assessment");
    let fact = |name: &str| said.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str());
    assert_eq!(fact("name"), Some("app-1"));
    assert_eq!(fact("connection"), Some("192.0.2.1 4 192.0.2.2 22"));
    assert_eq!(
        fact("probe"),
        Some("exited 0: first word…tail /  true; Ending::Unknown: second…tail /  true"),
        "outputs come in the order of the commands"
    );
    assert_eq!(fact("pause"), Some("PauseEnd::Deadline"));
    assert_eq!(said.private, b"from the plan");
    let command = |argv: &[&str]| Command {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: vec![("A".to_owned(), "b".to_owned())],
        stdin: Vec::new(),
        as_root: false,
        timeout: Duration::from_millis(1500),
        runs: Condition::Ok,
        accepted: Vec::new(),
    };
    let batch = [command(&["first", "word"]), command(&["second"])];
    assert_eq!(hands.asked, [format!("probe {batch:?}"), "pause 7ms".to_owned()]);
}

#[test]
fn an_apply_hands_over_secrets_by_their_slots_and_sees_denials_as_values() {
    let step = |id: &str| Step {
        id: id.to_owned(),
        title: "Do it".to_owned(),
        detail: None,
        secrets: vec!["key".to_owned()],
        disruptive: false,
    };
    let mut hands = Recording::default();
    let said = misfit()
        .apply(&request("act"), &[step("one"), step("two")], b"from the plan", &mut hands, &minute())
        .expect("an answer")
        .expect("an outcome");
    let fact = |name: &str| said.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.as_str());
    assert_eq!(fact("private"), Some("from the plan"));
    assert_eq!(fact("secret"), Some("key Some(\"plain\")"));
    assert_eq!(fact("other"), Some("false"));
    assert!(fact("two").is_some_and(|said| said.starts_with("exited 0: join")), "{said:?}");
    let stdin = [Chunk::Bytes(b"before ".to_vec()), Chunk::Secret("key".to_owned()), Chunk::StdoutOf(3)];
    assert!(hands.asked[0].starts_with("run one ") && hands.asked[1].starts_with("run two "), "{:?}", hands.asked);
    assert!(hands.asked[0].contains(&format!("stdin: {stdin:?}, as_root: true")), "{}", hands.asked[0]);
    assert!(hands.asked[0].contains("runs: Always, accepted: [0, 4]"), "{}", hands.asked[0]);

    let denial = Denial { command: 1, reason: "no".to_owned(), grant: "grant".to_owned() };
    let mut hands = Recording { answer: Some(BatchError::Denied(denial)), ..Recording::default() };
    let said = misfit().apply(&request("act"), &[step("one")], b"", &mut hands, &minute()).expect("an answer");
    let said = said.expect("an outcome").facts.pop().expect("a fact").value;
    assert!(said.contains("Denied") && said.contains("grant"), "{said}");
}

#[test]
fn validate_and_node_fqdn_are_pure_calls_and_fail_as_values() {
    let loaded = misfit();
    assert_eq!(loaded.validate("c", &minute()).expect("an answer")[0].code, "valid");
    assert_eq!(loaded.node_fqdn("c", "app-1", &minute()).expect("an answer").as_deref(), Ok("app-1.example.net"));
    let failure = loaded.node_fqdn("failure", "app-1", &minute()).expect("an answer").expect_err("a failure");
    assert_eq!(failure.kind, "config-invalid");
    assert_eq!(loaded.validate("panic", &minute()).expect_err("no answer").phase, Phase::Validate);
    assert_eq!(loaded.node_fqdn("loop", "h", &minute()).expect_err("no answer").phase, Phase::NodeFqdn);
    assert_eq!(loaded.describe(&minute()).expect("an answer"), descriptor());
}

#[test]
fn two_hundred_calls_on_eight_threads_do_not_disturb_each_other() {
    let loaded = misfit();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for call in 0..25 {
                    if (thread + call) % 5 == 0 {
                        broken(loaded, "panic");
                    } else {
                        let mut hands = Recording::default();
                        let said = loaded.plan(&request("look"), &mut hands, &minute());
                        assert_eq!(said.expect("an answer").expect("an assessment").private, b"from the plan");
                    }
                }
            });
        }
    });
}

#[test]
fn the_whole_memory_of_a_guest_can_be_looked_at_after_its_call() {
    let seen = Arc::new(Mutex::new(Vec::<u8>::new()));
    let mut options = Options::default();
    let kept = Arc::clone(&seen);
    options.watch = Some(Arc::new(move |memory: &[u8]| kept.lock().expect("no panic").extend_from_slice(memory)));
    let loaded = load_with(options);
    let plan = |config: &str| {
        seen.lock().expect("no panic").clear();
        loaded.plan(&request(config), &mut Recording::default(), &minute()).expect("an answer").expect("an assessment");
        seen.lock().expect("no panic").clone()
    };
    let has = |memory: &[u8], what: &str| memory.windows(what.len()).any(|bytes| bytes == what.as_bytes());
    let mark = format!("a mark of {}", std::process::id());
    let memory = plan(&mark);
    assert!(memory.len() >= 64 << 10, "{}", memory.len());
    assert!(has(&memory, &mark), "the config is in the guest's memory");
    assert!(!has(&plan("good"), &mark), "and in no later call's");
    assert!(has(&plan("keep"), &"kept in the memory of the guest".repeat(2)), "the heap is seen too");
}
