use std::io::Write as _;
use std::process::Command;

use proptest::prelude::*;

use super::*;

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG0XVj1xMNDr35ZwSYWHY6DvDVMvbjtlnnBn1H5MFIuo";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOLdgbVLFoNUwR+15Z7inqcoeYbCvL6xVwXvl7U5hDGk";
const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQDHJ9EY4y0M6ZhDVrOmAPhL7RAp2+kWII+B+64HU6RIzkn+KuiIwr3kLmU7TPmECgz4us8VIzYGhGr4P7cZ1qtz6RBGkHyAXFTs9QHjruW1BgHbuQNT34/ShYvMcm4bI3RqgdqyDO0vPZ7j7Il5L1TYdKfBLcepdl2ilMT+hFwbOvBfXX+taVAx5/tBb574eBesf9zT58SaRVE3jEwaCSO7Zb6DBjiuLRAS95nBCRY/COD3eX3ozlUBW6LcDU9JMmPw0+F5MXff18+2FX7RIs6406VYeP775HTAyoGotJpcDzEPZqcztyAC+TlVNZ637bR8vQb58rgTpa4Z/cTak2zjfpwX0yQCUwyVCfFmaxuA7dblbNOLc76gWCMR1Ye/iE55Jqp5mNZrBqX8uAdBoTtKuWO/K3YwIfr7C8oupdIP9csXkRjid2NmOBA4sX9tbPoebWKsCO0aCIrlKewq91KDJIjwqQIYDqZDRCBWvPRmmbibnWkMQXqQupFAOvyhNSM=";
const P256: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHnp0yOA0zi4f6lMT9YcOkgHN2vOdvJHjGNu2Hgqr6ChCkGchvZbA7fIMMsls4f3K9PvRBM7YWi00XZjnIQtVos=";
const P521: &str = "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAGi2wtweAWW4zPAtOJhPC5c5Ae5ykRc8PnsMLDHrVSS2e0TU1TOZIfa9OTbUDioX+zjy7hZgK7+aIqCZSMELO87kAHD5JPPqSHQtXpg2E5lLd0993a/qoIhqtCaaNn8X1lxhheMqKoPARrfiZv2WOdvGq8N3hwoG7n6Zla2oqQrwzeLjg==";
const DSS: &str = "ssh-dss AAAAB3NzaC1kc3MAAACBANa2BfYMC/hWIhQ/Z0vz4gCgqc43R5iLEo935GswfPWyJK9tdXuCLt1YAqGoysJ34LiCvQEu9Umx1Kn9qWQVulPwhT4+FCG0+AoC2B9o9sAZzZ3+0UDs/nUqWldogR8yGJS3OnNlEnIS3lpABJeAuOK2Q3yGH0Sv9yPECWtF5C2/AAAAFQCaund/36/OfnQ7VlUr5SLyfMiLMQAAAIBf7Zuw8RsTfd49IjRG5lL4cw4pO7ffDIvxZtrDSFfgcFTrmXpsvpvXq6Z74xkux38BDuRYRCiVjNVMz7L4bRQSp/0AA+dj6Eucbemkqo60NoEYzXLMp1QinwqMMpcrzML0d83BTSSnXjA0B/5OmU97fb5wRCduP1VCaG08cB8GYgAAAIEAynWitLcEG9b+CUK7mpJxxvss6gg45HhUW5zWWMo/NYL9tYxyxiCExaWbZjIXQ5SlIXYLK9+k+wPwGaoQDTx04YtuCJJKk7jIJk9UnW5utMpw4c7UDkQPDIzzXE7Sl6qh7u5+19CL2cfBK6RSAclYBEKGLGvP5G72pzjQZcZnUyg=";

fn key(text: &str) -> HostKey {
    HostKey::from_text(text.as_bytes()).unwrap()
}

fn blob(text: &str) -> Vec<u8> {
    STANDARD.decode(text.split(' ').nth(1).unwrap()).unwrap()
}

fn known(file: impl AsRef<[u8]>) -> KnownHosts {
    let mut known = KnownHosts::default();
    known.add("kh", file.as_ref());
    known
}

