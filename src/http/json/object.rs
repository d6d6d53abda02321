//! The members of a body, taken one by one, each with the path that an error names. It must not know what they mean:
//! whoever takes a member says that.

use std::borrow::Cow;

use super::node::{Members, Node, shown};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::query;

/// A whole body.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    root: Node<'a>,
    impossible: Code,
}

impl<'a> Document<'a> {
    pub(super) fn new(root: Node<'a>, impossible: Code) -> Self {
        Self { root, impossible }
    }

    /// The body as an object with no other members than `known`.
    pub(crate) fn object(self, known: &[&str]) -> Result<Object<'a>, Problem> {
        let object = Object::new(self.root, String::new(), self.impossible)?;
        object.allow(known)?;
        Ok(object)
    }
}

/// An object whose members are taken one by one.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    /// Where it stands in the body; empty for the body itself.
    place: String,
    members: Members<'a>,
    impossible: Code,
}

impl<'a> Object<'a> {
    fn new(node: Node<'a>, place: String, impossible: Code) -> Result<Self, Problem> {
        let kind = node.kind();
        if let Node::Object(members) = node {
            return Ok(Self {
                place,
                members,
                impossible,
            });
        }
        let place = if place.is_empty() { "the body" } else { &place };
        Err(refused(
            impossible,
            format!("{place} is {kind}, not an object"),
        ))
    }

    /// Refuses members other than `known`.
    pub(crate) fn allow(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = |(name, _): &&(Cow<'_, str>, _)| !known.contains(&name.as_ref());
        match self.members.iter().find(unknown) {
            None => Ok(()),
            Some((name, _)) => {
                let within = if self.place.is_empty() {
                    String::new()
                } else {
                    format!(" of {}", self.place)
                };
                let hint = query::hint(&name.chars().take(64).collect::<String>(), known);
                let detail = format!("the field {}{within} is not known: {hint}", shown(name));
                Err(refused(self.impossible, detail))
            }
        }
    }

    /// Whether a member is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.members
            .iter()
            .any(|(known, node)| known == name && *node != Node::Null)
    }

    /// Takes a member off; `None` where it is absent or null.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Field<'_, 'a>> {
        let place = self.members.iter().position(|(known, _)| known == name)?;
        let (_, node) = self.members.swap_remove(place);
        if node == Node::Null {
            return None;
        }
        Some(Field {
            within: &self.place,
            name,
            node,
            impossible: self.impossible,
        })
    }

    /// Takes a member off that has to be there.
    pub(crate) fn require(&mut self, name: &'static str) -> Result<Field<'_, 'a>, Problem> {
        if self.has(name) {
            // Looked up twice: an error that borrows nothing could not be made behind the first look.
            self.take(name)
                .ok_or_else(|| Problem::new(Code::Internal, "a member went away"))
        } else {
            Err(self.refuse(name, "is missing"))
        }
    }

    /// That the member `name` cannot be as it is.
    pub(crate) fn refuse(&self, name: &str, why: &str) -> Problem {
        refused(
            self.impossible,
            format!("{} {why}", path(&self.place, name)),
        )
    }
}

/// A member that is there.
#[derive(Debug)]
pub(crate) struct Field<'o, 'a> {
    within: &'o str,
    name: &'static str,
    node: Node<'a>,
    impossible: Code,
}

impl<'a> Field<'_, 'a> {
    /// Reads a text; `meaning` says what it stands for, or why it stands for nothing.
    pub(crate) fn text<T>(
        mut self,
        meaning: impl FnOnce(Cow<'a, str>) -> Result<T, String>,
    ) -> Result<T, Problem> {
        if let Node::Text(text) = &mut self.node {
            let text = std::mem::take(text);
            return meaning(text).map_err(|why| self.refuse(&why));
        }
        Err(self.other_than("a text"))
    }

    /// Reads a text, or a whole number as its decimal text.
    pub(crate) fn text_or_number<T>(
        mut self,
        meaning: impl FnOnce(Cow<'a, str>) -> Result<T, String>,
    ) -> Result<T, Problem> {
        if let Node::Integer(number) = self.node {
            self.node = Node::Text(Cow::Owned(number.to_string()));
        }
        self.text(meaning)
    }

    /// Reads a whole number of 64 bits with a sign.
    pub(crate) fn integer(self) -> Result<i64, Problem> {
        const RANGE: &str = "a whole number from -9223372036854775808 to 9223372036854775807";
        if let Node::Integer(number) = self.node {
            return i64::try_from(number)
                .map_err(|_too_large| self.refuse(&format!("is not {RANGE}")));
        }
        Err(self.other_than(RANGE))
    }

    /// Reads true or false.
    pub(crate) fn boolean(self) -> Result<bool, Problem> {
        if let Node::Boolean(value) = self.node {
            return Ok(value);
        }
        Err(self.other_than("true or false"))
    }

    /// Reads a list.
    pub(crate) fn list(mut self) -> Result<List<'a>, Problem> {
        if let Node::List(items) = &mut self.node {
            return Ok(List {
                items: std::mem::take(items),
                place: path(self.within, self.name),
                impossible: self.impossible,
            });
        }
        Err(self.other_than("a list"))
    }

    fn other_than(&self, wanted: &str) -> Problem {
        self.refuse(&format!("is {}, not {wanted}", self.node.kind()))
    }

    fn refuse(&self, why: &str) -> Problem {
        let place = path(self.within, self.name);
        refused(self.impossible, format!("{place} {why}"))
    }
}

/// A list.
#[derive(Debug)]
pub(crate) struct List<'a> {
    place: String,
    items: Vec<Node<'a>>,
    impossible: Code,
}

