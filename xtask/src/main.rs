//! `cargo xtask`: builds, tests and shows the project.

mod apt;
mod assets;
mod bench;
mod broken;
mod cpu;
mod cross;
mod demo;
mod dist;
mod fetch;
mod fuzz;
mod inspect;
mod install;
mod layout;
mod metadata;
mod package;
mod packages;
mod picture;
mod progress;
mod release;
mod sbom;
mod sh;
mod source;
mod test;
mod tools;

use anyhow::Result;
use lexopt::{Arg, Parser, ValueExt};
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask SUBCOMMAND

  demo
        shows the main job, for real, on a software TPM
  bench [--json] [--all] [--setup] [--keyset] [--images] [--secrets] [--derive]
        [--journal] [--eventlog] [--fleet] [--boot] [--kexec]
        counts what Trust costs, beside tpm2-tools, clevis, systemd-creds, openssl, sbsign,
        ukify and others that do the same, on the same software TPM and files; checks the
        requirements, and what README.md says; puts tables and plots into target/bench/
        (README.md shows them all); takes some minutes
        --setup    measures the secrets of one boot, and only what else is named:
        --keyset   keysets and identities
        --images   images, signed, verified and built
        --secrets  secrets, sealed and opened
        --derive   derived keys
        --journal  sealed journals, verified
        --eventlog event logs, replayed
        --fleet    ten thousand machines, judged before an update
        --boot     whole boots of virtual machines, phase by phase: only when named
        --kexec    the next image by kexec, beside the firmware: only when named
        --all      all of them, boots of virtual machines included
  dist [--target TARGET] [--bless] [--deb] [--rpm] [--no-build] [--output DIR]
        builds trust and trust-initrd into target/dist/, with a bill of materials
        (CycloneDX) beside each, manual pages and completions, and checks trust-initrd:
        its size, dependencies, and that it is static
        --target    aarch64-unknown-linux-musl: both programs for arm64, into a directory of
                    that name there
        --bless     records the dependencies of trust-initrd instead of comparing them
        --deb       makes packages of both, for Debian and Ubuntu, and SHA256SUMS
        --rpm       the same for Fedora and openSUSE
        --no-build  makes the packages of what is in target/dist/ already
        --output    where packages and their checksums are put (target/dist/)
  install [--prefix DIR] [--destdir DIR] [--uninstall]
        builds as dist does, and puts the programs, manual pages, completions and the
        parts for initrds below the prefix (/usr/local; ~/.local is your own). With /usr
        and /usr/local there are also the units of the running system, none of which is
        enabled, /etc/request-key.d/trust.conf, and the dracut module in /usr/lib/dracut
        --destdir    put in front of all these paths, for those who make packages
        --uninstall  removes what this command has installed, and nothing else
  test [--fast] [FILTER]...
        checks everything: builds as dist does, format, lints, documentation,
        licences, ten seconds of each fuzz target (with a nightly compiler), all
        tests, and whether the same sources give the same bytes
        --fast    leaves out documentation, licences, fuzzing, the second build, and
                  the tests that boot virtual machines
        FILTER    runs only the tests, or the programs of tests, whose names contain it
  broken [FILTER]...
        removes one protection after the other, in a copy of the sources, and checks
        that the tests which attack it notice (tests/broken/)
        FILTER    only those whose names contain it
  fuzz [--seconds N] [--record] [TARGET]...
        feeds hostile input to the code that parses TPM responses or files from outside,
        each target for N seconds (60), two at a time; needs a nightly compiler
        --record  adds the figures of each to fuzz/FIGURES.md
  source
        puts what is committed, all crates and tpm2-tss into target/dist/trust-VERSION.tar.gz,
        which can be built without a network: for packagers (see CONTRIBUTING.md)
  release --check
        says what keeps the last commit from being released: version, changelog, tag,
        what is not committed, what is missing from target/dist/ (see CONTRIBUTING.md)
  assets [--chroots]
        fetches what tests need of other projects: firmware, kernel, boot loaders; into
        $TRUST_ASSETS or a directory among your caches; test does so when needed
        --chroots  installs the small systems instead in which packages are tried
  picture
        makes the picture of the README from what docs/first-machine.md prints
  fetch
        fetches Rust's library for static programs, where the compiler has none, and the
        source of tpm2-tss, and patches that; the others do so when needed

