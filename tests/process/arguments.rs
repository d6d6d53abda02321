//! Flags, files and variables: what is accepted, and the line and exit code that refuse the rest.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::harness::Place;

#[test]
fn help_and_version_go_to_standard_output_and_succeed() {
    let version = Place::new().run(&["--version"]);
    assert_eq!(version.code, Some(0));
    assert_eq!(
        version.stdout,
        format!("standpipe {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = Place::new().run(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in ["serve", "check", "healthcheck", "--data", "-e", "-l", "-c"] {
        assert!(
            help.stdout.contains(word),
            "{word} is missing in {}",
            help.stdout
        );
    }
}

#[test]
fn a_wrong_command_line_is_64() {
    for arguments in [
        &["--nonsense"][..],
        &["frobnicate"],
        &["-e"],
        &["serve", "extra"],
        &["check", "--x"],
    ] {
        let ended = Place::new().run(arguments);
        assert_eq!(ended.code, Some(64), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
    }
    let near = Place::new().run(&["--dta", "x"]);
    assert!(near.stderr.contains("--data"), "{}", near.stderr);
}

#[test]
fn a_refused_configuration_is_78_and_one_line() {
    let cases = [
        (
            Place::new().with_file("config.yml", "sever: {}\n"),
            &["check"][..],
            "./config.yml:1: sever is not a setting",
        ),
        (
            Place::new(),
            &["serve", "-c", "absent.yml"],
            "absent.yml: cannot be read",
        ),
        (
            Place::new(),
            &["-e", "nonsense"],
            "-e: server.endpoint: \"nonsense\" is not host:port",
        ),
        (
            Place::new().with_variable("STANDPIPE_A__B", "1"),
            &[],
            "STANDPIPE_A__B: a.b is not a setting",
        ),
        (
            Place::new().with_variable("STANDPIPE_CONFIG", "gone.yml"),
            &["check"],
            "gone.yml: cannot be read",
        ),
        (
            Place::new().with_file("config.yml", "engine: {}\n"),
            &[],
            "./config.yml:1: engine is not built yet",
        ),
        (
            Place::new(),
            &["-l", "off", "-e", "no-such-host.invalid:1"],
            "server.endpoint",
        ),
    ];
    for (place, arguments, expected) in cases {
        let ended = place.run(arguments);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert_eq!(ended.code, Some(78), "{arguments:?}: {ended:?}");
        assert!(
            last.starts_with("standpipe: ") && last.contains(expected),
            "{expected} is not in {ended:?}"
        );
        assert_eq!(
            (ended.stdout.as_str(), ended.stderr.lines().count()),
            ("", 1),
            "{ended:?}"
        );
    }
}

#[test]
fn cachepumps_spellings_of_the_flags_work() {
    let place = Place::new().with_file("other.yml", "logging: { format: json }\n");
    let spellings = [
        &["check", "-e=:7", "-l=warn", "-c=other.yml"][..],
        &["check", "--e", ":7", "--l", "warn", "--c", "other.yml"],
        &["--e=:7", "--l=warn", "--c=other.yml", "check"],
        &["-e", ":7", "-l", "warn", "-c", "other.yml", "check"],
        &[
            "-e",
            ":6",
            "-e",
            ":7",
            "-l=off",
            "-l=warn",
            "-c=x",
            "-c=other.yml",
            "check",
        ],
    ];
    for arguments in spellings {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        let lines: Vec<String> = ended
            .stdout
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for expected in [
            "endpoint: ':7' # -e",
            "level: warn # -l",
            "format: json # other.yml:1",
        ] {
            assert!(
                lines.iter().any(|line| line == expected),
                "{expected} is missing in {}",
                ended.stdout
            );
        }
    }
}

/// What `check` prints of a file, without where it came from; the same again when that is given back.
fn printed_twice(text: &str) -> Vec<String> {
    let values = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split("  #").next().unwrap().trim_end().to_owned())
            .collect()
    };
    let place = Place::new().with_file("config.yml", text);
    let first = place.run(&["check"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let place = Place::new().with_file("config.yml", &first.stdout);
    let second = place.run(&["check"]);
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(values(&first.stdout), values(&second.stdout));
    values(&first.stdout)
}

#[test]
fn what_check_prints_is_a_configuration_of_the_same_meaning() {
    let text = "server: { allowed_hosts: [a.test, b.test], endpoint: '[::1]:9' }\nstorage: { path: \"it's here\" }\n\
                keyspaces: { 'on': { ttl: 5m }, '07': {}, -: { max_bytes: 1MiB }, 'null': {}, a-b: { eviction: none } }\n\
                sources: { 'a.b/c d': { static: { value: \"x\\ny\\u001b\" } }, 'on': { file: { path: x } }, broken: {} }\n";
    let printed = printed_twice(text);
    for line in [
        "  path: 'it''s here'",
        "  'on':",
        "    ttl: 5m",
        "    durability: synced",
        "  'a.b/c d':",
        "      value: \"x\\ny\\U0000001b\"",
        "  broken: {}",
    ] {
        assert!(
            printed.contains(&line.to_owned()),
            "{line} is missing in {printed:#?}"
        );
    }
}

#[test]
fn every_example_survives_its_own_print() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files =
        ["", "compose"].map(|folder| fs::read_dir(Path::new(examples).join(folder)).unwrap());
    let mut files: Vec<_> = files
        .into_iter()
        .flatten()
        .map(|file| file.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "yml"));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        printed_twice(&fs::read_to_string(file).unwrap());
    }
}

