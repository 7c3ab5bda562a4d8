//! The symbols of a running kernel, as `/proc/kallsyms` lists them, without its addresses.

use std::{collections::BTreeMap, fmt::Write};

use crate::limits::{KALLSYMS_BYTES, KALLSYMS_SYMBOLS, MODULE_NAME_BYTES, SYMBOL_NAME_BYTES};

/// The largest distance from the first symbol, in bytes: `KERNEL_IMAGE_SIZE` of x86-64 is 1 GiB at
/// most. What is further away belongs to something else.
const LARGEST_OFFSET: u64 = 1 << 30;

/// What the kernel's own code is listed under that came while it ran: it is in no file.
const NOT_FROM_FILES: [&str; 2] = ["bpf", "__builtin__"];

/// The symbols of a running kernel in their normal form: what is the same for each boot and each
/// machine that runs the same kernel and modules.
///
/// One line for each symbol, `OFFSET TYPE NAME`, and `\t[MODULE]` behind it for those of modules;
/// all in hexadecimal and as `/proc/kallsyms` orders them, the modules by their names. The offset is
/// from `_text`, and in a module from its first function; it is 0 where the kernel did not show
/// addresses. Addresses themselves are not in it: they would tell where the kernel lies in memory,
/// which is different for each boot to make attacks harder (KASLR). Left out are absolute symbols,
/// data of modules (which lies somewhere else for each boot), and code that was made at run time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kallsyms {
    text: String,
    symbols: usize,
    modules: usize,
    has_offsets: bool,
}

/// Why a text is no list of a kernel's symbols.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KallsymsError {
    /// The text is larger than the limit.
    #[error("the list of symbols has more than {KALLSYMS_BYTES} bytes")]
    TooLarge,
    /// There are more symbols than in any kernel.
    #[error("the list of symbols has more than {KALLSYMS_SYMBOLS} lines")]
    TooManySymbols,
    /// A line is not one of `/proc/kallsyms`.
    #[error("line {line} of the list of symbols is not ADDRESS TYPE NAME [MODULE]: {text}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// Its text, escaped and cut.
        text: String,
    },
    /// No symbol is left.
    #[error("the list of symbols names no function of the kernel")]
    Empty,
}

impl Kallsyms {
    /// Reads what `/proc/kallsyms` gives, or the normal form, which stays as it is. `keep_module`
    /// says whose symbols stay.
    ///
    /// # Errors
    /// See [`KallsymsError`].
    pub fn read(bytes: &[u8], keep_module: impl Fn(&str) -> bool) -> Result<Self, KallsymsError> {
        if bytes.len() as u64 > KALLSYMS_BYTES {
            return Err(KallsymsError::TooLarge);
        }
        let origins = Origins::find(bytes)?;
        let mut list = Self { text: String::new(), symbols: 0, modules: 0, has_offsets: false };
        let mut modules: BTreeMap<&str, String> = BTreeMap::new();
        for (number, line) in lines(bytes) {
            let symbol = KallsymsLine::read(line, number)?;
            let (origin, text) = match symbol.module {
                None if symbol.is_absolute() => continue,
                None => (origins.kernel, &mut list.text),
                Some(name) if !symbol.is_function() || is_no_file(name) || !keep_module(name) => {
                    continue;
                }
                Some(name) => {
                    (origins.modules.get(name).copied(), modules.entry(name).or_default())
                }
            };
            let offset = match origin {
                None => 0,
                Some(origin) => match symbol.address.checked_sub(origin) {
                    Some(offset) if offset <= LARGEST_OFFSET => offset,
                    _ => continue,
                },
            };
            list.symbols += 1;
            list.has_offsets |= offset > 0;
            symbol.write(offset, text);
        }
        if list.text.is_empty() {
            return Err(KallsymsError::Empty);
        }
        list.modules = modules.len();
        modules.values().for_each(|text| list.text.push_str(text));
        Ok(list)
    }

    /// The normal form.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many symbols there are.
    pub fn symbols(&self) -> usize {
        self.symbols
    }

    /// Of how many modules there are any.
    pub fn modules(&self) -> usize {
        self.modules
    }

    /// Whether offsets are known, and the sizes of functions with them.
    pub fn has_offsets(&self) -> bool {
        self.has_offsets
    }
}

