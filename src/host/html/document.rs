//! The frame of a page. Its policy (Content Security Policy Level 3) forbids whatever could be loaded, run or sent, and every
//! style but its own.

use crate::digest;
use base64ct::{Base64, Encoding};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A part of a page with a heading.
pub struct PageSection {
    /// Its name in links.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is below.
    pub body: Markup,
}

/// The whole page: its title, what is below that, its parts, and a last remark.
pub fn page(title: &str, lead: &Markup, sections: &[PageSection], remark: &str) -> String {
    let style = Base64::encode_string(&digest::hash(&[STYLE.as_bytes()]));
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'");
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "To the content" }
                header {
                    h1 { (title) }
                    (lead)
                    nav aria-label="Parts of this page" {
                        ul { @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                    }
                }
                main #main {
                    @for section in sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer.small { p { "Trust " (env!("CARGO_PKG_VERSION")) ". " (remark) } }
            }
        }
    };
    page.into_string()
}
