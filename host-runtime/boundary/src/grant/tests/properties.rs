//! What must hold for any text, any shape and any batch.

use proptest::prelude::*;

use super::*;

/// Words that come near the grammar's own signs.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "--a", "--b", "--a=", "--b=x", "-4", "", "*", "**", "|", "root", "x=y"]).prop_map(str::to_owned),
        2 => "[-ab=*|'\"$#()\\[\\] ]{0,6}",
        1 => "[ -~]{0,8}",
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    let value = proptest::sample::select(vec![
        "*",
        "a",
        "a|b",
        "x*",
        "*.y",
        "''|a",
        "'-a'|b",
        "'q r'",
        "'a=b'",
        "$config/server",
        "$config/none",
        "",
    ]);
    let name = proptest::sample::select(vec!["--a=", "--b=", "--c=", "-d=", "'#'e=", ""]);
    prop_oneof![
        3 => (name, value).prop_filter_map("a word", |(name, value)| (!(name.is_empty() && value.is_empty())).then(|| format!("{name}{value}"))),
        2 => proptest::sample::select(vec!["a", "b", "--a", "--b", "-4|-6", "'*'", "'it'\"'\"'s'", "'x=y'", "x=y"]).prop_map(str::to_owned),
    ]
}

fn grant_line() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => pattern(),
        2 => proptest::collection::vec(pattern(), 1..6).prop_map(|patterns| format!("[{}]*", patterns.join(" | "))),
    ];
    let stdin = proptest::sample::select(vec![
        "",
        "",
        "stdin=any ",
        "stdin=none ",
        "stdin=secret:k ",
        "stdin=output-of(a b *) ",
    ]);
    let env = proptest::sample::select(vec!["", "", "env=A ", "env=B,A "]);
    let verb = proptest::sample::select(vec!["look ", "change ", "look root ", "change root "]);
    let program = proptest::sample::select(vec!["a", "b", "'root'", "'a b'"]);
    (verb, env, stdin, program, proptest::collection::vec(item, 0..4), proptest::sample::select(vec!["", "", " **"]))
        .prop_map(|(verb, env, stdin, program, items, rest)| {
            let items: String = items.iter().map(|item| format!(" {item}")).collect();
            format!("{verb}{env}{stdin}{program}{items}{rest}")
        })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    prop_oneof![
        Just(Chunk::Bytes(b"x".to_vec())),
        proptest::sample::select(vec!["k", "other", "not a slot"]).prop_map(|slot| Chunk::Secret(slot.to_owned())),
        (0u32..4).prop_map(Chunk::StdoutOf),
    ]
}

fn any_command() -> impl Strategy<Value = Command> {
    (
        proptest::sample::select(vec!["a", "b", "root", "a b", "c", "-x"]),
        proptest::collection::vec(word(), 0..4),
        proptest::collection::vec((proptest::sample::select(vec!["A", "B", "PATH"]), "[x ]{0,2}"), 0..2),
        proptest::collection::vec(chunk(), 0..3),
        any::<bool>(),
        proptest::sample::select(vec![vec![], vec![0], vec![1]]),
    )
        .prop_map(|(program, mut words, env, stdin, as_root, accepted)| {
            words.insert(0, program.to_owned());
            let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Command { argv: words, env, stdin, as_root, accepted, ..command(&["a"]) }
        })
}

