//! How long a keyset takes, beside `openssl genrsa 2048` on all cores.
//!
//! Finding primes takes now half, now twice the time: only many rounds, in turns, say something.

use super::{measure::median, requirements::Requirement};
use crate::sh;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// How often both are run.
const ROUNDS: usize = 25;
/// What a keyset may take of the time that its keys alone take openssl.
const RATIO: f64 = 1.0;

/// Seconds, round by round.
pub struct KeysetTimes {
    keys: usize,
    cores: usize,
    ours: Vec<f64>,
    openssl: Vec<f64>,
}

impl KeysetTimes {
    /// Runs it.
    pub fn run() -> Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut keyset_times = Self { keys: 0, cores, ours: Vec::new(), openssl: Vec::new() };
        for _ in 0..ROUNDS {
            let home = TempDir::with_prefix("bench-keyset-")?;
            let start = Instant::now();
            make_keyset(home.path())?;
            keyset_times.ours.push(start.elapsed().as_secs_f64());
            keyset_times.keys = private_keys(home.path())?;
            let start = Instant::now();
            make_keys(keyset_times.keys, cores)?;
            keyset_times.openssl.push(start.elapsed().as_secs_f64());
        }
        Ok(keyset_times)
    }

    /// What part of openssl's time a keyset takes.
    fn ratio(&self) -> f64 {
        median(self.ours.clone()) / median(self.openssl.clone())
    }

    /// Whether that is little enough.
    pub fn check(&self) -> Requirement {
        let ratio = self.ratio();
        Requirement {
            demand: "a keyset takes no longer than openssl takes for its keys on all cores",
            found: format!("x {ratio:.2}"),
            is_met: ratio <= RATIO,
        }
    }

    /// As text.
    pub fn text(&self) -> String {
        let Self { keys, cores, .. } = self;
        let ratio = self.ratio();
        format!(
            "\nA keyset, {keys} RSA keys with certificates and signed policies, takes x {ratio:.2} of the time of {keys} \
             `openssl genrsa 2048` on {cores} cores (medians of {ROUNDS} rounds).\n"
        )
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "keys": self.keys,
            "cores": self.cores,
            "rounds": ROUNDS,
            "seconds": median(self.ours.clone()),
            "openssl_seconds": median(self.openssl.clone()),
            "ratio": self.ratio(),
        })
    }
}

fn make_keyset(home: &Path) -> Result<()> {
    let mut trust = Command::new(harness::trust_host());
    trust.args(["keyset", "add", "k"]).env("HOME", home).env_remove("XDG_DATA_HOME");
    sh::run_quietly(&mut trust)
}

/// How many private keys there are below a directory.
fn private_keys(dir: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            count += private_keys(&path)?;
        } else if path.ends_with("privkey.pem") {
            count += 1;
        }
    }
    Ok(count)
}

/// `openssl genrsa`, so many at a time as there are cores.
fn make_keys(count: usize, cores: usize) -> Result<()> {
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                let mut openssl = Command::new("openssl");
                openssl.args(["genrsa", "2048"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                ensure!(openssl.status().context("cannot run openssl")?.success(), "openssl genrsa failed");
            }
            Ok(())
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyset_times(ours: &[f64], openssl: &[f64]) -> KeysetTimes {
        KeysetTimes { keys: 11, cores: 2, ours: ours.into(), openssl: openssl.into() }
    }

    #[test]
    fn the_medians_are_compared() {
        assert!(keyset_times(&[0.9, 5.0, 0.8], &[1.0, 0.1, 9.0]).check().is_met);
        assert!(!keyset_times(&[1.1, 0.1, 5.0], &[1.0, 9.0, 0.1]).check().is_met);
    }

    #[test]
    fn private_keys_are_counted_wherever_they_are() {
        let dir = TempDir::new().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for file in ["privkey.pem", "a/cert.pem", "a/b/privkey.pem"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(private_keys(dir.path()).unwrap(), 2);
    }
}
