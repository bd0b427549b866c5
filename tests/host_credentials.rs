//! A secret that the TPM seals becomes the credential of a unit: the units that are installed, and the real systemd.

use harness::{Home, Swtpm, is_root_or_skip, trust_host};
use std::{
    fs::{self, Permissions},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

const SECRET: &[u8] = b"correct horse battery staple";

/// A TPM, and secrets that it has sealed.
struct Sealed {
    home: Home,
    tpm: Swtpm,
}

impl Sealed {
    fn new() -> Self {
        let sealed = Self { home: Home::new(), tpm: Swtpm::new() };
        fs::create_dir_all(sealed.credentials().join("own.service")).expect("writable");
        sealed.seal("token", SECRET);
        sealed.seal("own.service/key", b"of this unit alone");
        sealed
    }

    fn credentials(&self) -> PathBuf {
        self.home.path().join("credentials")
    }

    fn seal(&self, name: &str, secret: &[u8]) {
        let (clear, file) = (self.home.path().join("clear"), self.credentials().join(format!("{name}.pem")));
        fs::write(&clear, secret).expect("writable");
        let [clear, file] = [&clear, &file].map(|path| path.to_str().expect("UTF-8"));
        self.home.ok(&["seal", "--tcti", &self.tpm.tcti(), "-o", file, clear]);
        fs::remove_file(clear).expect("it is there");
    }

    /// Starts systemd, with these units; returns its exit status and what is on its console.
    fn boot(&self, units: &[(&str, String)]) -> (Option<i32>, String) {
        // Where the secrets and the TPM are in the sandbox.
        let dropin = "[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:/run/sandbox/answers\nExecStart=\n\
             ExecStart=trust unseal --credential /run/sandbox/credentials --tcti swtpm:path=/run/tpm/socket\n";
        let dropin = ("trust-credentials@.service.d/test.conf", dropin.to_owned());
        let units: Vec<_> = units.iter().cloned().chain([dropin]).collect();
        let _ = fs::remove_file(self.home.path().join("answers"));
        let installed = ["trust-credentials.socket", "trust-credentials@.service"];
        let (status, console) = harness::systemd(self.home.path(), &self.tpm, &installed, &units);
        (status, console + &fs::read_to_string(self.home.path().join("answers")).unwrap_or_default())
    }

    /// A unit with this credential, which leaves it in `got`. systemd ends when it does.
    fn unit(name: &str, credential: &str) -> [(&'static str, String); 2] {
        let target = format!(
            "[Unit]\nDefaultDependencies=no\nWants={name} trust-credentials.socket\nAfter={name} trust-credentials.socket\n"
        );
        let service = format!(
            "[Unit]\nDefaultDependencies=no\nAfter=trust-credentials.socket\nSuccessAction=exit-force\n\
             FailureAction=exit-force\n[Service]\nType=oneshot\n\
             LoadCredential={credential}:/run/trust/credentials.sock\n\
             ExecStart=cp ${{CREDENTIALS_DIRECTORY}}/{credential} /run/sandbox/got\n"
        );
        [("test.target", target), (if name == "own.service" { "own.service" } else { "other.service" }, service)]
    }

    fn got(&self) -> Option<Vec<u8>> {
        fs::read(self.home.path().join("got")).ok()
    }
}

#[test]
fn units_get_unsealed_secrets_as_credentials() {
    let sealed = Sealed::new();
    for (unit, credential, secret) in [
        ("other.service", "token", SECRET),
        ("own.service", "token", SECRET),
        ("own.service", "key", b"of this unit alone"),
    ] {
        let (status, console) = sealed.boot(&Sealed::unit(unit, credential));
        assert_eq!((status, sealed.got().as_deref()), (Some(0), Some(secret)), "{unit} {credential}: {console}");
        fs::remove_file(sealed.home.path().join("got")).expect("it is there");
    }
    // One that does not open, another unit's, and none at all: the unit does not start, not even with an empty secret.
    let torn = fs::read(sealed.credentials().join("token.pem")).expect("it is there");
    fs::write(sealed.credentials().join("torn.pem"), &torn[..torn.len() / 2]).expect("writable");
    for (unit, credential, words) in [
        ("other.service", "torn", "cannot give torn to other.service"),
        ("other.service", "key", "there is no /run/sandbox/credentials/other.service/key.pem"),
        ("other.service", "nothing", "trust seal -o"),
    ] {
        let (status, console) = sealed.boot(&Sealed::unit(unit, credential));
        const CREDENTIALS: i32 = 243;
        assert_eq!((status, sealed.got()), (Some(CREDENTIALS), None), "{unit} {credential}: {console}");
        assert!(console.contains(words), "{credential}: {console}");
    }
}

#[test]
fn a_credential_is_sealed_as_the_message_says() {
    if !is_root_or_skip("only root is answered") {
        return;
    }
    let sealed = Sealed::new();
    let (output, _) = asked(&sealed, 0, "1/unit/new.service/key");
    let complaint = String::from_utf8(output.stderr).expect("it prints UTF-8");
    let command = complaint.split("seal it: ").nth(1).expect("it says how").trim().replace(" IN", " clear");
    fs::write(sealed.home.path().join("clear"), "new").expect("writable");
    let path = trust_host().parent().expect("a directory").display().to_string();
    let script = format!("PATH={path}:$PATH; {command} --tcti {}", sealed.tpm.tcti());
    let followed = Command::new("bash").args(["-c", &script]).current_dir(sealed.home.path()).status();
    assert!(followed.expect("there is a shell").success(), "{script}");
    let (output, got) = asked(&sealed, 0, "1/unit/new.service/key");
    assert_eq!(got, b"new", "{output:?}");
}

/// Connects from an abstract address, as a user, and reads until the end.
const CLIENT: &str = "
import socket, sys
client = socket.socket(socket.AF_UNIX)
if sys.argv[2]: client.bind(chr(0) + sys.argv[2])
client.connect(sys.argv[1])
sys.stdout.buffer.write(client.makefile('rb').read())
";

/// What `trust unseal --credential` does with a connection from this address, and what the other end gets.
fn asked(sealed: &Sealed, uid: u32, address: &str) -> (Output, Vec<u8>) {
    let path = sealed.home.path().join("listening");
    let listener = UnixListener::bind(&path).expect("writable");
    for path in [sealed.home.path(), &path] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).expect("ours");
    }
    let uid = uid.to_string();
    let mut client = Command::new("setpriv");
    client.args(["--reuid", &uid, "--clear-groups", "/usr/bin/python3", "-c", CLIENT]).arg(&path).arg(address);
    let client = client.stdout(Stdio::piped()).spawn().expect("setpriv is installed (Debian: util-linux)");
    let (connection, _) = listener.accept().expect("a connection");
    fs::remove_file(&path).expect("it is there");
    let answer = connection.try_clone().expect("a descriptor");
    let mut command = Command::new(trust_host());
    command.args(["unseal", "--tcti", &sealed.tpm.tcti(), "--credential"]).arg(sealed.credentials());
    command.stdin(OwnedFd::from(connection)).stdout(OwnedFd::from(answer)).stderr(Stdio::piped());
    let output = command.spawn().and_then(Child::wait_with_output).expect("it runs");
    drop(command);
    (output, client.wait_with_output().expect("it runs").stdout)
}

