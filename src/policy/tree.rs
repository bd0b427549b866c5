//! A policy as people read it: a line for each assertion, alternatives below each other.
//!
//! ```text
//! PCR sha256:7 with the digest 4a…
//! NV index 0x1500020 equals "0001"
//! one of
//! ├─ command 0x131
//! └─ password
//! ```

use super::{Assertion, Policy, assertion::Comparison};
use crate::digest::hex;

/// What is said of an assertion behind its line, if anything.
pub type Annotation<'a> = &'a mut dyn FnMut(&Assertion) -> Option<String>;

/// The lines of a policy, without an end.
#[must_use]
pub fn lines(policy: &Policy) -> Vec<String> {
    annotated(policy, &mut |_| None)
}

/// The same, with a remark behind each assertion.
#[must_use]
pub fn annotated(policy: &Policy, remark: Annotation<'_>) -> Vec<String> {
    if policy.assertions().is_empty() {
        return vec!["nothing: it always holds".into()];
    }
    let mut whole = Vec::new();
    for assertion in policy.assertions() {
        let mut lines = of(assertion, remark);
        if let (Some(first), Some(more)) = (lines.first_mut(), remark(assertion)) {
            first.push_str(&more);
        }
        whole.extend(lines);
    }
    whole
}

fn of(assertion: &Assertion, remark: Annotation<'_>) -> Vec<String> {
    match assertion {
        Assertion::Pcr { selections, values } => {
            let selections: Vec<_> = selections.iter().map(ToString::to_string).collect();
            vec![format!("PCR {} with the digest {}", selections.join("+"), hex(values))]
        }
        Assertion::Nv { index, operand, offset, comparison } => {
            let how = match comparison {
                Comparison::Equal => "equals",
                Comparison::Below => "is below",
                Comparison::AtLeast => "is at least",
            };
            let from = if *offset == 0 { String::new() } else { format!(" from byte {offset} on") };
            vec![format!("NV index {:#x}{from} {how} {}", index.index, shown(operand))]
        }
        Assertion::Authorize { signer, policy_ref } => {
            let reference = if policy_ref.is_empty() { String::new() } else { format!(" for {}", shown(policy_ref)) };
            vec![format!("what the key {} has signed{reference}", hex(signer))]
        }
        Assertion::AuthorizeNv { index } => vec![format!("the policy in NV index {:#x}", index.index)],
        Assertion::AuthValue => vec!["password".into()],
        Assertion::Secret { hierarchy, policy_ref } => {
            let reference = if policy_ref.is_empty() { String::new() } else { format!(" for {}", shown(policy_ref)) };
            vec![format!("password of the hierarchy {hierarchy:#x}{reference}")]
        }
        Assertion::Signed { signer, policy_ref } => {
            let reference = if policy_ref.is_empty() { String::new() } else { format!(" for {}", shown(policy_ref)) };
            vec![format!("a signature of the key {} over this session{reference}", hex(signer))]
        }
        Assertion::CommandCode(code) => vec![format!("command {code:#x}")],
        Assertion::Or(branches) => {
            let mut whole = vec!["one of".to_owned()];
            for (number, branch) in branches.iter().enumerate() {
                let (first, other) =
                    if number + 1 == branches.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                let leads = std::iter::once(first).chain(std::iter::repeat(other));
                whole.extend(leads.zip(annotated(branch, remark)).map(|(lead, line)| format!("{lead}{line}")));
            }
            whole
        }
    }
}

/// Text as text, and other bytes in hex.
pub(crate) fn shown(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => format!("\"{text}\""),
        _ => hex(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::version;

    #[test]
    fn every_assertion_is_a_line_and_alternatives_are_a_tree() {
        let index = version::index();
        let inner = Policy::of([Assertion::AuthValue, Assertion::CommandCode(0x131)]);
        let policy = Policy::of([
            Assertion::pcr7(&[0; 32]),
            Assertion::nv(index.clone(), (*b"0001").into()),
            Assertion::Or(vec![inner.clone(), Policy::of([Assertion::Or(vec![inner, Policy::default()])])]),
            Assertion::AuthorizeNv { index },
        ]);
        let digest = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        let expected = format!(
            "PCR sha256:7 with the digest {digest}\nNV index 0x1500020 equals \"0001\"\none of\n├─ password\n\
             │  command 0x131\n└─ one of\n   ├─ password\n   │  command 0x131\n   └─ nothing: it always holds\n\
             the policy in NV index 0x1500020"
        );
        assert_eq!(lines(&policy).join("\n"), expected);
    }
}