/// A verdict in one word, and the line that decided.
fn verdict(file: impl AsRef<[u8]>, host: &str, port: u16, shown: &str) -> String {
    match known(file).host(host, port).check(&key(shown)) {
        Verdict::Trusted { place } => format!("trusted {}", place.line),
        Verdict::Revoked { place } => format!("revoked {}", place.line),
        Verdict::Changed { known } => {
            known.iter().fold("changed".to_owned(), |text, known| format!("{text} {}", known.place.line))
        }
        Verdict::Unknown { .. } => "unknown".to_owned(),
    }
}

#[test]
fn the_verdicts_are_those_that_ssh_9_2_gave_for_the_same_files_and_a_real_server() {
    // Server at 127.0.0.1:22922 with the ed25519 key, `StrictHostKeyChecking=yes`; recorded from its messages.
    let name = "[127.0.0.1]:22922";
    for (case, file, wanted) in [
        ("only a key of another type", format!("{name} {RSA}"), "changed 1"),
        ("a CA line with the plain key", format!("@cert-authority {name} {ED25519}"), "unknown"),
        ("a CA line, and another key", format!("@cert-authority {name} {ED25519}\n{name} {OTHER}"), "changed 2"),
        ("the plain name's key", format!("127.0.0.1 {ED25519}"), "trusted 1"),
        ("another key for the plain name", format!("127.0.0.1 {OTHER}"), "unknown"),
        ("plain name right, port wrong", format!("127.0.0.1 {ED25519}\n{name} {OTHER}"), "changed 2"),
        ("revoked after it was trusted", format!("{name} {ED25519}\n@revoked * {ED25519}"), "revoked 2"),
        ("two keys, the second is right", format!("{name} {OTHER}\n{name} {ED25519}"), "trusted 2"),
        ("a marker twice", format!("@revoked @revoked {name} {ED25519}\n{name} {ED25519}"), "trusted 2"),
        ("CRLF", format!("{name} {ED25519}\r\n"), "trusted 1"),
        ("a negation of the name with its port only", format!("!{name},* {ED25519}"), "trusted 1"),
        ("a negation of both names", format!("!{name},!127.*,* {ED25519}"), "unknown"),
        ("wildcards", format!("[127.0.0.?]:* {ED25519}"), "trusted 1"),
        ("a NUL after the key", format!("{name} {ED25519}\0junk\n"), "trusted 1"),
        ("no line end", format!("{name} {ED25519}"), "trusted 1"),
    ] {
        assert_eq!(verdict(&file, "127.0.0.1", 22922, ED25519), wanted, "{case}: {file}");
    }
    let rsa_by_algorithm = format!("{name} {}", RSA.replacen("ssh-rsa", "rsa-sha2-512", 1));
    assert_eq!(verdict(rsa_by_algorithm, "127.0.0.1", 22922, RSA), "trusted 1");
}

#[test]
fn revocation_reaches_further_than_in_openssh_where_openssh_lets_a_revoked_key_pass() {
    assert_eq!(verdict(format!("@revoked h {ED25519}"), "h", 2222, ED25519), "revoked 1");
    assert_eq!(verdict(format!("@revoked h {ED25519}\n[h]:2222 {ED25519}"), "h", 2222, ED25519), "revoked 1");
    assert_eq!(verdict(format!("h {ED25519}\n@revoked\th {ED25519}"), "h", 22, ED25519), "revoked 2");
    // It revokes this key for this host, and nothing else.
    assert_eq!(verdict(format!("@revoked h {OTHER}\nh {ED25519}"), "h", 22, ED25519), "trusted 2");
    assert_eq!(verdict(format!("@revoked i {ED25519}\nh {ED25519}"), "h", 22, ED25519), "trusted 2");
    assert_eq!(verdict(format!("@revoked h {OTHER}"), "h", 22, ED25519), "unknown");
}

