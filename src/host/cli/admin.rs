//! `trust admin …`: the group; its commands are those of [`crate::commands`].

use super::HostCommand;
use crate::error::Result;
use clap::Parser;

/// Administration of a TPM, in a boot signed with uki-tpm
#[derive(Parser)]
#[command(name = "admin", subcommand_required = true, arg_required_else_help = true)]
pub struct AdminCommand {}

impl HostCommand for AdminCommand {
    fn run(self) -> Result<()> {
        // Clap requires one of the commands, which do not come here.
        Ok(())
    }
}
