//! `--tcti`: where the TPM is.

use crate::error::{Error, Kind, Result};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// The resource manager of the kernel, and the device without it.
pub const DEVICES: [&str; 2] = ["/dev/tpmrm0", "/dev/tpm0"];
/// Where the simulators listen when no port is given.
const SIMULATOR_PORT: u16 = 2321;

/// Where a TPM is to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `device[:PATH]`; without a path the first of [`DEVICES`] that is there.
    Device(Option<PathBuf>),
    /// `swtpm:path=SOCKET`: bare TPM commands over a unix socket.
    SwtpmUnix(PathBuf),
    /// `swtpm:host=H,port=P`: bare TPM commands over TCP.
    SwtpmTcp(SocketAddr),
    /// `mssim:host=H,port=P`: the framing of the reference simulator.
    Mssim(SocketAddr),
}

impl Default for Address {
    fn default() -> Self {
        Self::Device(None)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &'static str| {
            Error::new(Kind::Usage, format!("use --tcti {text}"), why)
                .remedy("give device:PATH, swtpm:path=SOCKET, swtpm:host=IP,port=N or mssim:host=IP,port=N")
        };
        let (name, conf) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "device" if conf.is_empty() => Ok(Self::Device(None)),
            "device" => Ok(Self::Device(Some(PathBuf::from(conf)))),
            "swtpm" => match conf.strip_prefix("path=") {
                Some(path) if !path.is_empty() => Ok(Self::SwtpmUnix(PathBuf::from(path))),
                _ => {
                    socket(conf).map(Self::SwtpmTcp).ok_or_else(|| bad("it names no path, and no IP address and port"))
                }
            },
            "mssim" => socket(conf).map(Self::Mssim).ok_or_else(|| bad("it names no IP address and port")),
            _ => Err(bad("there is no such transport")),
        }
    }
}

/// `host=IP,port=N` in any order, each with a default. No names but `localhost`: an initrd has no resolver.
fn socket(conf: &str) -> Option<SocketAddr> {
    let mut ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = SIMULATOR_PORT;
    for part in conf.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=')? {
            ("host", "localhost") => {}
            ("host", host) => ip = host.parse().ok()?,
            ("port", number) => port = number.parse().ok()?,
            _ => return None,
        }
    }
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_malformed_ones_refused() {
        let parsed = |text: &str| text.parse::<Address>().ok();
        assert_eq!(parsed("device"), Some(Address::Device(None)));
        assert_eq!(parsed("device:/dev/tpm1"), Some(Address::Device(Some("/dev/tpm1".into()))));
        assert_eq!(parsed("swtpm:path=/run/s"), Some(Address::SwtpmUnix("/run/s".into())));
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        assert_eq!(parsed("swtpm:host=127.0.0.1,port=7"), Some(Address::SwtpmTcp(local(7))));
        assert_eq!(parsed("swtpm:port=7,host=localhost"), Some(Address::SwtpmTcp(local(7))));
        assert_eq!(parsed("mssim"), Some(Address::Mssim(local(2321))));
        for bad in ["", "tabrmd", "swtpm:path=", "swtpm:port=70000", "mssim:host=a.b", "mssim:x=1", "swtpm:port"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }
}
