use std::collections::HashMap;

use crate::ElfError;

/// `Module.symvers`: what a kernel exports to modules, with the CRC of each symbol's type.
#[derive(Debug, Clone, Default)]
pub struct ModuleSymvers {
    symbols: HashMap<String, ExportedSymbol>,
}

/// One exported symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedSymbol {
    /// The CRC of its type; 0 in a kernel without MODVERSIONS.
    pub crc: u32,
    /// `vmlinux`, or the path of the module that exports it.
    pub object: String,
    /// How it is exported: `EXPORT_SYMBOL` or `EXPORT_SYMBOL_GPL`.
    pub export: String,
    /// The namespace that a module must import to use it.
    pub namespace: Option<String>,
}

impl ModuleSymvers {
    /// Reads the file: `0xCRC`, symbol, object, export and namespace, separated by tabs.
    ///
    /// # Errors
    /// [`ElfError::Symvers`] with the line that is not of that form or names a symbol again.
    pub fn parse(text: &str) -> Result<Self, ElfError> {
        let mut symbols = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let failed = |problem| ElfError::Symvers { line, problem };
            let mut fields = content.split('\t');
            let mut field = || fields.next();
            let (Some(crc), Some(name), Some(object), Some(export)) =
                (field(), field(), field(), field())
            else {
                return Err(failed("it has fewer than four fields"));
            };
            let crc = crc
                .strip_prefix("0x")
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .ok_or_else(|| failed("its first field is not a CRC such as 0x1234abcd"))?;
            if name.is_empty() || object.is_empty() {
                return Err(failed("the symbol or its object has no name"));
            }
            let namespace = field().filter(|name| !name.is_empty()).map(str::to_owned);
            let (object, export) = (object.to_owned(), export.to_owned());
            let symbol = ExportedSymbol { crc, object, export, namespace };
            if symbols.insert(name.to_owned(), symbol).is_some() {
                return Err(failed("the symbol is exported twice"));
            }
        }
        Ok(Self { symbols })
    }

    /// The export of a symbol.
    pub fn get(&self, symbol: &str) -> Option<&ExportedSymbol> {
        self.symbols.get(symbol)
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_are_found_by_symbol() {
        let text = "0x0000000a\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n\
            0xffffffff\tusb_x\tdrivers/usb/core\tEXPORT_SYMBOL_GPL\tUSB_STORAGE\n";
        let symvers = ModuleSymvers::parse(text).expect("a valid file");
        assert_eq!(symvers.len(), 2);
        let printk = symvers.get("printk").expect("an export");
        assert_eq!((printk.crc, printk.object.as_str(), &printk.namespace), (10, "vmlinux", &None));
        let usb = symvers.get("usb_x").expect("an export");
        assert_eq!((usb.crc, usb.namespace.as_deref()), (u32::MAX, Some("USB_STORAGE")));
        assert_eq!(symvers.get("missing"), None);
    }

    #[test]
    fn malformed_line_is_named() {
        let good = "0x1\ta\tvmlinux\tEXPORT_SYMBOL\t";
        for (bad, problem) in [
            ("0x2\tb\tvmlinux", "fewer than four fields"),
            ("2\tb\tvmlinux\tEXPORT_SYMBOL\t", "not a CRC"),
            ("0x123456789\tb\tvmlinux\tEXPORT_SYMBOL\t", "not a CRC"),
            ("0x2\t\tvmlinux\tEXPORT_SYMBOL\t", "no name"),
            ("0x1\ta\tvmlinux\tEXPORT_SYMBOL\t", "twice"),
            ("", "fewer than four fields"),
        ] {
            let error = ModuleSymvers::parse(&format!("{good}\n{bad}\n")).expect_err("malformed");
            let text = error.to_string();
            assert!(text.starts_with("line 2 of") && text.contains(problem), "{text}");
        }
    }
}
