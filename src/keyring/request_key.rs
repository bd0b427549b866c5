//! Keys that a program is to make while the process that wants one waits (request-key(8)).

use crate::error::{Error, Kind, Result};
use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeySerialId, Permission};
use std::{fs, io::Read};

/// The kernel's list of the keys that this process may view.
const KEYS: &str = "/proc/keys";
/// Bytes of it at most: more than all users' quotas allow.
const MAX_KEYS: u64 = 64 << 20;
/// The type of authorization keys, as that list cuts it.
const AUTHORIZATION: &str = ".request_";
const WHAT: &str = "instantiate a key";

/// A key under construction, over which this process has authority.
pub struct KeyUnderConstruction {
    key: Key,
    serial: i32,
}

impl KeyUnderConstruction {
    /// Takes the authority that the kernel gives to request-key(8), and that to what it starts.
    ///
    /// # Errors
    /// [`Kind::Usage`]: this is not such a program.
    pub fn assume(serial: i32) -> Result<Self> {
        let key = Key::from_id(KeySerialId::new(serial));
        key.assume_authority().map_err(|why| {
            Error::new(Kind::Usage, WHAT, format!("this program has no authority over key {serial}: {why}"))
                .remedy("leave it to request-key(8) to start it: keyctl request2 user trust:…")
        })?;
        Ok(Self { key, serial })
    }

    /// The thread that waits for it, by number. It sleeps in the kernel until this program ends.
    ///
    /// # Errors
    /// [`Kind::System`]: the list has none; [`Kind::Refused`]: somebody has forged a line of it.
    pub fn waiting_thread(&self) -> Result<i32> {
        let mut bytes = Vec::new();
        let read = fs::File::open(KEYS).and_then(|keys| keys.take(MAX_KEYS).read_to_end(&mut bytes));
        read.map_err(|why| Error::system(WHAT, why))?;
        waiting_thread(&String::from_utf8_lossy(&bytes), self.serial)
    }

    /// Gives it its payload. Its possessors may view, read, find and link it, for so many seconds; nobody else may do
    /// anything, and nobody may change it.
    ///
    /// # Errors
    /// [`Kind::System`]: then it is still under construction.
    pub fn instantiate(&self, payload: &[u8], seconds: u32) -> Result<()> {
        let possessor = Permission::VIEW | Permission::READ | Permission::SEARCH | Permission::LINK;
        let permissions = KeyPermissionsBuilder::builder().posessor(possessor).build();
        let no_further_keyring = KeySerialId::new(0);
        // While it is under construction nobody finds it with other permissions.
        let outcome = self
            .key
            .set_timeout(seconds as usize)
            .and_then(|()| self.key.set_perms(permissions))
            .and_then(|()| self.key.instantiate(payload, no_further_keyring));
        outcome.map_err(failed)
    }

    /// Has everyone who asks for it be told for so many seconds that it was rejected.
    ///
    /// # Errors
    /// [`Kind::System`].
    pub fn reject(&self, seconds: u32) -> Result<()> {
        self.key.reject(seconds as usize).map_err(failed)
    }
}

fn failed(why: KeyError) -> Error {
    Error::new(Kind::System, WHAT, why.to_string())
}

/// The thread in the line of the authorization key: `SERIAL FLAGS USAGE TIMEOUT PERM UID GID .request_ key:HEX pid:N ci:N`.
///
/// Descriptions of keys may have line breaks, so that any user can forge such a line, but none can take the real one away.
fn waiting_thread(keys: &str, serial: i32) -> Result<i32> {
    let description = format!("key:{serial:x}");
    let mut threads = keys.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(7);
        let is_it = fields.next() == Some(AUTHORIZATION) && fields.next() == Some(&description);
        is_it.then(|| fields.next()?.strip_prefix("pid:")?.parse::<i32>().ok().filter(|pid| *pid > 0)).flatten()
    });
    match (threads.next(), threads.next()) {
        (Some(thread), None) => Ok(thread),
        (Some(_), Some(_)) => Err(Error::new(Kind::Refused, WHAT, "somebody has forged a line of /proc/keys")
            .remedy("look for keys with line breaks in their descriptions: keyctl show, cat /proc/keys")),
        (None, _) => Err(Error::new(Kind::System, WHAT, "/proc/keys does not say who waits for it")
            .remedy("mount /proc where request-key(8) runs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.12 prints it.
    const KEYS: &str = "\
0171b32c I--Q---     1 perm 1f3f0000     0 65534 keyring   _uid_ses.0: 1
1f0c7e56 I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:3bd4f001 pid:136 ci:7
2c5a1e11 I--Q---     1   4m 3f3f0000     0     0 user      a key:3bd4f001 pid:1 ci:7: 5
3bd4f001 ---Q---     1 perm 3f010000  1000  1000 user      trust:path:/usr/bin/keyctl:test: 0
";

    #[test]
    fn the_thread_that_waits_is_found() {
        assert_eq!(waiting_thread(KEYS, 0x3bd4_f001).unwrap(), 136);
        for serial in [0x03bd_4f00, 0x3bd4_f002, 0, -1] {
            assert_eq!(waiting_thread(KEYS, serial).unwrap_err().kind(), Kind::System, "{serial:x}");
        }
        for pid in ["pid:0", "pid:-1", "pid:x", "pid:99999999999", "ci:7"] {
            assert!(waiting_thread(&KEYS.replace("pid:136", pid), 0x3bd4_f001).is_err(), "{pid}");
        }
    }

    #[test]
    fn a_forged_line_is_noticed() {
        let forged = "\
3999d2f4 I--Q---     1 perm 3f3f3f3f  1000  1000 user      x
00000001 I--Q---     1 perm 0b0b0000  1000  1000 .request_ key:3bd4f001 pid:1 ci:7: 5
";
        for keys in [[forged, KEYS].concat(), [KEYS, forged].concat()] {
            let refused = waiting_thread(&keys, 0x3bd4_f001).unwrap_err();
            assert_eq!(refused.kind(), Kind::Refused);
            assert!(refused.to_string().contains("forged"), "{refused}");
        }
    }
}
