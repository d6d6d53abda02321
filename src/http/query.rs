//! Query parameters, parsed strictly: percent-decoded once, `+` is a space, a name at most once, and an unknown name is
//! refused with the nearest known one. It must not know what a parameter means.

use std::borrow::Cow;

use super::code::Code;
use super::percent::{self, Plus};
use super::problem::Problem;

/// The parameters of one request.
#[derive(Debug, Default)]
pub(crate) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Parses the text behind the `?`.
    pub(crate) fn parse(text: Option<&'a str>) -> Result<Self, Problem> {
        let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
        for pair in split(text) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name)?;
            if pairs.iter().any(|(earlier, _)| *earlier == name) {
                return Err(invalid(format!("the parameter {name:?} is there twice")));
            }
            pairs.push((name, decoded(value)?));
        }
        Ok(Self(pairs))
    }

    /// Parses the text behind the `?` and refuses every name that is not `known`.
    pub(crate) fn parse_known(text: Option<&'a str>, known: &[&str]) -> Result<Self, Problem> {
        let query = Self::parse(text)?;
        match query
            .0
            .iter()
            .find(|(name, _)| !known.contains(&name.as_ref()))
        {
            None => Ok(query),
            Some((name, _)) => Err(unknown(name, known)),
        }
    }

    /// The values of the one parameter `name`, which may be there several times and has to be there once. A value that is
    /// there twice counts once.
    pub(crate) fn repeated(
        text: Option<&'a str>,
        name: &str,
    ) -> Result<Vec<Cow<'a, str>>, Problem> {
        let mut values: Vec<Cow<'_, str>> = Vec::new();
        for pair in split(text) {
            // One by one, because together a repeated name is refused.
            let one = Self::parse_known(Some(pair), &[name])?;
            for (_, value) in one.0 {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
        if values.is_empty() {
            return Err(invalid(format!("the parameter {name:?} is missing")));
        }
        Ok(values)
    }

    /// The value of the parameter `name`, empty where it was given without one.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_ref())
    }
}

fn split(text: Option<&str>) -> impl Iterator<Item = &str> {
    let pairs = text.unwrap_or_default().split('&');
    pairs.filter(|pair| !pair.is_empty())
}

fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    percent::decode(text, Plus::Space).map_err(|error| invalid(format!("in the query {error}")))
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidParameter, detail)
}

fn unknown(name: &str, known: &[&str]) -> Problem {
    let hint = hint(name, known);
    Problem::new(
        Code::UnknownParameter,
        format!("the parameter {name:?} is not known: {hint}"),
    )
}

/// Which of the `known` names may have been meant by an unknown one.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    let lower = name.to_lowercase();
    let nearest = known
        .iter()
        .map(|candidate| (strsim::levenshtein(&lower, candidate), *candidate))
        .min();
    match nearest {
        None => "this operation takes none".to_owned(),
        Some((changes, nearest)) if changes <= nearest.len().div_ceil(2) => {
            format!("did you mean {nearest:?}?")
        }
        Some(_) => format!("known are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_once() {
        let query = Query::parse(Some("key=a%20b+c%252B&empty=&bare&&x=1=2")).unwrap();
        assert_eq!(query.value("key"), Some("a b c%2B"));
        assert_eq!(query.value("empty"), Some(""));
        assert_eq!(query.value("bare"), Some(""));
        assert_eq!(query.value("x"), Some("1=2"));
        assert_eq!(query.value("y"), None);
    }

    #[test]
    fn malformed_and_repeated_parameters_are_refused() {
        for text in ["a=%", "a=%FF", "%zz=1", "a=1&a=2", "a&%61=2"] {
            let problem = Query::parse(Some(text)).unwrap_err();
            assert_eq!(problem.code(), Code::InvalidParameter, "{text}");
        }
    }

    #[test]
    fn one_parameter_may_repeat_and_others_may_not_stand_beside_it() {
        let names = Query::repeated(Some("name=a&name=b%2F&&name=a&name="), "name").unwrap();
        assert_eq!(names, ["a", "b/", ""]);
        for text in [None, Some(""), Some("name=a&nam=b"), Some("name=%")] {
            Query::repeated(text, "name").unwrap_err();
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let refused = |text, known: &[&str]| {
            let problem = Query::parse_known(Some(text), known).unwrap_err();
            assert_eq!(problem.code(), Code::UnknownParameter);
            problem.detail().to_owned()
        };
        assert_eq!(
            refused("tll=1", &["durability", "ttl"]),
            r#"the parameter "tll" is not known: did you mean "ttl"?"#
        );
        assert_eq!(
            refused("TTL=1", &["ttl"]),
            r#"the parameter "TTL" is not known: did you mean "ttl"?"#
        );
        assert_eq!(
            refused("zone=1", &["ttl"]),
            r#"the parameter "zone" is not known: known are ttl"#
        );
        assert_eq!(
            refused("x", &[]),
            r#"the parameter "x" is not known: this operation takes none"#
        );
        Query::parse_known(Some("ttl=1"), &["durability", "ttl"]).unwrap();
    }
}
