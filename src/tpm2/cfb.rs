//! AES-128-CFB, the only symmetric cipher here, in place.

use aes::cipher::KeyIvInit;

/// Encrypts; `None` unless key and IV are of 16 bytes.
pub fn encrypt(key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Option<()> {
    cfb_mode::Encryptor::<aes::Aes128Enc>::new_from_slices(key, iv).ok()?.encrypt(buffer);
    Some(())
}

/// Decrypts; `None` unless key and IV are of 16 bytes.
pub fn decrypt(key: &[u8], iv: &[u8], buffer: &mut [u8]) -> Option<()> {
    cfb_mode::Decryptor::<aes::Aes128Enc>::new_from_slices(key, iv).ok()?.decrypt(buffer);
    Some(())
}
