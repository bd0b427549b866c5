//! Whether a policy holds now, as far as the TPM says so without being told a secret.

use super::{connection::Tpm, unseal::Evidence};
use crate::{
    digest::{Digest, hex},
    error::Result,
    measure::bank::Bank,
    policy::{
        Assertion, Policy,
        assertion::Comparison,
        pcr_values::{PcrName, PcrValues},
        tree::shown,
        verdict::{self, Judgement},
        version,
    },
    tpm2::{NvPublic, capability, nv::attribute},
};

impl Tpm {
    /// Whether an assertion holds now, as far as the TPM says so without being told a secret.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn judge(&mut self, assertion: &Assertion, evidence: &Evidence) -> Result<Judgement> {
        Ok(match assertion {
            Assertion::Pcr { selections, values } => {
                let now = self.read_pcrs(selections)?.values;
                if now.digest() == *values {
                    Judgement::Holds
                } else {
                    Judgement::Fails(differing(&now, values, evidence))
                }
            }
            Assertion::Authorize { signer, policy_ref } => {
                let nothing = || format!("nothing that the key {} has signed is at hand", short(signer));
                let mut why = evidence.missing.clone().unwrap_or_else(nothing);
                for signed in evidence.signed_by(signer, policy_ref) {
                    match self.judge_policy(&signed.policy, evidence)? {
                        Judgement::Fails(one) => why = format!("what is signed does not hold: {one}"),
                        holds => return Ok(holds),
                    }
                }
                Judgement::Fails(why)
            }
            Assertion::AuthValue => Judgement::Open("the PIN is asked for".into()),
            Assertion::CommandCode(_) => Judgement::Open("it depends on the command".into()),
            Assertion::Secret { .. } => Judgement::Open("a hierarchy's password is asked for".into()),
            Assertion::Nv { index, operand, offset, comparison } => {
                self.judge_nv(index, operand, *offset, *comparison)?
            }
            Assertion::AuthorizeNv { index } => self.judge_stored(index, evidence)?,
            Assertion::Signed { signer, .. } => {
                if evidence.signers.iter().any(|key| key.name() == *signer) {
                    Judgement::Open("a key signs for it".into())
                } else {
                    Judgement::Fails(format!("the key {} is not at hand", short(signer)))
                }
            }
            Assertion::Or(branches) => {
                let mut whole = Judgement::Fails(String::new());
                for branch in branches {
                    whole = self.judge_policy(branch, evidence)?;
                    if whole.may_hold() {
                        break;
                    }
                }
                whole
            }
        })
    }

    /// The same of a whole policy.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn judge_policy(&mut self, policy: &Policy, evidence: &Evidence) -> Result<Judgement> {
        let mut failed = Ok(());
        let verdict = verdict::judge(policy, &mut |assertion| match self.judge(assertion, evidence) {
            Ok(verdict) => verdict,
            Err(error) => {
                failed = Err(error);
                Judgement::Fails(String::new())
            }
        });
        failed.map(|()| verdict)
    }

    /// What an index holds, where anyone may read it.
    fn judge_nv(&mut self, index: &NvPublic, operand: &[u8], offset: u16, comparison: Comparison) -> Result<Judgement> {
        let name = format!("index {:#x}", index.index);
        let public = match self.same_index(index)? {
            Ok(public) => public,
            Err(why) => return Ok(Judgement::Fails(why)),
        };
        let Some(now) = self.read_by_anyone(&public, operand.len(), offset)? else {
            return Ok(Judgement::Open(format!("{name} is compared by the TPM")));
        };
        let (holds, wanted) = match comparison {
            Comparison::Equal => (now == operand, shown(operand)),
            Comparison::Below => (now.as_slice() < operand, format!("below {}", shown(operand))),
            Comparison::AtLeast => (now.as_slice() >= operand, format!("at least {}", shown(operand))),
        };
        if holds {
            return Ok(Judgement::Holds);
        }
        let name = if *index == version::index() { "the TPM's policy version".to_owned() } else { name };
        Ok(Judgement::Fails(format!("{name} is {} and not {wanted}", shown(&now))))
    }

    /// The index of this number, if it is the one that was meant; else why not.
    pub(super) fn same_index(&mut self, index: &NvPublic) -> Result<std::result::Result<NvPublic, String>> {
        let name = format!("index {:#x}", index.index);
        let Some(public) = self.nv_public(index.index)? else {
            return Ok(Err(format!("{name} is not defined")));
        };
        if public.name() == index.name() {
            return Ok(Ok(public));
        }
        Ok(Err(if public.attributes & attribute::WRITTEN == 0 {
            format!("{name} has never been written")
        } else {
            format!("{name} is not the one that was meant: it has been defined anew, or locked")
        }))
    }

    /// `size` bytes of an index, if anyone may read them. An index that may have a password is not tried where a wrong one
    /// counts, but for that of the policy version, which has none.
    pub(super) fn read_by_anyone(&mut self, public: &NvPublic, size: usize, offset: u16) -> Result<Option<Vec<u8>>> {
        let counts = public.attributes & attribute::NO_DA == 0;
        let is_free = public.attributes & attribute::AUTHREAD != 0 && (!counts || *public == version::index());
        let Some(size) = u16::try_from(size).ok().filter(|_| is_free) else { return Ok(None) };
        let read = match self.run_raw("read an index of the TPM", &capability::nv_read(public.index, size, offset)) {
            Ok(response) => {
                capability::nv_data(&response).filter(|data| data.len() == usize::from(size)).map(Into::into)
            }
            // It is locked, or the TPM is; whoever is to know finds out by trying.
            Err(_) if self.has_answered() => None,
            Err(error) => return Err(error),
        };
        if counts {
            self.expect_power_cut();
        }
        Ok(read)
    }
}

/// Which of the PCRs differ, where the values behind the digest are known.
fn differing(now: &PcrValues, wanted: &Digest, evidence: &Evidence) -> String {
    let selections = now.selections();
    let known = evidence.values.iter().find(|known| known.digest() == *wanted && known.selections() == selections);
    let Some(known) = known else {
        let names: Vec<_> = selections.iter().map(ToString::to_string).collect();
        return format!("the PCRs {} are not what they were", names.join("+"));
    };
    let since = |name: PcrName, wanted: &[u8], now: &[u8]| {
        let since = evidence.logs.since(Bank::by_id(name.bank)?, name.number, wanted, now)?;
        Some(format!(" ({since})"))
    };
    let differ = known.iter().zip(now.iter()).filter(|(wanted, now)| wanted.1 != now.1);
    let differ = differ.map(|((name, wanted), (_, now))| {
        let since = since(name, wanted, now).unwrap_or_default();
        format!("PCR {name} is {} and not {}{since}", short(now), short(wanted))
    });
    differ.collect::<Vec<_>>().join(", ")
}

/// The first bytes, enough to tell values apart.
pub(super) fn short(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    bytes.get(..SHOWN).map_or_else(|| hex(bytes), |first| format!("{}…", hex(first)))
}
