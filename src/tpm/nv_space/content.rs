//! What an index holds, read and written: whole, or said not to be.

use super::{
    NvForm, NvKey, NvRead, NvSpace,
    entrance::{Deed, Entrance},
    failure::{WRITE_AGAIN, named},
};
use crate::{
    error::{Kind, Result},
    secret::Secret,
    tpm::{
        connection::Tpm,
        nv::{Access, Nv},
        nv_content::{self, HEADER, NvContent},
    },
    tpm2::nv::{attribute, kind},
};

impl NvSpace<'_> {
    /// Reads an index: its content where it has our header, and where it has none, or `form` is raw, all of it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is none, or it is empty; [`Kind::Corrupt`]: it was not written to its end, or has been changed;
    /// [`Kind::Refused`]: not with this password or policy.
    pub fn read(&mut self, index: u32, form: NvForm, key: NvKey<'_>) -> Result<NvRead> {
        const WHAT: &str = "read index";
        let nv = self.find(WHAT, index)?;
        if !nv.is_written() {
            return Err(self.never_written(WHAT, index));
        }
        let entrance = self.entrance(&nv, Deed::Read, key)?;
        let access = entrance.access;
        let read = self.tpm.read_nv(&nv, access, &mut |tpm| entrance.authorize(tpm));
        let read = read.map_err(|error| self.explained(WHAT, index, Some(access), error));
        self.expect_power_cut(&nv, access);
        let bytes = read?;
        if form == NvForm::Raw {
            return Ok(NvRead { content: bytes, form });
        }
        let corrupt = |why| named(Kind::Corrupt, WHAT, index, why).remedy(WRITE_AGAIN);
        match nv_content::open(bytes)? {
            NvContent::Whole(content) => Ok(NvRead { content, form }),
            NvContent::Bare(content) => Ok(NvRead { content, form: NvForm::Raw }),
            NvContent::Unfinished => {
                Err(corrupt("it is incomplete: while it was written the power failed, or the program was ended"))
            }
            NvContent::Damaged => Err(corrupt("its content is not what its header says")),
        }
    }

    /// Writes a content, in place of the one that is there. In one command, where the TPM takes it in one; else the index
    /// is said to be unfinished first, and whole in the end.
    ///
    /// # Errors
    /// As [`Self::read`]; and [`Kind::Usage`]: it does not fit, or would replace what another program keeps there.
    pub fn write(&mut self, index: u32, content: &Secret, form: NvForm, key: NvKey<'_>) -> Result<()> {
        let nv = self.find("write index", index)?;
        self.write_nv(&nv, content, form, key)
    }

    pub(super) fn write_nv(&mut self, nv: &Nv, content: &Secret, form: NvForm, key: NvKey<'_>) -> Result<()> {
        const WHAT: &str = "write index";
        let index = nv.public.index;
        let refuse = |why: String| named(Kind::Usage, WHAT, index, &why);
        if kind(nv.public.attributes) != "ordinary" {
            let why = format!("it is of the type {}, which has no content to write", kind(nv.public.attributes));
            return Err(refuse(why).remedy("use tpm2_nvincrement, tpm2_nvsetbits or tpm2_nvextend"));
        }
        let (needed, size) = (form.index_size(content.len()), usize::from(nv.public.size));
        if needed > size {
            let why = format!("it has {size} bytes, and {needed} are needed");
            return Err(refuse(why).remedy("define a larger one, and remove this one when it is written"));
        }
        let entrance = self.entrance(nv, Deed::Write, key)?;
        let access = entrance.access;
        let written = if form == NvForm::Raw {
            self.write_at(nv, content.expose(), 0, &entrance)
        } else {
            self.refuse_foreign_content(nv, access)?;
            self.write_framed(nv, content, &entrance)
        };
        let written = written.map_err(|error| self.explained(WHAT, index, Some(access), error));
        self.expect_power_cut(nv, access);
        written
    }

    fn write_framed(&mut self, nv: &Nv, content: &Secret, by: &Entrance<'_>) -> Result<()> {
        let framed = nv_content::framed(content)?;
        if framed.len() <= usize::from(self.tpm.chunk(framed.len())?) {
            return self.write_at(nv, framed.expose(), 0, by);
        }
        let (header, content) = framed.expose().split_at(usize::from(HEADER));
        self.write_at(nv, &nv_content::unfinished(), 0, by)?;
        self.write_at(nv, content, HEADER, by)?;
        self.write_at(nv, header, 0, by)
    }

    /// Writes `data` from an offset on.
    fn write_at(&mut self, nv: &Nv, data: &[u8], offset: u16, by: &Entrance<'_>) -> Result<()> {
        let chunk = self.tpm.chunk(data.len())?;
        let mut offset = offset;
        for part in data.chunks(usize::from(chunk)) {
            let write = |tpm: &mut Tpm| tpm.write_nv_chunk(nv, part, offset, by.access);
            self.tpm.authorized(by.access, &mut |tpm| by.authorize(tpm), write)?;
            offset = offset.saturating_add(u16::try_from(part.len()).unwrap_or(chunk));
        }
        Ok(())
    }

    /// Refuses to put our header where another program's content is, as far as whoever writes may read.
    fn refuse_foreign_content(&mut self, nv: &Nv, access: Access) -> Result<()> {
        let readable = match access {
            Access::Owner(_) => attribute::OWNERREAD,
            Access::Index(_) => attribute::AUTHREAD,
            _ => return Ok(()),
        };
        if !nv.is_written() || nv.public.attributes & readable == 0 {
            return Ok(());
        }
        let start = self.tpm.read_nv_chunk(nv, nv.public.size.min(HEADER), 0, access);
        let start = start.map_err(|error| self.explained("read index", nv.public.index, Some(access), error))?;
        if nv_content::is_framed(&start) {
            return Ok(());
        }
        let why = "it holds what another program has written, without a header";
        Err(named(Kind::Usage, "write index", nv.public.index, why).remedy("give --raw to write as that program does"))
    }
}
