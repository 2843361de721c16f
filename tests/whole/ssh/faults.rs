//! Servers and roads that fail in every way: the right failure, within the deadline, and never a hang.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::sshd::{KeyType, Options, Sshd};
use lab::wan::{Cut, Road, Wan};
use stagecraft_net::failure::Kind;
use stagecraft_net::ssh::{ConnectError, Endpoint, Stage, Trust, connect, resolve};
use stagecraft_net::transport::{Ended, ExecError, Flow, Transport};
use stagecraft_net::until::{Cancel, Until};

use super::{LONG, PROMPT, told, try_connect, within, write};

/// What is no SSH server: it does this with each who connects, until it is dropped.
struct Fake {
    port: u16,
    thread: Option<JoinHandle<()>>,
    done: Option<mpsc::Sender<()>>,
}

impl Fake {
    fn that(serve: impl Fn(&mut TcpStream, &mpsc::Receiver<()>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (done, wait) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while let Ok((mut client, _)) = listener.accept() {
                if wait.try_recv() == Err(mpsc::TryRecvError::Disconnected) {
                    return;
                }
                serve(&mut client, &wait);
            }
        });
        Self { port, thread: Some(thread), done: Some(done) }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint {
            name: "host".to_owned(),
            address: Some("127.0.0.1".to_owned()),
            port: Some(self.port),
            user: Some("nobody".to_owned()),
            known_hosts: Some("/dev/null".into()),
            config: Some("/dev/null".into()),
            ..Endpoint::default()
        }
    }

    fn fails(&self, limit: Duration) -> (ConnectError, String) {
        let start = Instant::now();
        let target = resolve(&self.endpoint(), &within(LONG)).expect("a target");
        let error = connect(&target, Trust::Strict, &within(limit)).expect_err("no server");
        assert!(start.elapsed() < limit + PROMPT, "{:?}", start.elapsed());
        let text = told(&error);
        (error, text)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.done = None;
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_server_that_never_says_a_word_ends_with_the_deadline() {
    let fake = Fake::that(|_, done| done.recv().unwrap_or_default());
    let (error, text) = fake.fails(Duration::from_millis(300));
    assert!(matches!(error, ConnectError::Deadline { stage: Stage::Greeting, .. }), "{text}");
    assert_eq!((error.kind(), error.before_authentication()), (Kind::TimedOut, false));
    assert!(text.contains("waiting for the server's first line"), "{text}");
}

#[test]
fn a_cancellation_ends_a_connection_that_is_being_made_within_a_second() {
    let (connected, wait) = mpsc::channel();
    let fake = Fake::that(move |_, done| {
        connected.send(()).expect("the test waits");
        let _ = done.recv();
    });
    let target = resolve(&fake.endpoint(), &within(LONG)).expect("a target");
    let cancel = Cancel::new().expect("an eventfd");
    let until = Until::after(LONG, &cancel);
    let waiter = std::thread::spawn(move || (connect(&target, Trust::Strict, &until), Instant::now()));
    wait.recv().expect("connected");
    let cancelled = Instant::now();
    cancel.cancel();
    let (result, ended) = waiter.join().expect("no panic");
    assert_eq!(result.expect_err("cancelled").kind(), Kind::Cancelled);
    assert!(ended - cancelled < PROMPT);
}

#[test]
fn a_first_line_that_drips_without_end_ends_with_the_deadline_and_not_with_each_byte() {
    let fake = Fake::that(|client, _| {
        while client.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let (error, text) = fake.fails(Duration::from_millis(500));
    assert_eq!(error.kind(), Kind::TimedOut, "{text}");
}

#[test]
fn what_floods_instead_of_greeting_is_cut_off_long_before_the_deadline() {
    for portion in [&b"hello there\r\n"[..], &[b'x'; 4096], &[0; 4096]] {
        let fake = Fake::that(move |client, _| while client.write_all(portion).is_ok() {});
        let start = Instant::now();
        let (error, text) = fake.fails(LONG);
        assert!(matches!(error, ConnectError::Handshake { passing: false, .. }), "{text}");
        assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
    }
}

#[test]
fn what_a_server_says_instead_of_ssh_is_told_and_cannot_act_on_a_terminal() {
    for (said, part, passing) in [
        ("Exceeded MaxStartups\r\n", "the server says: Exceeded MaxStartups", true),
        ("Not allowed at this time\r\n", "Not allowed at this time", true),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "no SSH server: HTTP/1.1 400 Bad Request", true),
        ("\x1b]0;owned\x07\x1b[2Jhi\r\n", "no SSH server", true),
        ("", "full (MaxStartups)", true),
    ] {
        let fake = Fake::that(move |client, _| {
            let _ = client.write_all(said.as_bytes());
            let _ = client.shutdown(std::net::Shutdown::Write);
            // Read to the end, so that nothing is reset before it was read.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let (error, text) = fake.fails(LONG);
        assert!(text.contains(part) && text.contains("the server closed the connection"), "{part}: {text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        assert_eq!((error.kind(), error.before_authentication()), (Kind::Unreachable, passing), "{text}");
    }
}

#[test]
fn a_server_that_greets_and_then_talks_nonsense_or_falls_silent_is_no_server() {
    for (nonsense, passing) in
        [(&b"\x00\x00\x00\x0c\x0a\x14garbage"[..], true), (&[0xff; 64], false), (&[0; 512], false)]
    {
        let fake = Fake::that(move |client, _| {
            let _ = client.write_all(b"SSH-2.0-nonsense\r\n");
            let _ = client.write_all(nonsense);
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = client.read_to_end(&mut Vec::new());
        });
        let (error, text) = fake.fails(LONG);
        assert!(matches!(error, ConnectError::Handshake { stage: Stage::KeyExchange, .. }), "{text}");
        assert_eq!(error.before_authentication(), passing, "{text}");
    }
    let fake = Fake::that(|client, done| {
        let _ = client.write_all(b"SSH-2.0-silence\r\n");
        let _ = done.recv();
    });
    let (error, text) = fake.fails(Duration::from_millis(300));
    assert!(matches!(error, ConnectError::Deadline { stage: Stage::KeyExchange, .. }), "{text}");
}

#[test]
fn a_server_that_is_too_old_is_told_so_and_not_tried_again() {
    for line in ["KexAlgorithms diffie-hellman-group14-sha1", "Ciphers 3des-cbc", "MACs hmac-sha1\nCiphers aes128-ctr"]
    {
        let options = Options { config: vec![line.to_owned()], ..Options::default() };
        let sshd = Sshd::with(&options).expect("sshd");
        let error = try_connect(&sshd.endpoint("host")).expect_err("nothing in common");
        let text = told(&error);
        assert_eq!((error.kind(), error.before_authentication()), (Kind::Unreachable, false), "{line}: {text}");
        assert!(text.contains("did not agree") && text.contains("too old"), "{line}: {text}");
    }
}

#[test]
fn nobody_at_the_port_and_no_such_name_are_told_apart() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let endpoint = Endpoint {
        name: "host".to_owned(),
        address: Some("127.0.0.1".to_owned()),
        port: Some(port),
        user: Some("nobody".to_owned()),
        config: Some("/dev/null".into()),
        ..Endpoint::default()
    };
    let error = try_connect(&endpoint).expect_err("nobody");
    assert!(told(&error).contains(&format!("127.0.0.1:{port}: connection refused")), "{}", told(&error));
    assert_eq!((error.kind(), error.before_authentication()), (Kind::Unreachable, true));

    // A label of 64 letters can have no address, and no name server needs to be asked to know that.
    let nowhere = Endpoint { address: Some(format!("{}.example", "a".repeat(64))), ..endpoint };
    let error = try_connect(&nowhere).expect_err("no address");
    assert!(matches!(error, ConnectError::Name { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Unreachable);
}

#[test]
fn a_server_with_too_many_starts_may_be_tried_again() {
    let sshd = Sshd::with(&Options { max_startups: Some("1".to_owned()), ..Options::default() }).expect("sshd");
    let held = TcpStream::connect(sshd.address()).expect("connected");
    sshd.wait_log(|log| log.contains("Connection from")).expect("accepted");
    let error = try_connect(&sshd.endpoint("host")).expect_err("too many");
    assert_eq!((error.kind(), error.before_authentication()), (Kind::Unreachable, true), "{}", told(&error));
    drop(held);
    sshd.wait_log(|log| log.contains("Connection closed") || log.contains("kex_exchange_identification"))
        .expect("let go");
    let end = Instant::now() + LONG;
    while let Err(error) = try_connect(&sshd.endpoint("host")) {
        assert!(error.before_authentication() && Instant::now() < end, "{}", told(&error));
    }
}

/// The way to `sshd` over a road.
fn over(sshd: &Sshd, road: Road) -> (Wan, Endpoint) {
    let wan = Wan::to(sshd.address(), road).expect("a road");
    let known = format!("[127.0.0.1]:{} {}\n", wan.address().port(), sshd.host_key(KeyType::Ed25519).expect("a key"));
    let known_hosts = Some(write(sshd, "known_hosts", &known));
    let endpoint = Endpoint { port: Some(wan.address().port()), known_hosts, ..sshd.endpoint("host") };
    (wan, endpoint)
}

/// One line, as far as it came.
struct Talk {
    ended: Result<Ended, ExecError>,
    out: Vec<u8>,
    received: u64,
}

/// Connects and runs one line whose answer ends with `end`.
fn converse(endpoint: &Endpoint, limit: Duration) -> Result<Talk, ConnectError> {
    let until = within(limit);
    let mut connection = connect(&resolve(endpoint, &within(LONG)).expect("a target"), Trust::Strict, &until)?;
    let mut out = Vec::new();
    let ended = connection.exec(
        "echo first; echo end",
        b"input",
        &mut |_, piece| {
            out.extend_from_slice(piece);
            if out.ends_with(b"end\n") { Flow::Stop } else { Flow::Go }
        },
        &until,
    );
    Ok(Talk { ended, out, received: connection.traffic().received })
}

#[test]
fn a_road_that_is_cut_at_any_byte_is_never_a_success_and_never_a_hang() {
    let sshd = Sshd::start().expect("sshd");
    let (_wan, endpoint) = over(&sshd, Road::default());
    let Talk { ended, out, received } = converse(&endpoint, LONG).expect("a whole conversation");
    assert_eq!((ended, &out[..]), (Ok(Ended::Stopped), &b"first\nend\n"[..]));
    let whole = usize::try_from(received).expect("a few kilobytes");

    // Every stage has several hundred bytes, its edges included by the odd step.
    let at: Vec<usize> = (0..whole).step_by(71).collect();
    assert!(at.len() > 30, "{whole}");
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for how in [Cut::Close, Cut::Reset, Cut::Silence] {
        let limit = if how == Cut::Silence { Duration::from_secs(2) } else { LONG };
        for chunk in at.chunks(4) {
            let results: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> = chunk
                    .iter()
                    .map(|&bytes| {
                        let (wan, endpoint) = over(&sshd, Road { cut: Some((bytes, how)), ..Road::default() });
                        scope.spawn(move || {
                            let start = Instant::now();
                            let result = converse(&endpoint, limit).map(|talk| (talk.ended, talk.out));
                            drop(wan);
                            (bytes, result, start.elapsed())
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
            });
            for (bytes, result, took) in results {
                assert!(took < PROMPT, "{how:?} after {bytes} bytes took {took:?}");
                let what = match (&result, how) {
                    (Ok((Err(ExecError::Deadline), _)), Cut::Silence) => "exec: deadline".to_owned(),
                    (Ok((Err(ExecError::Lost(_)), _)), Cut::Close | Cut::Reset) => "exec: lost".to_owned(),
                    (Ok((Err(ExecError::Refused(why)), out)), Cut::Close | Cut::Reset) => {
                        assert!(out.is_empty() && why.contains("before the command was sent"), "{why}");
                        "exec: not sent".to_owned()
                    }
                    // The answer came whole, and what was cut is the goodbye.
                    (Ok((Ok(Ended::Stopped), out)), _) if out.ends_with(b"end\n") => "whole".to_owned(),
                    (Err(ConnectError::Deadline { stage, .. }), Cut::Silence) => format!("{stage:?}: deadline"),
                    (Err(ConnectError::Handshake { stage, passing: true, .. }), Cut::Close | Cut::Reset) => {
                        format!("{stage:?}: ended")
                    }
                    (Err(ConnectError::LostAtLogin { .. }), Cut::Close | Cut::Reset) => "Login: lost".to_owned(),
                    other => panic!("{how:?} after {bytes} of {whole} bytes: {other:?}"),
                };
                *seen.entry(format!("{how:?} {what}")).or_default() += 1;
            }
        }
    }
    println!("{seen:#?}");
    // Each stage was hit by each kind of cut.
    for what in [
        "Close Greeting: ended",
        "Reset KeyExchange: ended",
        "Close Login: lost",
        "Silence KeyExchange: deadline",
        "Silence Login: deadline",
    ] {
        assert!(seen.contains_key(what), "{what} is not in {seen:#?}");
    }
}

#[test]
fn a_road_that_falls_silent_in_the_middle_of_much_output_ends_with_the_deadline_and_drop_does_not_wait() {
    let sshd = Sshd::start().expect("sshd");
    let (_wan, endpoint) = over(&sshd, Road { cut: Some((300_000, Cut::Silence)), ..Road::default() });
    let mut connection = try_connect(&endpoint).expect("connected");
    let start = Instant::now();
    let mut bytes = 0;
    let ended = connection.exec(
        "yes",
        b"",
        &mut |_, piece| {
            bytes += piece.len();
            Flow::Go
        },
        &within(Duration::from_secs(1)),
    );
    assert_eq!(ended, Err(ExecError::Deadline));
    assert!(bytes > 100_000, "{bytes}");
    drop(connection);
    assert!(start.elapsed() < PROMPT, "{:?}", start.elapsed());
}
