//! QEMU's monitor: how a machine ends, and the button that switches it off (QMP, one JSON object a line).

use crate::error::{Error, Result};
use serde_json::Value;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// How long is waited for news.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection to it.
pub(super) struct Monitor {
    socket: UnixStream,
    /// The beginning of a line.
    rest: Vec<u8>,
    closed: bool,
}

/// What a machine has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has started over.
    Reset,
    /// The guest has switched it off.
    Off,
    /// The guest has started over a machine that does not.
    OffByReset,
    /// QEMU was told to end.
    Ended,
}

impl Monitor {
    pub(super) fn new(socket: UnixStream) -> Result<Self> {
        socket.set_read_timeout(Some(PAUSE)).map_err(|e| Error::system("speak to QEMU", e))?;
        let monitor = Self { socket, rest: Vec::new(), closed: false };
        // Until it is told so, it says nothing. Where it has ended already, its end tells why.
        let _ = monitor.tell("qmp_capabilities");
        Ok(monitor)
    }

    fn tell(&self, command: &str) -> std::io::Result<()> {
        (&self.socket).write_all(format!("{{\"execute\": \"{command}\"}}\n").as_bytes())
    }

    /// Presses the button. What comes of it is up to the guest.
    pub(super) fn press_button(&self) {
        // Where it has ended meanwhile, that is as well.
        let _ = self.tell("system_powerdown");
    }

    /// What has happened since it was last asked; waits a moment where nothing has.
    pub(super) fn news(&mut self) -> Vec<News> {
        let mut buffer = [0; 4096];
        if self.closed {
            std::thread::sleep(PAUSE);
            return Vec::new();
        }
        match (&self.socket).read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(size) => self.rest.extend(buffer.iter().take(size)),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
        let mut news = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            news.extend(serde_json::from_slice(&line).ok().as_ref().and_then(understand));
        }
        news
    }
}

/// What an event means, if it is one that matters.
fn understand(line: &Value) -> Option<News> {
    let reason = line.pointer("/data/reason").and_then(Value::as_str).unwrap_or_default();
    match (line.get("event")?.as_str()?, reason) {
        // QEMU resets it once itself, before it starts.
        ("RESET", "guest-reset") => Some(News::Reset),
        ("SHUTDOWN", "guest-shutdown") => Some(News::Off),
        ("SHUTDOWN", "guest-reset" | "guest-panic") => Some(News::OffByReset),
        ("SHUTDOWN", _) => Some(News::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line_and_others_skipped() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut monitor = Monitor::new(ours).unwrap();
        let mut said = [0; 64];
        let size = (&theirs).read(&mut said).unwrap();
        assert_eq!(&said[..size], b"{\"execute\": \"qmp_capabilities\"}\n");
        (&theirs).write_all(b"{\"QMP\": {}}\r\n{\"return\": {}}\r\nno JSON\r\n{\"event\": \"RESET\", \"da").unwrap();
        assert_eq!(monitor.news(), []);
        (&theirs).write_all(b"ta\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n").unwrap();
        assert_eq!(monitor.news(), [News::Reset]);
        for (reason, news) in
            [("guest-shutdown", News::Off), ("guest-reset", News::OffByReset), ("host-qmp-quit", News::Ended)]
        {
            let line = format!("{{\"event\": \"SHUTDOWN\", \"data\": {{\"reason\": \"{reason}\"}}}}\r\n");
            (&theirs).write_all(line.as_bytes()).unwrap();
            assert_eq!(monitor.news(), [news]);
        }
        drop(theirs);
        assert_eq!(monitor.news(), []);
        monitor.press_button();
    }
}
