//! What conditions mean for a read. For a change they are decided inside the engine, in one step with the change.

use crate::engine::{Conditions, Version, Versions};

/// What the conditions of a read come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// They hold: show the value.
    Proceed,
    /// The reader has this version already.
    NotModified,
    /// `If-Match` names other versions than the one that is there.
    Failed,
}

impl Versions {
    /// Whether `current` is among them.
    pub fn contain(&self, current: Version) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(versions) => versions.contains(&current),
        }
    }
}

impl Conditions {
    /// Whether nothing is asked, so that everything is allowed.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Judges a read of an entry that is there, in the order of RFC 9110, section 13.2.2.
    pub fn judge_read(&self, current: Version) -> Verdict {
        if self
            .if_match
            .as_ref()
            .is_some_and(|versions| !versions.contain(current))
        {
            return Verdict::Failed;
        }
        if self
            .if_none_match
            .as_ref()
            .is_some_and(|versions| versions.contain(current))
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Version = Version {
        mark: 7,
        revision: 1,
    };
    const OTHER: Version = Version {
        mark: 8,
        revision: 1,
    };

    fn judge(if_match: Option<Versions>, if_none_match: Option<Versions>) -> Verdict {
        Conditions {
            if_match,
            if_none_match,
        }
        .judge_read(HERE)
    }

    #[test]
    fn without_conditions_a_read_proceeds() {
        assert_eq!(judge(None, None), Verdict::Proceed);
    }

    #[test]
    fn a_failed_if_match_wins_over_if_none_match() {
        let (other, here) = (Versions::OneOf(vec![OTHER]), Versions::OneOf(vec![HERE]));
        assert_eq!(judge(Some(other), Some(here)), Verdict::Failed);
    }

    #[test]
    fn a_known_version_is_not_shown_again() {
        let both = Versions::OneOf(vec![OTHER, HERE]);
        assert_eq!(judge(None, Some(both.clone())), Verdict::NotModified);
        assert_eq!(judge(None, Some(Versions::Any)), Verdict::NotModified);
        assert_eq!(judge(Some(both), None), Verdict::Proceed);
        assert_eq!(judge(Some(Versions::Any), None), Verdict::Proceed);
    }

    #[test]
    fn an_empty_list_holds_for_none() {
        assert_eq!(
            judge(Some(Versions::OneOf(Vec::new())), None),
            Verdict::Failed
        );
        assert_eq!(
            judge(None, Some(Versions::OneOf(Vec::new()))),
            Verdict::Proceed
        );
    }
}