#[test]
fn names_match_by_word_wildcard_negation_port_and_hash_whatever_their_case() {
    let hashed = "|1|LZH3fWffkHsv9BR3MEghkLtJ8MI=|IaECpn0H66+ihGv01BY6dyrk3IE=";
    for (names, host, port, matches) in [
        ("app-1", "app-1", 22, true),
        ("app-1", "APP-1", 22, true),
        ("APP-1", "app-1", 22, true),
        ("app-1", "app-10", 22, false),
        ("app-1,10.0.0.1", "10.0.0.1", 22, true),
        ("app-1,10.0.0.1", "app-1,10.0.0.1", 22, false),
        ("app-*", "app-", 22, true),
        ("*-?", "app-1", 22, true),
        ("*a*b*c", "xxabxbxc", 22, true),
        ("*a*b*c", "xxabxbx", 22, false),
        ("app-?", "app-10", 22, false),
        ("*,!app-1", "app-1", 22, false),
        ("!app-1,*", "app-1", 22, false),
        ("!app-1", "app-2", 22, false),
        ("!app-1,app-*", "app-2", 22, true),
        ("*.Example.com,!Bad.*", "bad.example.com", 22, false),
        ("[app-1]:2222", "app-1", 2222, true),
        ("[app-1]:2222", "app-1", 22, false),
        ("[app-1]:22", "app-1", 22, false),
        ("[app-1]:2222", "app-1", 2223, false),
        ("[APP-*]:2*", "app-1", 2222, true),
        ("::1", "::1", 22, true),
        ("[::1]:2222", "::1", 2222, true),
        (hashed, "localhost", 22, true),
        (hashed, "LocalHost", 22, true),
        (hashed, "localhosts", 22, false),
        ("|1|LZH3fWffkHsv9BR3MEghkLtJ8MI=|IaECpn0H66+ihGv01BY6dyrk3IE=,localhost", "localhost", 22, false),
        ("|1|LZH3fWffkHsv9BR3MEghkLtJ8MI=|IaECpn0H66+ihGv01BY6dyrk3IE=|", "localhost", 22, false),
        ("|2|LZH3fWffkHsv9BR3MEghkLtJ8MI=|IaECpn0H66+ihGv01BY6dyrk3IE=", "localhost", 22, false),
        ("", "", 22, false),
    ] {
        let wanted = if matches { "trusted 1" } else { "unknown" };
        assert_eq!(verdict(format!("{names} {ED25519}"), host, port, ED25519), wanted, "{names} {host} {port}");
    }
}

#[test]
fn a_pattern_of_any_length_is_read_and_one_that_openssh_gives_up_on_covers_nothing() {
    let long = "x".repeat(1022);
    assert_eq!(verdict(format!("{long} {ED25519}"), &long, 22, ED25519), "trusted 1");
    assert_eq!(verdict(format!("h,{long}x {ED25519}"), "h", 22, ED25519), "unknown");
    let many = (0..10_000).map(|n| format!("host-{n}")).collect::<Vec<_>>().join(",");
    assert_eq!(verdict(format!("{many} {ED25519}"), "host-9999", 22, ED25519), "trusted 1");
}

#[test]
fn lines_that_cannot_be_read_are_counted_and_the_lines_after_them_still_count() {
    let file = format!(
        "\u{feff}h {OTHER}\n\n# a comment\n \t# another\nh\nh \nh ssh-ed25519\nh ssh-ed25519 !!!\nh ssh-rsa {}\n\
         @unknown h {OTHER}\n|1|short|short {OTHER}\nh 1024 35 123456789\nh ssh-ed25519 # {OTHER}\n{}\n h\t {ED25519}  me@here # x",
        OTHER.split(' ').nth(1).unwrap(),
        "z".repeat(100_000),
    );
    assert_eq!(verdict(&file, "h", 22, ED25519), "trusted 15");
    let junk: Vec<usize> = known(&file).junk().map(|place| place.line).collect();
    assert_eq!(junk, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14], "a byte order mark makes another name, not junk");
    assert_eq!(known(b"\n\r\n# c\r\n   \n").junk().count(), 0);
    let mut not_text = b"h ".to_vec();
    not_text.extend([0xff, 0xfe, b'\n']);
    assert_eq!(known(not_text).junk().next().unwrap().to_string(), "kh:1");
}

