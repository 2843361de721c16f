//! Lines that are run: both streams, any amount, and how they end.

use std::time::{Duration, Instant};

use lab::sshd::{KeyType, Options, Sshd};
use lab::wan::{Road, Wan};
use stagecraft_net::transport::{Ended, ExecError, Flow, Stream, Transport};
use stagecraft_net::until::{Cancel, Until};

use super::{LONG, PROMPT, Said, run, to, try_connect, within};

#[test]
fn lines_are_one_connection_and_one_exec_each_and_the_end_is_said() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let (ended, said) = run(&mut connection, "cat; echo err >&2", b"hello");
    assert_eq!(ended, Ok(Ended::Closed));
    assert_eq!((&said.out[..], &said.err[..]), (&b"hello"[..], &b"err\n"[..]));
    assert_eq!((sshd.connections(), sshd.execs()), (1, 1));

    for n in 0..12 {
        assert_eq!(run(&mut connection, &format!("echo {n}"), b"").1.out(), format!("{n}\n"));
    }
    assert_eq!((sshd.connections(), sshd.execs()), (1, 13));
    drop(connection);
    sshd.wait_log(|log| log.contains("Received disconnect from 127.0.0.1")).expect("a goodbye");
}

#[test]
fn the_first_line_takes_at_most_ten_round_trips_with_its_input() {
    let sshd = Sshd::start().expect("sshd");
    // Far enough that what one side sends at once arrives at once.
    let road = Road { delay: Duration::from_millis(40), ..Road::default() };
    let wan = Wan::to(sshd.address(), road).expect("a road");
    let mut endpoint = sshd.endpoint("host");
    endpoint.port = Some(wan.address().port());
    endpoint.known_hosts = Some(sshd.dir().join("known_hosts_of_the_road"));
    let known = format!("[127.0.0.1]:{} {}\n", wan.address().port(), sshd.host_key(KeyType::Ed25519).expect("a key"));
    std::fs::write(endpoint.known_hosts.as_ref().expect("a file"), known).expect("written");

    let start = Instant::now();
    let mut connection = try_connect(&endpoint).expect("connected");
    let input = vec![b'x'; 10_000];
    assert_eq!(run(&mut connection, "wc -c", &input).1.out().trim(), "10000");
    let traffic = connection.traffic();
    println!("{traffic:?} {:?}", start.elapsed());
    assert!(traffic.round_trips <= 10, "{traffic:?}");
}

#[test]
fn no_stage_waits_forty_milliseconds_for_a_delayed_acknowledgement() {
    let sshd = Sshd::start().expect("sshd");
    // With the wait, none is below 40 ms; without it, a loaded machine needs a few tries at most.
    let mut fastest = Duration::MAX;
    for _ in 0..40 {
        let mut connection = to(&sshd);
        let start = Instant::now();
        assert_eq!(run(&mut connection, "echo ok", b"").1.out(), "ok\n");
        fastest = fastest.min(start.elapsed());
        if fastest < Duration::from_millis(35) {
            return;
        }
    }
    panic!("the fastest took {fastest:?}");
}

#[test]
fn five_megabytes_go_both_ways_on_both_streams_at_the_same_time() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let input: Vec<u8> = (0..5 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let start = Instant::now();
    let (ended, said) = run(&mut connection, "tee /dev/stderr", &input);
    println!("{:?}", start.elapsed());
    assert_eq!(ended, Ok(Ended::Closed));
    assert!(said.out == input && said.err == input, "{} {}", said.out.len(), said.err.len());
}

#[test]
fn new_keys_in_the_middle_of_much_output_and_input_change_nothing() {
    let config = vec!["RekeyLimit 300K".to_owned()];
    let sshd = Sshd::with(&Options { config, ..Options::default() }).expect("sshd");
    let mut connection = to(&sshd);
    let input: Vec<u8> = (0..3 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for _ in 0..2 {
        let (ended, said) = run(&mut connection, "tee /dev/stderr", &input);
        assert_eq!(ended, Ok(Ended::Closed));
        assert!(said.out == input && said.err == input, "{} {}", said.out.len(), said.err.len());
    }
}

#[test]
fn a_command_that_reads_no_input_or_little_of_it_is_still_heard() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let input = vec![b'x'; 5 << 20];
    for line in ["echo done", "exec <&-; sleep 0.2; echo done", "head -c 10 >/dev/null; echo done"] {
        let (ended, said) = run(&mut connection, line, &input);
        assert_eq!((ended, said.out().as_str()), (Ok(Ended::Closed), "done\n"), "{line}");
    }
}

#[test]
fn one_stream_may_say_everything_before_the_other_says_a_word() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let (ended, said) = run(&mut connection, "head -c 6000000 /dev/zero >&2; echo done", b"");
    assert_eq!((ended, said.err.len(), said.out().as_str()), (Ok(Ended::Closed), 6_000_000, "done\n"));
}

#[test]
fn a_reader_that_says_stop_is_not_kept_waiting_by_a_daemon_that_holds_the_channel() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let start = Instant::now();
    for _ in 0..3 {
        let mut said = Said::default();
        let ended = connection.exec(
            "sleep 100 & yes | head -c 100000; echo end",
            b"",
            &mut |stream, piece| {
                said.take(stream, piece);
                if said.out.ends_with(b"end\n") { Flow::Stop } else { Flow::Go }
            },
            &within(LONG),
        );
        assert_eq!((ended, said.out.len()), (Ok(Ended::Stopped), 100_004));
    }
    // Without the stop, the end of the stream would come after 100 seconds.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    drop(connection);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn an_exit_status_is_no_result_a_killed_command_only_ends_the_channel() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    for line in ["exit 3", "kill -KILL $$", "true"] {
        assert_eq!(run(&mut connection, line, b""), (Ok(Ended::Closed), Said::default()), "{line}");
    }
}

