//! placeholder: helper C
