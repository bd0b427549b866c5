//! Keys and certificates: whether they exist, match, were issued by the right authority, and are valid.

use super::{Findings, RESTORE, counted};
use crate::host::{
    fs::atomic,
    keyset::{Keyset, KeysetItem, Place, Role, project, purpose::Purpose, show::Whereabouts},
    pki::{
        certificate, credentials,
        facts::{common_name, serial_number},
        key::{self, Library, PublicKey},
    },
};
use der::{DateTime, Encode};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use uuid::Uuid;
use x509_cert::Certificate;
use zeroize::Zeroizing;

/// What to do with a machine's certificate that is not what it should be.
const ADD_AGAIN: &str = "remove the machine's directory, and add the machine again: trust sudi add";
/// A certificate that expires within this time is reported.
const SOON: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Looks at the keys of the keyset, its projects and their machines.
pub fn check(keyset: &Keyset, findings: &mut Findings) {
    let mut look = KeyCheck {
        keyset,
        findings,
        kept: 0,
        tokens: 0,
        absent: Vec::new(),
        unasked: BTreeMap::new(),
        guids: BTreeMap::new(),
        keys: BTreeMap::new(),
    };
    for role in Role::ALL {
        look.role(role);
    }
    look.projects();
    look.sum_up();
}

/// The state of the walk through a keyset's keys.
struct KeyCheck<'a> {
    keyset: &'a Keyset,
    findings: &'a mut Findings,
    /// How many private keys are in files.
    kept: usize,
    /// How many are in tokens.
    tokens: usize,
    /// Where one is missed. Those of machines are not: they go with the machines.
    absent: Vec<PathBuf>,
    /// How many certificates could not be compared with these issuers, by their directories.
    unasked: BTreeMap<&'static str, usize>,
    guids: BTreeMap<Uuid, Role>,
    /// By public key, in DER.
    keys: BTreeMap<Vec<u8>, Role>,
}

/// What a certificate of the keyset is for.
const fn purpose(role: Role) -> Purpose {
    match role {
        Role::ManifestCa | Role::SudiCa => Purpose::Authority,
        Role::UefiPk => Purpose::PlatformKey,
        Role::UefiKek => Purpose::UpdateSigner,
        Role::UefiDb | Role::UkiProduction | Role::UkiLimited | Role::UkiTpm | Role::TpmpolAdmin | Role::TpmpolLuks => {
            Purpose::CodeSigner
        }
    }
}

/// The expected issuer of a certificate.
enum CheckedIssuer<'a> {
    Itself,
    /// The certificate, if it could be read, and its name.
    Role(Option<&'a Certificate>, &'static str),
}