#[test]
fn several_files_are_asked_in_their_order_and_each_line_is_told_by_its_file() {
    let mut known = KnownHosts::default();
    known.add("user", format!("h {OTHER}\n").as_bytes());
    known.add("system", format!("\n* {RSA}\nh {P521}\n@cert-authority *.example.com {P256}\n").as_bytes());
    let Verdict::Changed { known: keys } = known.host("h", 22).check(&key(ED25519)) else { panic!() };
    assert_eq!(
        keys.iter().map(|known| known.place.to_string()).collect::<Vec<_>>(),
        ["user:1", "system:2", "system:3"]
    );
    assert_eq!(keys[0].key, key(OTHER));
    let Verdict::Trusted { place } = known.host("h", 22).check(&key(RSA)) else { panic!() };
    assert_eq!(place.to_string(), "system:2");
}

#[test]
fn an_unknown_host_tells_of_authorities_and_of_keys_for_its_plain_name() {
    let file = format!("h {OTHER}\n@cert-authority h,[h]:* {P256}\n@cert-authority [h]:2222 {P521}");
    let Verdict::Unknown { plain, authorities } = known(file).host("h", 2222).check(&key(ED25519)) else { panic!() };
    assert_eq!(plain, [KnownKey { place: Place { file: "kh".to_owned(), line: 1 }, key: key(OTHER) }]);
    assert_eq!(authorities.iter().map(|place| place.line).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn algorithms_of_known_keys_come_first_and_certificates_before_them_where_an_authority_is_named() {
    let offered = [
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ssh-ed25519",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "new-algorithm",
    ];
    let prefer = |file: String, port| known(file).host("h", port).prefer(&offered).join(" ");
    let as_given = "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ssh-ed25519 rsa-sha2-512 rsa-sha2-256 new-algorithm";
    let rsa_first = "rsa-sha2-512 rsa-sha2-256 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ssh-ed25519 new-algorithm";
    assert_eq!(prefer(String::new(), 22), as_given);
    assert_eq!(prefer(format!("h {RSA}"), 22), rsa_first);
    assert_eq!(prefer(format!("h {P521}"), 22), as_given, "a curve is a type of its own");
    assert_eq!(prefer(format!("@revoked h {RSA}\n@cert-authority other {RSA}"), 22), as_given);
    let certified = format!("ssh-ed25519-cert-v01@openssh.com {as_given}");
    assert_eq!(prefer(format!("@cert-authority h {RSA}"), 22), certified);
    assert_eq!(prefer(format!("@cert-authority h {RSA}"), 2222), certified);
    assert_eq!(prefer(format!("h {RSA}"), 2222), rsa_first, "its plain name's keys are trusted there");
    assert!(prefer(format!("h {RSA}\n[h]:2222 {ED25519}"), 2222).starts_with("ssh-ed25519 ecdsa"));
    let types = known(format!("h {RSA}\nh {ED25519}\nh {RSA}\nh {DSS}")).host("h", 22).key_types();
    assert_eq!(types, [KeyType::Rsa, KeyType::Ed25519, KeyType::Dss]);
}

#[test]
fn fingerprints_and_names_are_those_that_ssh_keygen_prints() {
    for (text, fingerprint, short) in [
        (ED25519, "SHA256:0cHW10wxUPjNpBfcCIx8zO+nZjapi6449fwQSr2xnBM", "ED25519"),
        (RSA, "SHA256:MA1hPU1kUy5lWlR/bLwURcbN9+bjXScnze1uGmeZSIw", "RSA"),
        (P256, "SHA256:3FUdqqgP9ir7ZazDfgmj3De80ls3YkFGybiZapUK4d0", "ECDSA"),
        (P521, "SHA256:LEPEd6xz0dpjH+B9lEe81jR+2YhU+ZmAF/yPBLaDWgc", "ECDSA"),
        (DSS, "SHA256:k/E33hq/W2qf6vQWDr2Qh5z+zn/sHZPbK8OQzB0Eqhg", "DSA"),
    ] {
        assert_eq!(key(text).fingerprint(), fingerprint);
        assert_eq!(key(text).key_type().short(), short);
        assert_eq!(key(text).to_string(), text);
        assert_eq!(key(text).blob(), blob(text));
    }
}

#[test]
fn a_revoked_key_in_another_encoding_is_the_same_key_or_none_at_all() {
    let padded = |text: &str, zeros: usize| {
        // The exponent of an RSA key, written with zeros in front.
        let canonical = blob(text);
        let mut blob = canonical[..11].to_vec();
        blob.extend(u32::try_from(3 + zeros).unwrap().to_be_bytes());
        blob.extend(std::iter::repeat_n(0, zeros));
        blob.extend(&canonical[15..]);
        blob
    };
    assert_eq!(padded(RSA, 0), blob(RSA));
    assert_eq!(HostKey::from_blob(&padded(RSA, 1)).unwrap(), key(RSA));
    assert_eq!(HostKey::from_blob(&padded(RSA, 7)).unwrap(), key(RSA));
    let mut hybrid = blob(P256);
    let at = hybrid.len() - 65;
    assert_eq!(hybrid[at], 4);
    hybrid[at] = 6 + (hybrid[hybrid.len() - 1] & 1);
    assert_eq!(HostKey::from_blob(&hybrid), Err(KeyError::Form("bytes do not fit its type")));
    let mut compressed = blob(P256);
    compressed.truncate(compressed.len() - 32);
    let at = compressed.len() - 33;
    compressed[at] = 2;
    compressed[at - 1] = 33;
    assert_eq!(HostKey::from_blob(&compressed), Err(KeyError::Form("bytes do not fit its type")));
}

#[test]
fn bytes_that_are_no_host_key_are_refused_with_the_reason() {
    for (bytes, error) in [
        (b"".to_vec(), "the host key is malformed: its type is cut off"),
        (b"\0\0\0\xffssh".to_vec(), "the host key is malformed: its type is cut off"),
        (b"\0\0\0\x03\x1b[m".to_vec(), "the host key has the type `\\x1b[m`, which is not supported"),
        ([blob(ED25519), vec![0]].concat(), "the host key is malformed: its bytes go on after its end"),
        (blob(ED25519)[..50].to_vec(), "the host key is malformed: its bytes are cut off"),
        (
            b"\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\0\x02\x7f\x01".to_vec(),
            "the host key is malformed: its modulus is shorter than 1024 bits",
        ),
        (b"\0\0\0\x07ssh-rsa\0\0\0\x01\x83".to_vec(), "the host key is malformed: its numbers are negative"),
        (b"\0\0\0\x07ssh-rsa\0\0\0\0\0\0\0\0".to_vec(), "the host key is malformed: its numbers are zero"),
    ] {
        assert_eq!(HostKey::from_blob(&bytes).unwrap_err().to_string(), error);
    }
}

#[test]
fn the_line_to_add_is_trusted_when_read_and_names_that_would_read_as_more_have_none() {
    assert_eq!(line("App-1", 22, &key(RSA)).unwrap(), format!("app-1 {RSA}"));
    assert_eq!(line("::1", 2222, &key(P256)).unwrap(), format!("[::1]:2222 {P256}"));
    for name in ["", "*", "a b", "a,b", "!a", "#a", "@revoked", "|1|", "a\nb", "[a]", "a\"", "caf\u{e9}", "a\0b"] {
        assert_eq!(line(name, 22, &key(RSA)), None, "{name:?}");
    }
}

/// What [`matches`] must be, in the plainest form.
fn matches_plainly(name: &[u8], pattern: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((b'*', pattern_rest)), rest) => {
            matches_plainly(name, pattern_rest) || rest.is_some_and(|(_, rest)| matches_plainly(rest, pattern))
        }
        (Some(_), None) => false,
        (Some((wanted, pattern)), Some((byte, name))) => {
            (*wanted == b'?' || wanted == byte) && matches_plainly(name, pattern)
        }
    }
}

