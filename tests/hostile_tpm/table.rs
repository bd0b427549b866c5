//! The matrix, to be looked at.

use super::harm::HARMS;
use std::fmt::Write;

/// How one cell ended.
#[derive(Clone)]
pub struct Cell {
    /// The program's exit status; `None` where the harm makes no difference.
    pub status: Option<i32>,
    /// What should not have been.
    pub wrong: Option<String>,
}

/// A row for each TPM command, a column for each harm, in each cell the exit status. What is wrong is in brackets.
pub fn table(command: &str, codes: &[u32], cells: &[Vec<Cell>]) -> String {
    let mut text = format!("\n{command}: exit status by TPM command and harm\n\n");
    // The names of the columns stand upright.
    let height = HARMS.iter().map(|harm| harm.name.len()).max().unwrap_or(0);
    for line in 0..height {
        let letters = HARMS.iter().map(|harm| {
            let above = height - harm.name.len();
            let letter = line.checked_sub(above).and_then(|at| harm.name.as_bytes().get(at));
            format!("  {} ", letter.map_or(' ', |letter| char::from(*letter)))
        });
        let _ = writeln!(text, "{:26}{}", "", letters.collect::<String>().trim_end());
    }
    for (at, (code, row)) in codes.iter().zip(cells).enumerate() {
        let statuses = row.iter().map(|cell| match (cell.status, &cell.wrong) {
            (None, _) => "  · ".to_owned(),
            (Some(status), None) => format!(" {status:>2} "),
            (Some(status), Some(_)) => format!("[{status:>2}]"),
        });
        let _ = writeln!(text, "{at:>3} {:22}{}", name(*code), statuses.collect::<String>().trim_end());
    }
    text
}

/// What the specification calls a command, as far as the program sends it.
fn name(code: u32) -> String {
    let name = match code {
        0x120 => "EvictControl",
        0x122 => "NV_UndefineSpace",
        0x129 => "HierarchyChangeAuth",
        0x12a => "NV_DefineSpace",
        0x12e => "SetPrimaryPolicy",
        0x131 => "CreatePrimary",
        0x137 => "NV_Write",
        0x13a => "DA_Parameters",
        0x13c => "PCR_Event",
        0x145 => "Shutdown",
        0x149 => "PolicyNV",
        0x14e => "NV_Read",
        0x156 => "Import",
        0x157 => "Load",
        0x165 => "FlushContext",
        0x167 => "LoadExternal",
        0x169 => "NV_ReadPublic",
        0x16a => "PolicyAuthorize",
        0x173 => "ReadPublic",
        0x176 => "StartAuthSession",
        0x177 => "VerifySignature",
        0x17a => "GetCapability",
        0x17b => "GetRandom",
        0x17e => "PCR_Read",
        0x17f => "PolicyPCR",
        0x180 => "PolicyRestart",
        _ => return format!("{code:#x}"),
    };
    name.to_owned()
}
