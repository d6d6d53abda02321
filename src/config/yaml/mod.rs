//! YAML in, a tree of named texts out: the only module that knows the YAML library. Scalars keep their own spelling, because
//! what `1.0` or `on` means is for whoever asked for it to say. It must not know what any setting means.

#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, Tag};

pub(super) use write::{flow, scalar};

/// The deepest nesting, that of aliases included: what is read is walked by recursion.
const MOST_DEPTH: usize = 64;

/// The most nodes, those that aliases repeat included: a few lines of aliases of aliases could fill the memory.
const MOST_NODES: usize = 1_000_000;

/// The most characters of a name. YAML says 1024 (1.2.2, section 7.4.2), but a source may be called as a key may be.
const MOST_NAME_CHARS: usize = 1 << 19;

/// What is wrong with a document, and where.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Fault {
    /// The line it was met at, from 1; 0 where there is none.
    pub(super) line: u64,
    /// What it is. No value is ever repeated here: it may be a password.
    pub(super) words: String,
}

/// A value of a document.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The line where it begins, from 1.
    pub(super) line: u64,
    /// What it is.
    pub(super) shape: Shape,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// Nothing, `~` or `null`: as if the name were not there at all.
    Null,
    /// One value of text, number or truth, in its own spelling.
    Text(String),
    /// `[one, two]`, or lines that begin with a dash.
    List(Vec<Node>),
    /// Names with values, in the order of the document. A name may stand twice: whoever reads it decides.
    Section(Vec<Entry>),
}

/// A name with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// In its own spelling, whatever it looks like.
    pub(super) name: String,
    /// The line of the name, from 1.
    pub(super) line: u64,
    /// What it stands for.
    pub(super) value: Node,
}

impl Node {
    /// The text, where it is one.
    pub(super) fn text(&self) -> Result<&str, &'static str> {
        match &self.shape {
            Shape::Text(text) => Ok(text),
            Shape::Null | Shape::List(_) | Shape::Section(_) => {
                Err("one value belongs here, not a list or a section")
            }
        }
    }

    /// The items, where it is a list. Nothing is a list of none.
    pub(super) fn list(&self) -> Result<&[Self], &'static str> {
        match &self.shape {
            Shape::List(items) => Ok(items),
            Shape::Null => Ok(&[]),
            Shape::Text(_) | Shape::Section(_) => Err("a list belongs here: [one, two]"),
        }
    }

    /// The names with their values, where it is a section. Nothing is a section without any.
    pub(super) fn section(&self) -> Result<&[Entry], &'static str> {
        match &self.shape {
            Shape::Section(entries) => Ok(entries),
            Shape::Null => Ok(&[]),
            Shape::Text(_) | Shape::List(_) => {
                Err("a section belongs here: lines of `name: value`")
            }
        }
    }

    /// Whether it says nothing.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.shape, Shape::Null)
    }
}

/// Reads one document. Nothing but comments is nothing said.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "nothing else begins a value, and the library has more events with other features"
)]
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.simple_key_max_lookahead = MOST_NAME_CHARS;
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut document = None;
    loop {
        let (event, span) = builder.next()?;
        let line = line(&span);
        match event {
            Event::StreamStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            Event::DocumentStart(..) if document.is_some() => {
                return Err(fault(line, "more than one YAML document"));
            }
            Event::DocumentStart(..) => {
                let (event, span) = builder.next()?;
                document = Some(builder.node(event, &span, 0)?.node);
            }
            _ => return Err(fault(line, "no document begins here")),
        }
    }
    Ok(document.unwrap_or(Node {
        line: 1,
        shape: Shape::Null,
    }))
}

