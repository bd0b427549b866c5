//! What a command takes on its command line: declared once, by the command, for parsing, for help, and for clap.

use crate::{
    error::{Error, Kind, Result},
    guard::OnLockFailure,
    policy::version,
    tpm::Address,
};
use std::{
    ffi::{OsStr, OsString},
    fmt::Write,
    path::PathBuf,
    time::Duration,
};

/// An option, or an operand, as the help shows it.
pub struct Spec {
    /// That of an option begins with `--`.
    pub name: &'static str,
    /// What the value of an option is called; empty for a flag.
    pub value: &'static str,
    /// The value where none is given; empty: there is none, or `help` says what happens then.
    pub default: &'static str,
    /// One sentence, without its full stop.
    pub help: &'static str,
}

impl Spec {
    /// Whether it is an option.
    #[must_use]
    pub fn is_option(&self) -> bool {
        self.name.starts_with("--")
    }
}

/// One argument, and where its value goes.
pub struct Argument<'a> {
    /// How it is shown.
    pub spec: &'static Spec,
    slot: Target<'a>,
}

impl Argument<'_> {
    /// Whether it takes all words that follow.
    #[must_use]
    pub const fn is_rest(&self) -> bool {
        matches!(self.slot, Target::Rest(_))
    }
}

enum Target<'a> {
    One(&'a mut dyn ArgumentValue),
    Rest(&'a mut Vec<OsString>),
}

/// All arguments of a command, in the order of its help.
#[derive(Default)]
pub struct Arguments<'a>(Vec<Argument<'a>>);

impl<'a> Arguments<'a> {
    /// Declares an option, or the next operand, and sets its default.
    pub fn add(&mut self, spec: &'static Spec, slot: &'a mut dyn ArgumentValue) {
        if !spec.default.is_empty() {
            let _ = slot.set(spec.default.into());
        }
        self.0.push(Argument { spec, slot: Target::One(slot) });
    }

    /// Declares an option that takes all words behind it, at least one, or operands of any number behind all others.
    pub fn rest(&mut self, spec: &'static Spec, slot: &'a mut Vec<OsString>) {
        self.0.push(Argument { spec, slot: Target::Rest(slot) });
    }

    /// All of them.
    #[cfg(any(feature = "host", test))]
    pub fn iter(&self) -> impl Iterator<Item = &Argument<'a>> {
        self.0.iter()
    }

    fn operands(&self) -> impl Iterator<Item = &Argument<'a>> {
        self.0.iter().filter(|argument| !argument.spec.is_option())
    }

    /// Sets what `args` say. `None`: they ask for help.
    ///
    /// # Errors
    /// [`Kind::Usage`].
    pub(super) fn parse(&mut self, command: &str, args: impl IntoIterator<Item = OsString>) -> Result<Option<()>> {
        let usage = |why: String| Error::new(Kind::Usage, format!("run {command}"), why);
        let malformed = |why: lexopt::Error| usage(why.to_string());
        let mut parser = lexopt::Parser::from_args(args);
        let mut given = 0;
        while let Some(arg) = parser.next().map_err(malformed)? {
            let (place, operand) = match arg {
                lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(None),
                lexopt::Arg::Short(short) => return Err(usage(format!("there is no option -{short}"))),
                lexopt::Arg::Long(name) => {
                    let place = self.0.iter().position(|argument| argument.spec.name.strip_prefix("--") == Some(name));
                    (place.ok_or_else(|| usage(format!("it has no option --{name}")))?, None)
                }
                lexopt::Arg::Value(value) => {
                    let operand = |argument: &Argument<'_>| !argument.spec.is_option();
                    let mut places = (0..).zip(&self.0).filter(|(_, argument)| operand(argument));
                    let place = places.clone().nth(given).or_else(|| places.find(|(_, argument)| argument.is_rest()));
                    given += 1;
                    (place.ok_or_else(|| usage(self.wanted()))?.0, Some(value))
                }
            };
            let Some(Argument { spec, slot }) = self.0.get_mut(place) else { continue };
            match (slot, operand) {
                (Target::One(slot), Some(value)) => {
                    slot.set(value).ok_or_else(|| usage(format!("{} is not {}", spec.name, spec.help)))?;
                }
                (Target::One(slot), None) => {
                    let value = if spec.value.is_empty() { Ok(OsString::new()) } else { parser.value() };
                    let set = slot.set(value.map_err(malformed)?);
                    set.ok_or_else(|| usage(format!("{} needs {}: {}", spec.name, spec.value, spec.help)))?;
                }
                (Target::Rest(slot), Some(value)) => slot.push(value),
                (Target::Rest(slot), None) => {
                    slot.extend(parser.raw_args().map_err(malformed)?);
                    if slot.is_empty() {
                        return Err(usage(format!("{} needs {}", spec.name, spec.value)));
                    }
                }
            }
        }
        if given < self.operands().filter(|argument| !argument.is_rest()).count() {
            return Err(usage(self.wanted()));
        }
        Ok(Some(()))
    }

    /// What to say where operands are missing, or too many.
    fn wanted(&self) -> String {
        let mut text = String::new();
        for operand in self.operands().filter(|operand| !operand.is_rest()) {
            text += if text.is_empty() { "it needs " } else { " and " };
            text += operand.spec.name;
        }
        if text.is_empty() { "it takes no operands".into() } else { text }
    }

    /// The part of a help that is about them, from the usage on.
    pub(super) fn help(&self, command: &str) -> String {
        let mut text = format!("Usage: {command} [OPTIONS]");
        for operand in self.operands() {
            let name = operand.spec.name;
            let _ = if operand.is_rest() { write!(text, " [-- {name}...]") } else { write!(text, " {name}") };
        }
        text.push_str("\n\n");
        for operand in self.operands() {
            entry(&mut text, operand.spec);
        }
        if !text.ends_with("\n\n") {
            text.push('\n');
        }
        text.push_str("Options:\n");
        for option in self.0.iter().filter(|argument| argument.spec.is_option()) {
            entry(&mut text, option.spec);
        }
        text.push_str("  --help\n        show this\n");
        text
    }
}

