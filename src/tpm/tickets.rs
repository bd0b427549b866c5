//! What the TPM has verified once: its tickets, which are good until it is cleared, in files. A later command does without the
//! key and its signature, three TPM commands, one of which is slow. Nobody is believed: the TPM checks its own tickets.

use super::assert::Approval;
use crate::{
    bytes::Reader,
    digest::{Digest, hash, hex},
    policy::approved::{self, ApprovedPolicy},
};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};
use tss_esapi::tss2_esys::TPMT_TK_VERIFIED;

/// Directories of them: all are searched, and the first one gets what is new.
#[derive(Clone, Debug, Default)]
pub struct Tickets(Vec<PathBuf>);

impl Tickets {
    /// In these directories; the first one is made when it is needed. Without any, nothing is kept.
    #[must_use]
    pub const fn in_directories(directories: Vec<PathBuf>) -> Self {
        Self(directories)
    }

    /// What the TPM has said of this signature, if that was kept.
    pub(super) fn find(&self, approved: &ApprovedPolicy) -> Option<Approval> {
        let name = name(approved);
        let kept = self.0.iter().find_map(|directory| fs::read(directory.join(&name)).ok())?;
        Some(Approval::by_ticket(approved, parse(&kept)?))
    }

    /// Keeps it, for everyone who can get there: it is no secret. Best effort: without it, the signature is verified again.
    pub(super) fn keep(&self, approved: &ApprovedPolicy, approval: &Approval) {
        let Some(directory) = self.0.first() else { return };
        let place = directory.join(name(approved));
        let part = place.with_extension(format!("{}.part", std::process::id()));
        let kept = fs::create_dir_all(directory)
            .and_then(|()| fs::set_permissions(directory, Permissions::from_mode(0o755)))
            .and_then(|()| fs::write(&part, bytes_of(approval.ticket())))
            .and_then(|()| fs::set_permissions(&part, Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&part, place));
        if kept.is_err() {
            let _ = fs::remove_file(part);
        }
    }
}

fn name(ApprovedPolicy { policy, policy_ref, signer, .. }: &ApprovedPolicy) -> String {
    let of: Digest = hash(&[signer.area(), &approved::message(&policy.digest(), policy_ref)]);
    hex(&of).to_string()
}

/// `TPMT_TK_VERIFIED`: tag, hierarchy, `TPM2B_DIGEST`.
fn bytes_of(ticket: &TPMT_TK_VERIFIED) -> Vec<u8> {
    let TPMT_TK_VERIFIED { tag, hierarchy, digest } = ticket;
    let value = digest.buffer.get(..digest.size.into()).unwrap_or_default();
    [&tag.to_be_bytes()[..], &hierarchy.to_be_bytes(), &digest.size.to_be_bytes(), value].concat()
}

fn parse(bytes: &[u8]) -> Option<TPMT_TK_VERIFIED> {
    let mut reader = Reader::new(bytes);
    let mut ticket = TPMT_TK_VERIFIED { tag: reader.be16()?, hierarchy: reader.be32()?, ..TPMT_TK_VERIFIED::default() };
    let value = reader.tpm2b()?;
    ticket.digest.size = value.len() as u16;
    ticket.digest.buffer.get_mut(..value.len())?.copy_from_slice(value);
    reader.is_empty().then_some(ticket)
}
