//! The text of `/proc/kallsyms`, as a client sends it. It may be anything.

use std::collections::BTreeMap;

use elivepatch_model::{KallsymsLine, limits::KALLSYMS_SYMBOLS};

/// The functions of a running kernel, in the order of their addresses, and those of its modules, in the
/// order in which it lists them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kallsyms<'text> {
    pub vmlinux: Vec<RunningSymbol<'text>>,
    pub modules: BTreeMap<&'text str, Vec<RunningSymbol<'text>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RunningSymbol<'text> {
    /// 0 when the reader was not allowed to see it; in the normal form the distance from `_text`, or
    /// from the first function of the module, which is at 0 itself.
    pub address: u64,
    pub name: &'text str,
}

/// Why a text is none of `/proc/kallsyms`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KallsymsError {
    /// It holds bytes that no symbol has.
    #[error("it is not a text")]
    NotText,
    /// A line has another form than `ADDRESS TYPE NAME` or `ADDRESS TYPE NAME [MODULE]`.
    #[error("line {0} is not of the form ADDRESS TYPE NAME [MODULE]")]
    Line(usize),
    /// It has more lines than any kernel has symbols.
    #[error("it has more than {KALLSYMS_SYMBOLS} lines")]
    TooLong,
    /// It lists no function of the kernel itself.
    #[error("it has no function of the kernel")]
    NoFunctions,
}

impl<'text> Kallsyms<'text> {
    /// Reads the text: of its lines those of functions.
    ///
    /// # Errors
    /// See [`KallsymsError`].
    pub(super) fn parse(text: &'text [u8]) -> Result<Self, KallsymsError> {
        let text = std::str::from_utf8(text).map_err(|_| KallsymsError::NotText)?;
        let mut found = Self::default();
        for (number, line) in text.lines().enumerate() {
            if number >= KALLSYMS_SYMBOLS {
                return Err(KallsymsError::TooLong);
            }
            let line = KallsymsLine::parse(line.as_bytes());
            let line = line.ok_or(KallsymsError::Line(number + 1))?;
            if !line.is_function() {
                continue;
            }
            let symbol = RunningSymbol { address: line.address, name: line.name };
            match line.module {
                None => found.vmlinux.push(symbol),
                Some(module) => found.modules.entry(module).or_default().push(symbol),
            }
        }
        if found.vmlinux.is_empty() {
            return Err(KallsymsError::NoFunctions);
        }
        Ok(found)
    }

    /// Whether the addresses are there.
    pub(super) fn has_addresses(&self) -> bool {
        self.vmlinux.iter().any(|symbol| symbol.address != 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use elivepatch_model::limits::SYMBOL_NAME_BYTES as NAME_BYTES;

    use super::*;

    #[test]
    fn functions_are_read_with_their_modules() {
        let text =
            b"ffffffff81000000 T _text\nffffffff82000000 D data\nffffffffc0000000 t f\t[ext4]\n\
                     ffffffff81000010 w weak\n";
        let found = Kallsyms::parse(text).expect("a text of the kernel");
        let names: Vec<&str> = found.vmlinux.iter().map(|symbol| symbol.name).collect();
        assert_eq!(names, ["_text", "weak"]);
        assert_eq!(found.modules["ext4"][0].address, 0xffff_ffff_c000_0000);
        assert!(found.has_addresses());
        let hidden = Kallsyms::parse(b"0000000000000000 T _text\n").expect("without rights");
        assert!(!hidden.has_addresses());
    }

    #[test]
    fn what_is_no_such_text_is_refused_by_its_line() {
        for (text, error) in [
            (&b""[..], KallsymsError::NoFunctions),
            (b"0 D data\n", KallsymsError::NoFunctions),
            (b"0 T a\nx T b\n", KallsymsError::Line(2)),
            (b"0 TT b\n", KallsymsError::Line(1)),
            (b"0 T b mod\n", KallsymsError::Line(1)),
            (b"0 T b [mod] more\n", KallsymsError::Line(1)),
            (b"12345678901234567 T b\n", KallsymsError::Line(1)),
            (b"0 T \xff\n", KallsymsError::NotText),
        ] {
            assert_eq!(Kallsyms::parse(text), Err(error));
        }
        let long = format!("0 T {}\n", "n".repeat(NAME_BYTES + 1));
        assert_eq!(Kallsyms::parse(long.as_bytes()), Err(KallsymsError::Line(1)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Kallsyms::parse(&bytes);
        }
    }
}
