//! A real browser without a window, told what to do through pipes (Chrome DevTools Protocol): no port, no network of its own.

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use tempfile::TempDir;

/// Its program, of Debian's package of that name.
const PROGRAM: &str = "chromium-headless-shell";
/// How the protocol ends a message.
const END: u8 = 0;

/// A browser, ended when it is dropped.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    last: u64,
    /// What it has told by itself: methods with their parameters.
    events: Vec<(String, Value)>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with one page; `None` where it is not installed.
    #[must_use]
    pub fn start() -> Option<Self> {
        let profile = TempDir::with_prefix("browser-").expect("a temporary directory");
        let found =
            std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
        found.map(|dir| dir.join(PROGRAM)).find(|program| program.exists())?;
        // The protocol has descriptors 3 and 4. In a network of its own, with nothing in it.
        let script = format!(
            "exec unshare --net --map-root-user {PROGRAM} --remote-debugging-pipe --no-sandbox --disable-gpu \
             --disable-dev-shm-usage --user-data-dir={} about:blank 3<&0 4>&1 </dev/null >/dev/null 2>&1",
            profile.path().display()
        );
        let mut command = Command::new("sh");
        let mut child = command
            .args(["-c", &script])
            .env("HOME", profile.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut browser =
            Self { child, to, from, session: String::new(), last: 0, events: Vec::new(), _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let args = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", args);
        attached["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for domain in ["Page", "Network", "Log", "Runtime"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method, and returns its result.
    ///
    /// # Panics
    /// If it fails.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(END);
        self.to.write_all(&bytes).expect("the browser runs");
        loop {
            let mut answer = self.next();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }

    /// The next message; what is no answer is kept.
    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(END, &mut bytes).expect("the browser runs");
        assert_eq!(bytes.pop(), Some(END), "the browser has ended");
        let mut message: Value = serde_json::from_slice(&bytes).expect("JSON");
        if let Some(method) = message["method"].as_str().map(str::to_owned) {
            self.events.push((method, message["params"].take()));
        }
        message
    }

    /// Opens a file, so wide in pixels, dark or light, and waits until it is there.
    pub fn open(&mut self, file: &Path, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features);
        self.events.clear();
        self.call("Page.navigate", json!({ "url": format!("file://{}", file.display()) }));
        while !self.events.iter().any(|(method, _)| method == "Page.loadEventFired") {
            self.next();
        }
    }

    /// What a script comes to in the page.
    ///
    /// # Panics
    /// If it throws.
    pub fn run(&mut self, script: &str) -> Value {
        let args = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", args);
        assert!(result["exceptionDetails"].is_null(), "{script}: {}", result["exceptionDetails"]);
        result["result"]["value"].take()
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let args = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", args);
        }
    }

    /// What it has asked for since the page was opened, and what it has complained of.
    #[must_use]
    pub fn requests_and_complaints(&self) -> (Vec<String>, Vec<String>) {
        let of = |wanted: &'static [&'static str]| {
            self.events.iter().filter(move |(method, _)| wanted.contains(&method.as_str())).map(|(_, params)| params)
        };
        let requests = of(&["Network.requestWillBeSent"]);
        let requests = requests.map(|params| params["request"]["url"].as_str().unwrap_or_default().to_owned());
        let complaints = of(&["Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"]);
        (requests.collect(), complaints.map(Value::to_string).collect())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
