//! The keys of the epochs, as journald makes them: a seekable forward-secure generator (Marson and Poettering, "Practical
//! Secure Logging: Seekable Sequential Key Generators", 2013). The state of an epoch is the square of the one before it,
//! modulo a number whose factors only the holder of the seed knows, who alone can go to any epoch, and back.

use super::key::{SEED, VerificationKey};
use crate::digest::{Digest, hash};
use crypto_bigint::{
    Limb, NonZero, Odd, U64, U768, U1536,
    modular::{FixedMontyForm, FixedMontyParams},
};
use crypto_primes::{Flavor, is_prime};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Bytes of the modulus.
const MODULUS: usize = 192;
/// What is made of the seed.
const PRIME_P: u32 = 1;
const PRIME_Q: u32 = 2;
const SQUARE: u32 = 3;
/// What most composite numbers have a factor among: all primes up to here.
const SMALL: u64 = 2000;

type Half = FixedMontyForm<{ U768::LIMBS }>;
type Whole = FixedMontyForm<{ U1536::LIMBS }>;

/// The keys of all epochs of one verification key.
pub(super) struct EpochKeys {
    p: PrimeFactor,
    q: PrimeFactor,
    n: FixedMontyParams<{ U1536::LIMBS }>,
    /// The state of epoch 0.
    first: U1536,
    /// The one that was asked for last.
    last: Option<(u64, Whole)>,
    /// Keys made before: files of several users are sealed in the same intervals.
    known: BTreeMap<u64, Digest>,
}

/// How many keys are kept: those of ten days of intervals of a quarter of an hour.
const KNOWN: usize = 1000;

/// One of the two factors.
struct PrimeFactor {
    modulus: FixedMontyParams<{ U768::LIMBS }>,
    /// Of the squares: half of what is below the prime.
    order: FixedMontyParams<{ U768::LIMBS }>,
}

impl EpochKeys {
    /// Takes some hundredths of a second: two primes are looked for.
    pub(super) fn new(key: &VerificationKey) -> Option<Self> {
        let seed = key.seed();
        let (p, q) = (PrimeFactor::of(seed, PRIME_P)?, PrimeFactor::of(seed, PRIME_Q)?);
        let n: U1536 = p.prime().concatenating_mul(q.prime());
        let n = FixedMontyParams::new_vartime(Option::from(Odd::new(n))?);
        let mut root = Zeroizing::new([0; MODULUS]);
        randomize(&mut *root, seed, SQUARE);
        if let Some(first) = root.first_mut() {
            *first &= 0x7f;
        }
        let first = Whole::new(&U1536::from_be_slice(&*root), &n).square().retrieve();
        Some(Self { p, q, n, first, last: None, known: BTreeMap::new() })
    }

    /// SHA-256 of the modulus.
    pub(super) fn fingerprint(&self) -> Digest {
        hash(&[self.n.modulus().to_be_bytes().as_ref()])
    }

    /// The key of an epoch.
    pub(super) fn key(&mut self, epoch: u64) -> Digest {
        if let Some(key) = self.known.get(&epoch) {
            return *key;
        }
        let state = match self.last.take() {
            Some((last, state)) if last == epoch => state,
            Some((last, state)) if last.checked_add(1) == Some(epoch) => state.square(),
            _ => self.seek(epoch),
        };
        let mut seed = Zeroizing::new(Vec::with_capacity(2 * MODULUS + 8));
        seed.extend_from_slice(self.n.modulus().to_be_bytes().as_ref());
        seed.extend_from_slice(state.retrieve().to_be_bytes().as_ref());
        seed.extend_from_slice(&epoch.to_be_bytes());
        self.last = Some((epoch, state));
        let mut key = Digest::default();
        randomize(&mut key, &seed, 0);
        if self.known.len() == KNOWN {
            self.known.clear();
        }
        self.known.insert(epoch, key);
        key
    }

