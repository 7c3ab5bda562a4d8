//! Reads ELF notes as `/sys/kernel/notes` and `/sys/module/NAME/notes` give them.

use elivepatch_model::ElfBuildId;

/// `NT_GNU_BUILD_ID` of elf.h.
const BUILD_ID_TYPE: u32 = 3;

/// The GNU build-id among the notes of the running machine (its own byte order), if there is one.
///
/// A note is three 32-bit words (size of the name, size of the descriptor, type), then name and
/// descriptor, each filled up to four bytes (elf(5)).
pub fn build_id(mut notes: &[u8]) -> Option<ElfBuildId> {
    loop {
        let name_size = take_word(&mut notes)?;
        let descriptor_size = take_word(&mut notes)?;
        let kind = take_word(&mut notes)?;
        let name = take_padded(&mut notes, name_size)?;
        let descriptor = take_padded(&mut notes, descriptor_size)?;
        if name == b"GNU\0" && kind == BUILD_ID_TYPE {
            return ElfBuildId::from_bytes(descriptor).ok();
        }
    }
}

fn take_word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_ne_bytes(*word))
}

fn take_padded<'a>(bytes: &mut &'a [u8], size: u32) -> Option<&'a [u8]> {
    let size = usize::try_from(size).ok()?;
    let taken = bytes.get(..size)?;
    // The last note may lack its filling.
    *bytes = bytes.get(size.next_multiple_of(4)..).unwrap_or_default();
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(name: &[u8], kind: u32, descriptor: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len() as u32, descriptor.len() as u32, kind] {
            bytes.extend(word.to_ne_bytes());
        }
        for part in [name, descriptor] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn build_id_is_found_behind_other_notes() {
        let mut notes = note(b"Xen\0", 6, b"linux");
        notes.extend(note(b"GNU\0", 5, &[1; 16]));
        notes.extend(note(b"GNU\0", 3, &[0xab; 20]));
        assert_eq!(build_id(&notes).map(|id| id.to_string()), Some("ab".repeat(20)));
    }

    #[test]
    fn notes_without_build_id_have_none() {
        assert_eq!(build_id(&note(b"Linux\0", 257, &[0; 4])), None);
        assert_eq!(build_id(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = build_id(&bytes);
        }

        #[test]
        fn build_id_survives_any_note_before_it(
            name in proptest::collection::vec(any::<u8>(), 0..9),
            descriptor in proptest::collection::vec(any::<u8>(), 0..9),
            id in proptest::collection::vec(any::<u8>(), 8..21),
        ) {
            let mut notes = note(&name, 9, &descriptor);
            notes.extend(note(b"GNU\0", 3, &id));
            prop_assert_eq!(build_id(&notes), ElfBuildId::from_bytes(&id).ok());
        }
    }
}
