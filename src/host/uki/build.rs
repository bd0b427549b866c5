//! An image is built and signed, and what its boot will measure is predicted.

use super::{
    additions, cmdline,
    ingredients::{Ingredients, in_file},
    inspect, kernel,
    measured::{self, Measured},
    pcrs, stub,
};
use crate::{
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::Output,
            data::{Input, MAX_IMAGE},
            interrupt,
        },
        image::{
            authenticode::{self, Signer},
            pe::Image,
        },
        keyset::{Keyset, Role},
        pki::{credentials::Credentials, key::Hash},
        predict::{self, databases::Chain, profile::Machine},
    },
    measure::bank::Bank,
    policy::boot_kind::BootKind,
};
use std::path::{Path, PathBuf};

/// Everybody may read an image: all of it lies on an open partition.
const IMAGE: u32 = 0o644;

/// What is to be built, and for which machines.
pub struct Recipe {
    /// Whose image it is.
    pub keyset: Keyset,
    /// As the owner calls the keyset, for commands in messages.
    pub keyset_name: String,
    /// What the image may do.
    pub kind: BootKind,
    /// What it is made of.
    pub ingredients: Ingredients,
    /// Whether the program goes into the initrd, and which one if not that which came with this one.
    pub program: Option<Option<PathBuf>>,
    /// Who signs it.
    pub signer: By,
    /// Whether the kernel within is signed too, in the place of whoever has signed it: a running kernel that is locked down
    /// starts no other by kexec.
    pub sign_kernel: bool,
    /// What the machines of the keyset are like.
    pub machine: Machine,
    /// The file of their shim, if it is given.
    pub shim: Option<PathBuf>,
}

/// Who signs an image.
pub enum By {
    /// The keyset's key for images of this kind.
    Keyset,
    /// Another key.
    Other(Box<Credentials>),
    /// Not signed yet.
    Unsigned,
}

/// What has been built.
#[derive(Debug)]
pub struct Built {
    /// In bytes.
    pub size: usize,
    /// PCRs that can be predicted, in the sha256 bank, in their order.
    pub pcrs: Vec<(u32, Digest)>,
    /// What the owner should know about it.
    pub remarks: Vec<Remark>,
}

/// What an owner should know about an image, a sentence.
#[derive(Debug)]
pub enum Remark {
    /// No reason for alarm.
    Note(String),
    /// What may turn out to be wrong.
    Warning(String),
}

impl Recipe {
    /// Builds the image, all of it or nothing.
    ///
    /// # Errors
    /// Those of the keyset, of reading and writing, and of signing; [`Kind::Usage`] for what no boot could use, and for an
    /// image that would read secrets under an unsigned command line.
    pub fn build(&self, to: &Path) -> Result<Built> {
        self.demand_command_line()?;
        let keysets;
        let signer = match &self.signer {
            By::Unsigned => None,
            By::Other(credentials) => Some(&**credentials),
            By::Keyset => {
                keysets = self.credentials()?;
                Some(&keysets)
            }
        };
        let mut remarks = Vec::new();
        let pcr7 = self.pcr7(signer, &mut remarks)?;

        let kernel = self.ingredients.open_kernel()?;
        let kernel = kernel::parse(&kernel).map_err(|e| e.within(in_file(&self.ingredients.kernel)))?;
        let signed = signer.filter(|_| self.sign_kernel).map(|signer| sign_kernel(&kernel, signer, to)).transpose()?;
        let kernel = signed.as_ref().map_or(Ok(kernel), |signed| kernel::parse(signed.data()))?;
        let machine = kernel.headers().machine;
        let program = self.program.as_ref().map(|given| additions::program(given.as_deref(), machine)).transpose()?;
        let additions = additions::archive(&self.keyset, program)?;
        interrupt::defer();
        let mut output = Output::begin(to, IMAGE)?;
        let doubts = self.ingredients.assemble(&kernel, &additions, &mut output)?;

        // Read once: signed, and measured meanwhile.
        let mut measured = sections(&Image::parse(output.data())?, &mut remarks)?;
        let see = |at: usize, bytes: &[u8]| measured.iter_mut().flatten().for_each(|section| section.see(at, bytes));
        let digest = match signer {
            Some(Credentials { key, certificate }) => {
                let signer = Signer { key, certificate, intermediates: &[] };
                authenticode::sign(&mut output, &[], signer, Hash::Sha256, see)?
            }
            None => authenticode::digest_and(&Image::parse(output.data())?, Hash::Sha256, see)?,
        };
        let pcr11 = measured.map(|sections| pcrs::pcr11(&sections, Bank::Sha256).value().to_vec());
        let pcrs = [(4, self.pcr4(digest, &mut remarks)?), (7, pcr7.map(Vec::from)), (11, pcr11)];

        if let Some(pcr7) = &pcr7 {
            remarks.extend(self.unknown_to_keyset(&additions, pcr7)?);
        }
        if self.kind.reads_secrets() {
            remarks.extend(doubts.into_iter().map(Remark::Warning));
        } else {
            let line = self.ingredients.cmdline.as_deref().unwrap_or_default();
            remarks.extend(cmdline::is_mute(line).map(Remark::Warning));
        }
        let size = output.data().len();
        interrupt::check()?;
        output.finish()?;
        let pcrs = pcrs.into_iter().filter_map(|(index, value)| Some((index, value?.try_into().ok()?)));
        Ok(Built { size, pcrs: pcrs.collect(), remarks })
    }

