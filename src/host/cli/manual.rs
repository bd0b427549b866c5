//! `trust man`, `trust completions`: made from the definition of the command line.
