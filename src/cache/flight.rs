//! placeholder: helper D
