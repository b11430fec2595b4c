//! x
/// x
pub struct Store {
    /// x
    pub title: &'static str,
    /// x
    pub commands: &'static str,
}
/// x
pub const STORES: &[Store] = &[];
