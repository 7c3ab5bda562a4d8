use super::{ModuleCode, VmlinuxCode, field::Field, symbols::ImageSymbol};

/// The longest text that is looked for, in bytes.
const TEXT_BYTES: usize = 1024;

/// What objects are linked into: the kernel's image, or a module.
#[derive(Debug)]
pub enum CodeImage<'a> {
    /// The kernel's image; the linker has filled in all fields.
    Vmlinux(VmlinuxCode<'a>),
    /// A module, which has relocations itself.
    Module(ModuleCode<'a>),
}

/// A place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The number of the section in a module; 0 in vmlinux.
    pub section: usize,
    /// In vmlinux an address, in a module the offset in the section.
    pub at: u64,
}

impl Place {
    pub(super) fn plus(self, bytes: u64) -> Self {
        Self { at: self.at.wrapping_add(bytes), ..self }
    }

    pub(super) fn minus(self, bytes: u64) -> Self {
        Self { at: self.at.wrapping_sub(bytes), ..self }
    }
}

/// Where the symbol lies that a field of the image means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lead<'a> {
    /// At a place of the image.
    To(Place),
    /// Somewhere else, under this name.
    Outside(&'a [u8]),
    /// The image has no such field there.
    Nowhere,
}

impl CodeImage<'_> {
    /// The text at a symbol, up to its first line's end; `None` when there is none.
    pub fn text(&self, name: &str) -> Option<String> {
        let place = self.named(name).first()?.place;
        let bytes = self.bytes_from(place, TEXT_BYTES);
        let end = bytes.iter().position(|byte| matches!(byte, 0 | b'\n'))?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// The symbols of a name.
    pub(super) fn named(&self, name: &str) -> &[ImageSymbol] {
        match self {
            Self::Vmlinux(image) => image.symbols.named(name),
            Self::Module(image) => image.symbols.named(name),
        }
    }

    /// The name of a file that local symbols are from; `None` when the image does not say.
    pub(super) fn file_of(&self, symbol: &ImageSymbol) -> Option<&str> {
        match self {
            Self::Vmlinux(image) => image.symbols.file_of(symbol),
            Self::Module(image) => image.symbols.file_of(symbol),
        }
    }

    /// Some bytes; `None` when they are not all in one section with content.
    pub(super) fn bytes(&self, place: Place, count: u64) -> Option<&[u8]> {
        match self {
            Self::Vmlinux(image) => image.bytes(place.at, count),
            Self::Module(image) => image.bytes(place, count),
        }
    }

    /// The bytes from a place to the end of its section, up to a number.
    pub(super) fn bytes_from(&self, place: Place, at_most: usize) -> &[u8] {
        match self {
            Self::Vmlinux(image) => image.bytes_from(place.at, at_most),
            Self::Module(image) => image.bytes_from(place, at_most),
        }
    }

    /// Where the field at a place leads to, less the addend that the object's relocation has.
    pub(super) fn lead(&self, place: Place, field: Field, addend: i64) -> Lead<'_> {
        match self {
            Self::Vmlinux(image) => {
                let bytes = image.bytes(place.at, field.bytes() as u64);
                let at = bytes.and_then(|bytes| field.leads_to(bytes, place.at, addend));
                at.map_or(Lead::Nowhere, |at| Lead::To(Place { section: 0, at }))
            }
            Self::Module(image) => image.lead(place, field, addend),
        }
    }
    /// The offsets of the fields that are still to be filled in, in a number of bytes from a place;
    /// nothing in vmlinux, where the linker has filled in all.
    pub(super) fn open_fields(&self, place: Place, count: u64) -> impl Iterator<Item = u64> {
        let fields = match self {
            Self::Vmlinux(_) => None,
            Self::Module(image) => Some(image.fields_in(place, count)),
        };
        fields.into_iter().flatten()
    }
}
