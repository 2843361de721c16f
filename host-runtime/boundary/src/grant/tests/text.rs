//! The text form: read, written, and every mistake told.

use super::*;

#[test]
fn a_whole_grant_reads_and_writes_as_one_line() {
    let text = "\
# Everything at once.
change root stdin=secret:join-key env=B,A   # comments go
    netctl up --key=file:/dev/stdin --server=$config/server

    [ --hostname=*   # free text: it's harmless
    | --routes=on|off
    | '--we ird'|'#x=1' ]* 'a|b' \"it's\"
look cat /etc/os-release
";
    let grants = Grants::parse(text).unwrap();
    let [first, second] = grants.lines() else { panic!() };
    assert_eq!((first.line, second.line), (2, 8));
    assert_eq!(
        first.grant.to_string(),
        "change root env=A,B stdin=secret:join-key netctl up --key=file:/dev/stdin --server=$config/server \
         [--hostname=* | --routes=on|off | '--we ird'|'#x=1']* 'a|b' 'it'\"'\"'s'"
    );
    assert_eq!(
        first.text,
        "change root stdin=secret:join-key env=B,A netctl up --key=file:/dev/stdin --server=$config/server [ --hostname=* \
         | --routes=on|off | '--we ird'|'#x=1' ]* 'a|b' \"it's\""
    );
    assert_eq!(grant(&first.grant.to_string()), first.grant);
    assert_eq!(second.text, "look cat /etc/os-release");
    assert_eq!(second.grant.to_string(), second.text);
}

#[test]
fn a_long_group_can_stand_on_lines_of_its_own() {
    let long = grant("change root a [--b=* | --c | --d=x|y | -e]* [--f | --g]* h");
    assert_eq!(
        format!("{long:#}"),
        "change root a\n    [ --b=*\n    | --c\n    | --d=x|y\n    | -e\n    ]* [--f | --g]* h"
    );
    assert_eq!(grant(&format!("{long:#}")), long);
}

#[test]
fn every_mistake_of_a_text_is_told_at_once_with_its_place_and_the_nearest_word() {
    let text = "  look x
lok cat /etc/os-release
change rot=1 env=PATH,A,A,9x,LD_PRELOAD stdin=secrets:k sh
change stdin=any stdin=none root root sh
look
look * x
look a=b
look -x
look 'a b' **  c
look a [ --b
look a ]* [ b | ]* [ | b]* [a [ b c
look a --*  -p* --n=*-*
look a x|=y --n=a|-b $conf/x a$config/x --n=$config/y|z $
look a b||c | (d)
look a 'open
look a caf\u{e9} \u{2010}x
look a [ --b | --b=1 | --c* ]*
look a [ b ]* b
look a [ --b ]* **
artifact sha256:123
change stdin=output-of sh
change stdin=output-of(curl ** sh
change stdin=output-of(curl x | y) sh -s
change stdin=secret:a/b stdin=secret: sh
look a\rb
";
    let found = problems(text);
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn a_shape_longer_than_a_person_reads_is_refused_before_it_is_compared() {
    let long = (0..300).map(|n| format!("--f{n}")).collect::<Vec<_>>().join(" | ");
    assert_eq!(
        problems(&format!("look a [{long}]*")),
        ["1:6: a command of 301 words and alternatives is longer than 256"]
    );
}

#[test]
fn the_words_of_a_descriptor_are_read_one_element_a_word() {
    let shape = |words: &[&str]| {
        Shape::parse(&argv(words)).map(|shape| shape.to_string()).map_err(|problems| problems.to_string())
    };
    assert_eq!(shape(&["a", "[--b=* | --c=$config/server]*", "*"]).unwrap(), "a [--b=* | --c=$config/server]* *");
    assert_eq!(shape(&["root", "'a b'", "**"]).unwrap(), "'root' 'a b' **");
    assert_eq!(
        shape(&["a", "b c"]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", ""]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", "#b"]).unwrap_err(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert_eq!(
        shape(&["a", "[b", "c]*"]).unwrap_err().lines().next().unwrap(),
        "2:1: one word or one group must stand here: quote what is meant as it stands"
    );
    assert!(shape(&["*"]).is_err());
    assert!(shape(&[]).is_err());
}