    /// Where the image has no command line, the stub takes the unsigned one of the boot menu.
    fn demand_command_line(&self) -> Result<()> {
        if self.ingredients.cmdline.is_none() && self.kind.reads_secrets() {
            let why = "it has no command line, and the unsigned one of the boot menu would take its place";
            return Err(Error::new(Kind::Usage, "build an image that may read secrets", why).remedy(
                "give one, such as --cmdline 'console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30 noresume \
                 systemd.import_credentials=no systemd.gpt_auto=0 rdinit=/usr/bin/trust -- init --end'",
            ));
        }
        Ok(())
    }

    /// The keyset's own.
    fn credentials(&self) -> Result<Credentials> {
        if self.keyset.has_key(Role::of_images(self.kind)) {
            return self.keyset.credentials(Role::of_images(self.kind));
        }
        let (role, name) = (Role::of_images(self.kind).dir(), &self.keyset_name);
        let why = format!("keyset {name:?} has no private key {role} here");
        Err(Error::new(Kind::Usage, "sign the image", why).remedy(format!(
            "build it with --unsigned, and sign it where the key is: trust sign efi IMAGE --key {role}/privkey.pem \
             --cert {role}/cert.pem --output SIGNED; or have the keyset name a token: trust keyset use-key {name} \
             {role} pkcs11:…"
        )))
    }

    /// What the machines of the keyset measure, if it is its certificate that vouches for the image.
    fn pcr7(&self, signer: Option<&Credentials>, remarks: &mut Vec<Remark>) -> Result<Option<Digest>> {
        let prediction = predict::pcr7(&self.keyset, &self.machine)?;
        let own = self.keyset.certificate(Role::of_images(self.kind))?;
        if signer.is_some_and(|signer| signer.certificate != own) {
            let why = "--cert is not the keyset's certificate: PCR 7 cannot be predicted";
            remarks.push(Remark::Warning(why.to_owned()));
            return Ok(None);
        }
        Ok(Some(prediction.values().of(self.kind)))
    }

    /// PCR 4 when an image of this digest is started.
    fn pcr4(&self, image: Vec<u8>, remarks: &mut Vec<Remark>) -> Result<Option<Vec<u8>>> {
        let mut started = Vec::new();
        if self.machine.chain == Chain::Shim {
            let Some(shim) = &self.shim else {
                remarks.push(Remark::Note("without --shim PCR 4 cannot be predicted".to_owned()));
                return Ok(None);
            };
            let shim = Input::open(shim, MAX_IMAGE)?;
            started.push(authenticode::digest(&Image::parse(&shim)?, Hash::Sha256)?);
        }
        started.push(image);
        Ok(Some(pcrs::pcr4(&started, Bank::Sha256).value().to_vec()))
    }

    /// Says so if trust on the machine would not know this boot.
    fn unknown_to_keyset(&self, additions: &[u8], pcr7: &Digest) -> Result<Option<Remark>> {
        let known = inspect::look_into(additions)?.policies;
        if known.iter().any(|policy| policy.pcr7 == *pcr7 && policy.info.kind == self.kind.into()) {
            return Ok(None);
        }
        Ok(Some(Remark::Warning(format!(
            "the keyset has no policy for PCR 7 = {}: this boot will be allowed nothing; \
             sign one with `trust keyset pcr7data {}` and build the image again",
            hex(pcr7),
            self.keyset_name
        ))))
    }
}

/// The kernel with one signature: Linux takes the first for the only one, and refuses a file with several.
fn sign_kernel(kernel: &Image<'_>, signer: &Credentials, beside: &Path) -> Result<Output> {
    let mut output = Output::begin(beside, IMAGE)?;
    authenticode::copy_bare(kernel, &mut output)?;
    let signer = Signer { key: &signer.key, certificate: &signer.certificate, intermediates: &[] };
    authenticode::sign(&mut output, &[], signer, Hash::Sha256, |_, _| ()).map_err(|e| e.within("sign the kernel"))?;
    Ok(output)
}

/// What PCR 11 will be made of when the kernel starts, if the stub is systemd's.
fn sections(image: &Image<'_>, remarks: &mut Vec<Remark>) -> Result<Option<Vec<Measured>>> {
    let Some((_, version)) = stub::version(image)? else {
        let why = "the stub does not say that it is systemd's: PCR 11 cannot be predicted";
        remarks.push(Remark::Note(why.to_owned()));
        return Ok(None);
    };
    measured::sections(image, version, 0, &[Bank::Sha256]).map(Some)
}
