//! Whether Trust's share of a boot is the smallest.

use super::{Contestant, Row, table::middle, timeline::Boot};
use crate::bench::budget::Verdict;

/// Each of ours against those that it is measured by.
const DEMANDS: [(Contestant, &str, &[Contestant]); 2] = [
    (
        Contestant::Minimal,
        "in a minimal initrd, Trust's share of the boot is the smallest",
        &[Contestant::Dracut, Contestant::Systemd, Contestant::Clevis],
    ),
    (
        Contestant::Dracut,
        "with dracut, Trust's share of the boot is the smallest",
        &[Contestant::Systemd, Contestant::Clevis],
    ),
];

/// Compares the medians.
pub fn judge(rows: &[Row]) -> Vec<Verdict> {
    let share = |contestant: Contestant| {
        let row = rows.iter().find(|row| row.contestant == contestant);
        row.map_or(f64::NAN, |row| middle(&row.boots, Boot::share))
    };
    let verdict = |(ours, demand, others): (Contestant, &'static str, &[Contestant])| {
        let percent = |contestant: Contestant| format!("{:.1} %", 100.0 * share(contestant));
        let found: Vec<_> = others.iter().map(|other| format!("{} {}", other.name(), percent(*other))).collect();
        Verdict {
            demand,
            found: format!("{}; {}", percent(ours), found.join(", ")),
            holds: others.iter().all(|other| share(ours) < share(*other)),
        }
    };
    DEMANDS.into_iter().map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(shares: [f64; 4]) -> Vec<Row> {
        let boot = |share: f64| Boot { unlocker: 1.0 - share, passphrase: 1.0, ..Boot::default() };
        let row = |(contestant, share)| Row { contestant, image: 0, boots: vec![boot(share), boot(0.9), boot(0.0)] };
        Contestant::ALL.into_iter().zip(shares).map(row).collect()
    }

    #[test]
    fn the_smallest_share_wins() {
        let holds = |shares| judge(&rows(shares)).iter().map(|verdict| verdict.holds).collect::<Vec<_>>();
        assert_eq!(holds([0.01, 0.02, 0.03, 0.1]), [true, true]);
        assert_eq!(holds([0.02, 0.01, 0.03, 0.1]), [false, true]);
        assert_eq!(holds([0.01, 0.03, 0.02, 0.1]), [true, false]);
        assert_eq!(holds([0.03, 0.03, 0.03, 0.1]), [false, false]);
        // Who is not there is no better.
        assert!(judge(&rows([0.01; 4])[..1]).iter().all(|verdict| !verdict.holds));
    }
}
