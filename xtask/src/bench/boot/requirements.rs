//! Whether Trust's share of a boot is the smallest.

use super::{Candidate, Row, timeline::Boot};
use crate::bench::{measure::median, section::Requirement};

/// Ours.
const DEMANDS: [(Candidate, &str); 2] = [
    (Candidate::Minimal, "in a minimal initrd, Trust's share of the boot is the smallest"),
    (Candidate::Dracut, "with dracut, Trust's share of the boot is the smallest"),
];
/// What they are measured by.
const PEERS: [Candidate; 2] = [Candidate::Systemd, Candidate::Clevis];

/// Compares the medians.
pub fn check(rows: &[Row]) -> Vec<Requirement> {
    let share = |candidate: Candidate| {
        let row = rows.iter().find(|row| row.candidate == candidate);
        row.map_or(f64::NAN, |row| median(row.boots.iter().map(Boot::share).collect()))
    };
    let requirement = |(ours, demand)| {
        let percent = |candidate: Candidate| format!("{:.1} %", 100.0 * share(candidate));
        let found: Vec<_> = PEERS.iter().map(|peer| format!("{} {}", peer.name(), percent(*peer))).collect();
        let is_met = PEERS.iter().all(|peer| share(ours) < share(*peer));
        Requirement::new(demand, format!("{}; {}", percent(ours), found.join(", ")), is_met)
    };
    DEMANDS.into_iter().map(requirement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMANDED: [Candidate; 4] = [Candidate::Minimal, Candidate::Dracut, Candidate::Systemd, Candidate::Clevis];

    fn rows(shares: [f64; 4]) -> Vec<Row> {
        let boot = |share: f64| Boot { unlocker: 1.0 - share, passphrase: 1.0, ..Boot::default() };
        let row = |(candidate, share)| Row { candidate, image: 0, boots: vec![boot(share), boot(0.9), boot(0.0)] };
        DEMANDED.into_iter().zip(shares).map(row).collect()
    }

    #[test]
    fn the_smallest_share_wins() {
        let holds = |shares| check(&rows(shares)).iter().map(|requirement| requirement.is_met).collect::<Vec<_>>();
        assert_eq!(holds([0.01, 0.02, 0.03, 0.1]), [true, true]);
        assert_eq!(holds([0.03, 0.01, 0.02, 0.1]), [false, true]);
        assert_eq!(holds([0.01, 0.03, 0.02, 0.1]), [true, false]);
        assert_eq!(holds([0.03, 0.03, 0.03, 0.1]), [false, false]);
        // A missing candidate is not better.
        assert!(check(&rows([0.01; 4])[..1]).iter().all(|requirement| !requirement.is_met));
    }
}
