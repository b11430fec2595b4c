//! Egret from outside: one binary of tests, one module for each behaviour, real processes and real sockets.
//! Not unit tests, which stand beside the code. Start at `support`, then read any module.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that can not go on must stop with the place where it stopped"
)]
#![expect(
    clippy::disallowed_types,
    reason = "tests stand outside the workers: they read the real clock"
)]

mod answers;
mod authority;
mod backends;
mod balanced;
mod bypass;
mod cache;
mod cache_control;
mod cache_disk;
mod cache_gateway;
mod circles;
mod client_side;
mod clients;
mod commands;
mod connect;
mod corners;
mod curl_reverse;
mod datagrams;
mod drain;
mod endings;
mod engine;
mod exchange;
mod explain;
mod floors;
mod forged;
mod forward;
mod framing;
mod fuzz_smoke;
mod grpc;
mod hello;
mod hostile;
mod http2;
mod http2_floods;
mod idle_origin;
mod inject;
mod intercept;
mod intercept_clients;
mod leaves;
mod lifecycle;
mod limits;
mod listener_tls;
mod names;
mod obligations;
mod origin_http2;
mod origin_side;
mod origin_tls;
mod outside;
mod policy_files;
mod policy_spellings;
mod proxy_protocol;
mod records;
mod registries;
mod reload;
mod reload_reverse;
mod remedies;
mod reverse;
mod reverse_safety;
mod reverse_tls;
mod rules;
mod samples;
mod socks;
mod support;
mod upgrade;
mod upgrade_cache;
mod upstreams;
mod websocket_h2;
mod websocket_reverse;
mod who;
