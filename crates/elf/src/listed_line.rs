use crate::{SymbolBinding, SymbolKind};

/// A line of `readelf --symbols --wide`, as [`crate::symbol_listing`] writes them too: what stands
/// between the number and the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedLine {
    /// In vmlinux the symbol's address; in a module its offset in its section, in bytes.
    pub value: u64,
    /// In bytes.
    pub size: u64,
    /// What it names.
    pub kind: SymbolKind,
    /// Who sees it.
    pub binding: SymbolBinding,
    /// The number of its section; `None` for a mere number (`ABS`) and the like.
    pub section: Option<u32>,
}

impl ListedLine {
    /// Reads the words behind the number: `VALUE SIZE TYPE BIND VISIBILITY SECTION`; what comes then, the
    /// name, is left in `words`. `None` for a line of another form, and for a symbol that is only used.
    pub fn read<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let value = u64::from_str_radix(words.next()?, 16).ok()?;
        let size = words.next()?;
        let size = match size.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok()?,
            None => size.parse().ok()?,
        };
        let kind = match words.next()? {
            "NOTYPE" => SymbolKind::Unknown,
            "OBJECT" => SymbolKind::Object,
            "FUNC" => SymbolKind::Function,
            "SECTION" => SymbolKind::Section,
            "FILE" => SymbolKind::File,
            _ => SymbolKind::Other,
        };
        let binding = match words.next()? {
            "LOCAL" => SymbolBinding::Local,
            "GLOBAL" => SymbolBinding::Global,
            "WEAK" => SymbolBinding::Weak,
            _ => SymbolBinding::Other,
        };
        let section = match words.nth(1)? {
            "UND" => return None,
            number => number.parse().ok(),
        };
        Some(Self { value, size, kind, binding, section })
    }
}
