//! A policy in a key file: statements that assert it, one after the other, and what only the file knows. Pure.
//!
//! The draft has no alternatives and no NV indices. Here a policy of alternatives is the one statement `PolicyOR`, and each
//! alternative is in `authPolicy`; an index is there with its public area, without which no one knows its Name.

use super::{
    Assertion, Policy,
    approved::{ApprovedPolicy, PolicySignature},
    assertion::{Comparison, MAX_SELECTIONS, Operand},
    public_key::PolicyKey,
    verdict,
};
use crate::{
    bytes::{Reader, Writer},
    digest::Digest,
    tpm2::{
        Name, NvPublic, Selection,
        constants::{alg, cc},
        key_file::{Alternative, Statement},
        name, selection,
    },
};

/// The largest statement: a key of 4096 bits and its signature.
const MAX_STATEMENT: usize = 2048;
/// In place of the digest of PCRs whose values the file does not say, as those of GRUB do not: they are taken as they are when
/// the policy is asserted. No values have this digest.
const CURRENT: Digest = [0; 32];

/// A policy, and what it is asserted with, as a file has both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRecipe {
    /// The policy.
    pub policy: Policy,
    /// What each alternative is called, where it is called anything.
    pub names: Vec<Option<String>>,
    /// The keys that sign policies: a `TPMT_PUBLIC` each.
    pub signers: Vec<Vec<u8>>,
    /// What they have signed, as far as the file has it.
    pub authorizations: Vec<ApprovedPolicy>,
}

impl PolicyRecipe {
    /// The statements, and the alternatives that they speak of; `None` where the format has nothing for it: alternatives
    /// within alternatives, signatures over sessions, and keys that are not among [`Self::signers`].
    #[must_use]
    pub fn write(&self) -> Option<(Vec<Statement>, Vec<Alternative>)> {
        let [Assertion::Or(branches)] = self.policy.assertions() else {
            return Some((self.statements(&self.policy)?, Vec::new()));
        };
        let digest = |branch: &Policy| [&32_u16.to_be_bytes()[..], &branch.digest()].concat();
        let digests: Vec<u8> = branches.iter().flat_map(digest).collect();
        let body = [&u32::try_from(branches.len()).ok()?.to_be_bytes()[..], &digests].concat();
        let of = |(number, branch): (usize, &Policy)| {
            let name = self.names.get(number).cloned().flatten();
            Some(Alternative { name, policy: self.statements(branch)? })
        };
        let alternatives = branches.iter().enumerate().map(of).collect::<Option<_>>()?;
        Some((vec![Statement { code: cc::POLICY_OR, body }], alternatives))
    }

    fn statements(&self, policy: &Policy) -> Option<Vec<Statement>> {
        policy.assertions().iter().map(|assertion| self.statement(assertion)).collect()
    }

    fn statement(&self, assertion: &Assertion) -> Option<Statement> {
        let (code, body) = match assertion {
            Assertion::Pcr { selections, values } => {
                let values: &[u8] = if *values == CURRENT { &[] } else { values };
                (cc::POLICY_PCR, written(|writer| selection::write(selections, writer.tpm2b(values)))?)
            }
            Assertion::Nv { index, operand, offset, comparison } => {
                let body = written(|writer| {
                    writer.tpm2b(&index.area()).tpm2b(operand).be16(*offset).be16(*comparison as u16)
                })?;
                (cc::POLICY_NV, body)
            }
            Assertion::Authorize { signer, policy_ref } => {
                let area = self.signers.iter().find(|area| name::of(area) == *signer)?;
                // Without a signature: what is signed is elsewhere.
                (cc::POLICY_AUTHORIZE, written(|writer| writer.tpm2b(area).tpm2b(policy_ref).be16(alg::NULL))?)
            }
            Assertion::AuthorizeNv { index } => {
                (cc::POLICY_AUTHORIZE_NV, written(|writer| writer.tpm2b(&index.area()))?)
            }
            Assertion::AuthValue => (cc::POLICY_AUTH_VALUE, Vec::new()),
            Assertion::Secret { hierarchy, policy_ref } => {
                let body = written(|writer| writer.be32(*hierarchy).tpm2b(&hierarchy.to_be_bytes()).tpm2b(policy_ref))?;
                (cc::POLICY_SECRET, body)
            }
            Assertion::CommandCode(code) => (cc::POLICY_COMMAND_CODE, code.to_be_bytes().to_vec()),
            Assertion::Or(_) | Assertion::Signed { .. } => return None,
        };
        Some(Statement { code, body })
    }