Programs of the system that are missing are installed as root on Debian and
Ubuntu; elsewhere they are named.
";

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut args = Parser::from_env();
    let Some(subcommand) = args.next()? else {
        return Ok(usage());
    };
    match subcommand {
        Arg::Value(name) => match name.string()?.as_str() {
            "demo" => {
                no_more(args)?;
                demo::demo()?;
            }
            "bench" => {
                if !bench::bench(&bench_options(args)?)? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            "assets" => match args.next()? {
                None => {
                    let place = assets::prepare()?;
                    assets::prepare_arm64()?;
                    println!("{}", place.display());
                }
                Some(Arg::Long("chroots")) => {
                    no_more(args)?;
                    assets::chroots::prepare()?;
                }
                Some(other) => return Err(other.unexpected().into()),
            },
            "dist" => {
                dist::dist(&dist_options(args)?)?;
            }
            "install" => install::install(&install_options(args)?)?,
            "broken" => {
                if !broken::broken(&filter(args)?)? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            "fuzz" => fuzz::fuzz(&fuzz_options(args)?)?,
            "fetch" => {
                no_more(args)?;
                packages::ensure(&[packages::BUILD])?;
                tools::standard_library(&dist::Options::default().target)?;
                fetch::prepare()?;
            }
            "picture" => {
                no_more(args)?;
                picture::picture()?;
            }
            "source" => {
                no_more(args)?;
                packages::ensure(&[packages::BUILD])?;
                source::source()?;
            }
            "release" => {
                if !matches!(args.next()?, Some(Arg::Long("check"))) {
                    return Ok(usage());
                }
                no_more(args)?;
                if !release::check()? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            "test" => {
                if !test::test(&test_options(args)?)? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            "help" => print!("{HELP}"),
            unknown => return Ok(unknown_subcommand(unknown)),
        },
        Arg::Short('h') | Arg::Long("help") => print!("{HELP}"),
        other => return Err(other.unexpected().into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn bench_options(mut args: Parser) -> Result<bench::Options> {
    let mut options = bench::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("json") => options.json = true,
            Arg::Long("all") => options.all = true,
            Arg::Long(name) => match bench::Part::named(name) {
                Some(part) => options.parts.push(part),
                None => return Err(arg.unexpected().into()),
            },
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn dist_options(mut args: Parser) -> Result<dist::Options> {
    let mut options = dist::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("target") => options.target = args.value()?.string()?,
            Arg::Long("bless") => options.bless = true,
            Arg::Long("deb") => options.packages.push(package::Format::Deb),
            Arg::Long("rpm") => options.packages.push(package::Format::Rpm),
            Arg::Long("no-build") => options.no_build = true,
            Arg::Long("output") => options.output = Some(install::absolute(&args.value()?.string()?)?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn install_options(mut args: Parser) -> Result<install::Options> {
    let mut options = install::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("prefix") => options.prefix = install::absolute(&args.value()?.string()?)?,
            Arg::Long("destdir") => options.destdir = install::absolute(&args.value()?.string()?)?,
            Arg::Long("uninstall") => options.uninstall = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn test_options(mut args: Parser) -> Result<test::Options> {
    let mut options = test::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("fast") => options.fast = true,
            Arg::Value(name) => options.filter.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn filter(mut args: Parser) -> Result<Vec<String>> {
    let mut filter = Vec::new();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Value(part) => filter.push(part.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(filter)
}

fn fuzz_options(mut args: Parser) -> Result<fuzz::Options> {
    let mut options = fuzz::Options::default();
    while let Some(arg) = args.next()? {
        match arg {
            Arg::Long("seconds") => options.seconds = args.value()?.parse()?,
            Arg::Long("record") => options.record = true,
            Arg::Value(name) => options.targets.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
}

fn no_more(mut args: Parser) -> Result<()> {
    match args.next()? {
        Some(arg) => Err(arg.unexpected().into()),
        None => Ok(()),
    }
}

/// The names of the subcommands, as the help lists them.
fn subcommands() -> impl Iterator<Item = &'static str> {
    let names = HELP.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next())
}

/// Reports an unknown subcommand, and the one that was probably meant.
fn unknown_subcommand(name: &str) -> ExitCode {
    let nearest = subcommands().min_by_key(|other| distance(name, other)).unwrap_or_default();
    eprintln!("xtask: there is no subcommand {name}; did you mean `cargo xtask {nearest}`?");
    eprintln!("There are {}; `cargo xtask help` says what they do.", subcommands().collect::<Vec<_>>().join(", "));
    ExitCode::from(2)
}

/// The number of letters inserted, deleted or replaced between two words (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut before = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = replaced.min(before + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}
