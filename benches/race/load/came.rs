//! What came of asking: counts, and the text of the first error. Measures nothing but the time.

use std::io;
use std::time::Duration;

#[derive(Default)]
pub struct Came {
    requests: u64,
    bytes: u64,
    errors: u64,
    first: String,
}

impl Came {
    pub fn answer(&mut self, bytes: u64) {
        self.requests += 1;
        self.bytes += bytes;
    }

    pub fn error(&mut self, error: &io::Error) {
        if self.errors == 0 {
            self.first = error.to_string();
        }
        self.errors += 1;
    }

    /// As a line of JSON.
    pub fn print(&self, time: Duration) {
        println!(
            "{{\"requests\": {}, \"bytes\": {}, \"seconds\": {:.6}, \"errors\": {}, \"first\": {:?}}}",
            self.requests,
            self.bytes,
            time.as_secs_f64(),
            self.errors,
            self.first
        );
    }
}
