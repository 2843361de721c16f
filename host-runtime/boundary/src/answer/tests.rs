//! Answers as scripts write them, as links cut them, and as hostile machines make them up. Real scripts' answers are
//! read, and cut at every byte, in `tests/shells`.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::command::{Chunk, Command};
use crate::script::{Nonce, Options, render};

const CONNECTION: &str = "192.0.2.7 50022 192.0.2.1 22";
const ELAPSED: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { head: 8, tail: 4, total: 1 << 20 };

/// Built once: in a build without optimisation that takes longer than reading an answer.
static SCRUBBER: LazyLock<Scrubber> = LazyLock::new(|| Scrubber::new([("auth", &b"tskey-auth-1"[..])]).unwrap());

fn nonce() -> Nonce {
    Nonce::new([0xab; 16])
}

fn command(runs: Condition, accepted: &[u8], reads: &[u32]) -> Command {
    Command {
        argv: vec!["prog".to_owned()],
        env: Vec::new(),
        stdin: reads.iter().map(|of| Chunk::StdoutOf(*of)).collect(),
        as_root: false,
        timeout: Duration::from_secs(5),
        runs,
        accepted: accepted.to_vec(),
    }
}

fn expect(mode: Mode, commands: &[Command]) -> Expect {
    let nonce = nonce();
    render(commands, &Options { mode, ..Options::probe(&nonce) }).unwrap().expect
}

fn ok(count: usize) -> Vec<Command> {
    vec![command(Condition::Ok, &[], &[]); count]
}

/// A stream: lines that begin with `~ ` are frames, everything else is itself.
fn stream(parts: &[&str]) -> Vec<u8> {
    let nonce = nonce();
    let part = |part: &&str| match part.strip_prefix("~ ") {
        Some(words) => format!("\n{} {words}\n", nonce.as_str()),
        None => (*part).to_owned(),
    };
    parts.iter().map(part).collect::<String>().into_bytes()
}

fn begin() -> String {
    format!("~ begin 1000 locked 12.00 {CONNECTION}")
}

fn read(expect: &Expect, out: &[u8], err: &[u8], closed: bool) -> Answer {
    let mut reader = Reader::new(expect, &SCRUBBER, LIMITS);
    reader.stdout(out);
    reader.stderr(err);
    reader.finish(ELAPSED, closed)
}

/// The answer to a run whose frames are the same on both streams, and whose output is on standard output.
fn run(commands: &[Command], parts: &[&str]) -> Ran {
    let begin = begin();
    let all: Vec<&str> = [begin.as_str()].into_iter().chain(parts.iter().copied()).collect();
    let frames: Vec<&str> = all.iter().copied().filter(|part| part.starts_with("~ ")).collect();
    ran(read(&expect(Mode::Run, commands), &stream(&all), &stream(&frames), true))
}

fn ran(answer: Answer) -> Ran {
    match answer {
        Answer::Ran(ran) => ran,
        other => panic!("{other:?}"),
    }
}

fn endings(ran: &Ran) -> Vec<Ending> {
    ran.outputs.iter().map(|output| output.ending).collect()
}

use Ending::{Exited, Skipped, TimedOut, Unknown};

#[test]
fn a_whole_answer_says_who_where_and_how_each_command_ended() {
    let out = stream(&["motd\n", &begin(), "one\n", "~ 0 0 12.00 12.10", "~ 1 7 12.10 12.20", "late", "~ end", "more"]);
    let err = stream(&["banner", &begin(), "~ 0 0 12.00 12.10", "why\n\n", "~ 1 7 12.10 12.20", "~ end"]);
    let commands = [command(Condition::Ok, &[], &[]), command(Condition::Ok, &[7], &[])];
    let ran = ran(read(&expect(Mode::Run, &commands), &out, &err, true));
    assert_eq!(endings(&ran), [Exited(0), Exited(7)]);
    assert_eq!(ran.outputs[0].stdout, Captured { head: b"one\n".to_vec(), tail: Vec::new(), cut: false });
    assert_eq!(ran.outputs[0].stderr, Captured::default());
    // The line end of the command stays, that of the frame does not.
    assert_eq!(ran.outputs[1].stderr.head, b"why\n\n");
    // What a daemon wrote between the last command and the end is nobody's.
    assert_eq!(ran.outputs[1].stdout, Captured::default());
    assert_eq!((ran.uid, ran.locked, ran.complete, ran.stop), (Some(1000), true, true, None));
    assert_eq!(ran.uptime, Some(1200));
    assert_eq!(ran.connection.as_deref(), Some(CONNECTION));
}

