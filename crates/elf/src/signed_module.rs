/// What stands at the end of a signed module (`include/linux/module_signature.h`).
const MAGIC: &[u8] = b"~Module signature appended~\n";

/// The size of `struct module_signature`, which stands before it, in bytes.
const HEADER_BYTES: usize = 12;

/// Its `id_type` for a signature in PKCS#7 (`PKEY_ID_PKCS7`).
const PKCS7: u8 = 2;

/// A module with the signature behind it, as the kernel's `sign-file` puts it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedModule<'a> {
    /// The module as it was before.
    pub content: &'a [u8],
    /// The signature: PKCS#7 in DER, over the content.
    pub signature: &'a [u8],
}

impl<'a> SignedModule<'a> {
    /// Takes a module and its signature apart; `None` when it has none, or one that the kernel would not read.
    pub fn split(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.strip_suffix(MAGIC)?;
        let (rest, header) = rest.split_at_checked(rest.len().checked_sub(HEADER_BYTES)?)?;
        let &[algorithm, hash, kind, signer, key_id, _, _, _, ref length @ ..] = header else {
            return None;
        };
        // As mod_check_sig() in kernel/module_signature.c: in PKCS#7 all of this stands in the signature itself.
        if kind != PKCS7 || [algorithm, hash, signer, key_id] != [0; 4] {
            return None;
        }
        let length = usize::try_from(u32::from_be_bytes(length.try_into().ok()?)).ok()?;
        let (content, signature) = rest.split_at_checked(rest.len().checked_sub(length)?)?;
        Some(Self { content, signature })
    }

    /// Whether a module says that it has a signature, be it readable or not.
    pub fn is_marked(bytes: &[u8]) -> bool {
        bytes.ends_with(MAGIC)
    }

    /// The file: the module, its signature, and what tells the kernel where that is.
    ///
    /// # Panics
    /// With a signature of more than 4 GiB.
    pub fn join(self) -> Vec<u8> {
        let length =
            u32::try_from(self.signature.len()).expect("a signature is some hundred bytes");
        let header = [0, 0, PKCS7, 0, 0, 0, 0, 0];
        [self.content, self.signature, &header, &length.to_be_bytes(), MAGIC].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_and_signature_come_apart_as_they_were_joined() {
        let signed = SignedModule { content: b"\x7fELF", signature: b"pkcs" };
        let file = signed.join();
        assert_eq!(&file[8..], b"\0\0\x02\0\0\0\0\0\0\0\0\x04~Module signature appended~\n");
        assert_eq!(SignedModule::split(&file), Some(signed));
        assert!(SignedModule::is_marked(&file) && !SignedModule::is_marked(b"\x7fELF"));
        let empty = SignedModule { content: b"", signature: b"" };
        assert_eq!(SignedModule::split(&empty.join()), Some(empty));
    }

    #[test]
    fn what_the_kernel_would_not_read_is_no_signature() {
        let file = SignedModule { content: b"\x7fELF", signature: b"pkcs" }.join();
        for cut in [0, 1, 7, file.len() - 1] {
            assert_eq!(SignedModule::split(&file[..cut]), None);
        }
        // Of another kind, one that names what PKCS#7 has inside, and one that is longer than the file.
        for (at, value) in [(10, 1), (8, 1), (19, 9), (16, 0xff)] {
            let mut other = file.clone();
            other[at] = value;
            assert_eq!(SignedModule::split(&other), None, "byte {at}");
        }
        assert_eq!(SignedModule::split(&file[9..]), None, "the header is cut");
    }
}
