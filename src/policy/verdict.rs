//! Whether a policy holds: what is known of its assertions, put together. Pure.

use super::{Assertion, Policy};

/// Whether something holds now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It does.
    Holds,
    /// It depends on what is not known before it is tried, such as a PIN.
    Open(String),
    /// It does not, and why.
    Fails(String),
}

impl Judgement {
    /// Whether there is a reason to try.
    #[must_use]
    pub const fn may_hold(&self) -> bool {
        !matches!(self, Self::Fails(_))
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::Open(_) => 1,
            Self::Fails(_) => 2,
        }
    }
}

/// Whether `policy` holds, where `leaf` says so of its assertions: the worst of all that must hold, the best of
/// alternatives.
pub fn judge(policy: &Policy, leaf: &mut dyn FnMut(&Assertion) -> Judgement) -> Judgement {
    let mut whole = Judgement::Holds;
    for assertion in policy.assertions() {
        let verdict = match assertion {
            Assertion::Or(branches) => best(branches, leaf),
            other => leaf(other),
        };
        if verdict.rank() > whole.rank() {
            whole = verdict;
        }
    }
    whole
}

fn best(branches: &[Policy], leaf: &mut dyn FnMut(&Assertion) -> Judgement) -> Judgement {
    let verdicts: Vec<_> = branches.iter().map(|branch| judge(branch, leaf)).collect();
    let why = |verdict: &Judgement| match verdict {
        Judgement::Fails(why) | Judgement::Open(why) => why.clone(),
        Judgement::Holds => String::new(),
    };
    let fails = Judgement::Fails(verdicts.iter().map(why).collect::<Vec<_>>().join("; and "));
    verdicts.into_iter().filter(Judgement::may_hold).min_by_key(Judgement::rank).unwrap_or(fails)
}

/// The alternatives of a policy that is nothing but alternatives; else the policy itself.
#[must_use]
pub fn alternatives(policy: &Policy) -> &[Policy] {
    match policy.assertions() {
        [Assertion::Or(branches)] => branches,
        _ => std::slice::from_ref(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_must_hold_and_of_alternatives_one() {
        let (yes, no, pin) = (Assertion::CommandCode(0), Assertion::CommandCode(1), Assertion::AuthValue);
        let mut leaf = |assertion: &Assertion| match assertion {
            Assertion::CommandCode(0) => Judgement::Holds,
            Assertion::AuthValue => Judgement::Open("the PIN".into()),
            _ => Judgement::Fails("never".into()),
        };
        let of = |list: &[&Assertion]| Policy::of(list.iter().map(|one| (*one).clone()));
        assert_eq!(judge(&of(&[]), &mut leaf), Judgement::Holds);
        assert_eq!(judge(&of(&[&yes, &pin]), &mut leaf), Judgement::Open("the PIN".into()));
        assert_eq!(judge(&of(&[&pin, &no, &yes]), &mut leaf), Judgement::Fails("never".into()));
        let any = Policy::of([Assertion::Or(vec![of(&[&no]), of(&[&pin]), of(&[&yes])])]);
        assert_eq!(judge(&any, &mut leaf), Judgement::Holds);
        assert_eq!(alternatives(&any).len(), 3);
        let none = Policy::of([Assertion::Or(vec![of(&[&no]), of(&[&yes, &no])])]);
        assert_eq!(judge(&none, &mut leaf), Judgement::Fails("never; and never".into()));
    }
}