#[test]
fn a_reader_is_done_when_both_streams_have_ended_and_not_before() {
    let expect = expect(Mode::Run, &ok(1));
    let (first, last) = (stream(&[&begin(), "~ 0 0 - -"]), stream(&["~ end"]));
    let mut reader = Reader::new(&expect, &Scrubber::default(), LIMITS);
    reader.stdout(&first);
    reader.stderr(&first);
    reader.stdout(&last);
    assert!(!reader.done());
    reader.stderr(&last[..last.len() - 1]);
    assert!(!reader.done());
    reader.stderr(b"\n");
    assert!(reader.done());
    // Nothing after the end is looked at.
    reader.stderr(&[b'x'; 2 << 20]);
    let ran = ran(reader.finish(ELAPSED, false));
    assert!(ran.complete && ran.stop.is_none());
}

#[test]
fn no_first_frame_is_not_started_when_the_far_side_ended_it_and_unknown_when_the_link_did() {
    let expect = expect(Mode::Run, &ok(2));
    let out = b"tskey-auth-1 \x1b[1mThis account is currently not available.\n";
    let answer = read(&expect, out, b"Last login: never\n", true);
    let said = "Last login: never\n<secret:auth> This account is currently not available.".to_owned();
    assert_eq!(answer, Answer::NotStarted { said });
    let ran = ran(read(&expect, out, b"", false));
    assert_eq!(endings(&ran), [Unknown, Unknown]);
    assert!(!ran.complete && ran.uid.is_none() && ran.connection.is_none());
    assert_eq!(ran.outputs[0].stdout, Captured::default());
}

#[test]
fn what_was_said_instead_is_kept_short() {
    let expect = expect(Mode::Run, &ok(1));
    let out = format!("reason first\n{}\nreason last\n", "noise ".repeat(10_000));
    let Answer::NotStarted { said } = read(&expect, out.as_bytes(), b"", true) else { panic!() };
    assert!(said.starts_with("reason first\n") && said.ends_with("\nreason last") && said.contains(" … "));
    assert!(said.len() < 5000);
}

#[test]
fn a_refusal_is_told_with_its_words() {
    let expect = expect(Mode::Run, &ok(1));
    let refusal = |frame: &str| {
        let bytes = stream(&[frame, "~ end"]);
        // Either stream alone is enough.
        let answer = read(&expect, &bytes, b"", false);
        assert_eq!(read(&expect, b"noise", &bytes, false), answer);
        answer
    };
    let holder = "anna\\x07 on laptop".to_owned();
    assert_eq!(refusal("~ busy anna\u{7}  on laptop"), Answer::Busy { holder });
    assert_eq!(refusal("~ busy "), Answer::Busy { holder: String::new() });
    assert_eq!(refusal("~ moved anna <tskey-auth-1>"), Answer::Moved { by: "anna <<secret:auth>>".to_owned() });
    let why = "sudo: a password is required".to_owned();
    assert_eq!(refusal("~ no-lock 1000 sudo: a password is required"), Answer::NoLock { uid: Some(1000), why });
    assert_eq!(refusal("~ no-lock x"), Answer::NoLock { uid: None, why: String::new() });
    assert_eq!(refusal("~ no-place <tskey-auth-1>"), Answer::NoPlace { why: "<<secret:auth>>".to_owned() });
    let why = "sudo: a password is required".to_owned();
    assert_eq!(refusal("~ no-sudo asks sudo: a password is required"), Answer::NoSudo { tried: false, why });
    let why = "Sorry, try again.".to_owned();
    assert_eq!(refusal("~ no-sudo refused Sorry, try again."), Answer::NoSudo { tried: true, why });
    assert_eq!(refusal("~ no-printf"), Answer::NoPrintf);
    let Answer::Busy { holder } = refusal(&format!("~ busy {}", "x".repeat(900))) else { panic!() };
    assert_eq!(holder.chars().count(), 200);
}

