//! `trust uki …`.
