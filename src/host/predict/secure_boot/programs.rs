//! What lets drivers and programs through.

use super::{Change, PCR, as_logged, logged_lists};
use crate::{
    host::{
        eventlog::read::LoggedEvent,
        image::authenticode::GoodSignature,
        predict::{
            logged_boot::{self, SECURE_BOOT_STATE, StartedProgram, Starter},
            next_boot::PredictedEvent,
            plan::Choice,
            sbat,
            shim::Vendor,
            update::StartedImage,
            verifier::{self, ShimDatabase},
        },
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, SECURITY_DATABASE, SHIM_LOCK, Variable},
        },
    },
    measure::{
        event::{Event, EventType},
        variable::VariableData,
    },
};

/// Where shim looks for what lets a program through, beside the firmware's db.
const VENDOR_DB: Variable<'_> = Variable { name: "vendor_db", vendor: SECURITY_DATABASE };
const MOK_LIST_RT: Variable<'_> = Variable { name: "MokListRT", vendor: SHIM_LOCK };
const MOK_LIST: Variable<'_> = Variable { name: "MokList", vendor: SHIM_LOCK };
const BUILT_IN: Variable<'_> = Variable { name: "Shim", vendor: SHIM_LOCK };
/// Entries of db that one image may be verified with, of which more than one is told.
const MAX_ENTRIES: usize = 3;

