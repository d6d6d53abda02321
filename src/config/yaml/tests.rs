//! What is read from YAML, and what is refused.

use super::*;

/// A node in a form that a test can name: texts in their quotes, lines after them.
fn shown(node: &Node) -> String {
    match &node.shape {
        Shape::Null => "nothing".to_owned(),
        Shape::Text(text) => format!("{text:?}@{}", node.line),
        Shape::List(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        Shape::Section(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}@{}={}", entry.name, entry.line, shown(&entry.value)))
                .collect();
            format!("({})", entries.join(" "))
        }
    }
}

fn tree(text: &str) -> String {
    shown(&read(text).expect(text))
}

fn refused(text: &str) -> (u64, String) {
    let Fault { line, words } = read(text).expect_err(text);
    (line, words)
}

#[test]
fn nothing_said_is_nothing() {
    for text in [
        "",
        "\n",
        "# only words\n",
        "---\n",
        "~\n",
        "null",
        "\u{feff}",
    ] {
        assert_eq!(tree(text), "nothing", "{text:?}");
    }
    assert_eq!(
        tree("house:\n  rooms:\n  doors: ~\n"),
        "(house@1=(rooms@2=nothing doors@3=nothing))"
    );
}

#[test]
fn a_scalar_keeps_its_own_spelling_and_its_line() {
    assert_eq!(
        tree("\n\na: 1.0\nb: 007\r\nc: on\nd: 1e3\ne: 0x1F\nf: .5\n"),
        "(a@3=\"1.0\"@3 b@4=\"007\"@4 c@5=\"on\"@5 d@6=\"1e3\"@6 e@7=\"0x1F\"@7 f@8=\".5\"@8)"
    );
    assert_eq!(
        tree("a: ''\nb: \"~\"\nc: !!str null\nd: ! ~\ne: !!str\n"),
        "(a@1=\"\"@1 b@2=\"~\"@2 c@3=\"null\"@3 d@4=\"~\"@4 e@5=\"\"@5)"
    );
    assert_eq!(
        tree("a: >\n  SELECT 1\n  FROM t\nb: |\n  x\n  y\n"),
        "(a@1=\"SELECT 1 FROM t\\n\"@2 b@4=\"x\\ny\\n\"@5)"
    );
}

#[test]
fn names_are_texts_whatever_they_look_like() {
    assert_eq!(
        tree("07: a\non: b\n~: c\n? long\n: d\n'a: b/c': e\n: f\n"),
        "(07@1=\"a\"@1 on@2=\"b\"@2 ~@3=\"c\"@3 long@4=\"d\"@5 a: b/c@6=\"e\"@6 @7=\"f\"@7)"
    );
    let long = "x".repeat(70_000);
    assert_eq!(
        tree(&format!("'{long}': 1\n")),
        format!("({long}@1=\"1\"@1)")
    );
}

#[test]
fn a_name_may_stand_twice_for_the_reader_to_decide() {
    assert_eq!(tree("a: 1\na: 2\n"), "(a@1=\"1\"@1 a@2=\"2\"@2)");
}

#[test]
fn aliases_repeat_and_sections_take_from_others() {
    assert_eq!(tree("a: &x [1]\nb: *x\n"), "(a@1=[\"1\"@1] b@2=[\"1\"@1])");
    let text = "\
one: &one { a: 1, b: 1 }
two: &two { b: 2, c: 2 }
three: { <<: *one, a: 3 }
four: { <<: [*one, *two] }
'<<': plain
";
    assert_eq!(
        tree(text),
        "(one@1=(a@1=\"1\"@1 b@1=\"1\"@1) two@2=(b@2=\"2\"@2 c@2=\"2\"@2) \
         three@3=(a@3=\"3\"@3 b@1=\"1\"@1) four@4=(a@1=\"1\"@1 b@1=\"1\"@1 c@2=\"2\"@2) <<@5=\"plain\"@5)"
    );
    assert_eq!(tree("&k a: 1\nb: *k\n"), "(a@1=\"1\"@1 b@2=\"a\"@1)");
}