#[test]
fn a_shell_without_printf_ends_one_stream_with_nothing_before() {
    let expect = expect(Mode::Run, &ok(1));
    let mut reader = Reader::new(&expect, &Scrubber::default(), LIMITS);
    reader.stderr(&stream(&["~ end"]));
    reader.stdout(&stream(&["~ no-printf", "~ end"]));
    assert!(reader.done());
    assert_eq!(reader.finish(ELAPSED, true), Answer::NoPrintf);
}

#[test]
fn commands_that_cannot_have_run_are_skipped_even_where_the_link_ended() {
    use Condition::{Always, Failed};
    let commands = [
        command(Condition::Ok, &[], &[]),
        command(Condition::Ok, &[], &[]),
        command(Failed, &[], &[]),
        command(Always, &[], &[0]),
        command(Always, &[], &[1]),
        command(Always, &[], &[]),
    ];
    let cut = |parts: &[&str]| endings(&run(&commands, parts));
    assert_eq!(cut(&[]), [Unknown; 6]);
    assert_eq!(cut(&["~ 0 1 - -"]), [Exited(1), Skipped, Unknown, Skipped, Skipped, Unknown]);
    assert_eq!(cut(&["~ 0 0 - -", "~ 1 0 - -"]), [Exited(0), Exited(0), Skipped, Unknown, Unknown, Unknown]);
    assert_eq!(cut(&["~ 0 0 - -"]), [Exited(0), Unknown, Unknown, Unknown, Unknown, Unknown]);
    // Told so: on a signal, the script skips what could have run.
    assert_eq!(cut(&["~ 0 0 - -", "~ 1 - - -"]), [Exited(0), Skipped, Skipped, Unknown, Skipped, Unknown]);
    // A failure that comes after one that is unknown proves nothing about that one.
    assert_eq!(cut(&["~ 0 0 - -", "~ 1 5 - -"]), [Exited(0), Exited(5), Unknown, Unknown, Skipped, Unknown]);
}

#[test]
fn what_came_after_the_last_frame_belongs_to_the_next_command_that_was_not_skipped() {
    let commands = [ok(2), vec![command(Condition::Failed, &[], &[])]].concat();
    let ran = run(&commands, &["~ 0 3 - -", "partial"]);
    assert_eq!(endings(&ran), [Exited(3), Skipped, Unknown]);
    assert_eq!(ran.outputs[1].stdout, Captured::default());
    assert_eq!(ran.outputs[2].stdout, Captured { head: b"partial".to_vec(), tail: Vec::new(), cut: true });
}

#[test]
fn an_exit_whose_standard_error_did_not_all_come_says_so() {
    let expect = expect(Mode::Run, &ok(2));
    let out = stream(&[&begin(), "~ 0 0 - -", "~ 1 1 - -", "~ end"]);
    let ran = ran(read(&expect, &out, &stream(&[&begin(), "E: so"]), false));
    assert_eq!(endings(&ran), [Exited(0), Exited(1)]);
    assert_eq!(ran.outputs[0].stderr, Captured { head: b"E: so".to_vec(), tail: Vec::new(), cut: true });
    assert!(ran.outputs[1].stderr.cut && !ran.outputs[1].stdout.cut && !ran.complete);
}

#[test]
fn a_status_that_came_on_standard_error_alone_is_no_result() {
    let expect = expect(Mode::Run, &ok(1));
    let err = stream(&[&begin(), "~ 0 0 - -", "~ end"]);
    let ran = ran(read(&expect, &stream(&[&begin(), "half"]), &err, false));
    assert_eq!(endings(&ran), [Unknown]);
}