    /// What statements and alternatives say.
    ///
    /// # Errors
    /// What is not understood, as a clause.
    pub fn read(statements: &[Statement], alternatives: &[Alternative]) -> Result<Self, String> {
        let mut recipe = Self::default();
        match statements {
            [Statement { code: cc::POLICY_OR, .. }, rest @ ..] if !alternatives.is_empty() => {
                if !(2..=8).contains(&alternatives.len()) {
                    return Err("it has fewer than two or more than eight alternatives".into());
                }
                let branches =
                    alternatives.iter().map(|one| recipe.policy_of(&one.policy)).collect::<Result<_, _>>()?;
                recipe.names = alternatives.iter().map(|one| one.name.clone()).collect();
                let rest = recipe.policy_of(rest)?;
                recipe.policy =
                    Policy::of([Assertion::Or(branches)].into_iter().chain(rest.assertions().iter().cloned()));
            }
            [first @ Statement { code: cc::POLICY_AUTHORIZE, .. }, ..] => {
                recipe.policy = recipe.policy_of(statements)?;
                let (signer, policy_ref, _) = authorize(&first.body).ok_or("a signer's key is malformed")?;
                for alternative in alternatives {
                    let authorization = recipe.authorization(&signer, &policy_ref, &alternative.policy)?;
                    recipe.authorizations.extend(authorization);
                }
            }
            _ if !alternatives.is_empty() => return Err("it has alternatives that nothing speaks of".into()),
            _ => recipe.policy = recipe.policy_of(statements)?,
        }
        Ok(recipe)
    }

    /// A signed policy: the signature first, then what has been signed.
    fn authorization(
        &mut self,
        signer: &[u8],
        policy_ref: &Operand,
        statements: &[Statement],
    ) -> Result<Option<ApprovedPolicy>, String> {
        let [Statement { code: cc::POLICY_AUTHORIZE, body }, rest @ ..] = statements else { return Ok(None) };
        let (area, reference, signature) = authorize(body).ok_or("a signed policy is malformed")?;
        if area != signer || reference != *policy_ref || signature.is_empty() {
            return Ok(None);
        }
        Ok(Some(ApprovedPolicy {
            policy: self.policy_of(rest)?,
            policy_ref: reference,
            signer: PolicyKey::from_area(area),
            signature: PolicySignature::Marshalled(signature),
            source: "the sealed file itself".into(),
        }))
    }

    fn policy_of(&mut self, statements: &[Statement]) -> Result<Policy, String> {
        let assertions = statements.iter().map(|statement| self.assertion(statement));
        Ok(Policy::of(assertions.collect::<Result<Vec<_>, _>>()?))
    }

    fn assertion(&mut self, Statement { code, body }: &Statement) -> Result<Assertion, String> {
        let known = match *code {
            cc::POLICY_PCR => pcr(body),
            cc::POLICY_NV => nv(body),
            cc::POLICY_AUTHORIZE => authorize(body).map(|(area, policy_ref, _)| {
                let signer = name::of(&area);
                self.signers.push(area);
                Assertion::Authorize { signer, policy_ref }
            }),
            cc::POLICY_AUTHORIZE_NV => {
                whole(body, |reader| NvPublic::parse(reader.tpm2b()?)).map(|index| Assertion::AuthorizeNv { index })
            }
            cc::POLICY_AUTH_VALUE | cc::POLICY_PASSWORD => body.is_empty().then_some(Assertion::AuthValue),
            cc::POLICY_SECRET => whole(body, |reader| {
                let (hint, name, policy_ref) = (reader.be32()?, reader.tpm2b()?, reader.tpm2b()?);
                // Only a hierarchy: its handle is its Name.
                let hierarchy = u32::from_be_bytes(name.try_into().ok()?);
                (hint == 0 || hint == hierarchy).then_some(())?;
                Some(Assertion::Secret { hierarchy, policy_ref: Operand::from_slice(policy_ref).ok()? })
            }),
            cc::POLICY_COMMAND_CODE => whole(body, Reader::be32).map(Assertion::CommandCode),
            other => return Err(format!("its policy has the command {other:#x}, which is not known here")),
        };
        known.ok_or_else(|| format!("the parameters of the command {code:#x} in its policy are malformed"))
    }

