//! `trust enroll …`.
