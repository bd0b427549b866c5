//! `trust computePCR7`.