/// A value and what it adds to the limits.
#[derive(Clone)]
struct Built {
    node: Node,
    /// How many levels are in it.
    height: usize,
    /// How many nodes are in it.
    nodes: usize,
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Fault> {
        match self.events.next() {
            // The library writes a tilde where there is nothing.
            Some(Ok((Event::Scalar(_, style @ ScalarStyle::Plain, anchor, tag), span)))
                if span.is_empty() =>
            {
                Ok((Event::Scalar("".into(), style, anchor, tag), span))
            }
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(fault(lines(error.marker().line()), &error.info())),
            None => Err(fault(0, "the document ends early")),
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nothing else begins a value, and the library has more events with other features"
    )]
    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Built, Fault> {
        let line = line(span);
        if depth >= MOST_DEPTH {
            let words = format!("more than {MOST_DEPTH} levels lie within each other");
            return Err(fault(line, &words));
        }
        let before = self.nodes;
        self.count(1, line)?;
        let (shape, anchor, height) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let shape = shape_of(&text, style, tag.as_deref()).ok_or_else(|| foreign(line))?;
                (shape, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                known(tag.as_deref(), "seq", line)?;
                let (items, height) = self.items(depth)?;
                (Shape::List(items), anchor, height + 1)
            }
            Event::MappingStart(_, anchor, tag) => {
                known(tag.as_deref(), "map", line)?;
                let (entries, height) = self.entries(depth)?;
                (Shape::Section(entries), anchor, height + 1)
            }
            Event::Alias(of) => return self.alias(of, line, depth),
            _ => return Err(fault(line, "a value belongs here")),
        };
        let built = Built {
            node: Node { line, shape },
            height,
            nodes: self.nodes - before,
        };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        Ok(built)
    }

    fn count(&mut self, nodes: usize, line: u64) -> Result<(), Fault> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(fault(line, &format!("more than {MOST_NODES} values")));
        }
        Ok(())
    }

    /// The value that an anchor named, again.
    fn alias(&mut self, of: usize, line: u64, depth: usize) -> Result<Built, Fault> {
        // An anchor is known once its value is whole: none can hold itself.
        let named = self.anchors.get(&of).cloned();
        let named = named.ok_or_else(|| fault(line, "an alias stands within what it names"))?;
        if depth + named.height > MOST_DEPTH {
            let words = format!("more than {MOST_DEPTH} levels lie within each other");
            return Err(fault(line, &words));
        }
        self.count(named.nodes, line)?;
        Ok(named)
    }

    fn items(&mut self, depth: usize) -> Result<(Vec<Node>, usize), Fault> {
        let (mut items, mut height) = (Vec::new(), 0);
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((items, height));
            }
            let item = self.node(event, &span, depth + 1)?;
            height = height.max(item.height);
            items.push(item.node);
        }
    }

    fn entries(&mut self, depth: usize) -> Result<(Vec<Entry>, usize), Fault> {
        let (mut entries, mut merged, mut height) = (Vec::new(), Vec::new(), 0);
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                merge(&mut entries, merged);
                return Ok((entries, height));
            }
            let line = line(&span);
            let merges =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let name = self.name(event, &span, depth)?;
            let (event, span) = self.next()?;
            let value = self.node(event, &span, depth + 1)?;
            height = height.max(value.height);
            if merges {
                merged.extend(sections(value.node, line)?);
            } else {
                let value = value.node;
                entries.push(Entry { name, line, value });
            }
        }
    }

    fn name(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<String, Fault> {
        // What looks like nothing or like a number is a name all the same.
        let own = if let Event::Scalar(text, ..) = &event {
            Some(text.clone().into_owned())
        } else {
            None
        };
        let built = self.node(event, span, depth + 1)?;
        match (own, built.node.shape) {
            (Some(name), _) | (None, Shape::Text(name)) => Ok(name),
            (None, Shape::Null | Shape::List(_) | Shape::Section(_)) => {
                let words = "a name belongs here, not a list or a section";
                Err(fault(line(span), words))
            }
        }
    }
}

/// `<<: *other` and `<<: [*one, *two]`: what a section takes from others (yaml.org/type/merge.html).
fn sections(value: Node, line: u64) -> Result<Vec<Entry>, Fault> {
    let wrong = || fault(line, "`<<` takes a section, or a list of sections");
    match value.shape {
        Shape::Section(entries) => Ok(entries),
        Shape::List(items) => {
            let mut all = Vec::new();
            for item in items {
                match item.shape {
                    Shape::Section(entries) => all.extend(entries),
                    Shape::Null | Shape::Text(_) | Shape::List(_) => return Err(wrong()),
                }
            }
            Ok(all)
        }
        Shape::Null | Shape::Text(_) => Err(wrong()),
    }
}

/// What a section says itself covers what it takes from others, of whom the first one counts.
fn merge(entries: &mut Vec<Entry>, merged: Vec<Entry>) {
    for entry in merged {
        if !entries.iter().any(|own| own.name == entry.name) {
            entries.push(entry);
        }
    }
}

/// What a scalar is; `None` where its tag is none that is known here.
fn shape_of(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Option<Shape> {
    let is = |kind: &str| tag.is_some_and(|tag| tag.is_yaml_core_schema_tag(kind));
    let nothing = matches!(text, "" | "~" | "null" | "Null" | "NULL");
    match tag {
        None if nothing && style == ScalarStyle::Plain => Some(Shape::Null),
        Some(_) if is("null") => Some(Shape::Null),
        Some(tag) if !(text_tag(tag) || is("int") || is("float") || is("bool")) => None,
        _ => Some(Shape::Text(text.to_owned())),
    }
}

/// `!!str` and `!` make a text of whatever it is.
fn text_tag(tag: &Tag) -> bool {
    tag.is_yaml_core_schema_tag("str") || (tag.handle().is_empty() && tag.suffix() == "!")
}

fn known(tag: Option<&Tag>, kind: &str, line: u64) -> Result<(), Fault> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(kind) => Err(foreign(line)),
        _ => Ok(()),
    }
}

fn foreign(line: u64) -> Fault {
    fault(line, "a YAML tag that means nothing here")
}

fn line(span: &Span) -> u64 {
    lines(span.start.line())
}

fn lines(line: usize) -> u64 {
    line.try_into().unwrap_or(u64::MAX)
}

fn fault(line: u64, words: &str) -> Fault {
    Fault {
        line,
        words: words.to_owned(),
    }
}