fn hash(name: &str, salt: [u8; 20]) -> String {
    format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(hmac_sha1(&salt, name.as_bytes()).unwrap()))
}

/// Names that are likely to cover each other.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abA]{1,3}",
        2 => r"\[[ab]{1,2}\]:(2222|22)",
        3 => "[ab*?!]{1,4}",
        1 => r"\[[ab*]{1,2}\]:[2*]{1,4}",
    ]
}

fn file_line() -> impl Strategy<Value = String> {
    let names = prop_oneof![
        4 => proptest::collection::vec(name(), 1..4).prop_map(|names| names.join(",")),
        2 => ("[ab]{1,2}", any::<[u8; 20]>()).prop_map(|(name, salt)| hash(&name, salt)),
        1 => (r"\[[ab]\]:2222", any::<[u8; 20]>()).prop_map(|(name, salt)| hash(&name, salt)),
        1 => r"\|1\|[A-Za-z=|]{0,12}",
    ];
    let key = prop_oneof![
        8 => proptest::sample::select(vec![ED25519, OTHER, RSA, P256, P521]).prop_map(str::to_owned),
        1 => Just(ED25519.replacen("Hj", "Hk", 1)),
        1 => Just("ssh-ed25519 AAAA".to_owned()),
        1 => Just("ssh-rsa".to_owned()),
        1 => Just(format!("ssh-rsa {}", &ED25519[12..])),
    ];
    let marker =
        proptest::sample::select(vec!["", "", "", "@revoked ", "@cert-authority ", "@other ", "@revoked @revoked "]);
    let tail = proptest::sample::select(vec!["", " me@here", "\r", " # note", "\t"]);
    prop_oneof![
        12 => (marker, names, proptest::sample::select(vec![" ", "\t", "  "]), key, tail)
            .prop_map(|(marker, names, blank, key, tail)| format!("{marker}{names}{blank}{key}{tail}")),
        1 => Just("# comment".to_owned()),
        1 => Just(String::new()),
        1 => "[ -~]{0,40}",
    ]
}

