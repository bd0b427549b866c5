//! Power cuts, told by the commands of a TPM.

use crate::{Action, Interposer, PowerSwitch};

/// When the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the TPM gets the command.
    Before,
    /// When it has carried it out: its response is lost.
    After,
}

impl Interposer {
    /// The power goes at one of the commands from now on: at the n-th, counted from 0, of those whose codes `counts` is true of.
    pub fn cut_power(
        &self,
        power: &PowerSwitch,
        at: usize,
        when: Cut,
        counts: impl Fn(u32) -> bool + Clone + Send + 'static,
    ) {
        let (mut sent, mut answered) = (0, 0);
        let (switch, counted) = (power.clone(), counts.clone());
        self.on_command(move |command| {
            let is_counted = counted(command.code());
            sent += usize::from(is_counted);
            if when == Cut::Before && is_counted && sent == at + 1 {
                switch.off();
                return Action::Close;
            }
            Action::Forward
        });
        let switch = power.clone();
        self.on_response(move |command, response| {
            let is_counted = counts(command.code());
            answered += usize::from(is_counted);
            if when == Cut::After && is_counted && answered == at + 1 {
                switch.off();
                return Action::Close;
            }
            Action::Reply(response.0)
        });
    }
}