#[test]
fn the_deadline_and_a_cancellation_end_a_command_that_does_not_and_its_output_stays() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let mut said = Said::default();
    let start = Instant::now();
    let ended = connection.exec(
        "echo first; sleep 100",
        b"",
        &mut |stream, piece| {
            said.take(stream, piece);
            Flow::Go
        },
        // The first word has to come within it.
        &within(Duration::from_secs(3)),
    );
    assert_eq!((ended, said.out().as_str()), (Err(ExecError::Deadline), "first\n"));
    assert!(start.elapsed() < PROMPT);
    drop(connection);

    let mut connection = to(&sshd);
    let cancel = Cancel::new().expect("an eventfd");
    let until = Until::after(LONG, &cancel);
    let mut cancelled = None;
    let ended = connection.exec(
        "echo first; sleep 100",
        b"",
        &mut |_, _| {
            // The next wait is for output that never comes.
            let cancel = cancel.clone();
            cancelled.get_or_insert_with(|| {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(100));
                    cancel.cancel();
                    Instant::now()
                })
            });
            Flow::Go
        },
        &until,
    );
    assert_eq!(ended, Err(ExecError::Cancelled));
    drop(connection);
    let since = cancelled.expect("it said something").join().expect("no panic").elapsed();
    assert!(since < Duration::from_secs(1), "{since:?}");
}

#[test]
fn endless_output_ends_with_the_deadline() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let start = Instant::now();
    let mut bytes = 0;
    let ended = connection.exec(
        "yes & yes >&2",
        b"",
        &mut |_, piece| {
            bytes += piece.len();
            Flow::Go
        },
        &within(Duration::from_secs(1)),
    );
    assert_eq!(ended, Err(ExecError::Deadline));
    assert!(bytes > 1 << 20 && start.elapsed() < PROMPT, "{bytes} {:?}", start.elapsed());
}

#[test]
fn a_server_that_dies_in_the_middle_is_lost_and_what_was_said_stays() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let mut said = Said::default();
    let ended = connection.exec(
        "echo first; echo second >&2; sleep 100",
        b"",
        &mut |stream, piece| {
            said.take(stream, piece);
            if !said.out.is_empty() && !said.err.is_empty() {
                sshd.kill_sessions();
            }
            Flow::Go
        },
        &within(LONG),
    );
    assert!(matches!(&ended, Err(ExecError::Lost(reason)) if reason.contains("connection")), "{ended:?}");
    assert_eq!((&said.out[..], &said.err[..]), (&b"first\n"[..], &b"second\n"[..]));
}

#[test]
fn a_session_that_the_server_does_not_give_is_refused_and_nothing_ran() {
    let options = Options { config: vec!["MaxSessions 0".to_owned()], ..Options::default() };
    let sshd = Sshd::with(&options).expect("sshd");
    let mut connection = to(&sshd);
    let (ended, said) = run(&mut connection, "echo ran", b"");
    assert!(matches!(&ended, Err(ExecError::Refused(_))), "{ended:?}");
    assert_eq!((said, sshd.execs()), (Said::default(), 0));
}

#[test]
fn a_forced_command_and_a_banner_change_nothing_for_the_transport() {
    let options = Options {
        force_command: Some("echo this account only copies files".to_owned()),
        banner: Some("Authorised use only.\nAll of it is watched.\n".to_owned()),
        ..Options::default()
    };
    let sshd = Sshd::with(&options).expect("sshd");
    let (ended, said) = run(&mut to(&sshd), "echo ran", b"input");
    assert_eq!((ended, said.out().as_str()), (Ok(Ended::Closed), "this account only copies files\n"));
}

#[test]
fn a_long_line_and_one_with_every_sign_arrive_whole_and_one_that_fits_no_packet_is_refused() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let too_long = format!("printf %s '{}' | wc -c", "x".repeat(40_000));
    let (ended, _) = run(&mut connection, &too_long, b"");
    assert!(matches!(&ended, Err(ExecError::Refused(_))), "{ended:?}");
    assert_eq!(sshd.execs(), 0);
    let long = format!("printf %s '{}' | wc -c", "x".repeat(30_000));
    assert_eq!(run(&mut connection, &long, b"").1.out().trim(), "30000");
    let signs = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~ é\u{202e}";
    assert_eq!(run(&mut connection, &format!("printf %s '{signs}'"), b"").1.out(), signs);
}

#[test]
fn each_stream_keeps_its_order_when_pieces_come_one_by_one() {
    let sshd = Sshd::start().expect("sshd");
    let mut connection = to(&sshd);
    let mut pieces = Vec::new();
    let ended = connection.exec(
        "for n in 1 2 3 4 5; do echo $n; echo e$n >&2; sleep 0.02; done",
        b"",
        &mut |stream, piece| {
            pieces.push((stream, String::from_utf8_lossy(piece).into_owned()));
            Flow::Go
        },
        &within(LONG),
    );
    assert_eq!(ended, Ok(Ended::Closed));
    let of = |wanted| {
        pieces.iter().filter(|(stream, _)| *stream == wanted).map(|(_, text)| text.as_str()).collect::<String>()
    };
    assert_eq!((of(Stream::Out), of(Stream::Err)), ("1\n2\n3\n4\n5\n".into(), "e1\ne2\ne3\ne4\ne5\n".into()));
}
