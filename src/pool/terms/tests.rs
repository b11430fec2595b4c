use super::*;
use crate::fault::Source;

fn read(text: &str) -> (Option<Terms>, Vec<String>) {
    let faults = Faults::new();
    let base = Origin {
        settings: Settings::default(),
        trust: connector::read(None, &faults),
    };
    let table = Table::parse(&Source::new("egret.toml", text), &faults);
    let terms = Terms::read(&table, &base, &faults);
    let told = faults.into_vec();
    (terms, told.iter().map(Fault::render).collect())
}