#[test]
fn check_shows_no_secret_and_says_what_is_wrong_with_a_source() {
    let text = "sources:\n  good: { http: { endpoint: 'http://u:hunter2@h', header: { A: hunter2 } } }\n  \
                bad: { http: { endpoint: 'ftp://u:hunter2@h' } }\n  typo: { static: { value: x }, rul: '@daily' }\n";
    let place = Place::new().with_file("config.yml", text);
    let ended = place.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let expected = "\
standpipe: ./config.yml:3: sources.bad.http.endpoint: \"ftp://***@h\" is not an address: it begins with neither http:// nor \
https://; this source does nothing until that is mended
standpipe: ./config.yml:4: sources.typo.rul is not a setting; did you mean sources.typo.rule? (`standpipe check` prints all of \
them)
";
    assert_eq!(ended.stderr, expected);
    assert!(
        ended.stdout.contains("'http://***@h'") && !ended.stdout.contains("hunter2"),
        "{ended:?}"
    );
    // With secrets that stand in files of their own there is nothing to mask.
    let place = Place::new().with_variable("STANDPIPE_OUTBOUND__PROXY", "http://u:hunter2@h:1");
    let ended = place.run(&["check"]);
    assert!(!ended.stdout.contains("hunter2"), "{ended:?}");
    assert!(ended.stdout.contains("'http://***@h:1'"), "{ended:?}");
}

#[test]
fn a_file_of_cachepump_serves_with_cachepumps_flags() {
    let text = include_str!("../../examples/cachepump.yml");
    let place = Place::new().with_file("other.yml", text);
    for flags in [
        ["-c", "other.yml", "-l", "debug"],
        ["--c", "other.yml", "--l", "DEBUG"],
    ] {
        let mut server = place.serve(&flags).ready();
        assert_eq!(server.ask("GET", "/?key=absent").status, 404);
        server.signal("TERM");
        assert_eq!(server.wait(), Some(0));
    }
}

#[test]
fn an_address_in_use_is_69() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Place::new().run(&["-e", &address]);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("standpipe: cannot listen on {address}")),
        "{ended:?}"
    );
}

#[test]
fn nobody_there_is_unhealthy() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let ended = Place::new().run(&["healthcheck", "-e", &free]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.starts_with("standpipe: not healthy: "),
        "{ended:?}"
    );
    let misled = Place::new().run(&["healthcheck", "-c", "absent.yml"]);
    assert_eq!(misled.code, Some(1), "{misled:?}");
}

#[test]
fn a_new_token_works_as_soon_as_its_lines_are_pasted() {
    let made = Place::new().run(&["token", "--name", "ci", "--verb", "read"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let (token, lines) = made.stdout.split_once('\n').unwrap();
    assert!(token.starts_with("spt_") && token.len() > 40, "{token}");
    let other = Place::new().run(&["token"]).stdout;
    assert!(!other.starts_with(token));
    assert!(!lines.contains(token), "{lines}");
    let place = Place::new().with_file("config.yml", lines);
    let server = place.serve(&[]).ready();
    let ask = |headers: &str| {
        server
            .try_request("GET", "/v1/a", headers, b"")
            .unwrap()
            .status
    };
    assert_eq!(ask(""), 401);
    assert_eq!(ask(&format!("Authorization: Bearer {token}\r\n")), 404);
    // The configuration that holds can be printed and given back: it has hashes, not tokens.
    let printed = place.run(&["check", "--config-only"]).stdout;
    assert!(
        printed.contains("name: 'ci'") && !printed.contains(token),
        "{printed}"
    );
    let again = Place::new().with_file("config.yml", &printed);
    assert_eq!(again.run(&["check", "--config-only"]).code, Some(0));
}
