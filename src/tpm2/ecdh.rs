//! One side of an ECDH key exchange on P-256: the one that makes an ephemeral key. Pure, but for the randomness.
//!
//! The shared secret and both coordinates of a point are padded to the size of
//! the field, as TPM 2.0 Library part 1, section C.6.1 has it; a backend that
//! strips leading zeros loses one session in 256.

use p256::{
    FieldBytes, NonZeroScalar, PublicKey, Sec1Point,
    elliptic_curve::sec1::{FromSec1Point, ToSec1Point},
};
use zeroize::{Zeroize, Zeroizing};

const FIELD: usize = 32;

/// What comes of it.
pub struct Shared {
    /// The shared secret: an x coordinate.
    pub z: Zeroizing<[u8; FIELD]>,
    /// Our public point, for the peer.
    pub x: [u8; FIELD],
    /// As `x`.
    pub y: [u8; FIELD],
}

/// Exchanges keys with the peer at this point; `None` when it is not on the curve, or without randomness.
pub fn exchange(x: &[u8], y: &[u8]) -> Option<Shared> {
    let point = Sec1Point::from_affine_coordinates(&pad(x)?, &pad(y)?, false);
    // Refuses points that are not on the curve.
    let peer = PublicKey::from_sec1_point(&point).into_option()?;
    let private = ephemeral()?;
    let secret = p256::ecdh::diffie_hellman(private, peer.as_affine());
    let public = PublicKey::from_secret_scalar(&private).to_sec1_point(false);
    let mut shared = Shared { z: Zeroizing::new([0; FIELD]), x: [0; FIELD], y: [0; FIELD] };
    shared.z.copy_from_slice(secret.raw_secret_bytes());
    shared.x.copy_from_slice(public.x()?);
    shared.y.copy_from_slice(public.y()?);
    Some(shared)
}

/// A fresh private scalar.
fn ephemeral() -> Option<NonZeroScalar> {
    loop {
        let mut candidate = FieldBytes::default();
        getrandom::fill(&mut candidate).ok()?;
        let scalar = NonZeroScalar::from_repr(candidate).into_option();
        candidate.zeroize();
        if scalar.is_some() {
            return scalar;
        }
    }
}

/// A coordinate of the TPM's, which may have lost its leading zeros, at the size of the field.
fn pad(short: &[u8]) -> Option<FieldBytes> {
    let mut padded = FieldBytes::default();
    let start = FIELD.checked_sub(short.len())?;
    padded.get_mut(start..)?.copy_from_slice(short);
    Some(padded)
}
