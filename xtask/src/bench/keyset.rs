//! How long a keyset takes, beside `openssl genrsa 2048` on all cores.
//!
//! Finding primes takes now half, now twice the time: only many rounds, in turns, say something.

use super::section::{Requirement, Section, Unit};
use crate::sh;
use anyhow::Result;
use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};
use tempfile::TempDir;

/// How often both are run.
const ROUNDS: usize = 25;
/// How many identities, and how often.
const SUDIS: usize = 100;
const SUDI_ROUNDS: usize = 3;
/// How openssl makes an authority, and what that signs.
const AUTHORITY: &str = "req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -keyout key.pem -out authority.pem";
const SUDI: &str = "req -x509 -CA authority.pem -CAkey key.pem -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                    -subj /CN=machine -keyout /dev/null -out /dev/null";

/// Runs both.
pub fn run() -> Result<Vec<Section>> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (mut keys, mut times) = (0, [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let home = TempDir::with_prefix("bench-keyset-")?;
        times[0].push(seconds(|| make_keyset(home.path()))?);
        keys = private_keys(home.path())?;
        times[1].push(seconds(|| make_keys(keys, cores))?);
    }
    Ok(vec![keyset(keys, cores, times), identities(cores)?])
}

fn keyset(keys: usize, cores: usize, times: [Vec<f64>; 2]) -> Section {
    let section = Section::new("keyset", format!("A keyset of {keys} keys, on {cores} cores"), ["trust", "openssl"])
        .rounds("wall time", Unit::Seconds, times)
        .note("trust keyset add makes RSA keys, certificates and signed policies; openssl genrsa the keys alone.");
    // Each has luck with other primes: paired rounds say nothing, medians do.
    let value = |program| section.figures[0].value(program).unwrap_or(f64::NAN);
    let ratio = value(0) / value(1);
    let demand = "a keyset takes no longer than openssl takes for its keys on all cores";
    section.require([Requirement::new(demand, format!("x {ratio:.2}"), ratio <= 1.0)])
}

fn make_keyset(home: &Path) -> Result<()> {
    trust(home, &["keyset", "add", "k"])
}

fn trust(home: &Path, args: &[&str]) -> Result<()> {
    let mut trust = Command::new(harness::trust_host());
    trust.args(args).env("HOME", home).env_remove("XDG_DATA_HOME");
    sh::run_quietly(&mut trust)
}

fn openssl(dir: &Path, args: &str) -> Result<()> {
    sh::run_quietly(Command::new("openssl").args(args.split(' ')).current_dir(dir))
}

/// Identities of machines, by keys of a curve: those of RSA would be a matter of luck, as above.
fn identities(cores: usize) -> Result<Section> {
    let home = TempDir::with_prefix("bench-sudi-")?;
    make_keyset(home.path())?;
    trust(home.path(), &["project", "add", "k", "product"])?;
    openssl(home.path(), AUTHORITY)?;
    let mut times = [Vec::new(), Vec::new()];
    let count = SUDIS.to_string();
    let add = ["sudi", "add", "k", "product", "--key-type", "ec-p256", "--count", &count];
    for _ in 0..SUDI_ROUNDS {
        times[0].push(seconds(|| trust(home.path(), &add))?);
        times[1].push(seconds(|| at_once(SUDIS, cores, || openssl(home.path(), SUDI)))?);
    }
    let section = Section::new("sudi", format!("{SUDIS} identities of machines, on {cores} cores"), ["trust", "openssl"])
        .rounds("wall time", Unit::Seconds, times)
        .note("A P-256 key for each machine, and its certificate, by an authority with RSA 2048; openssl req -x509 -CA once for each.");
    let times = section.figures[0].times(1).unwrap_or_default();
    let demand = "identities take no longer than openssl takes for them on all cores";
    Ok(section.require([Requirement::new(demand, format!("openssl takes x {times:.1}"), times >= 1.0)]))
}

/// How long it takes, in seconds.
fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
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

/// `openssl genrsa`, on all cores.
fn make_keys(count: usize, cores: usize) -> Result<()> {
    at_once(count, cores, || openssl(Path::new("/"), "genrsa 2048"))
}

/// Does something so many times, as many at a time as there are cores.
fn at_once(count: usize, cores: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let begun = AtomicUsize::new(0);
    thread::scope(|scope| {
        let worker = || -> Result<()> {
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                work()?;
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

    #[test]
    fn the_medians_are_compared() {
        let is_met =
            |ours: &[f64], openssl: &[f64]| keyset(11, 2, [ours.into(), openssl.into()]).requirements[0].is_met;
        assert!(is_met(&[0.9, 5.0, 0.8], &[1.0, 0.1, 9.0]));
        assert!(!is_met(&[1.1, 0.1, 5.0], &[1.0, 9.0, 0.1]));
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
