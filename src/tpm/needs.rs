//! What Trust needs of a TPM.

use crate::tpm2::constants::cc;

/// What a command is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Boots, provisioning, administration: without it, Trust does not work.
    Boot,
    /// Some of what the running system may keep in it.
    Sealing,
}

/// A command, by `TPM_CC` and by name.
pub struct NeededCommand {
    pub code: u32,
    pub name: &'static str,
    pub what_for: For,
}

const fn boot(code: u32, name: &'static str) -> NeededCommand {
    NeededCommand { code, name, what_for: For::Boot }
}

const fn sealing(code: u32, name: &'static str) -> NeededCommand {
    NeededCommand { code, name, what_for: For::Sealing }
}

/// All that are sent (part 2, section 6.5.2).
pub const COMMANDS: [NeededCommand; 40] = [
    boot(0x0000_0120, "EvictControl"),
    boot(0x0000_0122, "NV_UndefineSpace"),
    boot(0x0000_0129, "HierarchyChangeAuth"),
    boot(0x0000_012a, "NV_DefineSpace"),
    boot(cc::SET_PRIMARY_POLICY, "SetPrimaryPolicy"),
    boot(0x0000_0131, "CreatePrimary"),
    sealing(0x0000_0134, "NV_Increment"),
    boot(0x0000_0137, "NV_Write"),
    sealing(0x0000_0138, "NV_WriteLock"),
    boot(cc::DICTIONARY_ATTACK_PARAMETERS, "DictionaryAttackParameters"),
    boot(0x0000_013c, "PCR_Event"),
    boot(0x0000_0145, "Shutdown"),
    boot(cc::POLICY_NV, "PolicyNV"),
    boot(cc::NV_READ, "NV_Read"),
    sealing(cc::POLICY_SECRET, "PolicySecret"),
    sealing(0x0000_0153, "Create"),
    sealing(0x0000_0155, "HMAC"),
    boot(0x0000_0156, "Import"),
    boot(0x0000_0157, "Load"),
    sealing(0x0000_015d, "Sign"),
    sealing(0x0000_015e, "Unseal"),
    sealing(cc::POLICY_SIGNED, "PolicySigned"),
    boot(0x0000_0165, "FlushContext"),
    boot(0x0000_0167, "LoadExternal"),
    boot(cc::NV_READ_PUBLIC, "NV_ReadPublic"),
    boot(cc::POLICY_AUTHORIZE, "PolicyAuthorize"),
    sealing(cc::POLICY_AUTH_VALUE, "PolicyAuthValue"),
    boot(cc::POLICY_COMMAND_CODE, "PolicyCommandCode"),
    boot(cc::POLICY_OR, "PolicyOR"),
    boot(cc::READ_PUBLIC, "ReadPublic"),
    boot(0x0000_0176, "StartAuthSession"),
    boot(0x0000_0177, "VerifySignature"),
    boot(cc::GET_CAPABILITY, "GetCapability"),
    boot(0x0000_017b, "GetRandom"),
    boot(0x0000_017e, "PCR_Read"),
    boot(cc::POLICY_PCR, "PolicyPCR"),
    boot(0x0000_0180, "PolicyRestart"),
    sealing(0x0000_0182, "PCR_Extend"),
    sealing(0x0000_0184, "NV_Certify"),
    sealing(cc::POLICY_AUTHORIZE_NV, "PolicyAuthorizeNV"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_there_once() {
        let mut codes: Vec<_> = COMMANDS.iter().map(|command| command.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), COMMANDS.len());
    }
}
