use serde::Deserialize;

/// What is served for programs of the first elivepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatSection {
    /// Whether the REST API v1.0 is answered; absent: where requests need no token.
    pub v1: Option<bool>,
    /// Whether its orders for kernels that the server builds are taken without proof, where the policy allows that.
    pub accept_unproven: bool,
    /// How many builds that were ordered by it wait or run at the same time.
    orders: Option<u32>,
    /// How many builds may be ordered by it in a day.
    orders_per_day: Option<u32>,
    /// For how many kernels that nobody had ordered for.
    kernels_per_day: Option<u32>,
}

/// How much clients of the REST API v1.0 get; `None`: there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V1Limits {
    /// How many builds of theirs wait or run at the same time.
    pub orders: Option<u32>,
    /// How many builds they order in a day.
    pub orders_per_day: Option<u32>,
    /// For how many kernels that nobody had ordered for they order in a day.
    pub kernels_per_day: Option<u32>,
}

/// How many builds that were ordered by it wait or run at the same time, where the config does not say.
const ORDERS: u32 = 4;

/// How many may be ordered in a day.
const ORDERS_PER_DAY: u32 = 100;

/// For how many kernels that nobody had ordered for: each may be hours of work.
const KERNELS_PER_DAY: u32 = 4;

impl CompatSection {
    /// How much clients of the REST API v1.0 get. Where requests need no token there are no limits but those that are
    /// set: whoever is stopped by one could order by v2.
    pub(super) fn v1_limits(&self, wants_tokens: bool) -> V1Limits {
        let limit = |given: Option<u32>, default| given.or(wants_tokens.then_some(default));
        V1Limits {
            orders: limit(self.orders, ORDERS),
            orders_per_day: limit(self.orders_per_day, ORDERS_PER_DAY),
            kernels_per_day: limit(self.kernels_per_day, KERNELS_PER_DAY),
        }
    }

    /// Numbers that must not be 0: `v1 = false` switches it off.
    pub(super) fn limits(&self) -> impl Iterator<Item = (&'static str, u32)> {
        [
            ("compat.orders", self.orders),
            ("compat.orders_per_day", self.orders_per_day),
            ("compat.kernels_per_day", self.kernels_per_day),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
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

# The limits below hold where requests need tokens (see [access]). Where they need none, there are none but those that
# are set here: whoever is stopped by one could order by v2.

# How many builds that were ordered by it may wait or run at the same time. Further orders are refused with 429,
# also such as would join one of them. Orders of today's clients and their CVE runs go first.
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
