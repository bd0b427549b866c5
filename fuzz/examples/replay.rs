//! Tells how far inputs of tpm_answers get: `cargo run --example replay FILE...`.

use std::{env, fs};
use trust_fuzz::Liar;

fn main() {
    let liar = Liar::new();
    for file in env::args_os().skip(1).map(std::path::PathBuf::from) {
        let input = fs::read(&file).expect("readable");
        match liar.run(&input) {
            Some((job, Ok(sizes), heard)) => {
                println!("{}: {job:?}: secrets of {sizes:?} bytes, {heard:?}", file.display())
            }
            Some((job, Err(error), heard)) => println!("{}: {job:?}: {error}, {heard:?}", file.display()),
            None => println!("{}: no job", file.display()),
        }
    }
}