/// From where offsets count.
struct Origins<'a> {
    /// The address of `_text`; absent when it is not listed.
    kernel: Option<u64>,
    /// The lowest function of each module.
    modules: BTreeMap<&'a str, u64>,
}

impl<'a> Origins<'a> {
    fn find(bytes: &'a [u8]) -> Result<Self, KallsymsError> {
        let (mut text, mut stext, mut modules) = (None, None, BTreeMap::new());
        for (number, line) in lines(bytes) {
            if number > KALLSYMS_SYMBOLS {
                return Err(KallsymsError::TooManySymbols);
            }
            let symbol = KallsymsLine::read(line, number)?;
            match (symbol.module, symbol.name) {
                (None, "_text") => text = text.or(Some(symbol.address)),
                (None, "_stext") => stext = stext.or(Some(symbol.address)),
                (Some(module), _) if symbol.is_function() => {
                    let lowest = modules.entry(module).or_insert(symbol.address);
                    *lowest = symbol.address.min(*lowest);
                }
                _ => {}
            }
        }
        Ok(Self { kernel: text.or(stext), modules })
    }
}

/// The lines with their numbers, from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    (1..).zip(bytes.split(|byte| *byte == b'\n'))
}

fn is_no_file(module: &str) -> bool {
    let [bpf, prefix] = NOT_FROM_FILES;
    module == bpf || module.starts_with(prefix)
}

/// A line of `/proc/kallsyms`, or of its normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KallsymsLine<'a> {
    /// The address; 0 when the reader was not allowed to see it. In the normal form an offset.
    pub address: u64,
    /// What `nm` calls the symbol's kind.
    kind: char,
    /// The name.
    pub name: &'a str,
    /// The module that it is of; `None` for the kernel itself.
    pub module: Option<&'a str>,
}

impl<'a> KallsymsLine<'a> {
    fn read(line: &'a [u8], number: usize) -> Result<Self, KallsymsError> {
        Self::parse(line).ok_or_else(|| {
            let shown = String::from_utf8_lossy(&line[..line.len().min(80)]);
            KallsymsError::Line { line: number, text: shown.escape_debug().to_string() }
        })
    }

    /// `%px %c %s` and for modules `\t[%s]` (`s_show()` of kernel/kallsyms.c); `None` for anything else.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii())?;
        let (address, rest) = line.split_once(' ')?;
        let is_hexadecimal = address.bytes().all(|byte| byte.is_ascii_hexdigit());
        let address = u64::from_str_radix(address, 16).ok().filter(|_| is_hexadecimal)?;
        let (kind, rest) = rest.split_once(' ')?;
        // nm has ? for symbols of sections that it does not know, such as those of .data_nosave.
        let is_kind = |kind: &char| kind.is_ascii_alphabetic() || "?-".contains(*kind);
        let kind = kind.parse::<char>().ok().filter(is_kind)?;
        let (name, module) = match rest.split_once('\t') {
            None => (rest, None),
            Some((name, module)) => {
                let module = module.strip_prefix('[')?.strip_suffix(']')?;
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
                if !(1..=MODULE_NAME_BYTES).contains(&module.len()) || !module.bytes().all(is_plain)
                {
                    return None;
                }
                (name, Some(module))
            }
        };
        let is_name = (1..=SYMBOL_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic());
        is_name.then_some(Self { address, kind, name, module })
    }

    fn is_absolute(&self) -> bool {
        self.kind.eq_ignore_ascii_case(&'a')
    }

    /// Whether it is a function, or code without a kind of its own: `nm` calls those `t`, `T`, `w` or `W`.
    pub fn is_function(&self) -> bool {
        matches!(self.kind, 'T' | 't' | 'W' | 'w')
    }

    fn write(&self, offset: u64, text: &mut String) {
        let Self { kind, name, .. } = self;
        let written = match self.module {
            None => writeln!(text, "{offset:x} {kind} {name}"),
            Some(module) => writeln!(text, "{offset:x} {kind} {name}\t[{module}]"),
        };
        written.expect("memory can be written to");
    }
}

#[cfg(test)]
#[path = "kallsyms_tests.rs"]
mod tests;
