//! Good, bad and doubtful: a sign and a word, since colour alone tells nothing to some.

use maud::{Markup, html};

/// What is thought of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// That cannot be said.
    Doubtful,
    /// Nothing.
    None,
}

impl Mark {
    /// The sign.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Bad => "✗",
            Self::Doubtful => "?",
            Self::None => "",
        }
    }

    /// The name of its class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Doubtful => "doubtful",
            Self::None => "none",
        }
    }
}

/// Words with their sign.
pub fn marked(mark: Mark, words: &str) -> Markup {
    html! {
        span class={ "mark " (mark.class()) } {
            @if mark != Mark::None { span aria-hidden="true" { (mark.sign()) " " } }
            (words)
        }
    }
}