impl<'a> List<'a> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// One by one, each with its place in the body.
    pub(crate) fn objects(self) -> impl Iterator<Item = Result<Object<'a>, Problem>> {
        let (place, impossible) = (self.place, self.impossible);
        self.items
            .into_iter()
            .enumerate()
            .map(move |(index, node)| Object::new(node, format!("{place}[{index}]"), impossible))
    }

    /// All of them, each a text.
    pub(crate) fn texts(self) -> Result<Vec<Cow<'a, str>>, Problem> {
        let mut texts = Vec::with_capacity(self.items.len());
        for (index, node) in self.items.into_iter().enumerate() {
            let kind = node.kind();
            let Node::Text(text) = node else {
                let detail = format!("{}[{index}] is {kind}, not a text", self.place);
                return Err(refused(self.impossible, detail));
            };
            texts.push(text);
        }
        Ok(texts)
    }
}

fn path(within: &str, name: &str) -> String {
    if within.is_empty() {
        name.to_owned()
    } else {
        format!("{within}.{name}")
    }
}

fn refused(impossible: Code, detail: String) -> Problem {
    Problem::new(impossible, detail + "; nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document<'_> {
        let root = Node::read(text.as_bytes(), 16).unwrap();
        Document::new(root, Code::InvalidOperation)
    }

    fn object(text: &str) -> Object<'_> {
        document(text)
            .object(&["by", "ttl", "atomic", "operations"])
            .unwrap()
    }

    fn told<T>(result: Result<T, Problem>) -> String {
        let Err(problem) = result else {
            panic!("it was taken");
        };
        assert_eq!(problem.code(), Code::InvalidOperation);
        let detail = problem.detail();
        detail
            .strip_suffix("; nothing was changed")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn members_are_taken_by_name_and_null_is_absent() {
        let mut object = object(r#"{"by":-3,"ttl":null,"atomic":true}"#);
        assert!(object.has("by") && !object.has("ttl") && !object.has("operations"));
        assert_eq!(object.take("by").unwrap().integer().unwrap(), -3);
        assert!(object.take("ttl").is_none() && object.take("operations").is_none());
        assert!(object.require("atomic").unwrap().boolean().unwrap());
        assert_eq!(told(object.require("by")), "by is missing");
    }

    #[test]
    fn what_is_no_object_or_has_other_members_is_refused() {
        assert_eq!(
            told(document("[]").object(&[])),
            "the body is a list, not an object"
        );
        assert_eq!(
            told(document(r#"{"tll":1}"#).object(&["by", "ttl"])),
            r#"the field "tll" is not known: did you mean "ttl"?"#
        );
    }

    #[test]
    fn a_member_of_another_kind_is_refused_by_its_path() {
        assert_eq!(
            told(object(r#"{"by":"1"}"#).take("by").unwrap().integer()),
            "by is a text, not a whole number from -9223372036854775808 to 9223372036854775807"
        );
        assert_eq!(
            told(
                object(r#"{"by":9223372036854775808}"#)
                    .take("by")
                    .unwrap()
                    .integer()
            ),
            "by is not a whole number from -9223372036854775808 to 9223372036854775807"
        );
        assert_eq!(
            told(object(r#"{"by":1.5}"#).take("by").unwrap().integer()),
            "by is a number with a fraction or too many digits, not a whole number from \
             -9223372036854775808 to 9223372036854775807"
        );
        assert_eq!(
            told(object(r#"{"atomic":0}"#).take("atomic").unwrap().boolean()),
            "atomic is a number, not true or false"
        );
        assert_eq!(
            told(
                object(r#"{"operations":{}}"#)
                    .take("operations")
                    .unwrap()
                    .list()
            ),
            "operations is an object, not a list"
        );
        let mut with_list = object(r#"{"operations":[{},{"by":true},7]}"#);
        let list = with_list.take("operations").unwrap().list().unwrap();
        assert_eq!(list.len(), 3);
        let mut objects = list.objects();
        objects.next().unwrap().unwrap();
        let mut second = objects.next().unwrap().unwrap();
        assert_eq!(
            told(second.take("by").unwrap().text(Ok)),
            "operations[1].by is a boolean, not a text"
        );
        assert_eq!(
            told(second.allow(&[]).and_then(|()| second.require("ttl"))),
            "operations[1].ttl is missing"
        );
        assert_eq!(
            told(objects.next().unwrap()),
            "operations[2] is a number, not an object"
        );
    }

    #[test]
    fn a_list_of_texts_has_nothing_else_in_it() {
        let texts = |text| object(text).take("operations").unwrap().list()?.texts();
        assert_eq!(texts(r#"{"operations":["a","b"]}"#).unwrap(), ["a", "b"]);
        assert_eq!(texts(r#"{"operations":[]}"#).unwrap(), [""; 0]);
        assert_eq!(
            told(texts(r#"{"operations":["a",null]}"#)),
            "operations[1] is null, not a text"
        );
    }

    #[test]
    fn a_text_is_given_its_meaning() {
        let meaning = |text: Cow<'_, str>| match text.parse::<u8>() {
            Ok(number) => Ok(number),
            Err(_) => Err(format!("{} cannot be read", shown(&text))),
        };
        let take = |text| object(text).take("ttl").unwrap().text_or_number(meaning);
        assert_eq!(take(r#"{"ttl":"90"}"#).unwrap(), 90);
        assert_eq!(take(r#"{"ttl":90}"#).unwrap(), 90);
        assert_eq!(told(take(r#"{"ttl":"x"}"#)), r#"ttl "x" cannot be read"#);
    }
}