impl<'m> Change<'_, 'm> {
    /// What lets drivers and programs through.
    pub(super) fn programs(&mut self) -> Result<(), String> {
        let log = self.before.log;
        let is_authority = |logged: &&LoggedEvent<'_>| {
            logged.event.pcr == SECURE_BOOT_STATE
                && logged.event.kind == EventType::EFI_VARIABLE_AUTHORITY
                && !logged_boot::is_state_of_shim(&logged.event)
        };
        let authorities = log.events.iter().filter(is_authority);
        if !self.secure_boot {
            if self.boot.secure_boot {
                authorities.for_each(|logged| self.plan.remove(logged.number));
            }
            return Ok(());
        }
        let is_driver = |logged: &LoggedEvent<'_>| {
            [EventType::EFI_BOOT_SERVICES_DRIVER, EventType::EFI_RUNTIME_SERVICES_DRIVER].contains(&logged.event.kind)
        };
        if !self.boot.secure_boot && log.events.iter().any(is_driver) {
            return Err("devices bring drivers, and what lets them through is not known".into());
        }
        if !self.boot.secure_boot && self.boot.programs.is_empty() {
            return Err("the log does not say what is started".into());
        }
        let mut measured: Vec<(Starter, Vec<u8>)> = Vec::new();
        let ready = self.boot.ready;
        for logged in authorities.filter(|logged| logged.number <= ready) {
            self.stays(logged, "a driver")?;
            measured.push((Starter::Firmware, logged.event.data.to_vec()));
        }
        // What systemd-stub has within the image is verified with it.
        let last = self.boot.image.filter(|_| self.boot.kernel_apart).map_or(usize::MAX, |at| at + 1);
        for (at, program) in self.boot.programs.clone().iter().take(last).enumerate() {
            let new = match () {
                () if Some(at) == self.boot.image && self.image.is_some() => self.image,
                () if Some(at) == self.boot.shim => self.shim.map(|(_, image)| image),
                () => None,
            };
            if let Some(image) = new.filter(|_| program.starter == Starter::Shim || Some(at) == self.boot.shim) {
                self.look_into_sbat(image, if Some(at) == self.boot.shim { "itself" } else { "the new image" });
            }
            let authority = match program.starter {
                Starter::Firmware => self.by_firmware(program, new, &measured)?,
                Starter::Shim => self.by_shim(program, new, &measured)?,
            };
            measured.extend(authority.map(|data| (program.starter, data)));
        }
        if self.image.is_some() && self.boot.image.is_none() {
            return Err("the log does not say what lets an image through".into());
        }
        Ok(())
    }

    /// That a logged authority has not been taken away.
    fn stays(&mut self, logged: &LoggedEvent<'_>, what: &str) -> Result<(), String> {
        let data = VariableData::parse(logged.event.data).ok_or("an authority in the log cannot be understood")?;
        let mut entries = self.will_be.db.iter().flat_map(|list| &list.signatures);
        if !entries.any(|entry| entry.to_bytes() == data.contents) {
            return Err(format!("db has lost what had let {what} through"));
        }
        self.look_into_dbx(Starter::Firmware, &image_of(&logged.event, None), what);
        Ok(())
    }

    /// Says so where dbx forbids what it did not forbid before.
    fn look_into_dbx(&mut self, starter: Starter, image: &StartedImage, what: &str) {
        let refusal = match starter {
            Starter::Firmware => verifier::refusal,
            Starter::Shim => verifier::refusal_of_shim,
        };
        let was = refusal(image, &logged_lists(self.before, DBX));
        if let Some(why) = refusal(image, &self.will_be.dbx).filter(|_| was.is_none()) {
            self.plan.is_obstructed(format!("{what} would not be started: {why}"));
        }
    }

    /// Says so where shim's SBAT level forbids a program. What is in the log says nothing of that.
    fn look_into_sbat(&mut self, image: &StartedImage, what: &str) {
        let Some(section) = &image.sbat else { return };
        for (level, condition) in &self.sbat_levels {
            if let Some(why) = sbat::refusal(section, level) {
                let condition = condition.map(|condition| format!("{condition}, ")).unwrap_or_default();
                self.plan.is_obstructed(format!("{condition}shim would not start {what}: {why}"));
            }
        }
    }

    /// What the firmware measures of a program.
    fn by_firmware(
        &mut self,
        program: &StartedProgram,
        new: Option<&StartedImage>,
        measured: &[(Starter, Vec<u8>)],
    ) -> Result<Option<Vec<u8>>, String> {
        let logged = self.authority(program);
        let Some(image) = new else {
            let Some(logged) = logged else { return self.unmeasured(program) };
            self.stays(logged, "what the firmware starts")?;
            let image = image_of(&logged.event, self.program(program));
            self.look_into_dbx(Starter::Firmware, &image, "what the firmware starts");
            return Ok(Some(logged.event.data.to_vec()));
        };
        self.look_into_dbx(Starter::Firmware, image, "the new image");
        let found = verifier::of_firmware(image, &self.will_be.db);
        if let Some(why) = found.first().and_then(|entry| verifier::refusal_of(entry, &self.will_be.dbx)) {
            self.plan.is_obstructed(format!("the new image would not be started: {why}"));
        }
        let Some(first) = found.first() else {
            self.plan.is_obstructed("the firmware would not start the new image: nothing in db has signed it".into());
            return Ok(None);
        };
        let first = first.variable.data(&first.contents);
        let once = measured.iter().any(|(starter, data)| *starter == Starter::Firmware && *data == first);
        let mut choices = Vec::new();
        if once {
            choices.push(Choice::default().when("if the firmware measures once what lets several things through"));
        }
        for (at, authority) in found.iter().take(MAX_ENTRIES).enumerate() {
            let data = authority.variable.data(&authority.contents);
            let choice = self.choice(program, logged, data)?;
            choices.push(match (at, once, found.len()) {
                (0, true, _) => choice.when("if the firmware measures each time what lets something through"),
                (0, false, 1) => choice,
                (0, false, _) => choice.when("if the firmware takes the first entry of db that fits"),
                _ => choice.when("if the firmware takes another entry of db that fits as well"),
            });
        }
        self.put(program, choices);
        Ok(Some(first))
    }

    /// What shim measures of a program.
    fn by_shim(
        &mut self,
        program: &StartedProgram,
        new: Option<&StartedImage>,
        measured: &[(Starter, Vec<u8>)],
    ) -> Result<Option<Vec<u8>>, String> {
        let logged = self.authority(program);
        let known = match (new, logged) {
            (Some(image), _) => image.clone(),
            (None, Some(logged)) => image_of(&logged.event, self.program(program)),
            (None, None) => return self.unmeasured(program),
        };
        self.look_into_dbx(Starter::Shim, &known, "what shim starts");
        let authority = verifier::of_shim(&known, &self.shim_databases(logged, &self.will_be.db));
        if let (None, None, None, Some(logged)) = (new, self.shim, self.mok_list, logged) {
            // Older shims look in another order; what stays as it was for one that is known stays for all.
            let before = verifier::of_shim(&known, &self.shim_databases(Some(logged), &logged_lists(self.before, DB)));
            if authority == before {
                return Ok(Some(logged.event.data.to_vec()));
            }
        }
        let Some(authority) = authority else {
            if self.shim.is_some() {
                self.plan.is_obstructed(
                    "the new shim would not start the image: it holds nothing that has signed it".into(),
                );
                return Ok(None);
            }
            return Err("what shim has built in is not in the log: give its file".into());
        };
        let data = authority.variable.data(&authority.contents);
        if measured.iter().any(|(starter, known)| *starter == Starter::Shim && *known == data) {
            self.put(program, vec![Choice::default()]);
        } else {
            let choice = self.choice(program, logged, data.clone())?;
            self.put(program, vec![choice]);
        }
        Ok(Some(data))
    }

    /// A program of which nothing was measured: it may have come through by what something before it had, or
    /// Secure Boot was off.
    fn unmeasured(&self, program: &StartedProgram) -> Result<Option<Vec<u8>>, String> {
        if self.boot.secure_boot {
            return Ok(None);
        }
        let file = if program.starter == Starter::Firmware { "what the firmware starts" } else { "what shim starts" };
        Err(format!("Secure Boot was off, and the log does not say what will let {file} through: give its file"))
    }

    /// Where shim looks, in its order.
    fn shim_databases(&self, logged: Option<&LoggedEvent<'_>>, db: &[SignatureList]) -> Vec<ShimDatabase> {
        let of = |variable, lists| ShimDatabase { variable, lists, bare: false };
        let mut databases = vec![of(DB, db.to_vec())];
        let owners = self.mok_list.map(<[SignatureList]>::to_vec);
        let built_in = |certificate: &[u8]| vec![SignatureList::x509(SHIM_LOCK, certificate.to_vec())];
        if let Some((shim, _)) = self.shim {
            let owners = owners.unwrap_or_default();
            match &shim.vendor {
                Vendor::Empty => databases.push(of(MOK_LIST_RT, owners)),
                Vendor::Db(lists) => databases.extend([of(VENDOR_DB, lists.clone()), of(MOK_LIST_RT, owners)]),
                Vendor::CertificateInMokList(certificate) => {
                    databases.push(of(MOK_LIST_RT, [built_in(certificate), owners].concat()));
                }
                Vendor::Certificate(certificate) => databases.extend([
                    of(MOK_LIST_RT, owners),
                    ShimDatabase { variable: BUILT_IN, lists: built_in(certificate), bare: true },
                ]),
            }
            return databases;
        }
        // What had let the program through is all that is known of what shim holds.
        let entry = logged.and_then(|logged| entry_of(&logged.event));
        let (front, back): (Vec<_>, Vec<_>) = entry.into_iter().partition(|database| !database.bare);
        let is_owners = |database: &ShimDatabase| [MOK_LIST_RT, MOK_LIST].contains(&database.variable);
        databases.extend(front.into_iter().filter(|database| owners.is_none() || !is_owners(database)));
        let live = || {
            let contents = self.before.variables?.get(MOK_LIST_RT)?;
            signature_list::parse(contents).ok()
        };
        databases.extend(owners.or_else(live).map(|lists| of(MOK_LIST_RT, lists)));
        databases.extend(back);
        databases
    }

    /// The event of what had let a program through.
    fn authority(&self, program: &StartedProgram) -> Option<&'m LoggedEvent<'m>> {
        self.logged(*program.authorities.first()?)
    }

    /// The event of the program itself.
    fn program(&self, program: &StartedProgram) -> Option<&'m LoggedEvent<'m>> {
        self.logged(program.event?)
    }

    fn logged(&self, number: usize) -> Option<&'m LoggedEvent<'m>> {
        self.before.log.events.iter().find(|logged| logged.number == number)
    }

    /// That this lets a program through, as often as it was measured.
    fn choice(
        &self,
        program: &StartedProgram,
        logged: Option<&LoggedEvent<'_>>,
        data: Vec<u8>,
    ) -> Result<Choice, String> {
        let event = match logged {
            Some(logged) if logged.event.data == data => as_logged(logged),
            Some(logged) => self.changed(logged, data, "something else lets the image through".into())?,
            None => {
                let event = self.plan.measured(SECURE_BOOT_STATE, EventType::EFI_VARIABLE_AUTHORITY, data);
                let change = Some("what lets the image through is measured".to_owned());
                PredictedEvent { number: None, event, change }
            }
        };
        Ok(Choice { events: vec![event; program.authorities.len().max(1)], condition: None })
    }

    /// Puts the possibilities where what lets a program through is measured.
    fn put(&mut self, program: &StartedProgram, choices: Vec<Choice>) {
        match program.authorities.split_first() {
            Some((first, others)) => {
                self.plan.replace(*first, choices);
                others.iter().for_each(|other| self.plan.remove(*other));
            }
            None if choices.iter().all(|choice| choice.events.is_empty()) => {}
            None => self.plan.insert_before(program.event, PCR, choices),
        }
    }
}

