//! Policies that an index of the TPM holds (`TPM2_PolicyAuthorizeNV`), and the signatures that such an index is written with
//! (`TPM2_PolicySigned`).

use super::{
    assert::Grounds, connection::Tpm, judge::short, policy_signer::PolicySigner, response_code, unseal::Evidence,
};
use crate::{
    error::{Error, Kind, Result},
    measure::bank::Bank,
    policy::{
        pcr_set::{NvPolicy, PcrSet},
        pcr_values::PcrValues,
        verdict::Judgement,
    },
    tpm2::{Name, NvPublic},
};
use tss_esapi::{
    handles::ObjectHandle,
    interface_types::{
        reserved_handles::{Hierarchy, NvAuth},
        session_handles::{AuthSession, PolicySession},
    },
    structures::{Digest, Nonce, Public, Signature},
    traits::UnMarshall,
};

const WHAT: &str = "assert the policy in an index of the TPM";
const SIGNED: &str = "assert that a key signs for the policy";
/// How many of the values that a PCR may have are shown.
const SHOWN: usize = 4;

impl Tpm {
    /// The set of values whose policy an index holds, if it is one of those that are known; else why not.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn stored_set<'e>(
        &mut self,
        index: &NvPublic,
        known: &'e [NvPolicy],
    ) -> Result<std::result::Result<&'e PcrSet, String>> {
        let name = format!("index {:#x}", index.index);
        let public = match self.same_index(index)? {
            Ok(public) => public,
            Err(why) => return Ok(Err(why)),
        };
        let mut policies = known.iter().filter(|policy| policy.index.name() == index.name()).peekable();
        if policies.peek().is_none() {
            return Ok(Err(format!("which values {name} admits is not known here: there is no file of it")));
        }
        let Some(content) = self.read_by_anyone(&public, NvPolicy::SIZE.into(), 0)? else {
            return Ok(Err(format!("{name} cannot be read")));
        };
        let held = policies.find_map(|policy| policy.held(&content));
        Ok(held.ok_or_else(|| format!("{name} holds another policy than its file has: it was written from elsewhere")))
    }

    /// Whether the policy holds that an index holds.
    pub(super) fn judge_stored(&mut self, index: &NvPublic, evidence: &Evidence) -> Result<Judgement> {
        let set = match self.stored_set(index, &evidence.nv_policies)? {
            Ok(set) => set,
            Err(why) => return Ok(Judgement::Fails(why)),
        };
        let now = self.read_pcrs(&set.selections())?.values;
        let differing = differing(set, &now, evidence);
        if differing.is_empty() {
            return Ok(Judgement::Holds);
        }
        Ok(Judgement::Fails(format!("index {:#x} does not admit this boot: {}", index.index, differing.join(", "))))
    }

    /// Asserts the policy that an index holds, and that it does; in a trial session the latter alone.
    pub(super) fn assert_stored(
        &mut self,
        session: PolicySession,
        index: &NvPublic,
        evidence: Option<&Evidence>,
    ) -> Result<()> {
        let refuse = |why: String| Error::new(Kind::Refused, WHAT, why);
        if let Some(evidence) = evidence {
            let set = self.stored_set(index, &evidence.nv_policies)?.map_err(refuse)?;
            let now = self.read_pcrs(&set.selections())?.values;
            let choices = set.choices(&now).ok_or_else(|| refuse(differing(set, &now, evidence).join(", ")))?;
            let grounds = Grounds { approvals: &[], choices: &choices, evidence: None };
            self.assert(session, &set.policy(), grounds)?;
        }
        let handle = self.known_index(index)?;
        let asserted = self.run(WHAT, |c| {
            let index = handle.into();
            c.execute_with_session(Some(AuthSession::Password), |c| {
                c.policy_authorize_nv(session, NvAuth::NvIndex(index), index)
            })
        });
        self.forget(handle);
        asserted.map_err(|error| match self.last_code() {
            response_code::VALUE | response_code::HANDLE | response_code::POLICY_FAIL => {
                refuse(format!("index {:#x} does not hold it", index.index))
            }
            _ => error,
        })
    }

    /// Has a key of ours sign for this session, of which the TPM's nonce is part: the signature is of no use in another.
    pub(super) fn assert_signature(
        &mut self,
        session: PolicySession,
        signer: &Name,
        policy_ref: &[u8],
        evidence: Option<&Evidence>,
    ) -> Result<()> {
        let keys = evidence.map(|evidence| &evidence.signers[..]).unwrap_or_default();
        let missing = || Error::new(Kind::Refused, SIGNED, "it is not at hand");
        let key: &PolicySigner = keys.iter().find(|key| key.name() == *signer).ok_or_else(missing)?;
        let area = Public::unmarshall(key.area()).map_err(|e| Error::new(Kind::System, SIGNED, e.to_string()))?;
        let loaded = self.run("load the key that signs for a policy", |c| {
            c.execute_without_session(|c| c.load_external(None, area.clone(), Hierarchy::Null))
        })?;
        let nonce = self.run(SIGNED, |c| c.tr_sess_get_nonce_tpm(session.into()));
        let asserted = nonce.and_then(|nonce| {
            // Without an end, and for whatever command.
            let signature = key.sign(&[nonce.as_bytes(), &[0; 4], policy_ref].concat())?;
            self.run(SIGNED, |c| {
                let (signature, policy_ref) = (Signature::unmarshall(&signature)?, Nonce::from_bytes(policy_ref)?);
                let (object, any) = (ObjectHandle::from(loaded), Digest::default());
                c.execute_without_session(|c| {
                    c.policy_signed(session, object, nonce.clone(), any, policy_ref, None, signature)
                })
            })
        });
        let flushed = self.flush(loaded);
        asserted?;
        flushed
    }
}

/// What each PCR is and what it may be, where these differ, and since when.
fn differing(set: &PcrSet, now: &PcrValues, evidence: &Evidence) -> Vec<String> {
    let differ = set.differing(now).into_iter().map(|(name, now)| {
        let Some(now) = now else { return format!("PCR {name} is not there") };
        let wanted = set.iter().find(|(other, _)| *other == name).map(|(_, values)| values).unwrap_or_default();
        let bank = Bank::by_id(name.bank);
        let since = |wanted: &Vec<u8>| evidence.logs.since(bank?, name.number, wanted, &now);
        let since = wanted.iter().find_map(since).map(|since| format!(" ({since})")).unwrap_or_default();
        let shown: Vec<_> = wanted.iter().take(SHOWN).map(|value| short(value)).collect();
        let more = if wanted.len() > SHOWN { format!(" or {} others", wanted.len() - SHOWN) } else { String::new() };
        format!("PCR {name} is {} and not {}{more}{since}", short(&now), shown.join(" or "))
    });
    differ.collect()
}
