use std::fmt;

use crate::{ElfError, Module, ModuleSymvers, budget::Budget};

const PART: &str = "section __versions";

/// `sizeof(struct modversion_info)` on 64-bit machines: `unsigned long crc` and the name, which
/// fills the entry up to `MODULE_NAME_LEN` (include/linux/module.h).
const ENTRY_BYTES: usize = 64;

/// A symbol that a module uses, with the CRC that it was compiled against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymbolVersion {
    /// The symbol.
    pub name: String,
    /// The CRC of its type.
    pub crc: u32,
}

/// A symbol whose CRC in the module is not that of the kernel: the kernel would not load it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrcMismatch {
    /// The symbol.
    pub symbol: String,
    /// The CRC in the module.
    pub module_crc: u32,
    /// The kernel's CRC; `None` when the kernel does not export the symbol.
    pub kernel_crc: Option<u32>,
}

impl Module {
    /// Compares the CRCs that the module was compiled against with those of the kernel. Empty when
    /// all agree, and for a module without `__versions`.
    pub fn check_against(&self, symvers: &ModuleSymvers) -> Vec<CrcMismatch> {
        self.versions
            .iter()
            .filter_map(|version| {
                let kernel_crc = symvers.get(&version.name).map(|symbol| symbol.crc);
                (kernel_crc != Some(version.crc)).then(|| CrcMismatch {
                    symbol: version.name.clone(),
                    module_crc: version.crc,
                    kernel_crc,
                })
            })
            .collect()
    }
}

pub(crate) fn versions(
    section: &[u8],
    budget: &mut Budget,
) -> Result<Vec<SymbolVersion>, ElfError> {
    let malformed = |problem: String| ElfError::Malformed { part: PART, problem };
    let entries = section.chunks_exact(ENTRY_BYTES);
    if !entries.remainder().is_empty() {
        return Err(malformed(format!("{} bytes are no whole entries", section.len())));
    }
    let read = |entry: &[u8]| {
        let (crc, name) =
            entry.split_first_chunk::<8>().ok_or_else(|| malformed("a short entry".to_owned()))?;
        let end = name.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| malformed("a name does not end".to_owned()))?;
        let name = budget.take_text(&name[..end])?;
        let crc = u64::from_le_bytes(*crc);
        let crc = u32::try_from(crc)
            .map_err(|_| malformed(format!("the CRC {crc:#x} of \"{name}\" has over 32 bits")))?;
        Ok(SymbolVersion { name, crc })
    };
    entries.map(read).collect()
}

impl fmt::Display for CrcMismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, module_crc, .. } = self;
        match self.kernel_crc {
            Some(kernel_crc) => write!(
                formatter,
                "{symbol}: the module has CRC {module_crc:#010x}, the kernel {kernel_crc:#010x}"
            ),
            None => write!(formatter, "{symbol}: the kernel does not export it"),
        }
    }
}