#[test]
fn only_systemd_is_answered() {
    if !is_root_or_skip("another user is taken by root") {
        return;
    }
    let sealed = Sealed::new();
    let (output, got) = asked(&sealed, 0, "0123456789abcdef/unit/other.service/token");
    assert_eq!((output.status.code(), &got[..]), (Some(0), SECRET), "{output:?}");
    for (uid, address, words) in [
        (65534, "0123456789abcdef/unit/other.service/token", "whoever asks is not root"),
        (0, "", "whoever asks"),
        (0, "0123456789abcdef/unit/own.service/../token", "does not name a unit and a credential"),
        (0, "0123456789abcdef/unit/../token", "does not name a unit and a credential"),
        (0, "0123456789abcdef/unit/other.service/.token", "does not name a unit and a credential"),
    ] {
        let (output, got) = asked(&sealed, uid, address);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), got), (Some(12), vec![0; 1024 * 1024 + 1]), "{address}: {complaint}");
        assert!(complaint.contains(words), "{address}: {complaint}");
    }
    // Nor is a terminal, a file or a pipe.
    let complaint = sealed.home.fails(&["unseal", "--tcti", &sealed.tpm.tcti(), "--credential", "credentials"], 12);
    assert!(complaint.contains("not a connection of systemd's"), "{complaint}");
}