#[test]
fn timed_out_is_a_status_of_timeout_and_the_time_for_it_by_both_clocks() {
    let at = |frame: &str, elapsed: Duration| {
        let expect = expect(Mode::Run, &ok(1));
        let bytes = stream(&[&begin(), frame, "~ end"]);
        let mut reader = Reader::new(&expect, &Scrubber::default(), LIMITS);
        reader.stdout(&bytes);
        reader.stderr(&bytes);
        ran(reader.finish(elapsed, true)).outputs[0].ending
    };
    let long = Duration::from_secs(6);
    for status in [124, 137, 143] {
        assert_eq!(at(&format!("~ 0 {status} 10.00 15.00"), long), TimedOut);
        assert_eq!(at(&format!("~ 0 {status} 10.01 14.99"), long), TimedOut, "clocks have a grain");
        assert_eq!(at(&format!("~ 0 {status} 10.00 10.40"), long), Exited(status), "a program's own");
        assert_eq!(at(&format!("~ 0 {status} 10.00 99.00"), Duration::from_secs(4)), Exited(status), "a lie");
        assert_eq!(at(&format!("~ 0 {status} - -"), long), TimedOut, "no uptime: our clock alone");
        assert_eq!(at(&format!("~ 0 {status} 15.00 10.00"), long), TimedOut, "uptime that runs backwards is none");
        assert_eq!(at(&format!("~ 0 {status} - -"), Duration::from_secs(4)), Exited(status));
    }
    assert_eq!(at("~ 0 1 10.00 15.00", long), Exited(1));
    assert_eq!(at("~ 0 0 10.00 15.00", long), Exited(0));
}

#[test]
fn frames_that_the_script_does_not_write_end_the_belief() {
    let commands = [ok(2), vec![command(Condition::Always, &[], &[])]].concat();
    for lie in [
        "~ 1 0 - -",
        "~ 7 0 - -",
        "~ 18446744073709551615 0 - -",
        "~ -1 0 - -",
        "~ 0 256 - -",
        "~ 0 +1 - -",
        "~ 0  - -",
        "~ 0 0 x y",
        "~ 0 - - x",
        "~ 0 0 1.000 2.00",
        "~ begin 0 locked - ",
        "~ busy me",
        "~ tar",
        "~ end x",
        "~ ",
        "~ nonsense",
    ] {
        let ran = run(&commands, &["x", lie, "~ 0 0 - -", "~ 1 0 - -", "~ 2 0 - -", "~ end"]);
        assert_eq!((endings(&ran), ran.stop), (vec![Unknown; 3], Some(Stop::Garbled)), "{lie}");
        assert!(!ran.complete);
    }
    // Once said, it stands; what contradicts it is not believed.
    let ran = run(&commands, &["~ 0 1 - -", "~ 1 0 - -", "~ 2 0 - -", "~ end"]);
    assert_eq!((endings(&ran), ran.stop), (vec![Exited(1), Skipped, Unknown], Some(Stop::Garbled)));
    let ran = run(&commands, &["~ 0 0 - -", "~ 0 1 - -"]);
    assert_eq!((endings(&ran), ran.stop), (vec![Exited(0), Unknown, Unknown], Some(Stop::Garbled)));
    assert!(Stop::Garbled.to_string().contains("form"));
    // An end too early: what has no frame has no result.
    let ran = run(&commands, &["~ 0 0 - -", "~ end"]);
    assert_eq!((endings(&ran), ran.complete), (vec![Exited(0), Unknown, Unknown], true));
}

#[test]
fn a_frame_without_an_end_is_not_waited_for() {
    let expect = expect(Mode::Run, &ok(1));
    let mut reader = Reader::new(&expect, &Scrubber::default(), LIMITS);
    reader.stdout(&stream(&[&begin()]));
    reader.stdout(format!("\n{} 0 0", nonce().as_str()).as_bytes());
    for _ in 0..100 {
        reader.stdout(&[b' '; 100]);
    }
    assert!(reader.done());
    assert_eq!(ran(reader.finish(ELAPSED, true)).stop, Some(Stop::Garbled));
}

#[test]
fn a_nonce_that_is_not_ours_is_output() {
    let foreign = format!("\n{} 0 0 - -\n", "ba".repeat(16));
    let ran = run(&ok(1), &[&foreign, "~ 0 0 - -", "~ end"]);
    assert!(ran.outputs[0].stdout.cut && ran.outputs[0].stdout.head.starts_with(b"\nbaba"));
}

