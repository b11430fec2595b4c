//! placeholder: helper D
/// The content of a stored response: at hand, still arriving, on disk, or some ranges of it. Clones share it.
#[derive(Debug, Clone)]
pub struct Contents {}