/// What a shape says, in the plainest form: every way to share out the words is tried.
fn admits_plainly(items: &[shape::Item], words: &[String]) -> bool {
    use shape::{Choice, Item, Pattern};
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let one = |pattern: &Pattern, word: &str| {
        pattern.choices.iter().any(|choice| {
            let Some(value) = word.strip_prefix(&pattern.head) else { return false };
            let flag = pattern.head.is_empty() && word.starts_with('-');
            match choice {
                Choice::Exact(exact) => value == exact,
                Choice::Config(pointer) => {
                    config(pointer).is_some_and(|wanted| value == wanted && graphic(value)) && !flag
                }
                Choice::Hole { before, after } => {
                    value.len() > before.len() + after.len()
                        && value.starts_with(before.as_str())
                        && value.ends_with(after.as_str())
                        && graphic(&value[before.len()..value.len() - after.len()])
                        && !flag
                }
            }
        })
    };
    let name = |word: &str| word.split('=').next().unwrap().to_owned();
    let Some((item, later)) = items.split_first() else { return words.is_empty() };
    match item {
        Item::Rest => true,
        Item::Word(pattern) => match pattern.choices.as_slice() {
            [Choice::Config(pointer)] if config(pointer).is_none() => admits_plainly(later, words),
            _ => words.split_first().is_some_and(|(word, words)| one(pattern, word) && admits_plainly(later, words)),
        },
        Item::Group(patterns) => (0..=words.len()).any(|taken| {
            let (mine, rest) = words.split_at(taken);
            let fits = mine.iter().all(|word| patterns.iter().any(|pattern| one(pattern, word)));
            let flags =
                mine.iter().enumerate().all(|(at, word)| mine[..at].iter().all(|before| name(before) != name(word)));
            let once = patterns.iter().all(|pattern| mine.iter().filter(|word| one(pattern, word)).count() <= 1);
            let config = patterns.iter().all(|pattern| match pattern.choices.as_slice() {
                [Choice::Config(pointer)] => config(pointer).is_none() || mine.iter().any(|word| one(pattern, word)),
                _ => true,
            });
            fits && flags && once && config && admits_plainly(later, rest)
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..Default::default() })]

    #[test]
    fn what_is_written_reads_the_same_again(line in grant_line()) {
        if let Ok(grants) = Grants::parse(&line) {
            let grant = &grants.lines()[0].grant;
            let again = Grants::parse(&grant.to_string());
            prop_assert_eq!(again.map(|grants| grants.lines()[0].grant.clone()), Ok(grant.clone()));
            let again = Grants::parse(&format!("{grant:#}"));
            prop_assert_eq!(again.map(|grants| grants.lines()[0].grant.clone()), Ok(grant.clone()));
        }
    }

    #[test]
    fn one_walk_over_the_words_answers_as_trying_every_way_does(line in grant_line(), words in proptest::collection::vec(word(), 0..5)) {
        if let Ok(grants) = Grants::parse(&line) {
            let shape = &grants.lines()[0].grant.shape;
            let words = [vec![shape.program().to_owned()], words].concat();
            prop_assert_eq!(shape.admits(&words, &config).is_ok(), admits_plainly(&shape.items, &words), "{} {:?}", shape, words);
        }
    }

    #[test]
    fn words_exactly_as_they_are_can_always_be_granted_and_then_cover_only_themselves(words in proptest::collection::vec(word(), 1..5), other in proptest::collection::vec(word(), 1..5)) {
        if let Some(shape) = Shape::exactly(&words) {
            prop_assert_eq!(&grant(&format!("look {shape}")).shape, &shape);
            prop_assert!(shape.admits(&words, &config).is_ok());
            prop_assert_eq!(shape.admits(&other, &config).is_ok(), words == other);
        } else {
            prop_assert!(words[0].is_empty() || words[0].starts_with('-') || words[0].contains('='));
        }
    }

    #[test]
    fn the_line_of_a_denial_allows_the_command_and_nothing_else_does(
        lines in proptest::collection::vec(grant_line(), 0..4), commands in proptest::collection::vec(any_command(), 1..4), probe: bool,
    ) {
        let mode = if probe { Mode::Probe } else { Mode::Run };
        let mut given: Vec<Granted> = lines.iter().filter_map(|line| Grants::parse(line).ok()).flat_map(|grants| grants.lines().to_vec()).collect();
        // A provider that asks for anything, so that the operator's side alone decides.
        let asked: Vec<Grant> = ["none", "any", "secret:k", "secret:other"].iter().flat_map(|stdin| {
            ["a", "b", "'root'", "'a b'", "c"].map(|program| grant(&format!("look root env=A,B stdin={stdin} {program} **")))
        }).collect();
        // At most one more line for each command.
        for _ in 0..=commands.len() {
            let rights = Rights::new(asked.clone(), given.clone());
            let Err(denial) = rights.decide(mode, &commands, &config) else { break };
            let Some(line) = denial.grant else { break };
            let line = Grants::parse(&line.to_string()).unwrap().lines()[0].clone();
            let alone = Rights::new(asked.clone(), [given.clone(), vec![line.clone()]].concat());
            match alone.decide(mode, &commands, &config) {
                Ok(_) => {}
                Err(next) => prop_assert!(next.command > denial.command, "{} did not help: {next}", line.text),
            }
            given.push(line);
        }
    }

    #[test]
    fn no_text_and_no_batch_makes_it_panic(text in ".{0,200}", words in proptest::collection::vec(".{0,10}", 0..4)) {
        let _ = Grants::parse(&text);
        let _ = Grants::parse(&format!("look {text}"));
        let _ = Shape::parse(&words);
        let rights = rights("look a **");
        let _ = rights.decide(Mode::Run, &[Command { argv: words, ..command(&["a"]) }], &config);
    }

    #[test]
    fn signs_of_the_grammar_in_any_order_make_it_neither_panic_nor_read_otherwise_than_it_writes(text in "(look |change |root |env=A |stdin=|\\n |[\\[\\]*|()$'\"#=a-]| ){0,24}") {
        if let Ok(grants) = Grants::parse(&text) {
            for line in grants.lines() {
                prop_assert_eq!(&grant(&line.grant.to_string()), &line.grant);
            }
        }
    }
}