#[test]
fn a_frame_counts_where_a_daemon_wrote_in_front_of_it() {
    let nonce = nonce();
    let out = format!(
        "{}\nfrom a daemon{} 0 0 - -\n\n{} end\n",
        String::from_utf8(stream(&[&begin()])).unwrap(),
        nonce.as_str(),
        nonce.as_str()
    );
    let err = stream(&[&begin(), "~ 0 0 - -", "~ end"]);
    let ran = ran(read(&expect(Mode::Run, &ok(1)), out.as_bytes(), &err, true));
    assert_eq!(endings(&ran), [Exited(0)]);
    assert!(ran.outputs[0].stdout.head.starts_with(b"\nfrom a"));
}

#[test]
fn a_flood_ends_at_its_limit_and_little_of_it_is_kept() {
    for where_from in ["noise", "a command"] {
        let expect = expect(Mode::Run, &ok(1));
        let mut reader = Reader::new(&expect, &Scrubber::default(), LIMITS);
        if where_from == "a command" {
            reader.stdout(&stream(&[&begin()]));
        }
        let mut pieces = 0;
        while !reader.done() {
            reader.stdout(&[b'y'; 1000]);
            reader.stderr(&[b'y'; 1000]);
            pieces += 1;
            assert!(pieces < 1000);
        }
        // The end of a flood is not seen, even where it stands in the same piece.
        reader.stdout(&stream(&["~ 0 0 - -", "~ end"]));
        let ran = ran(reader.finish(ELAPSED, true));
        assert_eq!((endings(&ran), ran.stop), (vec![Unknown], Some(Stop::Flood)));
        assert!(Stop::Flood.to_string().contains("more"));
        let kept = &ran.outputs[0].stdout;
        assert!(kept.head.len() + kept.tail.len() <= 12);
    }
}

#[test]
fn the_last_byte_within_the_limit_still_counts() {
    let out = stream(&[&begin(), "~ 0 0 - -", "~ end"]);
    let expect = expect(Mode::Run, &ok(1));
    let total = 2 * out.len() as u64;
    for (limit, complete) in [(total, true), (total - 1, false)] {
        let mut reader = Reader::new(&expect, &Scrubber::default(), Limits { total: limit, ..LIMITS });
        reader.stdout(&out);
        reader.stderr(&out);
        assert!(reader.done());
        assert_eq!(ran(reader.finish(ELAPSED, true)).complete, complete);
    }
}

#[test]
fn head_and_tail_are_kept_of_what_is_long_and_all_of_what_is_not() {
    let captured = |text: &str| run(&ok(1), &[text, "~ 0 0 - -", "~ end"]).outputs.remove(0).stdout;
    let whole = |text: &str| Captured { head: text.as_bytes().to_vec(), tail: Vec::new(), cut: false };
    assert_eq!(captured("12345678"), whole("12345678"));
    assert_eq!(captured("123456789abc"), whole("123456789abc"));
    let cut = Captured { head: b"12345678".to_vec(), tail: b"abcd".to_vec(), cut: true };
    assert_eq!(captured("123456789abcd"), cut);
    assert_eq!(captured(&format!("12345678{}abcd", "-".repeat(5000))), cut);
}

