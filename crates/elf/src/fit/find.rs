//! Where the sections of an object are in an image, by the names of their functions.

use std::collections::BTreeMap;

use super::{
    image::{CodeImage, Place},
    object::{CompiledCode, Home, ObjectSymbol},
    symbols::ImageSymbol,
};
use crate::{SymbolBinding, SymbolKind};

/// Where a section of code may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Here.
    At(Place),
    /// At one of several places: the image holds static functions of these names several times, from
    /// files of one name.
    AtOneOf(Vec<Place>),
    /// The image has none of its functions.
    Nowhere,
}

/// A function of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function<'data> {
    pub name: &'data str,
    pub value: u64,
    pub size: u64,
    pub binding: SymbolBinding,
}

/// The functions of a section, by offset, without the padding before functions.
pub(super) fn functions<'data>(code: &CompiledCode<'data>, section: usize) -> Vec<Function<'data>> {
    let is_function = |symbol: &&ObjectSymbol<'_>| {
        symbol.kind == SymbolKind::Function
            && symbol.home == Home::Section(section)
            && symbol.size > 0
            && !is_prefix(symbol.name)
    };
    let mut functions: Vec<Function<'_>> = (code.symbols.iter().filter(is_function))
        .map(|symbol| {
            let ObjectSymbol { name, value, size, binding, .. } = *symbol;
            Function { name, value, size, binding }
        })
        .collect();
    functions.sort_by_key(|function| function.value);
    functions
}

/// Whether a name is that of the padding before a function.
pub(super) fn is_prefix(name: &str) -> bool {
    name.starts_with("__pfx_") || name.starts_with("__cfi_")
}

/// The symbols of an image that may be this function: for a static one those of a file of the same
/// name, for another one that which others see.
pub(super) fn candidates<'a>(
    image: &'a CodeImage<'_>,
    code: &CompiledCode<'_>,
    function: &Function<'_>,
) -> impl Iterator<Item = &'a ImageSymbol> {
    let named = image.named(function.name);
    let ours_is_local = function.binding == SymbolBinding::Local;
    // The linker makes a hidden symbol a local one.
    let is_seen = named.iter().any(|symbol| symbol.binding != SymbolBinding::Local);
    let file = code.file.map(str::to_owned);
    named.iter().filter(move |symbol| {
        let is_local = symbol.binding == SymbolBinding::Local;
        let of_file = || match (image.file_of(symbol), &file) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => true,
        };
        symbol.kind == SymbolKind::Function
            && if ours_is_local { is_local && of_file() } else { !is_local || !is_seen }
    })
}

/// Finds a section: each of its functions has a say, and where most agree it is.
pub(super) fn find(
    image: &CodeImage<'_>,
    code: &CompiledCode<'_>,
    functions: &[Function<'_>],
) -> Found {
    let mut votes: BTreeMap<Place, usize> = BTreeMap::new();
    for function in functions {
        for symbol in candidates(image, code, function) {
            // A weak function may have been overridden: then the name leads to another file.
            let is_weak = function.binding == SymbolBinding::Weak;
            if !is_weak || symbol.binding == SymbolBinding::Weak {
                *votes.entry(symbol.place.minus(function.value)).or_default() += 1;
            }
        }
    }
    let most = votes.values().max().copied().unwrap_or_default();
    let mut best = votes.into_iter().filter(|(_, count)| *count == most).map(|(place, _)| place);
    match (best.next(), best.next()) {
        (None, _) => Found::Nowhere,
        (Some(one), None) => Found::At(one),
        (Some(one), Some(two)) => Found::AtOneOf([one, two].into_iter().chain(best).collect()),
    }
}
