//! Indices that are written once, and counters: what cannot be taken back.

use super::{NvKey, NvSpace, entrance::Deed, failure::named};
use crate::{
    error::{Kind, Result},
    policy::{statements::PolicyRecipe, verdict::Judgement},
    tpm::{
        nv::{Access, NvPlace},
        session::Protect,
        unseal::Evidence,
    },
    tpm2::{NvPublic, nv::attribute},
};
use std::ops::RangeInclusive;

impl NvSpace<'_> {
    /// Which indices of a range are defined, ascending. Not authenticated.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn defined(&mut self, range: &RangeInclusive<u32>) -> Result<Vec<u32>> {
        Ok(self.tpm.nv_handles()?.into_iter().filter(|index| range.contains(index)).collect())
    }

    /// The public area of an index, if it is defined. What is then read or written in a session is of that very index.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn public(&mut self, index: u32) -> Result<Option<NvPublic>> {
        Ok(self.tpm.find_nv(NvPlace::Other(index))?.map(|nv| nv.public))
    }

    /// Why this policy does not hold now; `None` where it does, as far as can be known before it is tried.
    ///
    /// # Errors
    /// Those of a TPM that does not answer.
    pub fn why_closed(&mut self, recipe: &PolicyRecipe, evidence: &Evidence) -> Result<Option<String>> {
        match self.tpm.judge_policy(&recipe.policy, evidence)? {
            Judgement::Fails(why) => Ok(Some(why)),
            _ => Ok(None),
        }
    }

    /// Counts a counter up by one.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn increment(&mut self, index: u32) -> Result<()> {
        self.settle("count up index", index, NvKey::default(), |c, auth, handle| c.nv_increment(auth, handle))
    }

    /// Locks an index that was defined for it (`WRITEDEFINE`): nobody writes to it any more, in this boot or a later one.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn lock_for_good(&mut self, index: u32, key: NvKey<'_>) -> Result<()> {
        const WHAT: &str = "lock index";
        let nv = self.find(WHAT, index)?;
        if nv.public.attributes & attribute::WRITEDEFINE == 0 {
            return Err(named(Kind::Usage, WHAT, index, "it is not defined to be written once"));
        }
        self.settle(WHAT, index, key, |c, auth, handle| c.nv_write_lock(auth, handle))
    }

    /// A command without parameters, of whoever may write.
    fn settle(
        &mut self,
        what: &'static str,
        index: u32,
        key: NvKey<'_>,
        command: impl Fn(
            &mut tss_esapi::Context,
            tss_esapi::interface_types::reserved_handles::NvAuth,
            tss_esapi::handles::NvIndexHandle,
        ) -> tss_esapi::Result<()>,
    ) -> Result<()> {
        let nv = self.find(what, index)?;
        let entrance = self.entrance(&nv, Deed::Write, key)?;
        // There is nothing to encrypt, and a TPM refuses a session that has nothing to do.
        let access = match entrance.access {
            Access::PolicyBeside(policy, _) => Access::Policy(policy),
            access => access,
        };
        let done = self.tpm.authorized(access, &mut |tpm| entrance.authorize(tpm), |tpm| {
            tpm.run_protected("change an index of the TPM", access.session(), Protect::Nothing, |c| {
                c.execute_with_sessions(access.sessions(), |c| command(c, access.auth(&nv), nv.handle))
            })
        });
        let done = done.map_err(|error| self.explained(what, index, Some(access), error));
        self.expect_power_cut(&nv, access);
        done
    }
}
