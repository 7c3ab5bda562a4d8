use elivepatch_model::ElfBuildId;
use object::read::elf::Sym as _;

use crate::{
    ElfError, LivepatchRelocations, ReplacedFunction, SymbolVersion, budget::Budget,
    livepatch_relocations, modversions, object_file::ObjectFile, replaced_function,
};

/// The facts of a kernel module or of any other relocatable object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What the module says of itself; empty for an object that is no module.
    pub modinfo: Modinfo,
    /// Its GNU build-id, when it has one.
    pub build_id: Option<ElfBuildId>,
    /// The symbols that it uses and does not define, in the order of the symbol table. Livepatch
    /// symbols are not among them.
    pub undefined_symbols: Vec<UndefinedSymbol>,
    /// The CRCs of the symbols that it uses; empty in a kernel without MODVERSIONS.
    pub versions: Vec<SymbolVersion>,
    /// What the kernel's livepatch code relocates in it.
    pub livepatch_relocations: Vec<LivepatchRelocations>,
    /// The functions that it replaces, when kpatch or the kernel's own objtool made it.
    pub replaced_functions: Vec<ReplacedFunction>,
    /// What made a livepatch of it, by its sections; `None` for what neither of the two made.
    pub maker: Option<LivepatchMaker>,
}

/// What makes livepatches of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LivepatchMaker {
    /// create-diff-object of kpatch.
    Kpatch,
    /// objtool of the kernel, as `klp-build` runs it.
    KlpBuild,
}

/// The fields of `.modinfo`, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Modinfo {
    fields: Vec<(String, String)>,
}

/// A symbol that a module uses and does not define.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndefinedSymbol {
    /// Its name.
    pub name: String,
    /// Whether the module loads without it.
    pub is_weak: bool,
}

impl Module {
    /// Reads the facts. The bytes may be anything: the work is bounded by their number.
    ///
    /// # Errors
    /// When they are not an ELF file for x86-64, or when a part that is read here is malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        let object = ObjectFile::parse(bytes, "the module")?;
        let mut budget = Budget::new(bytes.len());
        let versions = object.section("__versions")?.unwrap_or_default();
        Ok(Self {
            modinfo: Modinfo::parse(object.section(".modinfo")?.unwrap_or_default(), &mut budget)?,
            build_id: object.build_id()?,
            undefined_symbols: undefined_symbols(&object, &mut budget)?,
            versions: modversions::versions(versions, &mut budget)?,
            livepatch_relocations: livepatch_relocations::livepatch_relocations(
                &object,
                &mut budget,
            )?,
            replaced_functions: replaced_function::replaced_functions(&object, &mut budget)?,
            maker: LivepatchMaker::of(&object),
        })
    }
}

impl LivepatchMaker {
    fn of(object: &ObjectFile<'_>) -> Option<Self> {
        let has = |section| object.header(section).is_some();
        match (has(".kpatch.funcs"), has(".init.klp_objects")) {
            (true, _) => Some(Self::Kpatch),
            (false, true) => Some(Self::KlpBuild),
            (false, false) => None,
        }
    }
}

impl Modinfo {
    fn parse(section: &[u8], budget: &mut Budget) -> Result<Self, ElfError> {
        let mut fields = Vec::new();
        for field in section.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
            let field = budget.take_text(field)?;
            // Padding or noise without a value is no field, as to modinfo(8).
            if let Some((name, value)) = field.split_once('=') {
                fields.push((name.to_owned(), value.to_owned()));
            }
        }
        Ok(Self { fields })
    }

    /// The first value of a field, such as `srcversion`.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// All values of a field, such as `alias`.
    pub fn all<'a>(&'a self, field: &'a str) -> impl Iterator<Item = &'a str> {
        let matching = self.fields.iter().filter(move |(name, _)| name == field);
        matching.map(|(_, value)| value.as_str())
    }

    /// The module's name.
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// The release and the options that the module was built for.
    pub fn vermagic(&self) -> Option<&str> {
        self.get("vermagic")
    }

    /// Whether the module says that it is a livepatch: the kernel treats its symbols specially.
    pub fn is_livepatch(&self) -> bool {
        self.get("livepatch") == Some("Y")
    }

    /// The licence.
    pub fn license(&self) -> Option<&str> {
        self.get("license")
    }

    /// The digest of its sources, when the config has MODULE_SRCVERSION_ALL.
    pub fn srcversion(&self) -> Option<&str> {
        self.get("srcversion")
    }

    /// The modules that it needs.
    pub fn depends(&self) -> impl Iterator<Item = &str> {
        let depends = self.get("depends").unwrap_or_default();
        depends.split(',').filter(|name| !name.is_empty())
    }
}

fn undefined_symbols(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<UndefinedSymbol>, ElfError> {
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let undefined = table.symbols().iter().skip(1).filter(|symbol| symbol.is_undefined(endian));
    undefined
        .map(|symbol| {
            let part = "the symbol table";
            let name = symbol
                .name(endian, table.strings())
                .map_err(|source| ElfError::Part { part, source })?;
            Ok(UndefinedSymbol { name: budget.take_text(name)?, is_weak: symbol.is_weak() })
        })
        .collect()
}
