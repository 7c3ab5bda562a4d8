use gimli::{AttributeValue, EndianSlice, LittleEndian, Reader as _, constants};

use crate::debug_sections::Reader;

/// How debug information says that a variable has an address of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// The address is in the attribute itself.
    Within,
    /// The attribute has its number in the unit's list of addresses, as clang writes it.
    Numbered(u64),
}

/// The address in a location; `None` when it is a register or a place on the stack.
pub(crate) fn address(location: &AttributeValue<Reader<'_>>) -> Option<Address> {
    let expression = match location {
        AttributeValue::Exprloc(expression) => expression.0.slice(),
        AttributeValue::Block(block) => block.slice(),
        _ => return None,
    };
    let (operation, rest) = expression.split_first()?;
    match gimli::DwOp(*operation) {
        constants::DW_OP_addr => Some(Address::Within),
        constants::DW_OP_addrx => {
            let number = EndianSlice::new(rest, LittleEndian).read_uleb128().ok()?;
            Some(Address::Numbered(number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_and_number_of_an_address_are_told_from_registers() {
        let of = |bytes| address(&AttributeValue::Block(EndianSlice::new(bytes, LittleEndian)));
        assert_eq!(of(&[0x03, 0, 0, 0, 0, 0, 0, 0, 0]), Some(Address::Within));
        assert_eq!(of(&[0xa1, 0x80, 0x01]), Some(Address::Numbered(128)));
        // A register, one relative to the frame, half a number, and nothing.
        for bytes in [&[0x50][..], &[0x91, 0x10], &[0xa1, 0x80], &[]] {
            assert_eq!(of(bytes), None, "{bytes:?}");
        }
    }
}
