//! What an event means, in words. Bounded and printable, whatever its data are.

mod boot;
mod device_path;
mod grub_and_stub;
mod no_action;
mod partitions;
mod platform;
pub mod records;
mod tagged;
pub mod text;
mod variables;
mod windows;

use crate::measure::event::{Event, EventType};

/// Characters of a meaning.
pub const MAX_WORDS: usize = 400;

/// What the event says, in words; of one that nobody knows, what can be said of its data.
#[must_use]
pub fn meaning(event: &Event<&[u8]>) -> String {
    let known = of_kind(event);
    text::bounded(&known.unwrap_or_else(|| text::of_any(event.data)), MAX_WORDS)
}

/// What the header of a log says.
#[must_use]
pub fn of_header(data: &[u8]) -> String {
    let known = no_action::meaning(data);
    text::bounded(&known.unwrap_or_else(|| text::of_any(data)), MAX_WORDS)
}

/// Any text from outside as meanings are: on one line, printable, not longer than they are.
#[must_use]
pub fn bounded(text: &str) -> String {
    text::bounded(text, MAX_WORDS)
}

/// The name of the file that an event says was started, if it does.
#[must_use]
pub fn file_name(event: &Event<&[u8]>) -> Option<String> {
    let path = platform::image_path(event.data)?;
    let name = path.rsplit(['\\', '/']).next().filter(|name| !name.is_empty())?;
    Some(text::bounded(name, MAX_WORDS))
}

/// Whether the variable of an event names who has vouched for a program, and is not a setting.
#[must_use]
pub fn names_an_authority(event: &Event<&[u8]>) -> bool {
    variables::is_authority(event.data)
}

fn of_kind(event: &Event<&[u8]>) -> Option<String> {
    use EventType as T;
    let data = event.data;
    match event.kind {
        T::NO_ACTION if event.pcr == u32::MAX => windows::meaning(data),
        T::NO_ACTION => no_action::meaning(data),
        T::SEPARATOR => Some(platform::separator(data)),
        T::EFI_VARIABLE_DRIVER_CONFIG => variables::config(data),
        T::EFI_VARIABLE_AUTHORITY | T::EFI_SPDM_DEVICE_AUTHORITY => variables::authority(data),
        T::EFI_SPDM_DEVICE_POLICY => variables::config(data),
        T::EFI_VARIABLE_BOOT | T::EFI_VARIABLE_BOOT2 => boot::variable(data),
        T::EFI_BOOT_SERVICES_APPLICATION => platform::image("started", data),
        T::EFI_BOOT_SERVICES_DRIVER => platform::image("driver started", data),
        T::EFI_RUNTIME_SERVICES_DRIVER => platform::image("driver of the running system started", data),
        T::EFI_GPT_EVENT | T::EFI_GPT_EVENT2 => partitions::meaning(data),
        T::IPL => Some(grub_and_stub::meaning(event)),
        T::EVENT_TAG => tagged::meaning(event),
        _ => platform::meaning(event),
    }
}
