//! Formats too small for a target each: the first byte says which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust::{
    host::{
        derive::{WrappedHead, ima, varlink::ServiceCall},
        fleet::judge::{self, SignedValues},
        state::{boots, record::StateRecord},
    },
    policy::signed_file,
    secret::Secret,
    tpm::nv_content::{self, NvContent},
    tpm2::{capability, constants::cap, object::ObjectSummary, query},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which {
        b's' => {
            if let Ok(approved) = signed_file::parse(bytes) {
                assert!((1..=signed_file::MAX_REF).contains(&approved.policy_ref.len()));
                assert_ne!(approved.policy.digest(), [0; 32]);
            }
        }
        b'n' => {
            let copy = |buffer: &mut [u8]| {
                buffer.copy_from_slice(bytes);
                Ok(())
            };
            let Ok(index) = Secret::filled(bytes.len(), copy) else { return };
            match nv_content::open(index).expect("there is memory") {
                NvContent::Whole(content) => assert!(content.len() + usize::from(nv_content::HEADER) <= bytes.len()),
                NvContent::Bare(content) => assert_eq!(content.len(), bytes.len()),
                NvContent::Unfinished | NvContent::Damaged => {}
            }
        }
        b'c' => {
            // A list has no more items than bytes.
            let most = bytes.len();
            let few = |items: Option<usize>| assert!(items.is_none_or(|items| items <= most));
            few(capability::numbers(bytes, cap::HANDLES).map(|page| page.items.len()));
            few(capability::curves(bytes).map(|page| page.items.len()));
            few(capability::algorithms(bytes).map(|page| page.items.len()));
            few(capability::properties(bytes).map(|page| page.items.len()));
            few(capability::banks(bytes).map(|page| page.items.len()));
            few(capability::policies(bytes).map(|page| page.items.len()));
            few(capability::nv_data(bytes).map(<[u8]>::len));
            few(query::parse_pcrs(bytes).map(|answer| answer.values.len()));
            if let Some(public) = query::parse_nv_public(bytes) {
                assert_eq!(public.name()[..2], [0, 11]);
            }
        }
        b'o' => {
            if let Some(object) = ObjectSummary::parse(bytes) {
                assert!(!object.algorithm().is_empty());
            }
        }
        b'v' => match ServiceCall::parse(bytes) {
            Some(ServiceCall::Key(call)) => {
                let message = call.message();
                let again = message.split_last().and_then(|(_, message)| ServiceCall::parse(message));
                assert_eq!(again, Some(ServiceCall::Key(call)));
            }
            Some(ServiceCall::Answered(answer)) => assert_eq!(answer.last(), Some(&0)),
            None => {}
        },
        b'w' => {
            if let Ok((head, length)) = WrappedHead::parse(bytes) {
                let text = head.to_text();
                assert!(length <= bytes.len());
                assert_eq!(WrappedHead::parse(&text).expect("what is written is read"), (head, text.len()));
            }
        }
        b'm' => {
            if let Ok(state) = StateRecord::parse(bytes) {
                let _ = SignedValues::of_state(&state);
                assert!(judge::log_of(&state).map_or(true, |log| log.len() <= bytes.len()));
            }
        }
        b'b' => {
            for boot in boots::read(bytes) {
                assert!(!boot.in_words().chars().any(char::is_control));
            }
        }
        b'i' => {
            let _ = ima::vouch(|| Ok(bytes), |bank| Ok(vec![0; bank.begin().finish().as_ref().len()]));
        }
        _ => {}
    }
});
