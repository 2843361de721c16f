//! Text to a tree in which every key and value knows its line and column.
//!
//! Built on the events of `saphyr-parser`: its loader would stop at the first duplicate key, resolve `1.80` to a number
//! and forget what was written. What a hostile or broken file can cost is bounded: bytes, nodes (aliases count as what
//! they expand to) and depth. Merge keys (`<<`) work, since they do in Stagecraft. Not for: what a key means.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::finding::{Finding, Place, child};

/// The largest file that is read. Ten thousand hosts need about a fifth of it.
pub(super) const MAX_BYTES: usize = 4 << 20;
/// Nodes of one file, with aliases expanded.
const MAX_NODES: usize = 400_000;
/// How deep lists and mappings may be nested.
const MAX_DEPTH: usize = 64;

/// A value and where it begins.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// What was written, and what YAML makes of it.
#[derive(Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    pub(super) kind: ScalarKind,
}

/// What YAML 1.2 (core schema) reads a scalar as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ScalarKind {
    Text,
    Null,
    Bool(bool),
    Int,
    Float,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Every text that is a value in it.
    pub(super) fn texts<'a>(&'a self, found: &mut Vec<&'a str>) {
        match &self.value {
            Value::Scalar(scalar) => found.push(&scalar.text),
            Value::List(nodes) => nodes.iter().for_each(|node| node.texts(found)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.value.texts(found)),
        }
    }

    /// What it is, for a sentence such as "found a list". Never what it holds.
    pub(super) fn what(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Text => "text",
                ScalarKind::Null => "nothing",
                ScalarKind::Bool(_) => "true or false",
                ScalarKind::Int | ScalarKind::Float => "a number",
            },
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: ScalarKind::Null, .. }))
    }

    /// The value of a key, where this is a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// Reads one document in which nothing is wrong.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Finding>> {
    match read(text)? {
        (root, findings) if findings.is_empty() => Ok(root),
        (_, findings) => Err(findings),
    }
}

/// Reads one document, with the duplicate keys and foreign tags that are in it: of two values of a key the first holds.
/// What makes it no YAML at all ends the reading and is the last finding.
pub(super) fn read(text: &str) -> Result<(Node, Vec<Finding>), Vec<Finding>> {
    let mut builder =
        Builder { findings: Vec::new(), stack: Vec::new(), root: None, anchors: BTreeMap::new(), nodes: 0, kept: 0 };
    for event in Parser::new_from_str(text) {
        let taken = event
            .map_err(|error| {
                let place = place(*error.marker());
                // The parser has a limit of its own, which flow style meets first.
                if error.info().contains("recursion limit") {
                    return Box::new(too_deep(place));
                }
                Box::new(builder.no_yaml(error.info(), place))
            })
            .and_then(|(event, span)| builder.take(event, place(span.start)));
        if let Err(last) = taken {
            builder.findings.push(*last);
            return Err(builder.findings);
        }
    }
    match builder.root {
        Some(root) => Ok((root, builder.findings)),
        None if !builder.findings.is_empty() => Err(builder.findings),
        None => Err(vec![Finding::error("empty-file", "", Place::START, "the file is empty")]),
    }
}

/// What to do about a place where the reading ended. The text that stands there is not repeated: it may be a secret.
fn advice(said: &str) -> &'static str {
    if said.contains("tab") {
        "indent with blanks: YAML takes no tab there"
    } else {
        "look there and in the lines before: a bracket or a quote that is not closed, a `:` or `-` without a blank \
         behind it, a line that is indented unlike its neighbours"
    }
}

fn too_deep(place: Place) -> Finding {
    let summary = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
    Finding::error("too-deep", "", place, summary)
}

fn place(marker: Marker) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(marker.line()).max(1), column: number(marker.col()).saturating_add(1) }
}

struct Builder {
    findings: Vec<Finding>,
    stack: Vec<Open>,
    root: Option<Node>,
    /// By the parser's number: the subtree, and how many nodes it has.
    anchors: BTreeMap<usize, (Node, usize)>,
    /// Nodes of the tree.
    nodes: usize,
    /// Nodes of the copies that anchors keep.
    kept: usize,
}