impl KeyCheck<'_> {
    fn role(&mut self, role: Role) {
        let dir = Place::Role(role).path(self.keyset);
        if !dir.is_dir() {
            return self.findings.error(&dir, "is missing", RESTORE);
        }
        if let Some(found) = self.credentials(&dir) {
            self.another(&dir, &found, role);
            let pk = self.keyset.certificate(Role::UefiPk).ok();
            let issuer = match role {
                Role::UefiKek => CheckedIssuer::Role(pk.as_ref(), Role::UefiPk.dir()),
                _ => CheckedIssuer::Itself,
            };
            self.issued(&dir, &found, &issuer);
            self.purpose(&dir, &found, purpose(role));
        }
        self.miss_key(&dir);
        if role.has_guid() {
            self.guid(&dir, role);
        }
    }

    /// The certificate of a directory; is the key its own, and how long does it hold?
    fn credentials(&mut self, dir: &Path) -> Option<Certificate> {
        let path = dir.join(KeysetItem::PrivateKey.file());
        let whereabouts = Whereabouts::of(&path);
        self.kept += usize::from(matches!(whereabouts, Whereabouts::File | Whereabouts::Unreadable));
        self.tokens += usize::from(whereabouts == Whereabouts::Token);
        if whereabouts == Whereabouts::Token {
            self.library(dir, &path);
        }
        let found = match credentials::load_certificate(dir) {
            Ok(found) => found,
            Err(e) => {
                self.findings.failed(&dir.join(KeysetItem::Certificate.file()), &e);
                return None;
            }
        };
        if matches!(whereabouts, Whereabouts::File | Whereabouts::Unreadable) {
            match credentials::load_key(dir) {
                Ok(key) if certificate::is_for(&found, key.public()) => {}
                Ok(_) => self.findings.error(&path, "is not the key of the certificate beside it", RESTORE),
                Err(e) => self.findings.failed(&path, &e),
            }
        }
        self.validity(&dir.join(KeysetItem::Certificate.file()), &found);
        Some(found)
    }

    /// Whether a file that names a token says which library is to run.
    fn library(&mut self, dir: &Path, path: &Path) {
        let uri = match atomic::read(path).map(Zeroizing::new).and_then(|pem| key::uri_in(&pem)) {
            Ok(Some(uri)) => uri,
            Ok(None) => return,
            Err(e) => return self.findings.failed(path, &e),
        };
        let place = dir.strip_prefix(self.keyset.path()).unwrap_or(dir).display().to_string();
        let again = |uri: &str| format!("trust keyset use-key {} {place} '{uri}'", self.keyset.name());
        match key::library_of(&uri) {
            Library::Named => {}
            Library::Found(named) => {
                let what = "says by its path which library is to run, which only the command line may do";
                self.findings.warning(path, what, format!("write its name there: {}", again(&named)));
            }
            Library::Foreign => {
                let what = "names a library that is not one of the system's PKCS#11 modules, and that is not run";
                let remedy =
                    "find out who wrote it; if it is yours, install the module as /usr/local/lib/pkcs11/NAME.so";
                self.findings.error(path, what, format!("{remedy}, then {}", again("pkcs11:…?module-name=NAME")));
            }
        }
    }

    /// Whether each key is another: what one image may do, another would be able to.
    fn another(&mut self, dir: &Path, certificate: &Certificate, role: Role) {
        let key = certificate.tbs_certificate().subject_public_key_info().to_der().unwrap_or_default();
        if let Some(other) = self.keys.insert(key, role) {
            let what = format!("has the same key as {}, and so may do what that may", other.dir());
            self.findings.error(&dir.join(KeysetItem::Certificate.file()), what, RESTORE);
        }
    }

    fn miss_key(&mut self, dir: &Path) {
        let path = dir.join(KeysetItem::PrivateKey.file());
        if Whereabouts::of(&path) == Whereabouts::Absent {
            self.absent.push(path);
        }
    }

    fn validity(&mut self, path: &Path, certificate: &Certificate) {
        let Ok(now) = DateTime::from_system_time(SystemTime::now()) else {
            return;
        };
        let validity = certificate.tbs_certificate().validity();
        let (from, until) = (validity.not_before.to_date_time(), validity.not_after.to_date_time());
        if until < now {
            self.findings.error(path, format!("has expired: it was valid until {until}"), self.renewal(path));
        } else if until.unix_duration().saturating_sub(now.unix_duration()) < SOON {
            self.findings.warning(path, format!("expires soon: it is valid until {until}"), self.renewal(path));
        }
        if from > now {
            self.findings.warning(
                path,
                format!("is not valid before {from}"),
                "wait, or set the clock of this machine",
            );
        }
    }

    /// How to get another certificate in place of one.
    fn renewal(&self, path: &Path) -> &'static str {
        let path = path.strip_prefix(self.keyset.path()).unwrap_or(path);
        if path.components().count() == 5 { ADD_AGAIN } else { "make a new keyset, and have its keys enrolled" }
    }

    /// Whether the signature is that of the issuer.
    fn issued(&mut self, dir: &Path, certificate: &Certificate, by: &CheckedIssuer<'_>) {
        let path = dir.join(KeysetItem::Certificate.file());
        let (issuer, name) = match by {
            CheckedIssuer::Itself => (certificate, "its own key"),
            CheckedIssuer::Role(Some(issuer), name) => (*issuer, *name),
            CheckedIssuer::Role(None, name) => {
                *self.unasked.entry(name).or_default() += 1;
                return;
            }
        };
        match PublicKey::from_info(issuer.tbs_certificate().subject_public_key_info()) {
            Err(e) => self.findings.failed(&path, &e),
            Ok(key) if certificate::is_signed_by(certificate, &key) => {
                if certificate.tbs_certificate().issuer() != issuer.tbs_certificate().subject() {
                    self.findings.error(
                        &path,
                        format!("names another issuer than {name}, which has signed it"),
                        RESTORE,
                    );
                }
            }
            Ok(_) => self.findings.error(&path, format!("was not signed by {name}"), RESTORE),
        }
    }

    fn purpose(&mut self, dir: &Path, certificate: &Certificate, purpose: Purpose) {
        let path = dir.join(KeysetItem::Certificate.file());
        for what in purpose.complaints(certificate) {
            // A firmware checks neither, and older keysets lack them.
            if purpose.is_enforced() {
                let remedy = self.renewal(&path);
                self.findings.error(&path, what, remedy);
            } else {
                self.findings.warning(&path, what, "check whether its consumers accept that");
            }
        }
    }

    fn guid(&mut self, dir: &Path, role: Role) {
        let path = dir.join(KeysetItem::Guid.file());
        match self.keyset.guid(role) {
            Err(e) => self.findings.failed(&path, &e),
            Ok(guid) => {
                if let Some(other) = self.guids.insert(guid, role) {
                    let what = format!("is the GUID of {} too", other.dir());
                    self.findings.warning(&path, what, "give each its own, unless this is meant");
                }
            }
        }
    }

    fn projects(&mut self) {
        let dir = self.keyset.projects();
        if !dir.is_dir() {
            return self.findings.error(&dir, "is missing", RESTORE);
        }
        let authorities = [Role::ManifestCa, Role::SudiCa].map(|role| self.keyset.certificate(role).ok());
        match project::list(self.keyset) {
            Ok(names) => names.iter().for_each(|name| self.project(name, &authorities)),
            Err(e) => self.findings.failed(&dir, &e),
        }
    }

    fn project(&mut self, name: &str, [manifest_ca, sudi_ca]: &[Option<Certificate>; 2]) {
        let dir = Place::Project(name.to_owned()).path(self.keyset);
        if !dir.is_dir() {
            return;
        }
        let product = match project::product(&dir) {
            Ok(product) => Some(product),
            Err(e) => {
                self.findings.failed(&dir.join(KeysetItem::Uuid.file()), &e);
                None
            }
        };
        if let Some(found) = self.credentials(&dir) {
            self.issued(&dir, &found, &CheckedIssuer::Role(manifest_ca.as_ref(), Role::ManifestCa.dir()));
            self.purpose(&dir, &found, Purpose::Manifest);
            let subject = common_name(found.tbs_certificate().subject());
            if let Some(product) = product
                && subject != format!("manifest PRODUCT:{product}")
            {
                let what = format!("its commonName is {subject:?}, but the product is {product}");
                self.findings.error(&dir.join(KeysetItem::Certificate.file()), what, RESTORE);
            }
        }
        self.miss_key(&dir);
        match project::machines(self.keyset, name) {
            Ok(serials) => {
                let keyless = serials.iter().filter(|serial| !self.machine(name, serial, product, sudi_ca.as_ref()));
                let keyless = keyless.count();
                if keyless > 0 {
                    self.findings
                        .note(&dir.join("sudi"), format!("{} without private key", counted(keyless, "machine")));
                }
            }
            Err(e) => self.findings.failed(&dir.join("sudi"), &e),
        }
    }

    /// Whether a machine has its private key, or nothing at all.
    fn machine(&mut self, project: &str, serial: &str, product: Option<Uuid>, sudi_ca: Option<&Certificate>) -> bool {
        let dir = Place::Machine(project.to_owned(), serial.to_owned()).path(self.keyset);
        let Some(found) = self.credentials(&dir) else {
            return true;
        };
        self.issued(&dir, &found, &CheckedIssuer::Role(sudi_ca, Role::SudiCa.dir()));
        self.purpose(&dir, &found, Purpose::Sudi);
        let subject = found.tbs_certificate().subject();
        let (name, number) = (common_name(subject), serial_number(subject));
        let expected = product.map(|product| format!("PID:{product} SN:{serial}"));
        let path = dir.join(KeysetItem::Certificate.file());
        if name != serial || !number.ends_with(&format!(" SN:{serial}")) {
            let what = format!("is for {name:?} with serialNumber {number:?}, which is another machine");
            self.findings.error(&path, what, ADD_AGAIN);
        } else if let Some(expected) = expected.filter(|expected| number != *expected) {
            let what = format!("is for another product than {}", expected.split(' ').next().unwrap_or_default());
            self.findings.error(&path, what, format!("restore uuid from a backup if that is wrong; else {ADD_AGAIN}"));
        }
        Whereabouts::of(&dir.join(KeysetItem::PrivateKey.file())) != Whereabouts::Absent
    }

    /// What private keys are not here.
    fn sum_up(&mut self) {
        let root = self.keyset.path();
        for (name, count) in &self.unasked {
            let what = format!("{} from it not compared with it", counted(*count, "certificate"));
            self.findings.follows(&root.join(name), &what);
        }
        if !self.absent.is_empty() && self.kept == 0 && self.tokens == 0 {
            return self
                .findings
                .note(root, "holds no private key: none was compared, and what needs one is signed elsewhere, where it is, or by a token that the keyset names (trust keyset use-key)");
        }
        for path in &self.absent {
            let remedy = "restore it from a backup, unless it is kept elsewhere";
            self.findings.warning(path, "is missing: what it signs cannot be made here", remedy);
        }
        if self.tokens > 0 {
            let what = format!("{} in tokens: not compared with the certificates", counted(self.tokens, "private key"));
            self.findings.note(root, what);
        }
    }
}
