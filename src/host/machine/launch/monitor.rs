//! QEMU's monitor: the events of a machine, and its power button (QMP, one JSON object a line).

use crate::error::{Error, Result};
use serde_json::Value;
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::Duration,
};

/// How long to wait for events.
const PAUSE: Duration = Duration::from_millis(100);

/// A connection to it.
pub(super) struct Monitor {
    socket: UnixStream,
    /// The beginning of an incomplete line.
    rest: Vec<u8>,
    closed: bool,
}

/// What a machine has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorEvent {
    /// It has restarted.
    Reset,
    /// The guest has powered it off.
    Off,
    /// The guest has restarted, and QEMU ends instead (`-no-reboot`).
    OffByReset,
    /// QEMU was told to end.
    Ended,
}

impl Monitor {
    pub(super) fn new(socket: UnixStream) -> Result<Self> {
        socket.set_read_timeout(Some(PAUSE)).map_err(|e| Error::system("speak to QEMU", e))?;
        let monitor = Self { socket, rest: Vec::new(), closed: false };
        // It sends no events before this command. If it has ended already, its exit status tells why.
        let _ = monitor.send("qmp_capabilities");
        Ok(monitor)
    }

    fn send(&self, command: &str) -> std::io::Result<()> {
        (&self.socket).write_all(format!("{{\"execute\": \"{command}\"}}\n").as_bytes())
    }

    /// Presses the power button. The guest decides what follows.
    pub(super) fn press_button(&self) {
        // QEMU may have ended meanwhile.
        let _ = self.send("system_powerdown");
    }

    /// The events since the last call; waits up to [`PAUSE`] for one.
    pub(super) fn events(&mut self) -> Vec<MonitorEvent> {
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
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            events.extend(serde_json::from_slice(&line).ok().as_ref().and_then(understand));
        }
        events
    }
}

/// The meaning of an event, if it matters.
fn understand(line: &Value) -> Option<MonitorEvent> {
    let reason = line.pointer("/data/reason").and_then(Value::as_str).unwrap_or_default();
    match (line.get("event")?.as_str()?, reason) {
        // QEMU resets it once itself, before it starts.
        ("RESET", "guest-reset") => Some(MonitorEvent::Reset),
        ("SHUTDOWN", "guest-shutdown") => Some(MonitorEvent::Off),
        ("SHUTDOWN", "guest-reset" | "guest-panic") => Some(MonitorEvent::OffByReset),
        ("SHUTDOWN", _) => Some(MonitorEvent::Ended),
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
        assert_eq!(monitor.events(), []);
        (&theirs).write_all(b"ta\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n").unwrap();
        assert_eq!(monitor.events(), [MonitorEvent::Reset]);
        for (reason, event) in [
            ("guest-shutdown", MonitorEvent::Off),
            ("guest-reset", MonitorEvent::OffByReset),
            ("host-qmp-quit", MonitorEvent::Ended),
        ] {
            let line = format!("{{\"event\": \"SHUTDOWN\", \"data\": {{\"reason\": \"{reason}\"}}}}\r\n");
            (&theirs).write_all(line.as_bytes()).unwrap();
            assert_eq!(monitor.events(), [event]);
        }
        drop(theirs);
        assert_eq!(monitor.events(), []);
        monitor.press_button();
    }
}