/// A list or mapping that is still being read.
struct Open {
    anchor: usize,
    /// The tree's nodes before it.
    before: usize,
    place: Place,
    pointer: String,
    value: Value,
    /// A key that waits for its value.
    key: Option<(String, Place)>,
    /// Where in a mapping the key stands, and whether a merge brought it.
    seen: HashMap<String, (usize, bool)>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, place: Place) -> Result<(), Box<Finding>> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let summary = "a second document begins here: only one is read";
                Err(Finding::error("second-document", "", place, summary).into())
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_deref(), place, Value::List(Vec::new())),
            Event::MappingStart(anchor, tag) => self.open(anchor, tag.as_deref(), place, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(open) => {
                    let node = Node { place: open.place, value: open.value };
                    self.close(open.anchor, self.nodes - open.before, node)
                }
                None => Ok(()),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let text_by_tag = self.tag(tag.as_deref(), place);
                let kind = if text_by_tag || style != ScalarStyle::Plain { ScalarKind::Text } else { kind(&text) };
                self.nodes = self.afford(self.nodes + 1, place)?;
                let scalar = Scalar { text: text.into_owned(), kind };
                self.close(anchor, 1, Node { place, value: Value::Scalar(scalar) })
            }
            Event::Alias(anchor) => {
                // The parser knows the anchor already while its own content is being read.
                let Some(size) = self.anchors.get(&anchor).map(|(_, size)| *size) else {
                    let summary = "an alias stands inside the value that it names";
                    return Err(Finding::error("yaml-syntax", &self.pointer(), place, summary).into());
                };
                self.nodes = self.afford(self.nodes + size, place)?;
                let node = self.anchors[&anchor].0.clone();
                self.close(0, size, node)
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Ok(())
            }
        }
    }

    /// Where the reading ended, in what, and what to do.
    fn no_yaml(&self, said: &str, place: Place) -> Finding {
        let within = self.stack.last().filter(|open| !open.pointer.is_empty()).map(|open| {
            let what = if matches!(open.value, Value::List(_)) { "list" } else { "mapping" };
            format!("found: within the {what} {} that begins in line {}\n", open.pointer, open.place.line)
        });
        let detail = format!(
            "{}means: what else is in the file is not known before this is mended\ndo: {}",
            within.unwrap_or_default(),
            advice(said)
        );
        Finding::error("yaml-syntax", "", place, format!("this is not YAML: {said}")).detail(detail)
    }

    fn afford(&self, nodes: usize, place: Place) -> Result<usize, Box<Finding>> {
        if nodes <= MAX_NODES {
            return Ok(nodes);
        }
        let summary = format!("the file has more than {MAX_NODES} values, counting what its aliases expand to");
        Err(Finding::error("too-large", &self.pointer(), place, summary).into())
    }

    /// Whether the tag says that a scalar is text. Only YAML's own tags are known.
    fn tag(&mut self, tag: Option<&Tag>, place: Place) -> bool {
        let Some(tag) = tag else { return false };
        if tag.is_yaml_core_schema() {
            return tag.suffix == "str";
        }
        // `!` alone is YAML's own way to say "text".
        if format!("{}{}", tag.handle, tag.suffix) != "!" {
            let summary = "a tag that only another program understands";
            let finding = Finding::error("unknown-tag", &self.pointer(), place, summary);
            self.findings.push(finding.detail("do: write the value itself"));
        }
        true
    }

    fn open(&mut self, anchor: usize, tag: Option<&Tag>, place: Place, value: Value) -> Result<(), Box<Finding>> {
        self.tag(tag, place);
        if self.stack.len() == MAX_DEPTH {
            return Err(too_deep(place).into());
        }
        let (before, pointer) = (self.nodes, self.pointer());
        self.nodes = self.afford(self.nodes + 1, place)?;
        self.stack.push(Open { anchor, before, place, pointer, value, key: None, seen: HashMap::new() });
        Ok(())
    }

    /// Where the next value belongs.
    fn pointer(&self) -> String {
        match self.stack.last() {
            None => String::new(),
            Some(Open { pointer, value: Value::List(items), .. }) => child(pointer, &items.len().to_string()),
            Some(Open { pointer, key: Some((key, _)), .. }) => child(pointer, key),
            Some(Open { pointer, .. }) => pointer.clone(),
        }
    }

    fn close(&mut self, anchor: usize, size: usize, node: Node) -> Result<(), Box<Finding>> {
        if anchor > 0 {
            self.kept = self.afford(self.kept + size, node.place)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let pointer = self.pointer();
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, place))) if key == MERGE => {
                for entry in merged(node).ok_or_else(|| {
                    let summary = "`<<` takes a mapping, or a list of mappings";
                    Box::new(Finding::error("yaml-syntax", &pointer, place, summary))
                })? {
                    if !open.seen.contains_key(&entry.key) {
                        open.seen.insert(entry.key.clone(), (entries.len(), true));
                        entries.push(entry);
                    }
                }
            }
            (Value::Map(entries), Some((key, place))) => match open.seen.insert(key.clone(), (entries.len(), false)) {
                None => entries.push(Entry { key, place, value: node }),
                // What a merge brought gives way to what is written; what is written twice is a mistake.
                Some((index, true)) => {
                    open.seen.insert(key.clone(), (index, false));
                    entries[index] = Entry { key, place, value: node };
                }
                Some((index, false)) => {
                    let first = entries[index].place.line;
                    open.seen.insert(key.clone(), (index, false));
                    let finding =
                        Finding::error("duplicate-key", &pointer, place, format!("`{key}` stands here twice"));
                    self.findings
                        .push(finding.detail(format!("found: first in line {first}\ndo: keep one of the two")));
                }
            },
            (Value::Map(_), None) => match node.value {
                Value::Scalar(scalar) => open.key = Some((scalar.text, node.place)),
                Value::List(_) | Value::Map(_) => {
                    let summary = "a key is a list or a mapping: a key must be text";
                    return Err(Finding::error("yaml-syntax", &pointer, node.place, summary).into());
                }
            },
            (Value::Scalar(_), _) => {}
        }
        Ok(())
    }
}

