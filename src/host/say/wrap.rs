//! Lines of a table on a terminal: what is wider than that goes on below its own column.

use std::io::IsTerminal;

/// Columns that a text has at least, or it is left as it is.
const LEAST: usize = 22;
/// Begins and ends what gives text a colour (ECMA-48, select graphic rendition).
const ESCAPE: char = '\x1b';
const ESCAPE_END: char = 'm';

/// A line whose last column begins at `indent`, as the terminal has room; in a file or a pipe, as it is.
pub fn hanging(line: &str, indent: usize) -> String {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map_or_else(|| line.to_owned(), |size| wrapped(line, indent, size.ws_col.into()))
}

fn wrapped(line: &str, indent: usize, width: usize) -> String {
    if width < indent + LEAST {
        return line.to_owned();
    }
    let (mut whole, mut column) = (String::new(), 0);
    let next_line = |whole: &mut String| {
        whole.truncate(whole.trim_end().len());
        whole.push('\n');
        whole.extend(std::iter::repeat_n(' ', indent));
    };
    for (number, word) in line.split(' ').enumerate() {
        let space = usize::from(number > 0);
        if word.is_empty() && column == width {
            continue;
        }
        if column > indent && column + space + shown(word) > width {
            next_line(&mut whole);
            column = indent;
        } else if space > 0 {
            whole.push(' ');
            column += space;
        }
        let mut is_escape = false;
        for c in word.chars() {
            is_escape |= c == ESCAPE;
            if !is_escape {
                if column == width {
                    next_line(&mut whole);
                    column = indent;
                }
                column += 1;
            }
            is_escape &= c != ESCAPE_END;
            whole.push(c);
        }
    }
    whole
}

/// Columns that a word takes.
fn shown(word: &str) -> usize {
    let mut is_escape = false;
    let is_shown = |c: char| {
        is_escape |= c == ESCAPE;
        let is_shown = !is_escape;
        is_escape &= c != ESCAPE_END;
        is_shown
    };
    word.chars().map(is_shown).filter(|is_shown| *is_shown).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_goes_on_below_its_column() {
        let line = "name      one two three four five six seven eight";
        let expected = "name      one two three four five\n          six seven eight";
        assert_eq!(wrapped(line, 10, 34), expected);
        assert_eq!(wrapped(line, 10, 33), expected);
        assert_eq!(wrapped(line, 10, 100), line);
        // Colours take no room.
        let coloured = "\x1b[36mname\x1b[0m      one two three four \x1b[32mfive\x1b[0m six seven eight";
        let shown = wrapped(coloured, 10, 34).replace("\x1b[36m", "").replace("\x1b[32m", "").replace("\x1b[0m", "");
        assert_eq!(shown, expected);
        // A word that is wider than there is room.
        assert_eq!(
            wrapped(&format!("a {}", "x".repeat(60)), 2, 32),
            format!("a {}\n  {}", "x".repeat(30), "x".repeat(30))
        );
        // Two spaces where it ends.
        assert_eq!(wrapped(&format!("a {}  b", "x".repeat(30)), 2, 32), format!("a {}\n  b", "x".repeat(30)));
        // Nothing can be done on a very narrow one.
        assert_eq!(wrapped(line, 10, 30), line);
    }
}