proptest! {
    #[test]
    fn a_pattern_covers_what_its_definition_says(name in "[ab]{0,7}", pattern in "[ab*?]{0,7}") {
        prop_assert_eq!(matches(name.as_bytes(), pattern.as_bytes()), matches_plainly(name.as_bytes(), pattern.as_bytes()));
    }

    #[test]
    fn no_file_and_no_key_makes_it_panic(
        file in proptest::collection::vec(any::<u8>(), 0..400), host in ".{0,40}", port: u16, blob: Vec<u8>,
    ) {
        let known = known(file);
        let _ = HostKey::from_blob(&blob);
        let _ = known.host(&host, port).check(&key(ED25519));
        let _ = known.junk().count();
    }

    #[test]
    fn a_key_that_is_read_reads_the_same_again(
        kind in proptest::sample::select(KeyType::ALL.to_vec()), tail: Vec<u8>, zeros in 0usize..4,
    ) {
        let mut blob = Vec::new();
        for part in [kind.name().as_bytes(), &[&vec![0; zeros][..], &tail].concat(), &tail] {
            blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
            blob.extend(part);
        }
        if let Ok(key) = HostKey::from_blob(&blob) {
            prop_assert_eq!(HostKey::from_blob(key.blob()), Ok(key.clone()));
            prop_assert_eq!(HostKey::from_text(key.to_string().as_bytes()), Some(key));
        }
    }

    #[test]
    fn a_hashed_line_is_trusted_and_does_not_show_the_name(
        host in "[a-z]{4,30}", port in 1u16.., salt in any::<[u8; 20]>()
    ) {
        let added = hashed_line(&host, port, &key(P256), salt).unwrap();
        prop_assert!(!added.contains(&host));
        let mut known = KnownHosts::default();
        known.add("added", added.as_bytes());
        let trusted = matches!(known.host(&host, port).check(&key(P256)), Verdict::Trusted { .. });
        let unknown = matches!(known.host("Another", port).check(&key(P256)), Verdict::Unknown { .. });
        prop_assert!(trusted && (unknown || host == "another"));
    }

    #[test]
    fn a_line_that_was_added_is_trusted(host in "[A-Za-z0-9.:-]{1,30}", port in 1u16..) {
        let added = line(&host, port, &key(P256)).unwrap();
        prop_assert_eq!(verdict(added, &host, port, P256), "trusted 1");
    }

    #[test]
    fn junk_between_the_lines_changes_no_verdict(
        lines in proptest::collection::vec(file_line(), 0..8), host in "[ab]{1,2}", port in prop_oneof![Just(22), Just(2222)],
    ) {
        let told = |verdict: &str| verdict.split(' ').next().unwrap().to_owned();
        let plain = verdict(lines.join("\n"), &host, port, ED25519);
        let mixed = verdict(lines.join("\njunk \u{1b}\n"), &host, port, ED25519);
        prop_assert_eq!(told(&plain), told(&mixed));
    }
}

