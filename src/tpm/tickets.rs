//! What the TPM has verified once: its tickets, which are good until it is cleared, in files. A later command does without the
//! key and its signature, three TPM commands, one of which is slow. Nobody is believed: the TPM checks its own tickets.

use super::assert::Approval;
use crate::{
    bytes::Reader,
    digest::{Digest, hash, hex},
    policy::approved::{self, ApprovedPolicy},
};
use std::{fs, path::PathBuf};
use tss_esapi::tss2_esys::TPMT_TK_VERIFIED;

/// A directory of them.
#[derive(Clone, Debug)]
pub struct Tickets(PathBuf);

impl Tickets {
    /// In this directory, which is made when it is needed.
    #[must_use]
    pub const fn in_directory(directory: PathBuf) -> Self {
        Self(directory)
    }

    /// What the TPM has said of this signature, if that was kept.
    pub(super) fn find(&self, approved: &ApprovedPolicy) -> Option<Approval> {
        let bytes = fs::read(self.place(approved)).ok()?;
        Some(Approval::by_ticket(approved, parse(&bytes)?))
    }

    /// Keeps it. Best effort: without it, the signature is verified again.
    pub(super) fn keep(&self, approved: &ApprovedPolicy, approval: &Approval) {
        let place = self.place(approved);
        let part = place.with_extension(format!("{}.part", std::process::id()));
        let kept = fs::create_dir_all(&self.0)
            .and_then(|()| fs::write(&part, bytes_of(approval.ticket())))
            .and_then(|()| fs::rename(&part, place));
        if kept.is_err() {
            let _ = fs::remove_file(part);
        }
    }

    fn place(&self, ApprovedPolicy { policy, policy_ref, signer, .. }: &ApprovedPolicy) -> PathBuf {
        let of: Digest = hash(&[signer.area(), &approved::message(&policy.digest(), policy_ref)]);
        self.0.join(hex(&of))
    }
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