/// An argument in a help.
fn entry(text: &mut String, spec: &Spec) {
    let _ = writeln!(text, "  {}{}{}", spec.name, if spec.value.is_empty() { "" } else { " " }, spec.value);
    let default = if spec.default.is_empty() { String::new() } else { format!(" ({})", spec.default) };
    fill(text, 8, &[spec.help, &default].concat());
}

/// Columns of the narrowest terminal that a help is made for.
const WIDTH: usize = 80;

/// Adds words where the text ends, but not left of `indent`, in lines that fit, and ends the last one.
pub fn fill(text: &mut String, indent: usize, words: &str) {
    let mut column = text.rsplit('\n').next().map_or(0, |line| line.chars().count());
    let mut gap = indent.saturating_sub(column);
    for word in words.split(' ') {
        let width = word.chars().count();
        if column + gap + width > WIDTH && column > indent {
            text.push('\n');
            (column, gap) = (0, indent);
        }
        let _ = write!(text, "{:gap$}{word}", "");
        column += gap + width;
        gap = 1;
    }
    text.push('\n');
}

/// The value of an argument.
pub trait ArgumentValue {
    /// Takes what was given; a flag is given nothing. `None`: it does not fit.
    fn set(&mut self, value: OsString) -> Option<()>;
}

impl ArgumentValue for bool {
    fn set(&mut self, _: OsString) -> Option<()> {
        *self = true;
        Some(())
    }
}

impl ArgumentValue for OsString {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = value;
        Some(())
    }
}

impl ArgumentValue for PathBuf {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = value.into();
        Some(())
    }
}

impl ArgumentValue for Option<PathBuf> {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = Some(value.into());
        Some(())
    }
}

/// Texts that are not empty; the option may be repeated.
impl ArgumentValue for Vec<String> {
    fn set(&mut self, value: OsString) -> Option<()> {
        self.push(value.into_string().ok().filter(|text| !text.is_empty())?);
        Some(())
    }
}

/// How long to wait: whole seconds, up to an hour.
impl ArgumentValue for Duration {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = Self::from_secs(number(&value, 10).filter(|seconds| *seconds <= 3600)?.into());
        Some(())
    }
}

/// A number of seconds that is not 0.
impl ArgumentValue for Option<u32> {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = Some(number(&value, 10).filter(|seconds| *seconds > 0)?);
        Some(())
    }
}

impl ArgumentValue for Address {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = value.to_str()?.parse().ok()?;
        Some(())
    }
}

impl ArgumentValue for OnLockFailure {
    fn set(&mut self, value: OsString) -> Option<()> {
        *self = match value.to_str()? {
            "poweroff" => Self::PowerOff,
            "exit" => Self::Exit,
            _ => return None,
        };
        Some(())
    }
}

/// A handle of a TPM, in hexadecimal with its `0x`.
#[derive(Clone, Copy, Default)]
pub struct Handle(pub u32);

impl ArgumentValue for Handle {
    fn set(&mut self, value: OsString) -> Option<()> {
        self.0 = number(value.to_str()?.strip_prefix("0x")?.as_ref(), 16)?;
        Some(())
    }
}

/// Out of line, for the sake of the program's size.
#[inline(never)]
fn number(digits: &OsStr, radix: u32) -> Option<u32> {
    u32::from_str_radix(digits.to_str()?, radix).ok()
}

/// A policy version: four ASCII digits.
#[derive(Clone, Copy, Default)]
pub struct VersionArgument(pub [u8; 4]);

impl ArgumentValue for VersionArgument {
    fn set(&mut self, value: OsString) -> Option<()> {
        self.0 = version::parse(value.to_str()?)?;
        Some(())
    }
}