    /// The same with the values that PCRs have now, whose digest `read` returns, where the file does not say which; `None`
    /// where it says all of them.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn with_current_pcrs<E>(
        &self,
        read: &mut dyn FnMut(&[Selection]) -> Result<Digest, E>,
    ) -> Result<Option<Self>, E> {
        let policy = with_current_pcrs(&self.policy, read)?;
        Ok((policy != self.policy).then(|| Self { policy, ..self.clone() }))
    }

    /// Whether the values of PCRs are left out.
    #[must_use]
    pub fn leaves_values_out(&self) -> bool {
        self.with_current_pcrs(&mut |_| Err(())).is_err()
    }

    /// The policies of which one must hold, with their names.
    pub fn alternatives(&self) -> impl Iterator<Item = (&Policy, Option<&str>)> {
        let names = self.names.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        verdict::alternatives(&self.policy).iter().zip(names)
    }

    /// The key of this Name, as a `TPMT_PUBLIC`.
    #[must_use]
    pub fn signer(&self, wanted: &Name) -> Option<&[u8]> {
        self.signers.iter().map(Vec::as_slice).find(|area| name::of(area) == *wanted)
    }
}

fn with_current_pcrs<E>(policy: &Policy, read: &mut dyn FnMut(&[Selection]) -> Result<Digest, E>) -> Result<Policy, E> {
    let mut assertions = policy.assertions().to_vec();
    for assertion in &mut assertions {
        match assertion {
            Assertion::Pcr { selections, values } if *values == CURRENT => *values = read(selections)?,
            Assertion::Or(branches) => {
                for branch in branches {
                    *branch = with_current_pcrs(branch, read)?;
                }
            }
            _ => {}
        }
    }
    Ok(Policy::of(assertions))
}

/// Parameters as they are written.
fn written(write: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Option<Vec<u8>> {
    let mut body = vec![0; MAX_STATEMENT];
    let size = write(Writer::new(&mut body)).finish()?;
    body.truncate(size);
    Some(body)
}

/// What `read` reads, if nothing follows it.
fn whole<'a, T>(body: &'a [u8], read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(body);
    read(&mut reader).filter(|_| reader.is_empty())
}

fn pcr(body: &[u8]) -> Option<Assertion> {
    whole(body, |reader| {
        let values = match reader.tpm2b()? {
            [] => CURRENT,
            values => values.try_into().ok()?,
        };
        let mut selections = heapless::Vec::<_, MAX_SELECTIONS>::new();
        for _ in 0..reader.be32()? {
            let (bank, octets) = (reader.be16()?, reader.u8()?);
            // The size enters the digest, and everyone writes three.
            let [first, second, third] = reader.array()?;
            let pcrs = u32::from_le_bytes([first, second, third, 0]);
            (octets == 3).then(|| selections.push(Selection { bank, pcrs }).ok())??;
        }
        Some(Assertion::Pcr { selections, values })
    })
}

fn nv(body: &[u8]) -> Option<Assertion> {
    whole(body, |reader| {
        let index = NvPublic::parse(reader.tpm2b()?)?;
        let (operand, offset, how) = (Operand::from_slice(reader.tpm2b()?).ok()?, reader.be16()?, reader.be16()?);
        let comparison = Comparison::ALL.into_iter().find(|comparison| *comparison as u16 == how)?;
        Some(Assertion::Nv { index, operand, offset, comparison })
    })
}

