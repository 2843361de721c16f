//! Any bytes as the answer to a batch, at once, in pieces, and cut short.
//!
//! Standard output and standard error are parted by a line `~~~`, and a `~` stands for the nonce, which a fuzzer would
//! never guess: `~ 0 0 1.00 2.00` on a line of its own is a frame.

use std::sync::LazyLock;
use std::time::Duration;

use crate::answer::{Answer, Limits, Ran, Reader};
use crate::command::{Chunk, Command, Condition, Ending, Mode};
use crate::script::{Expect, Nonce, Options, render};
use crate::scrub::Scrubber;

const LIMITS: Limits = Limits { head: 40, tail: 24, total: 24 * 1024 };
/// Built once: building it takes longer than reading an answer.
static SCRUBBER: LazyLock<Scrubber> =
    LazyLock::new(|| Scrubber::new([("auth", &b"tskey-secret"[..])]).expect("a secret"));
const ELAPSED: Duration = Duration::from_secs(60);

pub(super) fn run(data: &[u8]) {
    target(data, Mode::Run);
}

pub(super) fn probe(data: &[u8]) {
    target(data, Mode::Probe);
}

fn target(data: &[u8], mode: Mode) {
    let nonce = Nonce::new([0xa7; 16]);
    let parted = data.windows(5).position(|window| window == b"\n~~~\n");
    let (out, err) = parted.map_or((data, &b""[..]), |at| (&data[..at], &data[at + 5..]));
    let (out, err) = (with_nonce(out, &nonce), with_nonce(err, &nonce));
    let expect = batch(&nonce, mode);

    let whole = answer(&expect, &[&out], &[&err]);
    let pieces: Vec<&[u8]> = out.chunks(1 + data.len() % 7).collect();
    let err_pieces: Vec<&[u8]> = err.chunks(1 + data.len() % 5).collect();
    assert_eq!(answer(&expect, &pieces, &err_pieces), whole, "pieces");
    let Answer::Ran(whole) = whole else { return };
    check(&whole, &expect);
    // Wherever the connection ends, nothing is believed that the whole answer does not say.
    let cut = data.first().map_or(0, |first| usize::from(*first) * out.len() / 255);
    if let Answer::Ran(part) = answer(&expect, &[&out[..cut]], &[&err]) {
        check(&part, &expect);
        for (part, whole) in part.outputs.iter().zip(&whole.outputs) {
            assert!(part.ending == whole.ending || part.ending == Ending::Unknown, "{part:?} {whole:?}");
        }
    }
}

fn check(ran: &Ran, expect: &Expect) {
    assert_eq!(ran.outputs.len(), expect.commands.len());
    for captured in ran.outputs.iter().flat_map(|output| [&output.stdout, &output.stderr]) {
        assert!(captured.head.len() + captured.tail.len() <= LIMITS.head + LIMITS.tail);
        assert!(captured.cut || captured.tail.is_empty());
    }
    assert!(!(ran.complete && ran.stop.is_some()));
}

fn answer(expect: &Expect, out: &[&[u8]], err: &[&[u8]]) -> Answer {
    let mut reader = Reader::new(expect, &SCRUBBER, LIMITS);
    for piece in out {
        reader.stdout(piece);
    }
    for piece in err {
        reader.stderr(piece);
    }
    reader.finish(ELAPSED, false)
}

fn with_nonce(data: &[u8], nonce: &Nonce) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    for &byte in data {
        match byte {
            b'~' => out.extend_from_slice(nonce.as_str().as_bytes()),
            _ => out.push(byte),
        }
    }
    out
}

/// One command of each kind.
fn batch(nonce: &Nonce, mode: Mode) -> Expect {
    let command = |runs, accepted: &[u8], stdin| Command {
        argv: vec!["prog".to_owned()],
        env: Vec::new(),
        stdin,
        as_root: false,
        timeout: Duration::from_secs(5),
        runs,
        accepted: accepted.to_vec(),
    };
    let commands = [
        command(Condition::Ok, &[], Vec::new()),
        command(Condition::Ok, &[0, 3], vec![Chunk::StdoutOf(0)]),
        command(Condition::Failed, &[], Vec::new()),
        command(Condition::Always, &[], vec![Chunk::StdoutOf(1)]),
        command(Condition::Always, &[], Vec::new()),
    ];
    let options = Options { mode, ..Options::probe(nonce) };
    render(&commands, &options).expect("a batch").expect
}
