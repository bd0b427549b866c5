//! Helpful messages for errors of tokens.

use crate::error::{Error, Kind};
use cryptoki::error::{Error as Cryptoki, RvError};

/// An error of a module or token while doing `what`.
pub fn complaint(what: &'static str, error: &Cryptoki) -> Error {
    let Cryptoki::Pkcs11(code, _) = error else {
        return Error::new(Kind::System, what, error.to_string()).remedy("check the PKCS#11 module");
    };
    let (kind, why, remedy) = match code {
        RvError::PinIncorrect => {
            (Kind::Usage, "the PIN is wrong", "check it before you try again: a few wrong ones lock the token")
        }
        RvError::PinLenRange | RvError::PinInvalid => {
            (Kind::Usage, "no PIN of this token is so long or has such characters", "check it")
        }
        RvError::PinLocked => {
            (Kind::Usage, "the token is locked: the PIN was wrong too often", "have its security officer unlock it")
        }
        RvError::PinExpired => (Kind::Usage, "the PIN has expired", "set a new one"),
        RvError::UserPinNotInitialized => (Kind::Usage, "the token has no PIN yet", "initialize its user PIN"),
        RvError::TokenNotPresent | RvError::DeviceRemoved | RvError::TokenNotRecognized => {
            (Kind::Usage, "the token is not there", "plug it in")
        }
        RvError::KeyFunctionNotPermitted => (Kind::Usage, "the key may not sign", "use a key with CKA_SIGN"),
        RvError::MechanismInvalid | RvError::KeyTypeInconsistent | RvError::KeySizeRange => {
            (Kind::Usage, "the token cannot sign so with this key", "use an RSA or EC P-256 key that it can sign with")
        }
        RvError::UserNotLoggedIn => (
            Kind::Usage,
            "the key asks for the PIN again for each signature",
            "use a key without CKA_ALWAYS_AUTHENTICATE",
        ),
        RvError::UserAnotherAlreadyLoggedIn => {
            (Kind::System, "the security officer is logged in to it", "end the program that has logged in")
        }
        RvError::SessionCount => (Kind::System, "it is in use by too many", "end other programs that use it"),
        other => {
            let why = format!("the token says {other:?}");
            return Error::new(Kind::System, what, why).remedy("check it with pkcs11-tool");
        }
    };
    Error::new(kind, what, why).remedy(remedy)
}