/// What the log knows of an image: who has vouched for it, and its digests.
fn image_of(authority: &Event<&[u8]>, program: Option<&LoggedEvent<'_>>) -> StartedImage {
    let entry = entry_of(authority);
    let certificates = entry.iter().flat_map(|database| &database.lists).flat_map(|list| &list.signatures);
    let signatures = certificates.filter_map(|signature| GoodSignature::by(&signature.data).ok()).collect();
    let digests = program.map(|logged| logged.event.digests.clone()).unwrap_or_default();
    StartedImage { digests, signatures, ..StartedImage::default() }
}

/// The entry that a logged authority is, as a database of its own.
fn entry_of(authority: &Event<&[u8]>) -> Option<ShimDatabase> {
    let data = VariableData::parse(authority.data)?;
    let known = [DB, VENDOR_DB, MOK_LIST_RT, MOK_LIST, BUILT_IN];
    let variable = known
        .into_iter()
        .find(|variable| variable.name == data.name && *data.vendor == variable.vendor.to_bytes_le())?;
    let bare = variable == BUILT_IN;
    let (owner, contents) = if bare {
        ([0; 16], data.contents)
    } else {
        data.contents.split_first_chunk::<16>().map(|(owner, rest)| (*owner, rest))?
    };
    let owner = uuid::Uuid::from_bytes_le(owner);
    let list = match contents.try_into() {
        Ok(hash) => SignatureList::sha256(owner, &[hash]),
        Err(_) => SignatureList::x509(owner, contents.to_vec()),
    };
    Some(ShimDatabase { variable, lists: vec![list], bare })
}