/// `ssh-keygen -F`, where it is on the machine: the same lines, the same keys.
#[test]
fn the_lines_found_for_a_name_are_those_that_ssh_keygen_finds() {
    if Command::new("ssh-keygen").arg("-?").output().is_err() {
        eprintln!("not compared: ssh-keygen is not on this machine");
        return;
    }
    let strategy = (proptest::collection::vec(file_line(), 1..8), "[ab]{1,2}", prop_oneof![Just(22u16), Just(2222)]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 150, ..Default::default() });
    runner
        .run(&strategy, |(lines, host, port)| {
            let text = lines.join("\n");
            let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let output = Command::new("ssh-keygen").args(["-l", "-F", &name, "-f"]).arg(file.path()).output().unwrap();
            let theirs = ssh_keygen_found(&String::from_utf8_lossy(&output.stdout));
            let known = known(&text);
            let ours: Vec<_> = known
                .find(name.as_bytes())
                .iter()
                .map(|index| &known.lines[*index])
                .map(|line| (line.number, format!("{:?}", line.marker), line.key.fingerprint()))
                .collect();
            prop_assert_eq!(ours, theirs, "{:?} in\n{}", name, text);
            Ok(())
        })
        .unwrap();
}

/// Reads pairs of `# Host a found: line 3 CA` and `a ED25519 SHA256:… comment`.
fn ssh_keygen_found(output: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    let mut lines = output.lines();
    while let Some(head) = lines.next() {
        let mut words = head.split("found: line ").nth(1).unwrap_or_else(|| panic!("{output}")).split(' ');
        let line = words.next().unwrap().parse().unwrap();
        let marker = match words.next() {
            Some("CA") => "Authority",
            Some("REVOKED") => "Revoked",
            _ => "None",
        };
        let fingerprint = lines.next().unwrap().split(' ').nth(2).unwrap();
        found.push((line, marker.to_owned(), fingerprint.to_owned()));
    }
    found
}

#[test]
fn a_host_is_taken_out_of_its_line_and_a_pattern_is_left_to_its_owner() {
    let of = |line: &str, port| {
        let left = without(line.as_bytes(), "H-1", port);
        left.map(|left| left.map(|left| String::from_utf8(left).expect("text")))
    };
    assert_eq!(of(&format!("h-1 {ED25519}"), 22), Ok(None));
    assert_eq!(of(&format!(" [h-1]:23 {ED25519}"), 23), Ok(None));
    assert_eq!(of(&format!("a,h-1,b {ED25519} comment"), 22), Ok(Some(format!("a,b {ED25519} comment"))));
    assert_eq!(of(&format!("|1|c2FsdA==|aGFzaA== {ED25519}"), 22), Ok(None));
    for line in ["h-*", "h-1,h-*", "other", "[h-1]:23"] {
        assert_eq!(of(&format!("{line} {ED25519}"), 22), Err(ByPattern), "{line}");
    }
}
