//! The fields that a linker fills in, by the types of their relocations on x86-64.

use object::elf::{
    R_X86_64_32, R_X86_64_32S, R_X86_64_64, R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_NONE,
    R_X86_64_PC32, R_X86_64_PC64, R_X86_64_PLT32, R_X86_64_REX_GOTPCRELX,
};

/// How the value of a field comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// Nothing is written: a note between tools.
    Nothing,
    /// An address of 8 bytes.
    Address,
    /// An address of 4 bytes that is extended with zeros.
    Unsigned,
    /// An address of 4 bytes that is extended with its sign.
    Signed,
    /// A distance of 4 bytes from the field.
    Distance,
    /// A distance of 8 bytes from the field.
    LongDistance,
    /// A distance of 4 bytes to a pointer. Where the linker knows the address it makes a direct
    /// reference of it (the x86-64 ABI's "optimize GOTPCRELX relocations").
    Indirect,
}

impl Field {
    /// The field that a relocation of this type describes; `None` for one that kernel code has
    /// none of.
    pub(super) fn of(kind: u32) -> Option<Self> {
        let is = |one: object::elf::RelocationType| one.0 == kind;
        Some(match () {
            () if is(R_X86_64_NONE) => Self::Nothing,
            () if is(R_X86_64_64) => Self::Address,
            () if is(R_X86_64_32) => Self::Unsigned,
            () if is(R_X86_64_32S) => Self::Signed,
            () if is(R_X86_64_PC32) || is(R_X86_64_PLT32) => Self::Distance,
            () if is(R_X86_64_PC64) => Self::LongDistance,
            () if is(R_X86_64_GOTPCREL) || is(R_X86_64_GOTPCRELX) || is(R_X86_64_REX_GOTPCRELX) => {
                Self::Indirect
            }
            () => return None,
        })
    }

    /// The size of the field, in bytes.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Address | Self::LongDistance => 8,
            Self::Unsigned | Self::Signed | Self::Distance | Self::Indirect => 4,
        }
    }

    /// Whether the field holds a distance from its own place.
    pub(super) fn is_distance(self) -> bool {
        matches!(self, Self::Distance | Self::LongDistance | Self::Indirect)
    }

    /// The address of the symbol that a field at `place` with these bytes leads to, once the
    /// relocation's addend is taken away. `None` when there are too few bytes.
    pub(super) fn leads_to(self, bytes: &[u8], place: u64, addend: i64) -> Option<u64> {
        let four = || bytes.get(..4)?.try_into().ok();
        let eight = || bytes.get(..8)?.try_into().ok();
        let value = match self {
            Self::Nothing => return None,
            Self::Address => u64::from_le_bytes(eight()?),
            Self::Unsigned => u64::from(u32::from_le_bytes(four()?)),
            Self::Signed => i64::from(i32::from_le_bytes(four()?)).cast_unsigned(),
            Self::Distance | Self::Indirect => {
                place.wrapping_add_signed(i64::from(i32::from_le_bytes(four()?)))
            }
            Self::LongDistance => place.wrapping_add(u64::from_le_bytes(eight()?)),
        };
        Some(value.wrapping_sub(addend.cast_unsigned()))
    }
}

/// Whether the linker may have made `image` of `object`, which are the two bytes before an
/// [`Field::Indirect`] field: a call or jump through a pointer becomes a direct one, a load of an
/// address is computed.
pub(super) fn is_relaxed(object: [u8; 2], image: [u8; 2]) -> bool {
    match (object, image) {
        // call *foo@GOTPCREL(%rip) -> addr32 call foo
        ([0xff, 0x15], [0x67, 0xe8]) => true,
        // mov foo@GOTPCREL(%rip), %reg -> lea foo(%rip), %reg
        ([0x8b, from], [0x8d, to]) => from == to,
        _ => object == image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lead_where_the_linker_meant_them_to() {
        let place = 0xffff_ffff_8100_0010;
        let target = 0xffff_ffff_8100_0000_u64;
        // A call: the distance counts from the end of the field, the addend says so.
        let distance = (-0x14_i32).to_le_bytes();
        assert_eq!(Field::Distance.leads_to(&distance, place, -4), Some(target));
        let signed = (target as u32).to_le_bytes();
        assert_eq!(Field::Signed.leads_to(&signed, place, 0), Some(target));
        assert_eq!(Field::Unsigned.leads_to(&signed, place, 0), Some(0x8100_0000));
        let address = (target + 8).to_le_bytes();
        assert_eq!(Field::Address.leads_to(&address, place, 8), Some(target));
        assert_eq!(Field::Address.leads_to(&address[..7], place, 8), None);
        let far = (target.wrapping_sub(place)).to_le_bytes();
        assert_eq!(Field::LongDistance.leads_to(&far, place, 0), Some(target));
    }

    #[test]
    fn types_of_the_kernel_are_known_by_their_numbers() {
        let known = [1, 2, 4, 10, 11, 24].map(|kind| Field::of(kind).map(Field::bytes));
        assert_eq!(known, [8, 4, 4, 4, 4, 8].map(Some));
        assert_eq!(Field::of(0).map(Field::bytes), Some(0));
        assert_eq!(Field::of(5), None, "R_X86_64_COPY is in no object");
    }

    #[test]
    fn only_what_the_linker_does_counts_as_relaxed() {
        assert!(is_relaxed([0xff, 0x15], [0x67, 0xe8]));
        assert!(is_relaxed([0x8b, 0x05], [0x8d, 0x05]));
        assert!(is_relaxed([0x8b, 0x05], [0x8b, 0x05]));
        assert!(!is_relaxed([0x8b, 0x05], [0x8d, 0x0d]));
        assert!(!is_relaxed([0xff, 0x25], [0x67, 0xe8]));
    }
}
