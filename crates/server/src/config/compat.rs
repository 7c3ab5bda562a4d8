use serde::Deserialize;

/// What is served for programs of the first elivepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatSection {
    /// Whether the REST API v1.0 is answered; absent: where requests need no token.
    pub v1: Option<bool>,
    /// Whether its orders for kernels that the server builds are taken without proof, where the policy allows that.
    pub accept_unproven: bool,
    /// How many builds that were ordered by it wait or run at the same time.
    pub orders: u32,
    /// How many builds may be ordered by it in a day.
    pub orders_per_day: u32,
    /// For how many kernels that nobody had ordered for.
    pub kernels_per_day: u32,
}

impl Default for CompatSection {
    fn default() -> Self {
        Self {
            v1: None,
            accept_unproven: false,
            orders: 4,
            orders_per_day: 100,
            kernels_per_day: 4,
        }
    }
}

impl CompatSection {
    /// Numbers that must not be 0: `v1 = false` switches it off.
    pub(super) fn limits(&self) -> [(&'static str, u32); 3] {
        [
            ("compat.orders", self.orders),
            ("compat.orders_per_day", self.orders_per_day),
            ("compat.kernels_per_day", self.kernels_per_day),
        ]
    }
}

/// The section of the config about the first elivepatch.
pub(super) const COMPAT: &str = r##"[compat]
# Whether the REST API v1.0 of the first elivepatch is answered, for its Python client. That client has no
# token, so where it is on, everybody who reaches the server may order builds by it, and fetch the livepatch of
# a session whose UUID he knows; nothing else. Without the key it is on where requests need no token (see
# [access]), and off on an address that other machines reach.
#v1 = true

# Whether its orders for kernels that the server builds itself are taken without proof. That client sends nothing
# that could prove that the server's kernel is the one that it runs, so without this key such builds fail with
# "fit-unproven". allow_unproven under [policy], where it is said what that means, must be true, too.
#accept_unproven = false

# How many builds that were ordered by it may wait or run at the same time. Further orders are refused with 429,
# also such as would join one of them. They never wait for each other with those of today's clients, which go first.
# Let there be one for each kernel whose machines ask at the same time.
#orders = 4

# How many builds may be ordered by it in 24 hours. Each leaves its texts in the data directory, 35 MiB at most.
# An order that equals an earlier one is answered from that, and is none of them.
#orders_per_day = 100

# How many of them may be for a kernel (a release, its config, and the patches that it has already) that nobody
# had ordered for. A kernel of your own is built once for each, which takes hours and 4 to 30 GB of the cache; what
# the cache takes as a whole is bounded by disk_budget_gib under [cache].
#kernels_per_day = 4

"##;
