//! Always the first: the order of the answer, or of the file, stands.

use super::{Balancer, By, Entry, Field};

pub(super) const ENTRY: Entry = Entry {
    name: "first",
    summary: "the first that takes the request, in the order in which they are written",
    by: By::Nothing,
    build: |_| Box::new(First),
};

#[derive(Debug)]
struct First;

impl Balancer for First {
    fn pick(&self, field: &dyn Field) -> Option<usize> {
        (0..field.len()).find(|place| field.takes(*place))
    }
}