#[test]
fn what_is_no_document_is_refused_by_its_line() {
    for (text, expected) in [
        ("a: 1\n---\nb: 2\n", (2, "more than one YAML document")),
        (
            "a:\n  [b]: 1\n",
            (2, "a name belongs here, not a list or a section"),
        ),
        (
            "a: 1\n<<: 7\n",
            (2, "`<<` takes a section, or a list of sections"),
        ),
        ("a: !thing 1\n", (1, "a YAML tag that means nothing here")),
        (
            "a: !!binary aGk=\n",
            (1, "a YAML tag that means nothing here"),
        ),
        ("a: !!map 1\n", (1, "a YAML tag that means nothing here")),
        ("a: !!str [1]\n", (1, "a YAML tag that means nothing here")),
        ("a: &x [*x]\n", (1, "an alias stands within what it names")),
    ] {
        let (line, words) = refused(text);
        assert_eq!((line, words.as_str()), expected, "{text}");
    }
    // The rest is said in the library's words.
    for (text, line) in [
        ("a: [1\nb: 2\n", 2),
        ("a: 'x\n", 2),
        ("a: *nobody\n", 1),
        ("a: b: c\n", 1),
    ] {
        let (at, words) = refused(text);
        assert!(at >= line && words.len() > 5, "{text:?}: {at} {words}");
    }
}

#[test]
fn levels_are_counted_through_aliases_too() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    read(&deep(MOST_DEPTH - 1)).unwrap();
    let (_, words) = refused(&deep(MOST_DEPTH));
    assert_eq!(words, "more than 64 levels lie within each other");
    // The anchored one has 40 levels and its text; 22 more around it are the most.
    let chained = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!("- &x {}\n- {open}*x{close}\n", deep(40))
    };
    read(&chained(22)).unwrap();
    assert_eq!(
        refused(&chained(23)).1,
        "more than 64 levels lie within each other"
    );
}

#[test]
fn a_bomb_of_aliases_is_refused_before_it_is_built() {
    use std::fmt::Write as _;
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        let ten = vec![one; 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{ten}]").unwrap();
    }
    assert_eq!(refused(&text), (7, "more than 1000000 values".to_owned()));
}

#[test]
fn whatever_is_written_reads_as_itself() {
    let mut texts: Vec<String> = [
        "", "a", "null", "~", "on", "1.0", "-", "- a", "a: b", "a #b", "it's", "\"", "\\", " a ",
        "a\nb", "***", "é", "日本", "!x", "&x", "*x", "{", "]", "%", "@", "`", "?", ",",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend(
        (0..0x3100)
            .chain(0xfe00..0x1_0010)
            .filter_map(char::from_u32)
            .map(|c| format!("x{c}y")),
    );
    for text in &texts {
        for written in [scalar(text), quoted_flow(text)] {
            assert!(!written.contains('\n'), "{written}");
            let read =
                read(&format!("{written}: [{written}, {{ a: {written} }}] # x\n")).expect(&written);
            let entries = read.section().unwrap();
            let items = entries[0].value.list().unwrap();
            let inner = items[1].section().unwrap();
            assert_eq!(
                (
                    entries[0].name.as_str(),
                    items[0].text(),
                    inner[0].value.text()
                ),
                (text.as_str(), Ok(text.as_str()), Ok(text.as_str()))
            );
        }
    }
}

fn quoted_flow(text: &str) -> String {
    let shape = Shape::Text(text.to_owned());
    flow(&Node { line: 1, shape })
}

#[test]
fn a_tree_survives_its_own_flow() {
    let text = "a: [1, ~, { b: 'c, d', 'e: f': [] }]\n\"x\\ny\": {}\n";
    let once = flow(&read(text).unwrap());
    assert_eq!(
        once,
        "{a: ['1', null, {b: 'c, d', 'e: f': []}], \"x\\ny\": {}}"
    );
    assert_eq!(flow(&read(&once).unwrap()), once);
}