/// A key as a `TPMT_PUBLIC`, what it signs for, and a `TPMT_SIGNATURE`, which is empty where there is none.
fn authorize(body: &[u8]) -> Option<(Vec<u8>, Operand, Vec<u8>)> {
    let mut reader = Reader::new(body);
    let area = reader.tpm2b()?.to_vec();
    let policy_ref = Operand::from_slice(reader.tpm2b()?).ok()?;
    let signature = reader.rest();
    let signature = if signature == alg::NULL.to_be_bytes() { &[] } else { signature };
    Some((area, policy_ref, signature.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::version;

    fn key() -> Vec<u8> {
        PolicyKey::from_modulus(&[0x99; 256]).unwrap().area().to_vec()
    }

    fn all() -> Policy {
        Policy::of([
            Assertion::Authorize { signer: name::of(&key()), policy_ref: Operand::from_slice(b"system").unwrap() },
            Assertion::pcr7(&[3; 32]),
            Assertion::nv(version::index(), (*b"0001").into()),
            Assertion::AuthorizeNv { index: version::index() },
            Assertion::AuthValue,
            Assertion::Secret { hierarchy: 0x4000_0001, policy_ref: Operand::new() },
            Assertion::CommandCode(0x15e),
        ])
    }

    #[test]
    fn policies_are_read_as_they_are_written() {
        let one = PolicyRecipe { policy: all(), signers: vec![key()], ..PolicyRecipe::default() };
        let (statements, alternatives) = one.write().unwrap();
        assert_eq!(PolicyRecipe::read(&statements, &alternatives), Ok(one));
        let branches = vec![all(), Policy::of([Assertion::pcr7(&[4; 32])])];
        let many = PolicyRecipe {
            policy: Policy::of([Assertion::Or(branches)]),
            names: vec![Some("signed".into()), None],
            signers: vec![key()],
            authorizations: vec![],
        };
        let (statements, alternatives) = many.write().unwrap();
        assert_eq!(PolicyRecipe::read(&statements, &alternatives), Ok(many));
        assert!(PolicyRecipe::read(&statements, &[]).is_err() && PolicyRecipe::read(&[], &alternatives).is_err());
    }

    #[test]
    fn values_that_the_file_does_not_say_are_those_of_now() {
        // As grub-protect writes it: an empty digest, and a selection of PCRs 0, 1, 7 and 8 of the sha256 bank.
        let body = [&[0, 0][..], &[0, 0, 0, 1, 0, 0xb, 3, 0x83, 1, 0]].concat();
        let statement = Statement { code: cc::POLICY_PCR, body };
        let recipe = PolicyRecipe::read(std::slice::from_ref(&statement), &[]).unwrap();
        assert_eq!(recipe.write().unwrap().0, [statement]);
        let mut read = |selections: &[Selection]| match selections {
            [Selection { bank: alg::SHA256, pcrs: 0x183 }] => Ok([7; 32]),
            others => Err(format!("{others:?}")),
        };
        let now = recipe.with_current_pcrs(&mut read).unwrap().unwrap();
        assert!(matches!(now.policy.assertions(), [Assertion::Pcr { values: [7, ..], .. }]));
        assert_eq!(now.with_current_pcrs(&mut read), Ok(None));
        assert!(recipe.leaves_values_out() && !now.leaves_values_out());
        let branches = vec![recipe.policy, Policy::of([Assertion::pcr7(&[4; 32])])];
        let one_of = PolicyRecipe { policy: Policy::of([Assertion::Or(branches.clone())]), ..PolicyRecipe::default() };
        let now_one_of = one_of.with_current_pcrs(&mut read).unwrap().unwrap();
        assert_eq!(now_one_of.policy, Policy::of([Assertion::Or(vec![now.policy, branches[1].clone()])]));
    }

    #[test]
    fn signed_policies_of_others_are_found() {
        let policy_ref = Operand::from_slice(b"ref").unwrap();
        let body =
            |signature: &[u8]| written(|writer| writer.tpm2b(&key()).tpm2b(&policy_ref).bytes(signature)).unwrap();
        let statement = |signature: &[u8]| Statement { code: cc::POLICY_AUTHORIZE, body: body(signature) };
        let pcr = PolicyRecipe::default().statement(&Assertion::pcr7(&[5; 32])).unwrap();
        let signed = Alternative { name: None, policy: vec![statement(&[0, 0x14, 0, 0xb, 0, 1, 9]), pcr] };
        let recipe = PolicyRecipe::read(&[statement(&[0, 0x10])], &[signed]).unwrap();
        let [authorization] = &recipe.authorizations[..] else { panic!() };
        assert_eq!(authorization.policy, Policy::of([Assertion::pcr7(&[5; 32])]));
        assert_eq!(authorization.policy_ref.as_slice(), b"ref");
        assert_eq!(authorization.signature, PolicySignature::Marshalled(vec![0, 0x14, 0, 0xb, 0, 1, 9]));
    }

    #[test]
    fn statements_that_are_cut_off_or_unknown_are_refused() {
        let recipe = PolicyRecipe { policy: all(), signers: vec![key()], ..PolicyRecipe::default() };
        let (statements, _) = recipe.write().unwrap();
        for statement in statements.iter().filter(|statement| statement.code != cc::POLICY_AUTHORIZE) {
            for end in 0..statement.body.len() {
                let cut = Statement { code: statement.code, body: statement.body[..end].to_vec() };
                assert!(PolicyRecipe::read(&[cut], &[]).is_err(), "{:#x} {end}", statement.code);
            }
        }
        let unknown = Statement { code: 0x144, body: vec![] };
        assert!(PolicyRecipe::read(&[unknown], &[]).unwrap_err().contains("0x144"));
    }
}