/// The key of a merge: YAML 1.1, kept alive by everybody's files.
const MERGE: &str = "<<";

/// What a merge brings: earlier mappings win.
fn merged(node: Node) -> Option<Vec<Entry>> {
    match node.value {
        Value::Map(entries) => Some(entries),
        Value::List(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.value {
                    Value::Map(entries) => all.extend(entries),
                    Value::Scalar(_) | Value::List(_) => return None,
                }
            }
            Some(all)
        }
        Value::Scalar(_) => None,
    }
}

/// What YAML 1.2's core schema reads a plain scalar as.
fn kind(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return ScalarKind::Null,
        "true" | "True" | "TRUE" => return ScalarKind::Bool(true),
        "false" | "False" | "FALSE" => return ScalarKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return ScalarKind::Float,
        _ => {}
    }
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if text.strip_prefix("0x").is_some_and(|hex| digits(hex, 16))
        || text.strip_prefix("0o").is_some_and(|octal| digits(octal, 8))
    {
        return ScalarKind::Int;
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits(unsigned, 10) {
        return ScalarKind::Int;
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return ScalarKind::Float;
    }
    // Rust reads everything that the schema calls a float, and the words `inf`, `nan`, `infinity` besides.
    let numeric = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if numeric && unsigned.parse::<f64>().is_ok() { ScalarKind::Float } else { ScalarKind::Text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(String, Place)> {
        let findings = parse(text).err().expect("something is wrong with it");
        findings.into_iter().map(|one| (one.code, one.place.expect("a place"))).collect()
    }

    fn text(node: &Node) -> &str {
        match &node.value {
            Value::Scalar(scalar) => &scalar.text,
            _ => panic!("found {}", node.what()),
        }
    }

    #[test]
    fn every_key_and_value_knows_its_line_and_column() {
        let root = parse("a:\n  - x\n  - yé: 1.80\n").unwrap_or_else(|_| panic!("it parses"));
        let a = root.get("a").expect("a");
        assert_eq!(a.place, Place { line: 1, column: 1 });
        let Value::List(items) = &a.value.value else { panic!("a list") };
        assert_eq!(items[0].place, Place { line: 2, column: 5 });
        let y = items[1].get("yé").expect("the key");
        assert_eq!((y.place, y.value.place), (Place { line: 3, column: 5 }, Place { line: 3, column: 9 }));
        assert_eq!((text(&y.value), y.value.what()), ("1.80", "a number"));
    }

    #[test]
    fn scalars_are_read_as_yaml_1_2_says_and_quotes_and_tags_make_text() {
        let of = |text: &str| match &parse(&format!("k: {text}\n"))
            .unwrap_or_else(|_| panic!("{text}"))
            .get("k")
            .expect("k")
            .value
            .value
        {
            Value::Scalar(scalar) => scalar.kind,
            _ => panic!("{text} is no scalar"),
        };
        for null in ["", "~", "null"] {
            assert_eq!(of(null), ScalarKind::Null, "{null}");
        }
        for int in ["22", "-1", "0x1F", "0o17", "007"] {
            assert_eq!(of(int), ScalarKind::Int, "{int}");
        }
        for float in ["1.80", "1e3", ".5", "-.inf", ".nan", "1."] {
            assert_eq!(of(float), ScalarKind::Float, "{float}");
        }
        for text in [
            "1.80.0", "yes", "no", "on", "nan", "inf", "'22'", "\"~\"", "!!str 22", "! 22", "10.0.0.1", "12:30", "-",
            "0x",
        ] {
            let text = if text == "-" { "'-'" } else { text };
            assert_eq!(of(text), ScalarKind::Text, "{text}");
        }
        assert_eq!(of("true"), ScalarKind::Bool(true));
    }

    #[test]
    fn all_duplicate_keys_are_found_at_once_each_where_the_second_stands() {
        let found = codes("a: 1\nb:\n  c: 1\n  c: 2\n  c: 3\na: 2\n");
        let at = |line, column| ("duplicate-key".to_owned(), Place { line, column });
        assert_eq!(found, [at(4, 3), at(5, 3), at(6, 1)]);
    }

    #[test]
    fn aliases_and_merges_work_and_what_is_written_wins_on_both_sides_of_a_merge() {
        let root =
            parse("base: &b {x: 1, y: 2, z: 3}\nk:\n  x: own\n  <<: *b\n  y: own\n").unwrap_or_else(|_| panic!());
        let k = &root.get("k").expect("k").value;
        let values: Vec<_> = ["x", "y", "z"].iter().map(|key| text(&k.get(key).expect(key).value)).collect();
        assert_eq!(values, ["own", "own", "3"]);
        assert_eq!(codes("k:\n  <<: 1\n")[0].0, "yaml-syntax");
    }

    #[test]
    fn anchors_that_explode_deep_nests_and_endless_lists_are_refused_in_no_time() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            laughs += &format!("a{n}: &a{n} [{aliases}]\n");
        }
        assert_eq!(codes(&laughs)[0].0, "too-large");
        assert_eq!(codes(&"[".repeat(100))[0].0, "too-deep");
        let mut blocks = String::new();
        for depth in 0..100 {
            blocks += &format!("{}k:\n", " ".repeat(depth));
        }
        assert_eq!(codes(&blocks)[0].0, "too-deep");
        assert_eq!(codes(&format!("[{}]", "x,".repeat(MAX_NODES + 1)))[0].0, "too-large");
        assert_eq!(codes("a: &a [*a]")[0].0, "yaml-syntax");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place_and_an_empty_file_is_empty() {
        assert_eq!(codes("a: 1\nb: [1,\n"), [("yaml-syntax".to_owned(), Place { line: 3, column: 1 })]);
        assert_eq!(codes("a:\n\t- x\n")[0].1.line, 2);
        assert_eq!(codes("{[1]: 2}")[0].0, "yaml-syntax");
        assert_eq!(codes("a: *nowhere")[0].0, "yaml-syntax");
        assert_eq!(codes("a: 1\n---\nb: 2\n"), [("second-document".to_owned(), Place { line: 2, column: 1 })]);
        assert_eq!(codes("a: !vault |\n  x\n")[0].0, "unknown-tag");
        assert!(parse("\u{feff}a: 1\n").is_ok_and(|root| root.get("a").is_some()), "a byte order mark is no content");
        for empty in ["", "\n\n", "# only a comment\n", "\u{feff}"] {
            assert_eq!(codes(empty)[0].0, "empty-file", "{empty:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c:\\[\\]{}&*!<|>'\"#,\\- \\n\\t]{0,60}") {
            let _ = parse(&text);
        }
    }
}