    /// The state of an epoch, by its remainders (Chinese remainder theorem).
    fn seek(&self, epoch: u64) -> Whole {
        let (p, q) = (self.p.seek(&self.first, epoch).retrieve(), self.q.seek(&self.first, epoch));
        let modulus = &self.q.modulus;
        let in_q = |number: &U768| Half::new(&number.rem_vartime(modulus.modulus().as_nz_ref()), modulus);
        // P has an inverse, since Q is another prime; were it the same, no tag would fit.
        let inverse = in_q(self.p.prime()).invert_vartime();
        let inverse = Option::from(inverse).unwrap_or_else(|| Half::zero(modulus));
        let times = q.sub(&in_q(&p)).mul(&inverse).retrieve();
        let state: U1536 = self.p.prime().concatenating_mul(&times);
        Whole::new(&state.wrapping_add(&p.resize()), &self.n)
    }
}

impl PrimeFactor {
    /// The first prime from a number on that the seed determines: in steps of four, all of them 3 modulo 4.
    fn of(seed: &[u8; SEED], index: u32) -> Option<Self> {
        let mut start = Zeroizing::new([0; MODULUS / 2]);
        randomize(&mut *start, seed, index);
        // So that the product has all its bits.
        if let Some(first) = start.first_mut() {
            *first |= 0xc0;
        }
        if let Some(last) = start.last_mut() {
            *last |= 0x03;
        }
        let start = U768::from_be_slice(&*start);
        // What is left when the start is divided by each small prime.
        let small = (3..SMALL).step_by(2).filter(|n| (3..*n).step_by(2).all(|factor| n % factor != 0));
        let remainders: Vec<_> = small
            .filter_map(|small| {
                let divisor: NonZero<Limb> = Option::from(NonZero::new(Limb::from(small)))?;
                Some((small, start.rem_limb(divisor).0))
            })
            .collect();
        let prime = (0..u64::from(u32::MAX)).map(|step| step * 4).find_map(|more| {
            let composite = remainders.iter().any(|(small, left)| (left + more) % small == 0);
            let candidate = start.wrapping_add(&U768::from(more));
            (!composite && is_prime(Flavor::Any, &candidate)).then_some(candidate)
        })?;
        let order: Odd<U768> = Option::from(Odd::new(prime.shr_vartime(1)))?;
        let modulus: Odd<U768> = Option::from(Odd::new(prime))?;
        Some(Self { modulus: FixedMontyParams::new_vartime(modulus), order: FixedMontyParams::new_vartime(order) })
    }

    fn prime(&self) -> &U768 {
        self.modulus.modulus().as_ref()
    }

    /// The state of an epoch modulo this prime: `first` to the power of 2 to the power of the epoch. All states are squares,
    /// so that the exponent may be reduced by their order, which is odd.
    fn seek(&self, first: &U1536, epoch: u64) -> Half {
        let two = Half::new(&U768::from(2u64), &self.order);
        let exponent = two.pow_vartime(&U64::from(epoch)).retrieve();
        let base = first.rem_vartime(self.modulus.modulus().as_nz_ref());
        Half::new(&base, &self.modulus).pow_vartime(&exponent)
    }
}

/// Fills `bytes` with what the seed and an index determine.
fn randomize(bytes: &mut [u8], seed: &[u8], index: u32) {
    for (block, bytes) in (0u32..).zip(bytes.chunks_mut(32)) {
        let mut digest = Zeroizing::new(hash(&[seed, &index.to_be_bytes(), &block.to_be_bytes()]));
        let length = bytes.len();
        bytes.copy_from_slice(digest.as_mut().get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to an epoch leads to the same key.
    #[test]
    fn epochs_are_reached_by_steps_and_by_leaps() {
        let key = VerificationKey::of([7; SEED], 1_000_000, 1_000_000);
        let mut steps = EpochKeys::new(&key).unwrap();
        let keys: Vec<_> = (0..10).map(|epoch| steps.key(epoch)).collect();
        steps.known.clear();
        for epoch in [9, 0, 5, 4] {
            assert_eq!(EpochKeys::new(&key).unwrap().key(epoch), keys[usize::try_from(epoch).unwrap()], "{epoch}");
            assert_eq!(steps.key(epoch), keys[usize::try_from(epoch).unwrap()], "{epoch}");
        }
        assert_ne!(steps.key(u64::MAX), steps.key(u64::MAX - 1));
    }
}