#[test]
fn secrets_go_before_anything_is_cut() {
    let captured = |text: &str| run(&ok(1), &[text, "~ 0 0 - -", "~ end"]).outputs.remove(0).stdout;
    // The head ends within the value, and so does the tail.
    let kept = captured(&format!("1234tskey-auth-1{}tskey-auth-1", "x".repeat(100)));
    assert_eq!((&kept.head[..], &kept.tail[..]), (&b"1234<sec"[..], &b"uth>"[..]));
    // A link that ends within the value.
    let ran = run(&ok(1), &["a tskey-aut"]);
    assert_eq!(ran.outputs[0].stdout.head, b"a <secre");
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn probe_bytes(archive: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let out = [stream(&[&begin(), "~ tar"]), archive.to_vec(), stream(&["~ end"])].concat();
    (out, stream(&[&begin(), "~ tar", "~ end"]))
}

fn probe(count: usize, archive: &[u8]) -> Ran {
    let (out, err) = probe_bytes(archive);
    ran(read(&expect(Mode::Probe, &ok(count)), &out, &err, true))
}

const FIRST: [(&str, &[u8]); 3] = [("./0.o", b"hello"), ("./0.e", b""), ("./0.s", b"3 1.00 1.20\n")];

#[test]
fn a_probes_archive_gives_each_command_its_output_in_any_order() {
    let mut files = FIRST.to_vec();
    files.extend([
        ("./2.s", &b"- - -\n"[..]),
        ("./1.s", b"124 1.00 6.00\n"),
        ("./1.o", b"\0\xff"),
        ("./1.e", b"tskey-auth-1"),
    ]);
    files.reverse();
    let ran = probe(3, &archive(&files));
    assert_eq!(endings(&ran), [Exited(3), TimedOut, Skipped]);
    assert_eq!(ran.outputs[0].stdout.head, b"hello");
    assert_eq!(ran.outputs[1].stdout.head, b"\0\xff");
    assert_eq!([&ran.outputs[1].stderr.head[..], &ran.outputs[1].stderr.tail].concat(), b"<secret:uth>");
    assert!(ran.complete);
}

#[test]
fn a_probe_has_a_result_only_with_its_status_and_both_its_streams() {
    for missing in 0..3 {
        let mut files = FIRST.to_vec();
        files.remove(missing);
        assert_eq!(endings(&probe(1, &archive(&files))), [Unknown]);
    }
    for status in ["", "3", "3 1.00 1.20", "x 1.00 1.20\n", "3 1.00 1.20\n\n", "300 - -\n"] {
        let files = [FIRST[0], FIRST[1], ("./0.s", status.as_bytes())];
        assert_eq!(endings(&probe(1, &archive(&files))), [Unknown], "{status:?}");
    }
}

#[test]
fn a_probe_at_its_limit_is_cut_and_a_part_of_a_secret_there_goes() {
    let mut full = vec![b'x'; usize::try_from(FILE_LIMIT).unwrap() - 5];
    full.extend_from_slice(b"tskey");
    let files = [("./0.o", full.as_slice()), FIRST[1], FIRST[2]];
    let (out, err) = probe_bytes(&archive(&files));
    let mut reader = Reader::new(&expect(Mode::Probe, &ok(1)), &SCRUBBER, Limits::default());
    reader.stdout(&out);
    reader.stderr(&err);
    let ran = ran(reader.finish(ELAPSED, true));
    assert!(ran.outputs[0].stdout.cut);
    assert!(ran.outputs[0].stdout.tail.ends_with(b"x<secret:auth>"));
}

#[test]
fn an_archive_that_lies_says_nothing_and_costs_nothing() {
    // Names that are not ours, and ours a second time.
    let mut files = vec![
        ("../0.o", &b"x"[..]),
        ("0.o", b"x"),
        ("./00.o", b"x"),
        ("./9.o", b"x"),
        ("./0.x", b"x"),
        ("./.o", b"x"),
        ("./-1.s", b"x"),
        ("./99999.o", b"x"),
    ];
    files.extend(FIRST);
    files.push(("./0.o", b"second"));
    let ran = probe(1, &archive(&files));
    assert_eq!(endings(&ran), [Exited(3)]);
    assert_eq!(ran.outputs[0].stdout.head, b"x", "`00` is 0, and the first counts");

    // Sizes that are not there, in both ways to write them; links, devices, sparse files and long names.
    let good = archive(&FIRST);
    let with_header = |change: &dyn Fn(&mut tar::Header)| {
        let mut bytes = good.clone();
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        change(&mut header);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        endings(&probe(1, &bytes))
    };
    assert_eq!(with_header(&|_| {}), [Exited(3)]);
    for size in [6 * 512, 1 << 40, u64::MAX >> 1, u64::MAX] {
        assert_eq!(with_header(&|header| header.set_size(size)), [Unknown], "{size}");
    }
    assert_eq!(with_header(&|header| header.as_mut_bytes()[124..136].copy_from_slice(b"not a number")), [Unknown]);
    for kind in [b'1', b'2', b'3', b'5', b'6', b'7', b'L', b'K', b'S', b'x', b'g', b'?'] {
        assert_eq!(with_header(&|header| header.set_entry_type(tar::EntryType::new(kind))), [Unknown], "{kind}");
    }
    let mut torn = good;
    torn[3] ^= 1;
    assert_eq!(endings(&probe(1, &torn)), [Unknown], "a wrong checksum");
}

#[test]
fn a_probe_whose_archive_is_cut_keeps_what_was_whole() {
    let mut files = FIRST.to_vec();
    files.extend([("./1.o", &b"y"[..]), ("./1.e", b""), ("./1.s", b"0 - -\n")]);
    let whole = archive(&files);
    let expect = expect(Mode::Probe, &ok(2));
    for cut in 0..whole.len() {
        let out = [stream(&[&begin(), "~ tar"]), whole[..cut].to_vec()].concat();
        let ran = ran(read(&expect, &out, &stream(&[&begin()]), false));
        // Of the first: header and block of `o`, header of `e`, header of `s` and its twelve bytes; and one more, since
        // a line end alone may be the beginning of a frame.
        let first = if cut > 512 * 4 + 12 { Exited(3) } else { Unknown };
        let second = if cut > 512 * 9 + 6 { Exited(0) } else { Unknown };
        assert_eq!(endings(&ran), [first, second], "{cut}");
        assert!(!ran.complete);
    }
}

#[test]
fn where_the_connection_comes_from_is_believed_only_in_its_form() {
    for good in [CONNECTION, "::1 1 ::1 65535", "fe80::1%eth0 50000 fe80::2%wg-0 22", "2001:db8::7 1 192.0.2.1 2"] {
        assert_eq!(connection_of(good.as_bytes()).as_deref(), Some(good));
    }
    for bad in [
        "",
        "a b c d",
        "192.0.2.7 50022 192.0.2.1",
        "192.0.2.7 50022 192.0.2.1 22 x",
        "192.0.2.7 99999 192.0.2.1 22",
        "fe80::1% 1 ::1 1",
        "::1%\u{1b}[m 1 ::1 1",
        "192.0.2.7  50022 192.0.2.1 22",
    ] {
        assert_eq!(connection_of(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(connection_of(b"\xff 1 ::1 1"), None);
}

/// Bytes in which frames, parts of them, and what they are made of are likely.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |text: &'static str| Just(stream(&[text]));
    let part = prop_oneof![
        Just(stream(&[&begin()])),
        fixed("~ 0 0 1.00 2.00"),
        fixed("~ 1 1 - -"),
        fixed("~ 1 - - -"),
        fixed("~ 2 0 - -"),
        fixed("~ tar"),
        fixed("~ end"),
        fixed("~ busy x"),
        Just(archive(&FIRST)),
        Just(nonce().as_str().as_bytes().to_vec()),
        Just(nonce().as_str().as_bytes()[..7].to_vec()),
        Just(b"\n".to_vec()),
        Just(b"tskey-auth-1".to_vec()),
        prop::collection::vec(any::<u8>(), 0..9),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_say_the_same_and_a_part_says_no_more(
        out in hostile(), err in hostile(), size in 1_usize..50, at in 0.0..1.0, probe in any::<bool>(), closed in any::<bool>(),
    ) {
        let commands = [ok(2), vec![command(Condition::Failed, &[], &[0])]].concat();
        let expect = expect(if probe { Mode::Probe } else { Mode::Run }, &commands);
        let whole = read(&expect, &out, &err, closed);

            let mut reader = Reader::new(&expect, &SCRUBBER, LIMITS);
        out.chunks(size).for_each(|piece| reader.stdout(piece));
        err.chunks(size).for_each(|piece| reader.stderr(piece));
        prop_assert_eq!(&reader.finish(ELAPSED, closed), &whole);

        let cut = (at * out.len() as f64) as usize;
        if let (Answer::Ran(whole), Answer::Ran(part)) = (whole, read(&expect, &out[..cut], &err, false)) {
            for (part, whole) in part.outputs.iter().zip(&whole.outputs) {
                prop_assert!(part.ending == whole.ending || part.ending == Unknown, "{:?} {:?}", part, whole);
            }
        }
    }
}
